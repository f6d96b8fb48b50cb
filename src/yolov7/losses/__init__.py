"""Losses of a detector."""
