"""Batches of images of similar shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolov7.images.letterbox import letterbox_evaluation, long_side_size
from yolov7.images.rectangular import rectangular_batches


@pytest.mark.parametrize(
    ("sizes", "size", "stride", "shape"),
    [
        ([(640, 640)], 640, 32, (672, 672)),
        ([(1280, 1280)], 1280, 64, (1344, 1344)),
        ([(480, 640), (427, 640)], 640, 32, (512, 672)),  # as high as the steepest needs
        ([(640, 480), (640, 427)], 640, 32, (672, 512)),
        ([(480, 640), (640, 480)], 640, 32, (672, 672)),
        ([(100, 640)], 640, 32, (128, 672)),
    ],
)
def test_shapes_of_batches(
    sizes: list[tuple[int, int]], size: int, stride: int, shape: tuple[int, int]
) -> None:
    (batch,) = rectangular_batches(sizes, size, stride, batch_size=8)
    assert batch.shape == shape


def test_images_are_sorted_by_aspect_ratio() -> None:
    sizes = [(100, 50), (50, 100), (75, 75), (60, 100)]
    batches = rectangular_batches(sizes, 640, 32, batch_size=3)
    assert [batch.indices for batch in batches] == [(1, 3, 2), (0,)]
    assert rectangular_batches([], 640, 32, 3) == []


@settings(deadline=None, max_examples=50)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=9),
    size=st.sampled_from([64, 96, 160]),
    stride=st.sampled_from([32, 64]),
    batch_size=st.integers(1, 4),
)
def test_every_image_is_in_one_batch_and_fits_into_it(
    sizes: list[tuple[int, int]], size: int, stride: int, batch_size: int
) -> None:
    batches = rectangular_batches(sizes, size, stride, batch_size)
    assert sorted(index for batch in batches for index in batch.indices) == list(range(len(sizes)))
    for batch in batches:
        assert all(side % stride == 0 and side <= size + 2 * stride for side in batch.shape)
        for index in batch.indices:
            inner = long_side_size(sizes[index], size)
            assert inner[0] <= batch.shape[0]
            assert inner[1] <= batch.shape[1]
            _, box = letterbox_evaluation(np.zeros((*sizes[index], 3), np.uint8), size, batch.shape)
            assert (round(box.scale[1] * sizes[index][0]), round(box.scale[0] * sizes[index][1])) == inner
