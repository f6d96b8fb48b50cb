"""What a data set of any format is once it is read, and how its splits are named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from yolov7.data.images import read_image
from yolov7.data.labels import Defect, LabelledImage
from yolov7.data.summary import LeftOut, Summary
from yolov7.errors import DataError
from yolov7.types import Sample

_SHOWN = 10

UNDIVIDED = "all"
"""The only split of a data set that has none."""


@dataclass(frozen=True)
class Dataset:
    """One split of a data set: the ground truth in memory, the images read when asked for.

    Attributes:
        path: what it was opened from.
        kind: its format.
        split: which part of the data set.
        names: class names by label.
        category_ids: the data set's own number of each label (COCO's have gaps).
        images: the images that can be read, with their labels.
        defects: what is wrong with it, and what was done about it.
        unlabelled: how many images have no label file; they count as images without objects.
        left_out: what was met and not taken, by reason: see `summary`.
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

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        """The image, read now, with its labels.

        Raises:
            SourceError: the image cannot be decoded, though its header could be read.
        """
        labelled = self.images[index]
        image = read_image(labelled.path)
        return Sample(
            image=image,
            boxes=labelled.boxes,
            labels=labelled.labels,
            image_id=labelled.image_id,
            source_size=labelled.size,
            polygons=labelled.polygons,
            crowds=labelled.crowds,
        )

    def has_boxes(self) -> tuple[bool, ...]:
        """Whether there is a box of it, for each label."""
        present: set[int] = set()
        for image in self.images:
            present.update(image.labels.tolist())
        return tuple(label in present for label in range(len(self.names)))

    def of_classes(self, labels: Sequence[int]) -> Dataset:
        """The data set as if it had these classes only, in this order; none of the others may have a box."""
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
        """Count what is in the split, and what was left out."""
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
        """The lines that train and val print: the summary, then the first defects."""
        lines = [str(self.summary())]
        lines += [f"{defect.severity}: {defect}" for defect in self.defects[:_SHOWN]]
        if len(self.defects) > _SHOWN:
            lines.append(f"and {len(self.defects) - _SHOWN:,} more, which `yolov7 doctor` lists")
        return lines


class Layout(Protocol):
    """Where the parts of a data set lie; each format has one."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that are there."""

    def read(self, split: str) -> Dataset:
        """Read one of them.

        Raises:
            DataError: it cannot be read as a whole.
        """


def choose_split(split: str, available: Sequence[str], path: str | os.PathLike[str]) -> str:
    """The split that a person means: "val" is also "val2017" or "valid" where only one of these is there.

    Raises:
        DataError: none or several; it lists those that are there.
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
    """A split's name without year and variety: val2017, valid and validation are all val."""
    plain = name.lower().rstrip("0123456789").rstrip("_-")
    return {"valid": "val", "validation": "val", "training": "train", "testing": "test"}.get(plain, plain)
