"""Untrusted artefacts, read as data and checked before any runtime opens them."""
