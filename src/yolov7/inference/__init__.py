"""From pictures to boxes: sources, the predictor, sinks."""
