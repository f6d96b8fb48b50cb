"""Checkpoints in other formats, with proof that nothing changed on the way."""
