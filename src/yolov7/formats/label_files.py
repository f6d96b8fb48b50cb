"""Lookup of the label file of an image, with one listing per folder, as data sets have very many files."""

from __future__ import annotations

import os
import unicodedata
from functools import cache
from pathlib import Path, PurePath

from yolov7.data.folders import is_hidden

_COUNTERPARTS = {
    "images": ("labels",),
    "Images": ("Labels", "labels"),
    "IMAGES": ("LABELS", "labels"),
    "JPEGImages": ("labels",),
}
NOT_LABELS = frozenset(("classes", "predefined_classes", "notes", "readme", "labels", "train", "val", "test"))
"""Stems, lower case, of text files without labels that lie beside label files."""


class LabelFiles:
    """Index of label files; each folder is listed once."""

    def __init__(self) -> None:
        self.inside = cache(_text_files)
        self._folders = cache(_label_folders)

    def of(self, image: Path) -> Path | None:
        """Find an image's label file: in labels/ in place of the last images/ of its path, else beside it.

        For an image behind symbolic links, the real location is searched too.
        """
        name = plain_stem(image.name)
        for folder in self._folders(image.parent):
            if name in (files := self.inside(folder)):
                return files[name]
        if image.is_symlink():
            real = image.resolve()
            return None if real.is_symlink() else self.of(real)
        return None


def _text_files(folder: Path) -> dict[str, Path]:
    """Text files of a folder by stem; empty if the folder cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            names = sorted((entry.name for entry in entries), key=lambda name: (name.endswith(".txt"), name))
    except OSError:
        names = []
    return {
        plain_stem(name): folder / name
        for name in names
        if name[-4:].lower() == ".txt" and not is_hidden(name)
    }


def _label_folders(images: Path) -> list[Path]:
    """Candidate label folders for an image folder, most likely first."""
    real = images.resolve()
    places = [images] if real == images.absolute() else [images, real]
    return list(dict.fromkeys(folder for place in places for folder in (*counterparts(place), place)))


def counterparts(images: Path) -> list[Path]:
    """Label folders that correspond to an image folder.

    >>> [folder.as_posix() for folder in counterparts(Path("coco/images/train"))]
    ['coco/labels/train']
    """
    parts = images.parts
    for place in reversed(range(len(parts))):
        if parts[place] in _COUNTERPARTS:
            return [
                Path(*parts[:place], labels, *parts[place + 1 :]) for labels in _COUNTERPARTS[parts[place]]
            ]
    return []


def expected_label_file(image: Path) -> Path:
    """Default path of an image's label file."""
    return next(iter(counterparts(image.parent)), image.parent) / f"{image.stem}.txt"


def plain_stem(name: str) -> str:
    """File name without suffix, in Unicode form NFC: systems and archives encode accents differently."""
    stem = PurePath(name).stem
    return stem if stem.isascii() else unicodedata.normalize("NFC", stem)
