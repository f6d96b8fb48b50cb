"""Inference: backends, the pipeline from images to detections, and the predictor."""
