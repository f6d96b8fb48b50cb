"""Drawing of boxes with their labels.

Lines and letters grow with the picture, and each class has its own colour. Labels stay inside the picture and
never overlap: a label without room at its box moves away, with a line to the box; a label without room nearby
is left out, the least important first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from yolov7.errors import UsageError

if TYPE_CHECKING:
    import PIL.ImageFont

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]
"""Left, top, right and bottom pixel."""

_GOLDEN_ANGLE = 137.508
"""Degrees between the hues of successive classes, which keeps the first dozens apart."""
_TONES = ((0.72, 0.17), (0.60, 0.19), (0.82, 0.13))
"""Lightness and chroma (OKLCH) of class colours, in turn, so that successive classes differ in both."""
_MIN_HEIGHT_FOR_LABELS = 60  # pixels
_CELLS, _MIN_CELL = 8, 4
"""Cells along the long side of a blurred box, and their minimum size in pixels."""
_MAX_DISTANCE = 4
"""Maximum distance of a label from its box, in label heights."""
_MAX_TEXT = 200  # characters
_MAX_LINE_WIDTH = 100  # pixels
_WIDE_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSans-Regular.ttf",
    "DejaVuSans.ttf",
    "arialuni.ttf",
    "Arial Unicode.ttf",
    "msyh.ttc",
    "arial.ttf",
)
"""System fonts for names that are not ASCII, for OpenCV before 5, which has none."""


@dataclass(frozen=True)
class Style:
    """Appearance of boxes in pictures.

    Raises:
        UsageError: invalid line width.
    """

    line_width: float | None = None  # pixels; by the size of the picture if None
    labels: bool = True  # write class names
    scores: bool = True  # write confidences
    blur: bool = False  # pixelate the inside of the boxes

    def __post_init__(self) -> None:
        if self.line_width is not None and not 0 < self.line_width <= _MAX_LINE_WIDTH:
            expected = f"more than 0, at most {_MAX_LINE_WIDTH} pixels"
            raise UsageError("invalid line width", expected=expected, found=self.line_width)


def draw_boxes(
    image: Image,
    boxes: npt.NDArray[np.floating[Any]],
    texts: Sequence[str],
    classes: npt.NDArray[np.integer[Any]] | Sequence[int],
    width: float | None = None,
    *,
    blur: bool = False,
    under: Sequence[Callable[[Image, Sequence[Colour], float], None]] = (),
) -> Image:
    """Draw boxes and labels on a copy of a picture, uint8 (H, W, 3) RGB.

    Args:
        boxes: (N, 4) ``xyxy`` pixels, most important first: it is drawn on top.
        texts: label of each box, in any script; empty for none. Pictures less than 60 pixels high get no
            labels, which would hide too much.
        classes: class of each box, for the colour.
        width, blur: see `Style`.
        under: functions of (canvas, colours (N,), line width) that draw below the boxes.

    Raises:
        UsageError: unsupported image, or different numbers of boxes, texts and classes.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise UsageError("not an image", expected="uint8 (H, W, 3)", found=f"{image.dtype} {image.shape}")
    if not len(boxes) == len(texts) == len(classes):
        raise UsageError(
            "boxes to draw do not fit together",
            expected="as many texts and classes as boxes",
            found=f"{len(boxes)} boxes, {len(texts)} texts, {len(classes)} classes",
        )
    canvas = pixelate(image, boxes) if blur else np.array(image, order="C")
    line = line_width(*canvas.shape[:2]) if width is None else width
    corners = _corners(np.asarray(boxes, np.float64), *canvas.shape[:2])
    colours = [class_colour(int(number)) for number in classes]
    for draw in under:
        draw(canvas, colours, line)
    for corner, colour in zip(corners[::-1], colours[::-1], strict=True):
        _draw_frame(canvas, corner, colour, line)
    if canvas.shape[0] >= _MIN_HEIGHT_FOR_LABELS and any(texts):
        _draw_labels(canvas, corners, texts, colours, line)
    return canvas


def pixelate(image: Image, boxes: npt.NDArray[np.floating[Any]]) -> Image:
    """Pixelate boxes, (N, 4) xyxy pixels, in a copy of a picture: 8 square cells along a box's long side.

    All pixels that a box touches are changed, and no others. Cells are at least 4 pixels wide, so that small
    boxes lose their detail too.
    """
    import cv2

    covered = np.array(image, order="C")
    for x1, y1, x2, y2 in touched_pixels(boxes, *covered.shape[:2]):
        part = covered[y1:y2, x1:x2]
        height, width = part.shape[:2]
        if not part.size:
            continue
        cell = max(max(height, width) / _CELLS, _MIN_CELL)
        columns, rows = max(1, round(width / cell)), max(1, round(height / cell))
        cells = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
        part[:] = cv2.resize(cells, (width, height), interpolation=cv2.INTER_NEAREST)
    return covered


def touched_pixels(boxes: npt.NDArray[np.floating[Any]], height: int, width: int) -> list[Box]:
    """Pixels that each box touches inside the picture: first column and row, and last ones plus 1."""
    corners = np.sort(np.nan_to_num(np.asarray(boxes, np.float64)).reshape(-1, 2, 2), axis=1)
    inside = np.stack([np.floor(corners[:, 0]), np.ceil(corners[:, 1])], 1).clip(0, (width, height))
    return [tuple(box) for box in inside.reshape(-1, 4).astype(int).tolist()]


def caption(image: Image, text: str, colour: Colour) -> Image:
    """Write a line of text at the top left of a copy of the picture; smaller in low pictures."""
    canvas = np.array(image, order="C")
    letters = min(letter_size(*canvas.shape[:2]), int(canvas.shape[0] / 1.4))
    if letters > 0:
        label = _label_ramp(colour)[_text_mask(_one_line(text), letters)]
        label = label[: canvas.shape[0], : canvas.shape[1]]
        canvas[: label.shape[0], : label.shape[1]] = label
    return canvas


def line_width(height: int, width: int) -> float:
    """Line width in pixels for a picture of this size; edges between two pixels are soft."""
    return max(1.0, math.sqrt(height * width) / 300)


def letter_size(height: int, width: int) -> int:
    """Font size in pixels for a picture of this size, at least 9."""
    return max(9, round(min(math.sqrt(height * width) / 42, 7 + math.sqrt(height * width) / 80)))


@lru_cache(maxsize=1024)
def class_colour(number: int) -> Colour:
    """Colour (RGB) of a class: bright, and far from those of its neighbours."""
    lightness, chroma = _TONES[number % len(_TONES)]
    return _oklch_to_rgb(lightness, chroma, math.radians(20 + _GOLDEN_ANGLE * number))


def _oklch_to_rgb(lightness: float, chroma: float, hue: float) -> Colour:
    """Convert OKLCH to RGB (B. Ottosson, "A perceptual color space for image processing", 2020)."""
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    red, green, blue = (round(255 * _gamma(min(1.0, max(0.0, value)))) for value in linear)
    return red, green, blue


def _gamma(linear: float) -> float:
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


def _is_dark(colour: Colour) -> bool:
    """Test if white text has more contrast than black, by the contrast ratio of WCAG 2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05


def _corners(boxes: npt.NDArray[np.float64], height: int, width: int) -> list[Box]:
    """First and last pixels of boxes (N, 4), clipped to the picture."""
    limit = np.array((width, height, width, height)) - 1
    inside = np.clip(np.nan_to_num(boxes), 0, limit).round().astype(int).reshape(-1, 2, 2)
    return [tuple(box) for box in np.sort(inside, axis=1).reshape(-1, 4).tolist()]


def _draw_frame(canvas: Image, box: Box, colour: Colour, line: float) -> None:
    """Draw the frame of a box, with lines centred on its edge pixels."""
    (x1, y1, x2, y2), half = box, line / 2
    left, top, right, bottom = x1 + 0.5 - half, y1 + 0.5 - half, x2 + 0.5 + half, y2 + 0.5 + half
    if right - left <= 2 * line or bottom - top <= 2 * line:
        _fill(canvas, (left, top, right, bottom), colour)
        return
    _fill(canvas, (left, top, right, top + line), colour)
    _fill(canvas, (left, bottom - line, right, bottom), colour)
    _fill(canvas, (left, top + line, left + line, bottom - line), colour)
    _fill(canvas, (right - line, top + line, right, bottom - line), colour)


def _fill(canvas: Image, area: tuple[float, float, float, float], colour: Colour) -> None:
    """Fill a rectangle; partly covered pixels are blended."""
    height, width = canvas.shape[:2]
    across, covered_x = _cover(area[0], area[2], width)
    down, covered_y = _cover(area[1], area[3], height)
    share = (covered_y[:, None] * covered_x)[..., None]
    part = canvas[down, across]
    part[:] = (part + share * (np.array(colour, np.float32) - part)).round()


def _cover(begin: float, end: float, limit: int) -> tuple[slice, npt.NDArray[np.float32]]:
    """Pixels of a row that an interval touches, and the covered fraction of each."""
    begin, end = max(0.0, begin), min(float(limit), end)
    first, last = math.floor(begin), math.ceil(end)
    places = np.arange(first, last, dtype=np.float32)
    return slice(first, last), np.minimum(places + 1, end) - np.maximum(places, begin)


def _draw_labels(
    canvas: Image, boxes: Sequence[Box], texts: Sequence[str], colours: Sequence[Colour], line: float
) -> None:
    import cv2

    height, width = canvas.shape[:2]
    letters = letter_size(height, width)
    taken = np.zeros((height, width), bool)
    busy = np.zeros((height, width), bool)
    for x1, y1, x2, y2 in boxes:
        busy[y1 : y2 + 1, x1 : x2 + 1] = True
    labels = []
    for box, text, colour in zip(boxes, texts, colours, strict=True):
        if not text:
            continue
        label = _label_ramp(colour)[_text_mask(_one_line(text), letters)[:height, :width]]
        place = _place_label(box, label.shape[:2], round(line) // 2, taken, busy)
        if place is None:
            continue
        x, y = place
        taken[y : y + label.shape[0], x : x + label.shape[1]] = True
        labels.append((label, x, y, box, colour))
    for label, x, y, box, colour in reversed(labels):
        ends = _leader(box, (x, y, x + label.shape[1] - 1, y + label.shape[0] - 1), line)
        if ends is not None:
            cv2.line(canvas, *ends, colour, max(1, round(line)), cv2.LINE_AA)
    for label, x, y, _, _ in reversed(labels):
        canvas[y : y + label.shape[0], x : x + label.shape[1]] = label


def _leader(box: Box, label: Box, line: float) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Ends of the line from a label to the nearest point of its box; None if the label is at the box."""
    (x1, y1, x2, y2), (left, top, right, bottom) = box, label
    outside = max(x1 - right, left - x2, y1 - bottom, top - y2)
    inside = min(left - x1, top - y1, x2 - right, y2 - bottom)  # negative unless the whole label is inside
    distance = inside if inside >= 0 else outside
    if distance <= line + 2:
        return None
    middle = (left + right) // 2, (top + bottom) // 2
    return middle, (min(max(middle[0], x1), x2), min(max(middle[1], y1), y2))


def _place_label(
    box: Box, size: tuple[int, int], gap: int, taken: npt.NDArray[np.bool_], busy: npt.NDArray[np.bool_]
) -> tuple[int, int] | None:
    """Left and top of a label that covers no other label, and as few pixels of boxes as possible.

    Positions above, below and inside the box come first, then those farther and farther away; None if there
    is no room nearby. The size (height, width) is at most the picture's. The box's line extends `gap` pixels
    beyond its corners. Masks (H, W): `taken` of other labels, `busy` of boxes.
    """
    (x1, y1, x2, y2), (height, width) = box, size
    left, right = x1 - gap, x2 + gap + 1 - width
    above, below = y1 - gap - height, y2 + gap + 1
    inside, lowest = y1 - gap, y2 + gap + 1 - height
    for away in range(_MAX_DISTANCE + 1):
        if away == 0:
            places = [(x, y) for y in (above, below, inside, lowest) for x in (left, right)]
        else:
            step, aside = away * height, away * width // 2
            rows = (above - step, below + step, *range(above, below + 1, height))
            places = [(x, y) for y in rows for x in (left - aside, left, right, right + aside)]
        best: tuple[int, int, int] | None = None
        for x, y in places:
            x_fit = min(max(x, 0), taken.shape[1] - width)
            y_fit = min(max(y, 0), taken.shape[0] - height)
            part = slice(y_fit, y_fit + height), slice(x_fit, x_fit + width)
            if taken[part].any():
                continue
            hidden = np.count_nonzero(busy[part]) + 1 * (y != y_fit)
            if best is None or hidden < best[0]:
                best = hidden, x_fit, y_fit
            if hidden == 0:
                break
        if best is not None:
            return best[1:]
    return None


@lru_cache(maxsize=1024)
def _label_ramp(colour: Colour) -> Image:
    """Colours from a label's background to its letters, (256, 3)."""
    ink = 255 if _is_dark(colour) else 0  # white or black
    return np.linspace(colour, ink, 256).round().astype(np.uint8)


def _one_line(text: str) -> str:
    """Text in one line, without surrogates, cut where it is too long."""
    return " ".join(text.encode(errors="replace").decode().split())[:_MAX_TEXT]


@lru_cache(maxsize=128)
def _text_mask(text: str, letters: int) -> npt.NDArray[np.uint8]:
    """Coverage of pixels by a text, uint8 (h, w); h depends on the size alone."""
    import cv2
    import PIL.Image
    import PIL.ImageDraw

    height, baseline, margin = round(1.4 * letters), round(1.05 * letters), max(2, round(0.3 * letters))
    if not text.isascii() and hasattr(cv2, "FontFace"):  # OpenCV 5 has fonts for most scripts
        font = cv2.FontFace("sans")
        _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), font, letters, 400)
        mask = np.zeros((height, width + 2 * margin), np.uint8)
        cv2.putText(mask, text, (margin, baseline), (255,), font, letters, 400)
        return mask
    pillow_font = _font(letters, wide=not text.isascii())
    canvas = PIL.Image.new("L", (math.ceil(pillow_font.getlength(text)) + 2 * margin, height))
    PIL.ImageDraw.Draw(canvas).text((margin, baseline), text, fill=255, font=pillow_font, anchor="ls")
    return np.asarray(canvas)


@lru_cache(maxsize=16)
def _font(letters: int, *, wide: bool) -> PIL.ImageFont.FreeTypeFont:
    """Pillow's own font, which is ASCII only, or a system font for other characters."""
    from PIL import ImageFont

    for name in _WIDE_FONTS if wide else ():
        try:
            return ImageFont.truetype(name, letters)
        except OSError:
            continue
    font = ImageFont.load_default(letters)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
