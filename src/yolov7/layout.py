"""Layout of a head's rows: box, objectness, classes, extras."""

from __future__ import annotations

from dataclasses import dataclass

BOX = slice(0, 4)
"""Columns of the box: x, y, w, h."""
OBJECTNESS = 4
"""Column of the objectness."""
FIRST_CLASS = 5
"""Column of the first class; the number of columns before the classes."""


@dataclass(frozen=True)
class RowLayout:
    """Columns of a row of logits or of a decoded row.

    Attributes:
        classes: number of classes C.
        extras: number of columns after the classes, such as mask coefficients or keypoints.

    >>> layout = RowLayout(classes=80, extras=32)
    >>> layout.size, layout.class_columns, layout.extra_columns
    (117, slice(5, 85, None), slice(85, 117, None))
    """

    classes: int
    extras: int = 0

    @classmethod
    def of_size(cls, size: int, extras: int = 0) -> RowLayout:
        """Layout of rows with a given number of columns; without classes if there are too few.

        >>> RowLayout.of_size(85)
        RowLayout(classes=80, extras=0)
        """
        return cls(max(0, size - extras - FIRST_CLASS), extras)

    @property
    def size(self) -> int:
        """Number of columns."""
        return FIRST_CLASS + self.classes + self.extras

    @property
    def class_columns(self) -> slice:
        """Columns of the classes."""
        return slice(FIRST_CLASS, FIRST_CLASS + self.classes)

    @property
    def extra_columns(self) -> slice:
        """Columns of the extras."""
        return slice(FIRST_CLASS + self.classes, self.size)
