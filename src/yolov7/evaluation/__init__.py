"""Quality of detections by the COCO protocol, for any data set."""
