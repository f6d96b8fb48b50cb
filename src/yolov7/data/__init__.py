"""Data sets in memory: labels, defects, classes, anchors, and the cache of scaled images."""
