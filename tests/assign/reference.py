"""Assignment as one would explain it: one ground truth after the other, one image after the other.

Only the numbers that are compared, IoUs and costs, are the package's own: rounding decides between costs that
are almost equal. `test_simota` checks them against their definition.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from tests.assign.scenes import ANCHORS, STRIDES
from yolov7.assign.simota import Pairs
from yolov7.models.decode import HeadOutput
from yolov7.types import Places, Targets

Place = tuple[int, int, int, int, int]
"""Image, level, anchor, row, column."""


def list_candidates(targets: Targets, grids: list[tuple[int, int]], images: int, reach: float) -> list[Place]:
    """Candidates in the order in which they are to be listed."""
    found = []
    for image in range(images):
        for level, (rows, columns) in enumerate(grids):
            for dx, dy in ((0, 0), (-1, 0), (0, -1), (1, 0), (0, 1)):
                for anchor in range(3):
                    for box in targets.boxes[targets.image_index == image].numpy():
                        x1, y1, x2, y2 = box / np.float32(STRIDES[level])
                        x, y, w, h = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
                        aw, ah = (ANCHORS[level, anchor] / STRIDES[level]).tolist()
                        fits = w > 0 and h > 0 and max(w / aw, aw / w, h / ah, ah / h) < 4
                        near = {
                            (0, 0): True,
                            (-1, 0): x % 1 < reach and x > 1,
                            (0, -1): y % 1 < reach and y > 1,
                            (1, 0): (columns - x) % 1 < reach and columns - x > 1,
                            (0, 1): (rows - y) % 1 < reach and rows - y > 1,
                        }
                        if fits and near[dx, dy]:
                            column = min(max(math.floor(x + np.float32(reach * dx)), 0), columns - 1)
                            row = min(max(math.floor(y + np.float32(reach * dy)), 0), rows - 1)
                            found.append((image, level, anchor, row, column))
    return found


def as_candidates(places: list[Place]) -> Places:
    """A list of places as tensors."""
    image, level, anchor, row, column = torch.tensor(places, dtype=torch.int64).reshape(-1, 5).T
    return Places(level, image, anchor, row, column)


def every_pair(head: HeadOutput, targets: Targets, candidates: Places) -> tuple[Tensor, Tensor]:
    """IoUs and costs of all ground truths with all candidates, of whatever image: (T, P)."""
    truths, places = len(targets.labels), len(candidates)
    if not places:
        return torch.zeros(truths, 0), torch.zeros(truths, 0)
    pairs = Pairs.between(targets, candidates, head, room=0)
    return pairs(torch.arange(truths), torch.zeros(truths, dtype=torch.int64), places)


def dense_simota(head: HeadOutput, targets: Targets, reach: float, q: int) -> list[tuple[int, ...]]:
    """Positives in order: (level, image, anchor, row, column, target)."""
    images = len(head.logits[0])
    places = list_candidates(targets, head.grids, images, reach)
    ious, costs = every_pair(head, targets, as_candidates(places))
    positives = []
    for image in range(images):
        truths = [t for t, i in enumerate(targets.image_index.tolist()) if i == image]
        own = [c for c, place in enumerate(places) if place[0] == image]
        claims: dict[int, list[int]] = {}
        for truth in truths:
            best = sorted(ious[truth, own].tolist(), reverse=True)[:q]
            padded = torch.tensor([best + [0.0] * (q - len(best))])
            k = max(1, int(padded.sum(1)))
            for candidate in sorted(own, key=lambda c: float(costs[truth, c]))[:k]:
                claims.setdefault(candidate, []).append(truth)
        for candidate, claimants in claims.items():
            cheapest = min(truths, key=lambda t: float(costs[t, candidate]))
            owner = claimants[0] if len(claimants) == 1 else cheapest
            positives.append((places[candidate][1], image, candidate, owner))
    return [
        (level, image, *places[candidate][2:], owner) for level, image, candidate, owner in sorted(positives)
    ]
