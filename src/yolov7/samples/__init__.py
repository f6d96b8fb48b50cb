"""Training samples: mosaics, affine maps, pasted objects, colours, and the loader of batches."""
