"""Worst images of an evaluation, with missed, false and confused detections drawn into them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from yolov7.evaluation.matching import Judgement
from yolov7.reports.markup import templates
from yolov7.reports.page import data_uri
from yolov7.text import plural
from yolov7.types import Image


class Style(NamedTuple):
    """Meaning, frame colour and dash of an outcome."""

    meaning: str
    colour: str
    dashed: bool = False


RIGHT = Style("right", "#2bd17e")
MISSED = Style("missed", "#ffb000", dashed=True)
FALSE = Style("false, or a duplicate", "#ff4d6d")
CONFUSED = Style("mistaken for another class", "#d06bff")
STYLES = (MISSED, CONFUSED, FALSE, RIGHT)
"""Outcomes by importance: the first is drawn on top, and its labels are placed first."""

LONG_SIDE = 960
"""Longest side of a picture in a report, pixels."""


def worst(judgements: Sequence[Judgement], count: int = 12) -> list[Judgement]:
    """Images with the highest :attr:`Judgement.cost`, highest first; none without mistakes."""
    wrong = [judgement for judgement in judgements if judgement.cost > 0]
    return sorted(wrong, key=lambda judgement: -judgement.cost)[:count]


def in_words(judgement: Judgement, names: Sequence[str]) -> str:
    """Summarise the mistakes in an image: ``12 objects; missed: 3 person, 1 cup; false: ...``."""
    labels, found = judgement.image.labels, judgement.detections.labels
    pairs = zip(labels[judgement.target[judgement.confused]], found[judgement.confused], strict=True)
    mistakes = {
        "missed": [names[label] for label in labels[judgement.missed]],
        "mistaken": [f"{names[truth]} → {names[label]}" for truth, label in pairs],
        "false": [names[label] for label in found[judgement.false]],
    }
    parts = [f"{kind}: {_listed(listed)}" for kind, listed in mistakes.items() if listed]
    return "; ".join((plural(int((~judgement.image.crowds).sum()), "object"), *parts)) + "."


def picture(judgement: Judgement, image: Image, names: Sequence[str]) -> str:
    """Draw an image, uint8 (H, W, 3) RGB, as SVG, with frames around objects and labels on mistakes."""
    import cv2

    height, width = image.shape[:2]
    scale = min(1.0, LONG_SIDE / max(height, width))
    if scale < 1:
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    frames = [
        (tuple(round(side * scale, 1) for side in box), style, text)
        for box, style, text in sorted(_outcomes(judgement, names), key=lambda one: STYLES.index(one[1]))
    ]
    letters = max(11.0, math.sqrt(width * height) / 44)
    places = _Places(width, height, letters)
    labels = [
        (*place, style, text)
        for box, style, text in frames
        if style is not RIGHT and (place := places.take(box, 0.6 * letters * len(text)))
    ]
    template = templates().get_template("worst.svg")
    return template.render(
        image=data_uri(image),
        width=width,
        height=height,
        letters=round(letters, 1),
        line=round(max(1.5, math.sqrt(width * height) / 330), 1),
        frames=frames[::-1],
        labels=labels,
    )


def _outcomes(judgement: Judgement, names: Sequence[str]) -> Iterator[tuple[list[float], Style, str]]:
    """Box, style and text of each detection that counts, and of each missed object."""
    truth, found = judgement.image, judgement.detections
    for box, label, score, target, confused in zip(
        found.boxes.tolist(),
        found.labels,
        found.scores,
        judgement.target,
        judgement.confused,
        strict=True,
    ):
        text = f"{names[label]} {score:.2f}"
        if confused:
            yield box, CONFUSED, f"{names[truth.labels[target]]} → {text}"
        elif target >= -1:
            yield box, RIGHT if target >= 0 else FALSE, text
    missed = judgement.missed
    for box, label in zip(truth.boxes[missed].tolist(), truth.labels[missed], strict=True):
        yield box, MISSED, names[label]


_Area = tuple[float, float, float, float]


class _Places:
    """Free places for labels in a picture; a label without one is only in its frame's tooltip."""

    def __init__(self, width: int, height: int, letters: float) -> None:
        self.width, self.height, self.letters = width, height, letters
        self._taken: list[_Area] = []

    def take(self, box: Sequence[float], length: float) -> tuple[float, float] | None:
        """Reserve (x, y) for a text of this length above, inside, below or beside a box; None if full."""
        left, top, right, bottom = box
        above, inside = top - 0.35 * self.letters, top + 1.05 * self.letters
        below = bottom + 1.05 * self.letters
        beside = right + 0.3 * self.letters, left - length - 0.3 * self.letters
        for x, y in (
            *((x, y) for x in (left, right - length) for y in (above, inside, below)),
            *((x, y) for x in beside for y in (inside, bottom)),
        ):
            x = max(2.0, min(x, self.width - length - 2))
            y = max(self.letters, min(y, self.height - 0.3 * self.letters))
            area = (x, y - 0.9 * self.letters, x + length, y + 0.2 * self.letters)
            if not any(_touch(area, other) for other in self._taken):
                self._taken.append(area)
                return round(x, 1), round(y, 1)
        return None


def _touch(a: _Area, b: _Area) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _listed(kinds: Sequence[str], limit: int = 5) -> str:
    counts = Counter(kinds).most_common()
    shown = ", ".join(f"{count} {kind}" for kind, count in counts[:limit])
    rest = sum(count for _, count in counts[limit:])
    return shown + (f" and {rest} more" if rest else "")
