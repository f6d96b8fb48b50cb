"""Which predictions are to find which ground truth: Sec. 4.2, Fig. 5."""
