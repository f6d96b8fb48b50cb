"""Training on Lightning, which only this package imports."""
