"""A small labelled data set out of nothing, circles, squares and triangles: training without a download."""

from __future__ import annotations

import math
import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from yolov7.errors import OutputError
from yolov7.types import FloatArray, Image

NAMES = ("circle", "square", "triangle")
_CORNERS = {"circle": 0, "square": 4, "triangle": 3}
_OVERLAP = 0.1
"""Share of a shape that another may cover."""


def write_shapes(
    directory: str | os.PathLike[str], *, train: int = 160, val: int = 40, size: int = 256, seed: int = 0
) -> Path:
    """Write images and labels in the YOLO layout. Shapes differ in size, angle and shade, on noisy
    grey; each kind has its own range of hues, which makes it quick to learn.

    Args:
        directory: where; it is made.
        train, val: images of the two splits.
        size: side of the images, pixels.
        seed: of everything random.

    Returns:
        The data.yaml.

    Raises:
        OutputError: it cannot be written.
    """
    root = Path(directory)
    try:
        for split, (name, count) in enumerate((("train", train), ("val", val))):
            images, labels = root / "images" / name, root / "labels" / name
            images.mkdir(parents=True, exist_ok=True)
            labels.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                image, rows = shapes_image(np.random.default_rng((seed, split, number)), size)
                content = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
                (images / f"{number:04d}.png").write_bytes(content.tobytes())
                (labels / f"{number:04d}.txt").write_text("".join(_line(*row, size) for row in rows))
        data = root / "data.yaml"
        data.write_text(f"path: .\ntrain: images/train\nval: images/val\nnames: [{', '.join(NAMES)}]\n")
    except OSError as error:
        raise OutputError(
            "the data set cannot be written", file=error.filename or root, found=error
        ) from None
    return data


def shapes_image(rng: np.random.Generator, size: int) -> tuple[Image, list[tuple[int, FloatArray]]]:
    """One image (size, size, 3) with up to twelve shapes; for each its label and outline (K, 2) in pixels."""
    image = _ground(rng, size)
    covered = np.zeros((size, size), np.uint8)
    found = []
    for _ in range(rng.integers(3, 13)):
        label = int(rng.integers(len(NAMES)))
        outline = _outline(rng, _CORNERS[NAMES[label]], size)
        points = np.round(outline).astype(np.int32)
        mask = np.zeros_like(covered)
        cv2.fillPoly(mask, [points], (1,))
        if (mask & covered).sum() > _OVERLAP * mask.sum():
            continue
        covered |= mask
        hue = 60 * label + rng.integers(60)  # of 180: each kind has a third of the circle
        hsv = np.array([[[hue, rng.integers(120, 256), rng.integers(120, 256)]]], np.uint8)
        colour = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]
        cv2.fillPoly(image, [points], colour.tolist(), cv2.LINE_AA)
        found.append((label, outline))
    noise = rng.normal(0, 6, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), found


def _ground(rng: np.random.Generator, size: int) -> Image:
    """Soft patches of grey."""
    patches = rng.integers(60, 160, (4, 4, 1)).repeat(3, axis=2).astype(np.uint8)
    return np.asarray(cv2.resize(patches, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)


def _outline(rng: np.random.Generator, corners: int, size: int) -> FloatArray:
    radius = size * math.exp(rng.uniform(math.log(0.06), math.log(0.18)))
    count = corners or 32
    angles: npt.NDArray[np.float64] = 2 * np.pi * (np.arange(count) / count + rng.uniform())
    centre = rng.uniform(radius, size - radius, 2)
    return (centre + radius * np.stack((np.cos(angles), np.sin(angles)), 1)).astype(np.float32)


def _line(label: int, outline: FloatArray, size: int) -> str:
    """A label of the YOLO layout: class, then the outline's points as shares of the sides."""
    return f"{label} " + " ".join(f"{value:.5f}" for value in (outline / size).clip(0, 1).ravel()) + "\n"
