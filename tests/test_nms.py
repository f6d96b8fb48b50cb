"""NMS against the definition, written out box by box; golden detections are in tests/golden."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.bounded import PEAK
from tests.golden.compare import keyed_rows
from yolov7 import nms
from yolov7.boxes import pairwise_iou
from yolov7.errors import UsageError
from yolov7.nms import ScoredBoxes, non_max_suppression, select_candidates, suppress

Candidate = tuple[tuple[float, ...], float, int]
"""Box, score and label, as Python numbers."""


def table(detections: ScoredBoxes) -> npt.NDArray[np.float32]:
    """(M, 6): box, score, label."""
    boxes, scores, labels = (values.numpy() for values in detections)
    return np.column_stack((boxes, scores, labels)).astype(np.float32)


# --- The definition, in plain Python ------------------------------------------------------------------------


def naive_iou(a: Sequence[float], b: Sequence[float]) -> np.float32:
    ax1, ay1, ax2, ay2 = map(np.float32, a)
    bx1, by1, bx2, by2 = map(np.float32, b)
    zero = np.float32(0)
    shared = max(min(ax2, bx2) - max(ax1, bx1), zero) * max(min(ay2, by2) - max(ay1, by1), zero)
    area_a = max(ax2 - ax1, zero) * max(ay2 - ay1, zero)
    area_b = max(bx2 - bx1, zero) * max(by2 - by1, zero)
    union = area_a + area_b - shared
    return shared / union if union > 0 else zero


def naive_candidates(
    rows: Tensor, conf: float, *, multi_label: bool, classes: Sequence[int] | None, max_candidates: int
) -> list[Candidate]:
    found: list[Candidate] = []
    limit = np.float32(conf)
    for cx, cy, w, h, objectness, *probabilities in rows.float().numpy():
        half = np.float32(2)
        box = (cx - w / half, cy - h / half, cx + w / half, cy + h / half)
        if not objectness > limit or not all(map(np.isfinite, box)):
            continue
        if len(probabilities) == 1:
            probabilities = [np.float32(1)]
        scores = [(float(objectness * p), label) for label, p in enumerate(probabilities)]
        scores = [(score, label) for score, label in scores if math.isfinite(score) and score > limit]
        if not multi_label:
            scores = sorted(scores, key=lambda pair: -pair[0])[:1]
        found += [(box, s, label) for s, label in scores if classes is None or label in classes]
    return sorted(found, key=lambda candidate: -candidate[1])[:max_candidates]


def naive_suppress(
    candidates: Sequence[Candidate], iou: float, *, agnostic: bool, max_detections: int
) -> list[Candidate]:
    kept: list[Candidate] = []
    for box, score, label in sorted(candidates, key=lambda candidate: -candidate[1]):
        rivals = [other for other, _, its_label in kept if agnostic or its_label == label]
        if not any(naive_iou(box, other) > np.float32(iou) for other in rivals):
            kept.append((box, score, label))
    return kept[:max_detections]


def as_candidates(detections: ScoredBoxes) -> list[Candidate]:
    boxes, scores, labels = (values.tolist() for values in detections)
    return [(tuple(box), score, label) for box, score, label in zip(boxes, scores, labels, strict=True)]


# Few different numbers: many ties, duplicates, touching, nested and empty boxes, IoUs right on a threshold.
centres = st.integers(0, 3).map(float)
sizes = st.integers(0, 4).map(float)
probabilities = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
fractions = st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 0.6, 1.0])
odd_numbers = st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 3e38])


@st.composite
def decoded_rows(draw: st.DrawFn, *, odd: bool = False) -> Tensor:
    """(N, 5 + C); where ``odd``, some numbers are what no network should give."""
    num_classes = draw(st.integers(1, 3))
    row = st.tuples(centres, centres, sizes, sizes, *[probabilities] * (1 + num_classes)).map(list)
    rows = draw(st.lists(row, max_size=14))
    if odd and rows:
        places = st.tuples(st.integers(0, len(rows) - 1), st.integers(0, 4 + num_classes))
        for i, j in draw(st.lists(places, max_size=4)):
            rows[i][j] = draw(odd_numbers)
    return torch.tensor(rows).reshape(-1, 5 + num_classes)


@settings(deadline=None, max_examples=300)
@given(data=st.data(), block=st.sampled_from([1, 2, 3, 256]), chunk=st.sampled_from([1, 2, 32]))
def test_equals_the_definition(data: st.DataObject, block: int, chunk: int) -> None:
    rows = data.draw(decoded_rows(odd=True))
    num_classes = rows.shape[1] - 5
    conf, iou = data.draw(fractions), data.draw(fractions)
    multi_label, agnostic = data.draw(st.booleans()), data.draw(st.booleans())
    classes = data.draw(st.none() | st.lists(st.integers(0, num_classes - 1), max_size=2))
    max_candidates, max_detections = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 10))

    selection: dict[str, Any] = {
        "multi_label": multi_label,
        "classes": classes,
        "max_candidates": max_candidates,
    }
    candidates, _ = select_candidates(rows, conf, **selection)
    with np.errstate(all="ignore"):
        naive = naive_candidates(rows, conf, **selection)
        expected = naive_suppress(naive, iou, agnostic=agnostic, max_detections=max_detections)
    assert as_candidates(candidates) == naive

    with pytest.MonkeyPatch.context() as patch:  # small blocks, so that few boxes fill several
        patch.setattr(nms, "BLOCK", block)
        patch.setattr(nms, "CHUNK", chunk)
        [found] = non_max_suppression(
            [rows], conf, iou, agnostic=agnostic, max_detections=max_detections, **selection
        )
    assert as_candidates(found) == expected


@settings(deadline=None, max_examples=100)
@given(data=st.data(), block=st.sampled_from([2, 256]), chunk=st.sampled_from([2, 32]))
def test_suppression_of_unordered_boxes(data: st.DataObject, block: int, chunk: int) -> None:
    corner = st.floats(0, 10, width=32)
    box = st.tuples(corner, corner, corner, corner)
    some = data.draw(st.lists(st.tuples(box, probabilities, st.integers(0, 2)), max_size=12))
    iou = data.draw(st.floats(0, 1, width=32))
    boxes = torch.tensor([box for box, _, _ in some]).reshape(-1, 4)
    scores = torch.tensor([score for _, score, _ in some])
    labels = torch.tensor([label for _, _, label in some], dtype=torch.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nms, "BLOCK", block)
        patch.setattr(nms, "CHUNK", chunk)
        kept = suppress(boxes, scores, labels, iou)
    expected = naive_suppress(some, iou, agnostic=False, max_detections=300)
    assert [some[i] for i in kept.tolist()] == expected


@pytest.mark.parametrize(("num_classes", "max_detections"), [(1, 300), (4, 300), (4, 5000)])
def test_several_full_blocks_equal_the_definition(num_classes: int, max_detections: int) -> None:
    rows = keyed_rows("blocks", n=8 * nms.BLOCK, nc=num_classes, size=640, clusters=10)
    [found] = non_max_suppression([rows], 0.001, 0.65, max_detections=max_detections)
    naive = naive_candidates(rows, 0.001, multi_label=False, classes=None, max_candidates=30_000)
    assert len(naive) > 7 * nms.BLOCK
    assert as_candidates(found) == naive_suppress(naive, 0.65, agnostic=False, max_detections=max_detections)


def test_heaps_that_come_one_after_the_other() -> None:
    """Boxes that no earlier window suppresses, more than a block of them: they suppress each other."""
    g = np.random.default_rng(0)
    heap = np.repeat(np.arange(3), 4 * nms.BLOCK)
    corner = g.normal(0, 10, (len(heap), 2)) + 1000 * heap[:, None]
    boxes = np.hstack((corner, corner + g.uniform(40, 80, corner.shape))).astype(np.float32)
    scores = np.linspace(1, 0.1, len(heap), dtype=np.float32)
    some = ScoredBoxes(torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(heap % 2))
    kept = suppress(*some, 0.5)
    found = as_candidates(ScoredBoxes(*(values[kept] for values in some)))
    assert found == naive_suppress(as_candidates(some), 0.5, agnostic=False, max_detections=300)


def test_long_chain_of_suppressions() -> None:
    """Each box overlaps only the next: the greedy answer is every other one, over block borders too."""
    n = 5 * nms.BLOCK + 1
    x = torch.arange(n) * 5.0
    boxes = torch.stack((x, torch.zeros(n), x + 10, torch.ones(n)), dim=1)
    kept = suppress(boxes, torch.linspace(1, 0.5, n), torch.zeros(n), 0.3, max_detections=n)
    assert kept.tolist() == list(range(0, n, 2))


# --- What users rely on -------------------------------------------------------------------------------------


def test_batch_equals_its_images() -> None:
    rows = torch.stack([keyed_rows(f"batch{i}", n=500, nc=6, size=320, clusters=9) for i in range(3)])
    rows[1, :, 4] = 0  # an image without anything
    together = non_max_suppression(rows, 0.1, 0.5)
    assert [len(found.boxes) > 0 for found in together] == [True, False, True]
    for found, image_rows in zip(together, rows, strict=True):
        [alone] = non_max_suppression(image_rows[None], 0.1, 0.5)
        # What a caller may leave out beforehand changes nothing.
        [prefiltered] = non_max_suppression([image_rows[image_rows[:, 4] > 0.1]], 0.1, 0.5)
        assert as_candidates(found) == as_candidates(alone) == as_candidates(prefiltered)


def test_kept_boxes_hardly_overlap_and_the_rest_is_explained() -> None:
    rows = keyed_rows("invariants", n=2000, nc=3, size=640, clusters=12)
    candidates, _ = select_candidates(rows, 0.05, multi_label=True)
    kept = suppress(*candidates, 0.5, max_detections=30_000)
    assert kept.tolist() == sorted(set(kept.tolist()))  # candidates are best first already
    overlap = pairwise_iou(candidates.boxes, candidates.boxes[kept]) > 0.5
    overlap &= candidates.labels[:, None] == candidates.labels[kept]
    assert overlap[kept].sum() == len(kept)  # itself alone
    better_or_same = kept <= torch.arange(len(candidates.boxes))[:, None]
    assert (overlap & better_or_same).any(dim=1).all()
    again = suppress(*(values[kept] for values in candidates), 0.5, max_detections=30_000)
    assert again.tolist() == list(range(len(kept)))


def test_far_apart_classes_do_not_collide_in_float32() -> None:
    """A shift of 4096 pixels a class would round these two boxes of a high class number to one."""
    boxes = torch.tensor([[0, 0, 0.01, 0.01], [0.02, 0, 0.03, 0.01]])
    kept = suppress(boxes, torch.tensor([0.9, 0.8]), torch.tensor([100_000, 100_000]), 0.0)
    assert kept.tolist() == [0, 1]


def test_class_filter_comes_before_the_cap() -> None:
    rows = torch.zeros(4, 7)
    rows[:, :4] = torch.tensor([[10, 10, 5, 5], [30, 10, 5, 5], [50, 10, 5, 5], [70, 10, 5, 5]])
    rows[:, 4] = 1
    rows[:3, 5] = 0.9
    rows[3, 6] = 0.5
    [found] = non_max_suppression([rows], 0.1, 0.5, classes=[1], max_candidates=1)
    assert found.labels.tolist() == [1]
    assert found.scores.tolist() == [0.5]


def test_cap_takes_equal_scores_in_order() -> None:
    rows = torch.tensor([[10.0, 10, 5, 5, 1, 0.5, 0.5]]).repeat(50, 1)
    rows[:, 0] += 10 * torch.arange(50)
    rows[40, 6] = 0.75
    candidates, _ = select_candidates(rows, 0.1, multi_label=True, max_candidates=4)
    assert candidates.boxes[:, 0].tolist() == [407.5, 7.5, 7.5, 17.5]
    assert candidates.labels.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_float_type_gives_float32(dtype: torch.dtype) -> None:
    rows = keyed_rows("half", n=300, nc=4, size=320, clusters=6).to(dtype).requires_grad_()
    [found] = non_max_suppression(rows[None], 0.1, 0.5)
    [expected] = non_max_suppression(rows[None].float(), 0.1, 0.5)
    assert len(found.boxes) > 0
    assert [values.dtype for values in found] == [torch.float32, torch.float32, torch.int64]
    assert not found.boxes.requires_grad
    assert as_candidates(found) == as_candidates(expected)


@pytest.mark.parametrize("rows", [torch.zeros(2, 0, 85), torch.zeros(2, 100, 85), torch.zeros(2, 9, 6)])
@pytest.mark.parametrize("multi_label", [False, True])
def test_nothing_found(rows: Tensor, multi_label: bool) -> None:
    found = non_max_suppression(rows, 0.25, 0.45, multi_label=multi_label)
    assert len(found) == 2
    for boxes, scores, labels in found:
        assert (boxes.shape, scores.shape, labels.shape) == ((0, 4), (0,), (0,))
        assert (boxes.dtype, scores.dtype, labels.dtype) == (torch.float32, torch.float32, torch.int64)


def test_no_images() -> None:
    assert non_max_suppression(torch.zeros(0, 10, 85), 0.25, 0.45) == []


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
def test_threshold_outside_0_to_1(value: float) -> None:
    with pytest.raises(UsageError, match=r"invalid confidence threshold\n.*0 to 1\n"):
        non_max_suppression(torch.zeros(1, 3, 7), value, 0.5)
    with pytest.raises(UsageError, match=r"invalid IoU threshold\n.*0 to 1\n"):
        non_max_suppression(torch.zeros(1, 3, 7), 0.5, value)


@pytest.mark.parametrize("limit", ["max_candidates", "max_detections"])
def test_limit_below_1(limit: str) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        non_max_suppression(torch.zeros(1, 3, 7), 0.5, 0.5, **{limit: 0})


@pytest.mark.parametrize("label", [-1, 2])
def test_unknown_class(label: int) -> None:
    with pytest.raises(UsageError, match="labels 0 to 1"):
        non_max_suppression(torch.zeros(1, 3, 7), 0.5, 0.5, classes=[0, label])


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 7)])
def test_rows_of_a_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"\(N, 5 \+ classes\)"):
        select_candidates(torch.zeros(shape), 0.5)


MEASURE = f"""
import torch
{PEAK}
from yolov7.nms import non_max_suppression
torch.manual_seed(0)
torch.set_num_threads(1)
rows = torch.rand(12_000, 6)
rows[:, :4] *= torch.tensor([640.0, 640.0, 30.0, 30.0])
non_max_suppression([rows[:50]], 0.001, 0.65)
before = peak()
[found] = non_max_suppression([rows], 0.0, 0.65, max_detections=12_000)
print(len(found.boxes), peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of its memory from /proc")
def test_memory_is_bounded_whatever_is_kept() -> None:
    """Thousands of boxes of one class, of which most stay: all pairs at once would take 576 MB and more."""
    run = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    kept, grown = map(int, run.stdout.split())
    assert kept > 5_000
    assert grown < 100e6
