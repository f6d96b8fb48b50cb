"""Readers of data sets: YOLO, COCO json, Pascal VOC."""
