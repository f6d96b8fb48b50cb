"""How good the detections are: the COCO protocol, on any data set."""
