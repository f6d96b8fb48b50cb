"""Layouts of the images of a mosaic."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples.drawn_images import Drawn
from yolov7.samples.mosaic import four, letterboxed, nine, random_mosaic
from yolov7.samples.source import Reader
from yolov7.types import Sample

SIDES = st.tuples(st.integers(1, 64), st.integers(1, 64))


def blank(*sizes: tuple[int, int]) -> Reader:
    """Reader of images of given sizes without labels."""
    empty = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    return Reader(Drawn([Sample(np.zeros((*size, 3), np.uint8), *empty, 0) for size in sizes]))


def test_letterboxed_image_is_centred() -> None:
    canvas = letterboxed(blank((30, 41)), 0, 64)  # 64 / 41 x 30 = 46.8, truncated
    (tile,) = canvas.tiles
    assert (canvas.side, tile.left, tile.top, tile.width, tile.height) == (64, 0, 9, 64, 46)


@given(st.lists(SIDES, min_size=4, max_size=4))
def test_four_images_meet_in_a_corner(sides: list[tuple[int, int]]) -> None:
    rectangles = [(x, y, x + w, y + h) for (x, y), (h, w) in zip(four(sides, 70, 50), sides, strict=True)]
    top_left, top_right, bottom_left, bottom_right = rectangles
    assert top_left[2:] == (70, 50)
    assert (top_right[0], top_right[3]) == (70, 50)
    assert (bottom_left[2], bottom_left[1]) == (70, 50)
    assert bottom_right[:2] == (70, 50)


@given(st.lists(SIDES, min_size=9, max_size=9))
def test_nine_images_are_a_pinwheel(sides: list[tuple[int, int]]) -> None:
    size = 64
    places = [(x, y, x + w, y + h) for (x, y), (h, w) in zip(nine(sides, size), sides, strict=True)]
    assert places[0][:2] == (size, size)
    for a, b in itertools.combinations(places, 2):
        assert min(a[2], b[2]) <= max(a[0], b[0]) or min(a[3], b[3]) <= max(a[1], b[1]), "they overlap"
    for a, b in itertools.pairwise(places[1:]):
        beside = a[0] in (b[0], b[2]) or a[2] in (b[0], b[2])
        above = a[1] in (b[1], b[3]) or a[3] in (b[1], b[3])
        assert beside or above
    for edge in (places[1], places[3], places[5], places[7]):  # above, right, below, left of the centre
        assert edge[0] in (places[0][0], places[0][2]) or edge[2] in (places[0][0], places[0][2])
        assert min(edge[3], places[0][3]) - max(edge[1], places[0][1]) >= 0
        assert min(edge[2], places[0][2]) - max(edge[0], places[0][0]) >= 0


def test_nine_equal_images_tile_the_plane() -> None:
    places = nine([(10, 10)] * 9, 10)
    assert sorted(places) == sorted(itertools.product((0, 10, 20), repeat=2))
    clockwise = [(10, 10), (10, 0), (20, 0), (20, 10), (20, 20), (10, 20), (0, 20), (0, 10), (0, 0)]
    assert places == clockwise


def test_distribution_of_random_mosaics(rng: np.random.Generator) -> None:
    reader = blank((64, 64), (64, 48), (32, 64))
    canvases = [random_mosaic(reader, 1, 64, rng, share_of_nine=0.2) for _ in range(3000)]
    assert {canvas.side for canvas in canvases} == {128}
    assert {canvas.tiles[0].index for canvas in canvases} == {1}
    of_nine = [canvas for canvas in canvases if len(canvas.tiles) == 9]
    assert len(of_nine) / len(canvases) == pytest.approx(0.2, abs=0.03)
    of_four = [canvas for canvas in canvases if len(canvas.tiles) == 4]
    corners = np.array([(canvas.tiles[3].left, canvas.tiles[3].top) for canvas in of_four])
    assert corners.min() >= 32
    assert corners.max() <= 96
    assert corners.mean(axis=0) == pytest.approx([64, 64], abs=2)
    assert corners.std(axis=0) == pytest.approx([64 / 12**0.5] * 2, rel=0.05)
    crops = 64 - np.array([(canvas.tiles[0].left, canvas.tiles[0].top) for canvas in of_nine])
    assert crops.min() >= 0
    assert crops.max() <= 64
    assert crops.mean(axis=0) == pytest.approx([32, 32], abs=4)
    others = [tile.index for canvas in canvases for tile in canvas.tiles[1:]]
    assert np.bincount(others) / len(others) == pytest.approx([1 / 3] * 3, abs=0.02)
