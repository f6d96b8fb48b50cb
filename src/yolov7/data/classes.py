"""Classes of a data set: their number, and how they match those of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from yolov7.errors import DataError
from yolov7.text import listed

MAX_CLASSES = 10_000
"""Maximum number of classes; the largest public detection data sets have up to 1,200."""
MAX_CLASS_NAME = 200
"""Maximum number of characters of a class name."""


def check_class_count(count: int, file: Path, line: int | None = None) -> None:
    """Check the number of classes that a file defines.

    Raises:
        DataError: there are too many.
    """
    if count > MAX_CLASSES:
        raise DataError(
            "too many classes", file=file, line=line, expected=f"at most {MAX_CLASSES:,}", found=f"{count:,}"
        )


def match_classes(
    dataset_names: Sequence[str], model_names: Sequence[str], needed: Sequence[bool] | None = None
) -> tuple[int, ...]:
    """Map each label of a model to the data set's label of the same name, or to -1.

    Case, spaces and underscores are ignored. The model may have more classes than the data set, not fewer. A
    model whose names are just numbers is matched by order. `needed` is True for each data set class that the
    model must have, such as those with a box; default: all.

    >>> match_classes(["shapes", "cat", "dog"], ["Dog", "cat", "cow"], [False, True, True])
    (2, 1, -1)

    Raises:
        DataError: the model lacks a needed class, or several classes share a name.
    """
    wanted = [_plain_name(name) for name in dataset_names]
    known = [_plain_name(name) for name in model_names]
    if wanted == known or (len(wanted) == len(known) and all(name.isdecimal() for name in known)):
        return tuple(range(len(known)))
    unknown = set(wanted) - set(known)
    missing = [
        name
        for name, plain, is_needed in zip(dataset_names, wanted, needed or [True] * len(wanted), strict=True)
        if plain in unknown and is_needed
    ]
    if missing:
        raise DataError(
            f"{len(missing)} of the data set's {len(wanted)} classes are unknown to the model",
            expected="the model's classes: " + listed(model_names),
            found="of the data set only: " + listed(missing),
        )
    for names, plain_names in ((dataset_names, wanted), (model_names, known)):
        times = Counter(plain_names)
        repeated = sorted(
            {
                name
                for name, plain in zip(names, plain_names, strict=True)
                if times[plain] > 1 and plain not in unknown
            }
        )
        if repeated:
            raise DataError(
                "class names that several classes share cannot be matched", found=listed(repeated)
            )
    label_of = {name: label for label, name in enumerate(wanted)}
    return tuple(label_of.get(name, -1) for name in known)


def _plain_name(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())
