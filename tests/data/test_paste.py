"""Pasted objects: where they may lie, and that their labels say where they do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.drawn_images import DescribedDrawn, Drawn, disc_image, random_discs
from yolov7.data.paste import copy_paste, paste_in
from yolov7.data.render import Picture
from yolov7.data.source import Reader
from yolov7.types import FloatArray

SIZE = 160
SEEDS = st.integers(0, 2**32 - 1)


def picture(boxes: object = (), *, level: int = 30) -> Picture:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    image = np.full((SIZE, SIZE, 3), level, np.uint8)
    return Picture(image, array, np.full(len(array), 90), (None,) * len(array))


def covered_share(cover: FloatArray, boxes: FloatArray) -> FloatArray:
    shared = np.minimum(cover[2:], boxes[:, 2:]) - np.maximum(cover[:2], boxes[:, :2])
    return np.asarray(shared.clip(0).prod(axis=1) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1))


@settings(max_examples=30)
@given(SEEDS)
def test_pasted_objects_are_where_their_boxes_are_and_hide_little(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = random_discs(rng, 5)
    before = picture([(20, 20, 60, 50), (100, 90, 159, 160)])
    after = paste_in(before, Reader(source), rng)
    assert len(after.boxes) == len(after.labels) == len(after.outlines)
    assert (after.labels.dtype, after.boxes.dtype) == (np.int64, np.float32)
    assert after.boxes[:2].tolist() == before.boxes.tolist()
    pasted = after.boxes[2:]
    assert ((pasted >= 0) & (pasted <= SIZE)).all()
    for number, box in enumerate(pasted, 2):
        assert (covered_share(box, after.boxes[:number]) < 0.3).all()
        x, y = ((box[:2] + box[2:]) / 2).astype(int)
        later = after.boxes[number + 1 :]
        if not ((later[:, :2] <= (x + 1, y + 1)) & (later[:, 2:] >= (x, y))).all(axis=1).any():
            assert after.image[y, x].min() > 200, "the middle of a disc is white"
    left_alone = np.ones((SIZE, SIZE), np.bool_)
    for x1, y1, x2, y2 in pasted:
        left_alone[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = False
    assert (after.image[left_alone] == 30).all()
    # Of the box around a disc, the corners are not the disc's.
    white = (after.image > 128).all(axis=2).sum()
    if len(pasted):
        assert white < 0.95 * (~left_alone).sum() + 20


def test_objects_are_pasted_at_many_sizes(rng: np.random.Generator) -> None:
    source = random_discs(rng, 10)
    added = [paste_in(picture(), Reader(source), rng).boxes for _ in range(100)]
    counts = np.array([len(boxes) for boxes in added])
    assert 3 < counts.mean() < 16  # of 20 places, each left out with a probability of 0.2
    widths = np.concatenate(added)[:, 2] - np.concatenate(added)[:, 0]
    assert widths.min() < 0.05 * SIZE
    assert widths.max() > 0.4 * SIZE


def test_nothing_is_pasted_from_data_without_outlines(rng: np.random.Generator) -> None:
    source = random_discs(rng, 5, outlined=False)
    before = picture([(20, 20, 60, 50)])
    assert paste_in(before, Reader(source), rng) is before
    assert len(source.read) <= 4


def test_groups_are_not_pasted(rng: np.random.Generator) -> None:
    samples = random_discs(rng, 5).samples
    crowded = Drawn([replace(sample, crowds=np.ones(len(sample.boxes), np.bool_)) for sample in samples])
    assert len(paste_in(picture(), Reader(crowded), rng).boxes) == 0


def test_only_images_with_pasted_objects_are_read(rng: np.random.Generator) -> None:
    source = DescribedDrawn(random_discs(rng, 200).samples)
    pasted = paste_in(picture(), Reader(source), rng)
    assert 0 < len(source.read) <= len(pasted.boxes) + 2  # some turn out too small


def test_outlines_that_leave_their_image(rng: np.random.Generator) -> None:
    sample = disc_image(0, (50, 50), [(0, 0, 20)])
    (outline,) = sample.polygons
    assert outline is not None
    partly, wholly = Drawn([sample]), Drawn([replace(sample, polygons=(outline - 100,))])
    boxes = paste_in(picture(), Reader(partly), rng).boxes
    assert len(boxes)
    assert ((boxes >= 0) & (boxes <= SIZE)).all()
    assert len(paste_in(picture(), Reader(wholly), rng).boxes) == 0


def outlined_picture() -> Picture:
    sample = disc_image(0, (SIZE, SIZE), [(30, 40, 20), (120, 100, 15), (-2, 130, 25)])
    boxes = sample.boxes.clip(0, SIZE)
    outlines = tuple(outline.astype(np.float64) for outline in sample.polygons if outline is not None)
    return Picture(sample.image.copy(), boxes, sample.labels, outlines)


def test_objects_are_repeated_mirrored(rng: np.random.Generator) -> None:
    before = outlined_picture()
    pixels = before.image.copy()
    after = copy_paste(before, 1.0, rng)
    mirrored = before.boxes[:, [2, 1, 0, 3]] * (-1, 1, -1, 1) + (SIZE, 0, SIZE, 0)
    assert after.boxes == pytest.approx(np.concatenate((before.boxes, mirrored)))
    assert after.labels.tolist() == [0, 1, 2, 0, 1, 2]
    both = np.maximum(pixels, pixels[:, ::-1])
    assert np.abs(after.image.astype(int) - both).mean() < 1
    shapes = [shape for shape in after.outlines if shape is not None]
    assert len(shapes) == 6
    assert shapes[3][:, 0] == pytest.approx(SIZE - shapes[0][:, 0])


def test_objects_are_not_repeated_over_others(rng: np.random.Generator) -> None:
    sample = disc_image(0, (SIZE, SIZE), [(60, 60, 30)])  # its mirror image would lie on itself
    outlines = tuple(outline.astype(np.float64) for outline in sample.polygons if outline is not None)
    before = Picture(sample.image.copy(), sample.boxes, sample.labels, outlines)
    assert len(copy_paste(before, 1.0, rng).boxes) == 1


def test_a_share_of_the_objects_is_repeated(rng: np.random.Generator) -> None:
    counts = [len(copy_paste(outlined_picture(), 0.25, rng).boxes) - 3 for _ in range(200)]
    assert np.mean(counts) == pytest.approx(0.75, abs=0.25)
    boxes_only = replace(outlined_picture(), outlines=(None, None, None))
    assert copy_paste(boxes_only, 1.0, rng) is boxes_only
