"""Thresholds of NMS, and checks of numbers that users give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, TypedDict

from yolov7.errors import UsageError
from yolov7.text import did_you_mean, listed

if TYPE_CHECKING:
    from typing_extensions import Unpack

_MAX_LISTED_NAMES = 20  # class names in an error


def check_fraction(name: str, value: object) -> None:
    """Raise a UsageError unless the value is a number in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise UsageError(f"invalid {name}", expected="a number from 0 to 1", found=_shown(value))


def check_whole(name: str, value: object, least: int = 1) -> None:
    """Raise a UsageError unless the value is a whole number, at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise UsageError(f"invalid {name}", expected=f"a whole number, at least {least}", found=_shown(value))


def _shown(value: object) -> str:
    """Value as text, with its type if it is not a number: "0.3" and 0.3 look alike."""
    bare = isinstance(value, Real) and not isinstance(value, bool)
    return str(value) if bare else f"{value!r:.100} ({type(value).__name__})"


@dataclass(frozen=True)
class Thresholds:
    """Settings of non-maximum suppression (NMS).

    Attributes:
        conf: confidence that a detection must exceed, in [0, 1].
        iou: IoU above which the lower-scoring of two boxes is dropped, in [0, 1].
        max_detections: maximum number of detections per image, best first, at least 1.
        classes: names or labels of the wanted classes, or a single one; None for all, () for none.
        agnostic: whether boxes of different classes suppress each other.

    Raises:
        UsageError: a value outside its range or of another type.

    >>> Thresholds(conf=0.5, classes="person").labels(["car", "person"])
    [1]
    """

    conf: float = 0.25
    iou: float = 0.45
    max_detections: int = 300
    classes: Sequence[str | int] | str | int | None = None
    agnostic: bool = False

    def __post_init__(self) -> None:
        check_fraction("confidence threshold", self.conf)
        check_fraction("IoU threshold", self.iou)
        check_whole("limit of detections", self.max_detections)
        if isinstance(self.classes, Iterable) and not isinstance(self.classes, str):
            object.__setattr__(self, "classes", tuple(self.classes))
        elif self.classes is not None:
            object.__setattr__(self, "classes", (self.classes,))

    def but(self, **changes: Unpack[ThresholdChanges]) -> Thresholds:
        """Return a copy with some values changed.

        Raises:
            UsageError: unknown threshold or invalid value.
        """
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                hint = did_you_mean(name, known)
                raise UsageError(f"no such threshold{hint}", expected=", ".join(known), found=name)
        return replace(self, **changes)

    def labels(self, names: Sequence[str]) -> list[int] | None:
        """Labels of the wanted classes, ascending; None for all.

        A name that several classes share selects all of them.

        Args:
            names: class names by label.

        Raises:
            UsageError: unknown class.
        """
        if self.classes is None:
            return None
        assert isinstance(self.classes, tuple)
        return sorted({label for wanted in self.classes for label in _labels_of(wanted, names)})


class ThresholdChanges(TypedDict, total=False):
    """Keyword arguments of `Thresholds.but`."""

    conf: float
    iou: float
    max_detections: int
    classes: Sequence[str | int] | str | int | None
    agnostic: bool


PREDICTION = Thresholds()
"""Thresholds for prediction."""
COCO = Thresholds(conf=0.001, iou=0.65)
"""Thresholds for evaluation, as in the paper."""


def _labels_of(wanted: object, names: Sequence[str]) -> list[int]:
    found = [label for label, name in enumerate(names) if name == wanted]
    if found or isinstance(wanted, bool):
        pass
    elif isinstance(wanted, Integral) or (isinstance(wanted, str) and wanted.isdecimal() and len(wanted) < 9):
        found = [int(wanted)] if 0 <= int(wanted) < len(names) else []
    if found:
        return found
    in_a_list = any(str(wanted) in map(str.strip, name.split(",")) for name in names if "," in name)
    raise UsageError(
        f"no such class{did_you_mean(wanted, names) if isinstance(wanted, str) else ''}",
        expected=(listed(names, _MAX_LISTED_NAMES) or "no class at all")
        + (r"; a comma inside of a name is written \, on the command line" if in_a_list else ""),
        found=wanted,
    )
