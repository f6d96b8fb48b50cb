"""Artefacts as data: files of strangers, read and checked before a runtime may have them."""
