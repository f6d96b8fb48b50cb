"""Assignment of ground truths to predictions: Sec. 4.2, Fig. 5."""
