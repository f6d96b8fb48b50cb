"""Batches to assign and to weigh: images with many, few or no ground truths, some in odd places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

from yolov7.models.decode import HeadOutput
from yolov7.types import Assignment, Predictions, Targets

ANCHORS = torch.tensor(
    [
        [[12, 16], [19, 36], [40, 28]],
        [[36, 75], [76, 55], [72, 146]],
        [[142, 110], [192, 243], [459, 401]],
    ],
    dtype=torch.float32,
)
STRIDES = (8, 16, 32)


@dataclass(frozen=True)
class Scene:
    """Predictions of both heads, and what there is to see."""

    predictions: Predictions
    targets: Targets

    def lead(self) -> HeadOutput:
        """The lead head, as an assigner sees it."""
        return HeadOutput(self.predictions.lead, ANCHORS, torch.tensor(STRIDES, dtype=torch.float32))

    def aux(self) -> HeadOutput:
        """The auxiliary head, as an assigner sees it."""
        return HeadOutput(self.predictions.aux, ANCHORS, torch.tensor(STRIDES, dtype=torch.float32))


def make_scene(
    counts: Sequence[int],
    *,
    size: tuple[int, int] = (128, 96),
    classes: int = 4,
    seed: int = 0,
    spread: float = 1.0,
    step: float = 0.0,
) -> Scene:
    """A scene that follows from its arguments.

    Args:
        counts: ground truths of each image; they come in mixed order.
        size: height and width in pixels.
        classes: number of classes.
        seed: of everything random.
        spread: of the logits; with 0 all predictions are alike, and their costs tie.
        step: pixels that box corners are rounded to, so that some have no area, some lie on borders of cells,
            and some equal each other; 0 does not round.
    """
    g = torch.Generator().manual_seed(seed)
    height, width = size

    def logits() -> tuple[Tensor, ...]:
        levels = []
        for stride in STRIDES:
            shape = (len(counts), 3, height // stride, width // stride, 5 + classes)
            level = torch.randn(shape, generator=g) * spread
            level[..., :4] *= 0.4
            level[..., 4] -= 2
            levels.append(level)
        return tuple(levels)

    n = sum(counts)
    limit = torch.tensor([width, height, width, height], dtype=torch.float32)
    centre = torch.rand((n, 2), generator=g) * limit[:2]
    half = torch.exp(torch.rand((n, 2), generator=g) * 4.5 + 0.5) / 2
    boxes = torch.minimum(torch.cat((centre - half, centre + half), dim=1).clamp(min=0), limit)
    if step:
        boxes = (boxes / step).round() * step
    image = torch.repeat_interleave(torch.tensor(counts, dtype=torch.int64))[torch.randperm(n, generator=g)]
    labels = torch.randint(0, classes, (n,), generator=g)
    return Scene(Predictions(logits(), logits()), Targets(image, boxes, labels))


def scenes(*spreads: float, most: int = 12) -> st.SearchStrategy[Scene]:
    """Small scenes of all kinds: logits of the given spreads, so many ground truths an image at most."""
    return st.builds(
        make_scene,
        st.lists(st.integers(0, most), min_size=1, max_size=3),
        size=st.tuples(st.sampled_from((32, 64, 96, 160)), st.sampled_from((32, 64, 128))),
        classes=st.integers(1, 4),
        seed=st.integers(0, 2**32 - 1),
        spread=st.sampled_from(spreads),
        step=st.sampled_from((0.0, 1.0, 4.0, 16.0)),
    )


def rows(assignment: Assignment) -> list[tuple[int, ...]]:
    """Positives in order: (level, image, anchor, row, column, target)."""
    a = assignment
    columns = (a.level, a.image, a.anchor, a.row, a.column, a.target)
    return list(zip(*(values.tolist() for values in columns), strict=True))
