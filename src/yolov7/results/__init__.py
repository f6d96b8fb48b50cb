"""Detections of an image, and the files written about them: pictures, text, json, csv, crops, videos."""
