"""Readers of the label formats that people have: YOLO, COCO json, Pascal VOC."""
