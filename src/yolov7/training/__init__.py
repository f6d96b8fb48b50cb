"""Training runs, on Lightning, which only this room imports."""
