"""Training samples: mosaics, affine maps, pasted objects, colours, and the batch loader."""
