"""Data set in memory, the same for every format, and the names of splits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from yolov7.data.labels import Defect, LabelledImage
from yolov7.data.summary import LeftOut, Summary
from yolov7.errors import DataError
from yolov7.images.reading import read_image
from yolov7.types import Image, Sample

_SHOWN = 10  # defects that train and val print

UNDIVIDED = "all"
"""Name of the only split of an undivided data set."""

MAX_CLASSES = 10_000
"""Classes of a data set; the largest public sets of boxes have some hundreds to 1,200."""


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
        if len(self.names) > MAX_CLASSES:
            raise DataError(
                "too many classes",
                file=self.path,
                expected=f"at most {MAX_CLASSES:,}",
                found=f"{len(self.names):,}",
            )

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
        """Flags that are True for labels with at least one box."""
        present: set[int] = set()
        for image in self.images:
            present.update(image.labels.tolist())
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

    def summary(self) -> Summary:
        """Count images, boxes, defects and what was left out."""
        errors = sum(defect.severity == "error" for defect in self.defects)
        return Summary(
            split=self.split,
            images=len(self.images),
            boxes=sum(map(len, self.images)),
            classes=len(self.names),
            unlabelled=self.unlabelled,
            empty=max(0, sum(not len(image) for image in self.images) - self.unlabelled),
            left_out=self.left_out,
            errors=errors,
            warnings=len(self.defects) - errors,
        )

    def account(self) -> list[str]:
        """Format the lines that train and val print: the summary, then the first defects."""
        lines = [str(self.summary())]
        lines += [f"{defect.severity}: {defect}" for defect in self.defects[:_SHOWN]]
        if len(self.defects) > _SHOWN:
            lines.append(f"and {len(self.defects) - _SHOWN:,} more, which `yolov7 doctor` lists")
        return lines


class Layout(Protocol):
    """Recognised data set, not read yet; each format has its own class."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""

    def read(self, split: str) -> Dataset:
        """Read one split.

        Raises:
            DataError: the split as a whole cannot be read.
        """


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
