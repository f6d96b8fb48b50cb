"""Boxes on pictures, with the name of what is in them.

Lines and letters grow with the picture, each class has a colour of its own, and labels stay inside the
picture and out of each other's way where there is room.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from yolov7.errors import UsageError

if TYPE_CHECKING:
    import PIL.ImageFont

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

_GOLDEN_ANGLE = 137.508
"""Degrees between the hues of successive classes: no two of the first dozens come close."""
_TONES = ((0.72, 0.17), (0.60, 0.19), (0.82, 0.13))
"""Lightness and chroma (OKLCH) of a class's colour; neighbours in number differ in tone as well."""
_LEAST_HEIGHT_FOR_LABELS = 60
_LONGEST_TEXT = 200
_WHITE: Colour = (255, 255, 255)
_BLACK: Colour = (0, 0, 0)
_WIDE_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSans-Regular.ttf",
    "DejaVuSans.ttf",
    "arialuni.ttf",
    "Arial Unicode.ttf",
    "msyh.ttc",
    "arial.ttf",
)
"""System fonts for names that are not ASCII, where OpenCV (before 5) does not bring one along."""


def draw_boxes(
    image: Image,
    boxes: npt.NDArray[np.floating[Any]],
    texts: Sequence[str],
    classes: npt.NDArray[np.integer[Any]] | Sequence[int],
) -> Image:
    """A copy of the picture with boxes and labels.

    Args:
        image: uint8 (H, W, 3) RGB.
        boxes: (N, 4) ``xyxy`` pixels, most important first: it is drawn on top.
        texts: what to write at each box, in any script; empty for none. Pictures of fewer than 60 pixels in
            height get none: the labels would hide what is on them.
        classes: number of each box's class; chooses the colour.

    Raises:
        UsageError: not such an image, or boxes, texts and classes of different number.
    """
    import cv2

    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise UsageError("not an image", expected="uint8 (H, W, 3)", found=f"{image.dtype} {image.shape}")
    if not len(boxes) == len(texts) == len(classes):
        raise UsageError(
            "boxes to draw do not fit together",
            expected="as many texts and classes as boxes",
            found=f"{len(boxes)} boxes, {len(texts)} texts, {len(classes)} classes",
        )
    canvas = np.array(image, order="C")
    height, width = canvas.shape[:2]
    thickness, letters = line_width(height, width), letter_size(height, width)
    corners = _corners(np.asarray(boxes, np.float64), height, width)
    colours = [class_colour(int(number)) for number in classes]
    for (x1, y1, x2, y2), colour in zip(corners[::-1], colours[::-1], strict=True):
        cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, thickness)  # upright lines need no smoothing
    taken = np.zeros((height, width), bool)
    labels = []
    for corner, text, colour in zip(corners, texts, colours, strict=True):
        if text and height >= _LEAST_HEIGHT_FOR_LABELS:
            label = _label_ramp(colour)[_text_mask(_one_line(text), letters)[:height, :width]]
            x, y = _place_label(corner, label.shape[:2], thickness // 2, taken)
            taken[y : y + label.shape[0], x : x + label.shape[1]] = True
            labels.append((label, x, y))
    for label, x, y in reversed(labels):
        canvas[y : y + label.shape[0], x : x + label.shape[1]] = label
    return canvas


def line_width(height: int, width: int) -> int:
    """Pixels of a box's line on a picture of this size."""
    return max(1, round(math.sqrt(height * width) / 300))


def letter_size(height: int, width: int) -> int:
    """Pixels of a label's letters on a picture of this size; never too small to be read."""
    return max(11, round(math.sqrt(height * width) / 42))


@lru_cache(maxsize=1024)
def class_colour(number: int) -> Colour:
    """A colour (RGB) for a class: bright, and far from those of its neighbours."""
    lightness, chroma = _TONES[number % len(_TONES)]
    return _oklch_to_rgb(lightness, chroma, math.radians(20 + _GOLDEN_ANGLE * number))


def _oklch_to_rgb(lightness: float, chroma: float, hue: float) -> Colour:
    """Source: B. Ottosson, "A perceptual color space for image processing" (2020), public domain."""
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
    """Whether white reads better on it than black: by the contrast ratio of WCAG 2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05


def _corners(boxes: npt.NDArray[np.float64], height: int, width: int) -> list[tuple[int, int, int, int]]:
    """Pixels that the boxes begin and end with, inside the picture."""
    limit = np.array((width, height, width, height)) - 1
    inside = np.clip(np.nan_to_num(boxes), 0, limit).round().astype(int)
    return [tuple(box) for box in inside.tolist()]


def _place_label(
    box: tuple[int, int, int, int], size: tuple[int, int], gap: int, taken: npt.NDArray[np.bool_]
) -> tuple[int, int]:
    """Left and top of a label: above the box, else inside, below, or at its right, where it hides the least.

    Args:
        box: corners of the box.
        size: height and width of the label; at most those of the picture.
        gap: pixels by which the box's line goes beyond its corners.
        taken: (H, W) where other labels are.
    """
    (x1, y1, x2, y2), (height, width) = box, size
    left, right = x1 - gap, x2 + gap + 1 - width
    above, inside, below = y1 - gap - height, y1 - gap, y2 + gap + 1
    best = (math.inf, 0, 0)
    for x, y in (
        (left, above),
        (left, inside),
        (left, below),
        (right, above),
        (right, inside),
        (right, below),
    ):
        x_fit = min(max(x, 0), taken.shape[1] - width)
        y_fit = min(max(y, 0), taken.shape[0] - height)
        hidden = np.count_nonzero(taken[y_fit : y_fit + height, x_fit : x_fit + width])
        best = min(best, (hidden + (y != y_fit), x_fit, y_fit), key=lambda place: place[0])
        if best[0] == 0:
            break
    return best[1:]


@lru_cache(maxsize=1024)
def _label_ramp(colour: Colour) -> Image:
    """Colours between a label's ground and its letters, (256, 3)."""
    ink = _WHITE if _is_dark(colour) else _BLACK
    return np.linspace(colour, ink, 256).round().astype(np.uint8)


def _one_line(text: str) -> str:
    """The text as it can be drawn: class names may hold anything."""
    return " ".join(text.encode(errors="replace").decode().split())[:_LONGEST_TEXT]


@lru_cache(maxsize=128)
def _text_mask(text: str, letters: int) -> npt.NDArray[np.uint8]:
    """How much of each pixel the text covers, 0..255: (h, w), with h the same for all texts of one size."""
    import cv2
    import PIL.Image
    import PIL.ImageDraw

    height, baseline, margin = round(1.4 * letters), round(1.05 * letters), max(2, round(0.3 * letters))
    if not text.isascii() and hasattr(cv2, "FontFace"):  # OpenCV 5 brings letters of most scripts along
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
    """Pillow's own font, which has ASCII alone, or a wide one of the system."""
    from PIL import ImageFont

    for name in _WIDE_FONTS if wide else ():
        try:
            return ImageFont.truetype(name, letters)
        except OSError:
            continue
    font = ImageFont.load_default(letters)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
