"""Fit of anchors to the boxes of a data set.

An anchor matches a box if their widths, and their heights, differ by less than a factor, by default 4.
Only matching anchors are candidates in training. Sec. 5.1 refers to the settings of YOLOR, Scaled-YOLOv4.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from yolov7.data.dataset import Dataset
from yolov7.errors import DataError
from yolov7.models.architecture import Anchors
from yolov7.types import FloatArray

_RATIO = 4.0  # by which matching sides may differ
_MIN_SIDE = 2.0  # pixels; training drops boxes that do not exceed it in width and height
_MAX_FITTED = 10_000  # maximum number of boxes to fit anchors to
_ROUNDS = 50  # of k-means
_GENERATIONS = 1000
_MUTATION = 0.1  # standard deviation of a mutation of a side's logarithm

_Array = npt.NDArray[np.float64]


def box_sizes_at(dataset: Dataset, size: int) -> FloatArray:
    """Width and height of each box if its image is resized to a long side of `size`. -> (N, 2) pixels.

    Crowds, and boxes too small to be trained on, are left out.
    """
    sizes = [
        (image.boxes[:, 2:] - image.boxes[:, :2])[~image.crowds] * np.float32(size / max(image.size))
        for image in dataset.images
    ]
    joined = np.concatenate([np.zeros((0, 2), np.float32), *sizes])
    return joined[(joined > _MIN_SIDE).all(axis=1)]


def best_possible_recall(sizes: npt.ArrayLike, anchors: npt.ArrayLike, ratio: float = _RATIO) -> float:
    """Fraction of boxes that match an anchor: an upper bound on the recall of a trained network.

    Args:
        sizes: width and height of each box, (N, 2) pixels at the training size.
        anchors: anchors of each level, (L, A, 2) pixels.
        ratio: factor by which matching sides may differ.

    Returns:
        0 to 1; 1 without boxes.

    >>> best_possible_recall([(30, 40), (500, 8)], [[(20, 30), (60, 60)]])
    0.5
    """
    boxes = _logarithms(sizes)
    return float((_distances(boxes, _logarithms(anchors)) < np.log(ratio)).mean()) if len(boxes) else 1.0


def fit_anchors(sizes: npt.ArrayLike, levels: int, per_level: int, seed: int = 0) -> Anchors:
    """Fit anchors to boxes: k-means on the logarithms of their sides, then random mutations.

    Args:
        sizes: width and height of each box, (N, 2) pixels at the training size.
        levels: number of levels of the network.
        per_level: number of anchors per level.
        seed: random seed.

    Returns:
        (L, A, 2) pixels, from the smallest area to the largest.

    Raises:
        DataError: there is no box.
    """
    boxes = _logarithms(sizes)
    if not len(boxes):
        raise DataError("anchors cannot be fitted to a data set without boxes")
    rng = np.random.default_rng(seed)
    if len(boxes) > _MAX_FITTED:
        boxes = boxes[rng.choice(len(boxes), _MAX_FITTED, replace=False)]
    anchors = np.exp(_evolve(_k_means(boxes, levels * per_level, rng), boxes, np.log(_RATIO), rng))
    ordered = anchors[np.argsort(anchors.prod(axis=1))].round(1).reshape(levels, per_level, 2).tolist()
    return tuple(tuple((width, height) for width, height in level) for level in ordered)


def suitable_anchors(
    anchors: Anchors, dataset: Dataset, size: int, recall: float, seed: int
) -> tuple[Anchors, str]:
    """Choose anchors for a data set: the given ones if they match enough boxes, else fitted ones, if better.

    `size` is the long side of the training images in pixels, `recall` the fraction of boxes to match.
    -> (anchors, line about the decision; "" if the given ones match enough boxes).
    """
    sizes = box_sizes_at(dataset, size)
    reached = best_possible_recall(sizes, anchors)
    if reached >= recall:
        return anchors, ""
    fitted = fit_anchors(sizes, len(anchors), len(anchors[0]), seed=seed)
    better = best_possible_recall(sizes, fitted)
    if better <= reached:
        return anchors, f"anchors match {reached:.1%} of the boxes; fitted ones do not match more"
    return fitted, f"anchors match {reached:.1%} of the boxes: others, fitted to the data, match {better:.1%}"


def _logarithms(sizes: npt.ArrayLike) -> _Array:
    """Logarithms of sides; their differences compare sides by ratio. (..., 2) -> (N, 2)."""
    return np.log(np.asarray(sizes, np.float64).reshape(-1, 2))


def _distances(boxes: _Array, anchors: _Array) -> _Array:
    """Distance of each box to its nearest anchor, by the side that differs more. (N, 2), (A, 2) -> (N,)."""
    (widths, heights), (anchor_widths, anchor_heights) = boxes.T, anchors.T[..., None]
    return np.maximum(abs(widths - anchor_widths), abs(heights - anchor_heights)).min(axis=0)


def _fitness(boxes: _Array, anchors: _Array, reach: float) -> float:
    """Mean similarity of boxes to their nearest anchor: 1 for equal sides, 0 without a match."""
    distances = _distances(boxes, anchors)
    return float((np.exp(-distances) * (distances < reach)).mean())


def _k_means(points: _Array, count: int, rng: np.random.Generator) -> _Array:
    """Find the centres of clusters. (N, 2) -> (count, 2)."""
    enough = np.resize(points, (max(len(points), count), 2)).astype(np.float32)  # repeats points if too few
    cv2.setRNGSeed(int(rng.integers(2**31)))
    criteria = cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, _ROUNDS, 1e-6
    _, _, centres = cv2.kmeans(enough, count, np.empty(0), criteria, 1, cv2.KMEANS_PP_CENTERS)
    return centres.astype(np.float64)


def _evolve(anchors: _Array, boxes: _Array, reach: float, rng: np.random.Generator) -> _Array:
    """Mutate anchors, (A, 2), at random; keep mutations that increase the fitness."""
    best = _fitness(boxes, anchors, reach)
    for _ in range(_GENERATIONS):
        changed = anchors + rng.normal(0, _MUTATION, anchors.shape) * (rng.random(anchors.shape) < 0.5)
        if (fitness := _fitness(boxes, changed, reach)) > best:
            anchors, best = changed, fitness
    return anchors
