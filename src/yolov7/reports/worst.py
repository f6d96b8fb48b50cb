"""The pictures that a detector does worst on, with what it missed, invented and mistook drawn into them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np

from yolov7.evaluation.matching import Judgement
from yolov7.reports.markup import printable
from yolov7.reports.page import data_uri
from yolov7.types import FloatArray, Image


@dataclass(frozen=True)
class Style:
    """How a kind of outcome is drawn."""

    meaning: str
    colour: str
    dashed: bool = False


RIGHT = Style("found, and what it is", "#2bd17e")
MISSED = Style("missed", "#ffb000", dashed=True)
FALSE = Style("not there, or found before", "#ff4d6d")
CONFUSED = Style("taken for something else", "#d06bff")
STYLES = (MISSED, CONFUSED, FALSE, RIGHT)
"""What matters most first: it is drawn on top, and its labels get the best places."""

LONG_SIDE = 960
"""Pixels of a picture in a report."""


def worst(judgements: Sequence[Judgement], count: int = 12) -> list[Judgement]:
    """The images with the highest cost (see :attr:`Judgement.cost`), highest first; none without mistakes."""
    wrong = [judgement for judgement in judgements if judgement.cost > 0]
    return sorted(wrong, key=lambda judgement: -judgement.cost)[:count]


def in_words(judgement: Judgement, names: Sequence[str]) -> str:
    """What went wrong in an image: ``12 objects. Missed: 3 person, 1 cup. False: ...``."""
    labels, found = judgement.image.labels, judgement.detections.labels
    objects = int((~judgement.image.crowds).sum())
    parts = [f"{objects} object" + "s" * (objects != 1)]
    for text, kinds in (
        ("missed", [names[label] for label in labels[judgement.missed]]),
        (
            "mistaken",
            [
                f"{names[truth]} → {names[label]}"
                for truth, label in zip(
                    labels[judgement.target[judgement.confused]], found[judgement.confused], strict=True
                )
            ],
        ),
        ("false", [names[label] for label in found[judgement.false]]),
    ):
        if kinds:
            parts.append(f"{text}: " + _listed(kinds))
    return "; ".join(parts) + "."


def picture(judgement: Judgement, image: Image, names: Sequence[str]) -> str:
    """An SVG file: the image with frames over it, mistakes with what they are.

    Args:
        judgement: of this image.
        image: its pixels.
        names: class names by label.
    """
    import cv2

    height, width = image.shape[:2]
    scale = min(1.0, LONG_SIDE / max(height, width))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    truth, found = judgement.image, judgement.detections
    pairs = zip(found.boxes, found.labels, found.scores, judgement.target, judgement.confused, strict=True)
    shown = [
        (
            box,
            CONFUSED if confused else RIGHT if target >= 0 else FALSE,
            f"{names[truth.labels[target]]} → {names[label]} {score:.2f}"
            if confused
            else f"{names[label]} {score:.2f}",
        )
        for box, label, score, target, confused in pairs
        if target >= -1
    ]
    missed = [
        (box, MISSED, names[label])
        for box, label in zip(truth.boxes[judgement.missed], truth.labels[judgement.missed], strict=True)
    ]
    drawing = _Drawing(image.shape[1], image.shape[0])
    frames = sorted(shown + missed, key=lambda frame: STYLES.index(frame[1]))
    for box, style, text in reversed(frames):
        drawing.add_frame(box * scale, style, text)
    for box, style, text in frames:
        if style is not RIGHT:  # the mistakes are what to look at
            drawing.add_label(box * scale, style, text)
    return drawing.svg(image)


_Area = tuple[float, float, float, float]


class _Drawing:
    """Frames and labels over a picture; a label that has no room is left to the frame's tooltip."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.letters = max(11.0, math.sqrt(width * height) / 44)
        self.line = max(1.5, math.sqrt(width * height) / 330)
        self._shapes: list[str] = []
        self._labels: list[str] = []
        self._taken: list[_Area] = []

    def add_frame(self, box: FloatArray, style: Style, text: str) -> None:
        x1, y1, x2, y2 = box.tolist()
        place = f'x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}" rx="{self.line:.1f}"'
        dash = f' stroke-dasharray="{3 * self.line:.1f} {2 * self.line:.1f}"' if style.dashed else ""
        told = escape(printable(f"{style.meaning}: {text}"))
        self._shapes.append(
            f'<g fill="none"><title>{told}</title>'
            f'<rect {place} stroke="#000" stroke-opacity=".55" stroke-width="{1.9 * self.line:.1f}"/>'
            f'<rect {place} stroke="{style.colour}" stroke-width="{self.line:.1f}"{dash}/></g>'
        )

    def add_label(self, box: FloatArray, style: Style, text: str) -> None:
        place = self._free_place(box, 0.6 * self.letters * len(text))
        if place is not None:
            self._labels.append(
                f'<text x="{place[0]:.1f}" y="{place[1]:.1f}" fill="{style.colour}" stroke="#000" '
                f'stroke-opacity=".8" stroke-width="{0.24 * self.letters:.1f}" paint-order="stroke" '
                f'stroke-linejoin="round">{escape(printable(text))}</text>'
            )

    def svg(self, image: Image) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'font-family="sans-serif" font-weight="650" font-size="{self.letters:.1f}">'
            f'<image href="{data_uri(image)}" width="{self.width}" height="{self.height}"/>'
            f"{''.join(self._shapes)}{''.join(self._labels)}</svg>"
        )

    def _free_place(self, box: FloatArray, length: float) -> tuple[float, float] | None:
        """Where a text begins: above its frame, inside, below, or beside it; None where all is taken."""
        left, top, right, bottom = box.tolist()
        above, inside, below = (
            top - 0.35 * self.letters,
            top + 1.05 * self.letters,
            bottom + 1.05 * self.letters,
        )
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
                return x, y
        return None


def _touch(a: _Area, b: _Area) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _listed(kinds: Sequence[str], limit: int = 5) -> str:
    counts = Counter(kinds).most_common()
    shown = ", ".join(f"{count} {kind}" for kind, count in counts[:limit])
    rest = sum(count for _, count in counts[limit:])
    return shown + (f" and {rest} more" if rest else "")
