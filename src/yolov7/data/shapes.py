"""Generator of a small labelled data set of circles, squares and triangles: training without a download."""

from __future__ import annotations

import math
import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from yolov7.files import explained
from yolov7.types import FloatArray, Image

NAMES = ("circle", "square", "triangle")
_CORNERS = {"circle": 0, "square": 4, "triangle": 3}
_MAX_OVERLAP = 0.1  # fraction of a shape that others may cover


def write_shapes(
    directory: str | os.PathLike[str], *, train: int = 160, val: int = 40, size: int = 256, seed: int = 0
) -> Path:
    """Write a YOLO data set of shapes of random size, angle and shade, on noisy grey.

    Each class has its own range of hues, which makes it quick to learn. `train` and `val` are numbers of
    images, `size` the side of the square images in pixels. -> path of data.yaml.

    Raises:
        OutputError: a file cannot be written.
    """
    root = Path(directory)
    with explained(root):
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
    return data


def shapes_image(rng: np.random.Generator, size: int) -> tuple[Image, list[tuple[int, FloatArray]]]:
    """Draw one image with up to twelve shapes.

    -> (RGB image (size, size, 3), label and polygon, (K, 2) pixels, of each shape).

    >>> image, shapes = shapes_image(np.random.default_rng(0), 64)
    >>> image.shape
    (64, 64, 3)
    """
    image = _background(rng, size)
    covered = np.zeros((size, size), np.uint8)
    found = []
    for _ in range(rng.integers(3, 13)):
        label = int(rng.integers(len(NAMES)))
        polygon = _polygon(rng, _CORNERS[NAMES[label]], size)
        points = np.round(polygon).astype(np.int32)
        mask = np.zeros_like(covered)
        cv2.fillPoly(mask, [points], (1,))
        if (mask & covered).sum() > _MAX_OVERLAP * mask.sum():
            continue
        covered |= mask
        hue = 60 * label + rng.integers(60)  # OpenCV hues are 0..179; each class has a third of them
        hsv = np.array([[[hue, rng.integers(120, 256), rng.integers(120, 256)]]], np.uint8)
        colour = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]
        cv2.fillPoly(image, [points], colour.tolist(), cv2.LINE_AA)
        found.append((label, polygon))
    noise = rng.normal(0, 6, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), found


def _background(rng: np.random.Generator, size: int) -> Image:
    """Image (size, size, 3) of smooth grey patches."""
    patches = rng.integers(60, 160, (4, 4, 1)).repeat(3, axis=2).astype(np.uint8)
    return np.asarray(cv2.resize(patches, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)


def _polygon(rng: np.random.Generator, corners: int, size: int) -> FloatArray:
    radius = size * math.exp(rng.uniform(math.log(0.06), math.log(0.18)))
    count = corners or 32
    angles: npt.NDArray[np.float64] = 2 * np.pi * (np.arange(count) / count + rng.uniform())
    centre = rng.uniform(radius, size - radius, 2)
    return (centre + radius * np.stack((np.cos(angles), np.sin(angles)), 1)).astype(np.float32)


def _line(label: int, polygon: FloatArray, size: int) -> str:
    """Format a YOLO label row: class, then the polygon's points in fractions of the image."""
    return f"{label} " + " ".join(f"{value:.5f}" for value in (polygon / size).clip(0, 1).ravel()) + "\n"
