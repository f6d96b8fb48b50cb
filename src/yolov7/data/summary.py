"""Summary of a split for train, val and doctor: what was read, what was left out, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from yolov7.text import plural


@dataclass(frozen=True)
class LeftOut:
    """Files, or parts of files, that were left out for one reason.

    Attributes:
        reason: phrase that can stand before a count: "hidden or made by the system".
        count: number left out.
        first: example.

    >>> print(LeftOut("hidden", 2, "a/.b.jpg"))
    hidden: 2 (such as a/.b.jpg)
    """

    reason: str
    count: int
    first: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.count:,} (such as {self.first})"


class Tally:
    """Counter, by reason, of what is left out while a data set is read.

    >>> tally = Tally()
    >>> tally.add("hidden", "a/.b.jpg")
    >>> tally.add("hidden", "a/.c.jpg")
    >>> [str(group) for group in tally]
    ['hidden: 2 (such as a/.b.jpg)']
    """

    def __init__(self) -> None:
        self._groups: dict[str, LeftOut] = {}

    def add(self, reason: str, example: object, count: int = 1) -> None:
        """Count something left out."""
        known = self._groups.get(reason)
        before, first = (known.count, known.first) if known else (0, str(example))
        self._groups[reason] = LeftOut(reason, before + count, first)

    def __iter__(self) -> Iterator[LeftOut]:
        return iter(self._groups.values())


@dataclass(frozen=True)
class Summary:
    """Counts of one split; ``str`` gives the line that commands print.

    Attributes:
        split: name of the split.
        images: number of readable images.
        boxes: number of their boxes, crowds included.
        classes: number of classes.
        unlabelled: number of images without a label file; they count as images without objects.
        empty: number of other images without a box.
        left_out: counts of what was left out, by reason.
        errors: number of defects by which a label or an image was lost.
        warnings: number of other defects.

    >>> print(Summary("train", 4, 1, 2, unlabelled=2, empty=1))
    train: 4 images, 1 box, 2 classes; 2 images without a label file, 1 without a box
    """

    split: str
    images: int
    boxes: int
    classes: int
    unlabelled: int = 0
    empty: int = 0
    left_out: tuple[LeftOut, ...] = ()
    errors: int = 0
    warnings: int = 0

    def __str__(self) -> str:
        numbers = (self.images, "image"), (self.boxes, "box", "boxes"), (self.classes, "class", "classes")
        text = f"{self.split}: " + ", ".join(plural(*number) for number in numbers)
        lacking = [f"{plural(self.unlabelled, 'image')} without a label file"] if self.unlabelled else []
        if self.empty:
            empty = f"{self.empty:,}" if lacking else plural(self.empty, "image")
            lacking.append(f"{empty} without a box")
        defects = [plural(self.errors, "error")] if self.errors else []
        defects += [plural(self.warnings, "warning")] if self.warnings else []
        groups = [
            ", ".join(lacking),
            "left out: " + ", ".join(map(str, self.left_out)) if self.left_out else "",
            ", ".join(defects),
        ]
        return "; ".join([text, *filter(None, groups)])
