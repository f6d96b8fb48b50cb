"""The commands: one typed, documented function each."""
