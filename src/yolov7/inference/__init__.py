"""From pictures to boxes: the network as a backend, and the predictor."""
