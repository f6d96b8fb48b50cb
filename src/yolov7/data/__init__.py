"""From files to samples: images, letterboxes, and the label formats that people have."""
