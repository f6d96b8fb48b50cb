"""Losses of a detector: what its training minimises."""
