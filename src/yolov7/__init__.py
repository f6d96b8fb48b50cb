"""YOLOv7 detectors."""
