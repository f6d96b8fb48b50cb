"""Data set in memory, the same for every format, and the names of splits."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from yolov7.data.classes import check_class_count
from yolov7.data.findings import Defect, LeftOut
from yolov7.data.labels import LabelledImage
from yolov7.errors import DataError
from yolov7.images.reading import read_image
from yolov7.text import plural
from yolov7.types import Image, Sample

_SHOWN = 10  # defects that train and val print

UNDIVIDED = "all"
"""Name of the only split of an undivided data set."""


@dataclass(frozen=True)
class Dataset:
    """One split of a data set: ground truth in memory, images read on access.

    Attributes:
        path: opened file or folder.
        kind: format.
        split: name of the split.
        names: class names by label.
        category_ids: the data set's own id of each label (COCO's have gaps).
        images: readable images, with their labels.
        defects: problems found, and how they were handled.
        unlabelled: number of images without a label file; they count as images without objects.
        left_out: counts of what was left out, by reason.
    """

    path: Path
    kind: Literal["coco", "yolo", "voc"]
    split: str
    names: tuple[str, ...]
    category_ids: tuple[int, ...]
    images: tuple[LabelledImage, ...]
    defects: tuple[Defect, ...]
    unlabelled: int = 0
    left_out: tuple[LeftOut, ...] = ()

    def __post_init__(self) -> None:
        check_class_count(len(self.names), self.path)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        """Read an image, with its labels.

        Raises:
            SourceError: see `pixels`.
        """
        labelled = self.images[index]
        return Sample(
            image=self.pixels(index),
            boxes=labelled.boxes,
            labels=labelled.labels,
            image_id=labelled.image_id,
            polygons=labelled.polygons,
            crowds=labelled.crowds,
        )

    def pixels(self, index: int) -> Image:
        """Read an image. -> uint8 (H, W, 3) RGB.

        Raises:
            SourceError: the image cannot be decoded, although its header could be read.
        """
        return read_image(self.images[index].path)

    def has_boxes(self) -> tuple[bool, ...]:
        """One flag per class: True if it has a box."""
        present = {label for image in self.images for label in image.labels.tolist()}
        return tuple(label in present for label in range(len(self.names)))

    def of_classes(self, labels: Sequence[int]) -> Dataset:
        """Restrict the classes to `labels`, in this order; the other classes must have no boxes."""
        if list(labels) == list(range(len(self.names))):
            return self
        new = np.full(len(self.names), -1)
        new[list(labels)] = np.arange(len(labels))
        return replace(
            self,
            names=tuple(self.names[label] for label in labels),
            category_ids=tuple(self.category_ids[label] for label in labels),
            images=tuple(replace(image, labels=new[image.labels]) for image in self.images),
        )

    def hold_out(self, share: float) -> tuple[Dataset, Dataset]:
        """Hold out a fraction of the images, at least one. -> (the others, the held-out images).

        Images with the lowest hashes of their ids are held out, so that new images hardly change the split.

        Raises:
            DataError: there is only one image.
        """
        ranked = sorted(self.images, key=lambda i: (zlib.crc32(str(i.image_id).encode()), str(i.path)))
        chosen = {image.path for image in ranked[: max(1, round(share * len(ranked)))]}
        apart = tuple(image for image in self.images if image.path in chosen)
        rest = tuple(image for image in self.images if image.path not in chosen)
        if not rest:
            raise DataError("a single image cannot be divided", file=self.path, expected="2 images or more")
        return replace(self, split="train", images=rest), replace(self, split="val", images=apart)

    def summary(self) -> str:
        """One line that counts images, boxes, defects and what was left out."""
        boxes = sum(map(len, self.images))
        empty = sum(not len(image) for image in self.images) - self.unlabelled
        errors = len(self._errors())
        counts = plural(len(self), "image"), plural(boxes, "box", "boxes")
        read = ", ".join((*counts, plural(len(self.names), "class", "classes")))
        lacking = [f"{plural(self.unlabelled, 'image')} without a label file"] if self.unlabelled else []
        if empty > 0:
            lacking.append(f"{f'{empty:,}' if lacking else plural(empty, 'image')} without a box")
        left_out = "left out: " + ", ".join(map(str, self.left_out)) if self.left_out else ""
        found = (errors, "error"), (len(self.defects) - errors, "warning")
        defects = ", ".join(plural(count, one) for count, one in found if count)
        return f"{self.split}: " + "; ".join(filter(None, (read, ", ".join(lacking), left_out, defects)))

    def account(self) -> list[str]:
        """Format the lines that train and val print: the summary, then the first defects."""
        return [self.summary(), *_first([f"{defect.severity}: {defect}" for defect in self.defects])]

    def require_sound(self, *, ignore: bool = False) -> None:
        """Refuse to train on a data set that lost images or labels on reading, unless told to `ignore` it.

        Raises:
            DataError: there are defects of severity "error"; the first are listed, with file and line.
        """
        errors = self._errors()
        if not errors or ignore:
            return
        boxes = sum(map(len, self.images))
        title = f"{plural(len(errors), 'error')} in the split {self.split!r}"
        raise DataError(
            "\n  ".join([title, *_first(list(map(str, errors)))]),
            file=self.path,
            expected="none; --ignore-defects goes on with the sound part",
            found=f"{plural(len(self), 'sound image')} with {plural(boxes, 'box', 'boxes')}",
        )

    def _errors(self) -> list[Defect]:
        return [defect for defect in self.defects if defect.severity == "error"]


def _first(lines: list[str]) -> list[str]:
    """Truncate a list of defects, and say how many are left out."""
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], f"and {more:,} more, which `yolov7 doctor` lists"] if more > 0 else lines


@dataclass(frozen=True)
class Layout:
    """Recognised data set, not read yet: names of its splits, and a function that reads one.

    `read` raises a DataError if the split as a whole cannot be read.
    """

    splits: tuple[str, ...]
    read: Callable[[str], Dataset]


def choose_split(split: str, available: Sequence[str], path: str | os.PathLike[str]) -> str:
    """Resolve a split name: "val" also stands for "val2017" or "valid" if only one of these exists.

    Raises:
        DataError: no split matches, or several do.

    >>> choose_split("val", ["train2017", "val2017"], "coco")
    'val2017'
    """
    if split in available:
        return split
    if tuple(available) == (UNDIVIDED,) and plain_split(split) == "val":
        return UNDIVIDED
    matches = [name for name in available if plain_split(name) == plain_split(split)]
    if len(matches) == 1:
        return matches[0]
    raise DataError(
        f"the split {split!r} could be any of several" if matches else f"no split {split!r}",
        file=path,
        expected="one of " + ", ".join(matches or available),
    )


def plain_split(name: str) -> str:
    """Reduce a split name to its base form.

    >>> [plain_split(name) for name in ("val2017", "validation", "training")]
    ['val', 'val', 'train']
    """
    plain = name.lower().rstrip("0123456789").rstrip("_-")
    return {"valid": "val", "validation": "val", "training": "train", "testing": "test"}.get(plain, plain)
