"""Random affine map: its ranges, and the boxes and polygons that it gives."""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolov7.samples.affine import (
    Array,
    View,
    clip_polygon,
    findable,
    half_planes,
    random_view,
    rectangle,
    survive,
    transformed_boxes,
    visible_boxes,
)
from yolov7.samples.augmentation import Augmentation

SEEDS = st.integers(0, 2**32 - 1)
ONE = np.zeros(1, np.int64)


def plain_view(
    scale: float = 1.0, x: float = 0.0, y: float = 0.0, canvas: int = 200, size: int = 100
) -> View:
    return View(np.array(((scale, 0, x), (0, scale, y), (0, 0, 1.0))), scale, canvas, size)


def star(rng: np.random.Generator, centre: tuple[float, float], radius: float, points: int) -> Array:
    """Random polygon with many dents."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, points))
    reach = rng.uniform(0.2, 1, points) * radius
    return np.stack((np.cos(angles), np.sin(angles)), axis=1) * reach[:, None] + centre


@given(SEEDS)
def test_ranges_of_upright_views(seed: int) -> None:
    view = random_view(1280, 640, Augmentation(), np.random.default_rng(seed))
    assert view.upright
    assert 0.1 <= view.scale <= 2.0
    assert view.matrix[0, 0] == view.matrix[1, 1] == view.scale
    centre = view.project(np.array((640.0, 640.0)))
    assert (np.abs(centre - 320) <= 0.2 * 640).all()


def test_scales_and_shifts_are_uniform(rng: np.random.Generator) -> None:
    views = [random_view(1280, 640, Augmentation(), rng) for _ in range(4000)]
    scales = np.array([view.scale for view in views])
    shifts = np.array([view.project(np.array((640.0, 640.0))) for view in views]) / 640 - 0.5
    for values, low, high in ((scales, 0.1, 2.0), (shifts[:, 0], -0.2, 0.2), (shifts[:, 1], -0.2, 0.2)):
        shares = np.histogram(values, 10, (low, high))[0] / len(values)
        assert shares == pytest.approx(0.1, abs=0.02)
        assert shares.sum() == pytest.approx(1)


def test_rotation_and_shear_are_uniform(rng: np.random.Generator) -> None:
    turned = [random_view(64, 64, Augmentation(degrees=30), rng).matrix for _ in range(4000)]
    sheared = [random_view(64, 64, Augmentation(shear=10), rng).matrix for _ in range(4000)]
    rotation = np.degrees([math.atan2(m[0, 1], m[0, 0]) for m in turned])
    along_x = np.degrees([math.atan(m[0, 1] / m[1, 1]) for m in sheared])
    along_y = np.degrees([math.atan(m[1, 0] / m[0, 0]) for m in sheared])
    for angles, limit in ((rotation, 30), (along_x, 10), (along_y, 10)):
        shares = np.histogram(angles, 10, (-limit, limit))[0] / len(angles)
        assert shares == pytest.approx(0.1, abs=0.02)
        assert shares.sum() == pytest.approx(1)


def test_number_of_random_draws_does_not_depend_on_the_settings() -> None:
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    still = random_view(64, 64, Augmentation(scale=0, translate=0), first)
    moving = random_view(64, 64, Augmentation(degrees=10, shear=5, perspective=0.001), second)
    assert first.bit_generator.state == second.bit_generator.state
    assert still.upright
    assert not moving.upright


def test_rotation_keeps_the_centre_and_the_area() -> None:
    view = random_view(200, 100, Augmentation(translate=0, degrees=90), np.random.default_rng(1))
    assert view.project(np.array((100.0, 100.0))) == pytest.approx([50, 50])
    assert np.linalg.det(view.matrix) == pytest.approx(view.scale**2)
    turned = view.matrix[:2, :2] / view.scale
    assert turned @ turned.T == pytest.approx(np.eye(2))


@given(SEEDS, st.sampled_from([{}, {"degrees": 180}, {"shear": 40}, {"perspective": 0.01}]))
def test_window_is_the_visible_part_of_the_canvas(seed: int, options: dict[str, float]) -> None:
    rng = np.random.default_rng(seed)
    view = random_view(200, 100, Augmentation(translate=0.9, **options), rng)
    points = rng.uniform(-50, 250, (500, 2))
    in_window = (half_planes(view.window) @ np.column_stack((points, np.ones(500))).T >= 0).all(axis=0)
    homogeneous = np.column_stack((points, np.ones(500))) @ view.matrix.T
    seen = (homogeneous[:, 2] > 1e-3) & (points >= 0).all(axis=1) & (points <= 200).all(axis=1)
    image = homogeneous[:, :2] / np.where(seen, homogeneous[:, 2], 1)[:, None]
    seen &= (image >= 0).all(axis=1) & (image <= 100).all(axis=1)
    if len(view.window) > 2:
        assert (in_window == seen).all()
    else:
        assert not seen.any()
    box = sorted(rng.uniform(-50, 250, 2)), sorted(rng.uniform(-50, 250, 2))
    (x1, x2), (y1, y2) = box
    visible = view.visible(x1, y1, x2, y2)
    inside = seen & (points >= (x1, y1)).all(axis=1) & (points <= (x2, y2)).all(axis=1)
    if inside.any():
        (low_x, low_y), (high_x, high_y) = visible.min(axis=0) - 1e-6, visible.max(axis=0) + 1e-6
        assert (points[inside] >= (low_x, low_y)).all()
        assert (points[inside] <= (high_x, high_y)).all()


def test_clipping_a_convex_polygon() -> None:
    half = clip_polygon(rectangle(0, 0, 10, 10), np.array(((1.0, 1.0, -10.0),)))  # x + y >= 10
    assert {tuple(corner) for corner in half.tolist()} == {(0, 10), (10, 0), (10, 10)}
    assert clip_polygon(rectangle(0, 0, 10, 10), np.array(((1.0, 0, -11),))).shape == (0, 2)


def test_half_planes_ignore_tiny_edges() -> None:
    corners = np.insert(rectangle(0, 0, 10, 10), 1, (1e-13, -1e-13), axis=0)
    assert len(half_planes(corners)) == 4


ROUND_THE_IMAGE = ((-9, -9), (-5, -9), (-5, 105), (105, 105), (105, -9), (109, -9), (109, 109), (-9, 109))
ONE_ARM_REACHES_IN = (
    (30, -9),
    (30, 40),
    (35, 40),
    (35, -5),
    (60, -5),
    (60, -9),
    (70, -9),
    (70, -20),
    (30, -20),
)
TWO_JOINED = ((10, 10), (20, 10), (20, 20), (10, 10), (60, 60), (70, 60), (70, 80), (60, 60), (10, 10))


@pytest.mark.parametrize(
    ("polygon", "expected"),
    [
        (rectangle(10, 20, 30, 50), (10, 20, 30, 50)),
        (rectangle(-10, 20, 130, 50), (0, 20, 100, 50)),
        (rectangle(-10, -10, 300, 300), (0, 0, 100, 100)),  # fills the image: no point of it is in there
        (rectangle(-10, -10, 40, 300), (0, 0, 40, 100)),
        (rectangle(110, 20, 130, 50), (0, 0, 0, 0)),
        (ROUND_THE_IMAGE, (0, 0, 0, 0)),
        (ONE_ARM_REACHES_IN, (30, 0, 35, 40)),
        (TWO_JOINED, (10, 10, 70, 80)),
    ],
)
def test_visible_boxes_of_known_polygons(polygon: Array, expected: tuple[float, ...]) -> None:
    points = np.array(polygon, np.float64)
    for direction in (points, points[::-1]):
        assert visible_boxes(direction, ONE, plain_view())[0] == pytest.approx(expected)


@settings(max_examples=60)
@given(SEEDS, st.sampled_from([{}, {"degrees": 180, "shear": 30}, {"perspective": 0.002}]))
def test_visible_boxes_match_densely_sampled_edges(seed: int, options: dict[str, float]) -> None:
    rng = np.random.default_rng(seed)
    view = random_view(200, 100, Augmentation(translate=0.3, **options), rng)
    polygons = [
        star(rng, tuple(rng.uniform(-20, 220, 2)), rng.uniform(5, 300), int(rng.integers(3, 30)))
        for _ in range(3)
    ]
    starts = np.cumsum([0] + [len(polygon) for polygon in polygons[:-1]])
    boxes = visible_boxes(np.concatenate(polygons), starts, view)
    for polygon, box in zip(polygons, boxes, strict=True):
        closed = np.concatenate((polygon, polygon[:1]))
        share = np.linspace(0, 1, 700)[:, None]
        points = [a + share * (b - a) for a, b in itertools.pairwise(closed)]
        filled = [
            corner[None]
            for corner in view.window
            if cv2.pointPolygonTest(polygon.astype(np.float32), corner.tolist(), False) > 0
        ]
        points = np.concatenate(points + filled)
        in_canvas = ((points >= -1e-6) & (points <= 200 + 1e-6)).all(axis=1)
        seen = view.project(points)
        seen = seen[in_canvas & ((seen >= -1e-6) & (seen <= 100 + 1e-6)).all(axis=1)]
        if len(seen):
            expected = np.concatenate((seen.min(axis=0), seen.max(axis=0)))
            assert box == pytest.approx(expected, abs=2)
        else:
            assert (box[2:] - box[:2]).max() < 2
        assert (box >= 0).all()
        assert (box <= 100).all()


def test_visible_boxes_of_no_polygons() -> None:
    assert visible_boxes(np.zeros((0, 2)), np.zeros(0, np.int64), plain_view()).shape == (0, 4)


def test_nothing_is_visible_of_a_canvas_outside_the_image() -> None:
    view = plain_view(x=1000)
    assert len(view.window) == 0
    assert visible_boxes(rectangle(0, 0, 50, 50), ONE, view).tolist() == [[0, 0, 0, 0]]
    assert len(view.visible(0, 0, 50, 50)) == 0


def test_boxes_are_transformed_by_their_corners() -> None:
    quarter = View(np.array(((0, -1.0, 100), (1.0, 0, 0), (0, 0, 1))), 1.0, 100, 100)
    boxes = transformed_boxes(np.array(((10.0, 20, 40, 30), (90, 90, 120, 120))), quarter)
    assert boxes == pytest.approx(np.array(((70, 10, 80, 40), (0, 90, 10, 100))))


def test_findable_boxes_are_neither_small_nor_thin() -> None:
    boxes = np.array(((0, 0, 2, 50), (0, 0, 3, 50), (0, 0, 3, 60), (5, 5, 8, 8), (0, 0, 0, 0)), np.float32)
    assert findable(boxes).tolist() == [False, True, False, True, False]


def test_labels_survive_with_enough_area() -> None:
    before = np.array(((0.0, 0, 10, 10),) * 4)
    after = np.array(((0, 0, 20, 2.1), (0, 0, 20, 1.9), (0, 0, 12, 3.2), (0, 0, 12, 3.5)), np.float32)
    scale = 2.0  # of 400 pixels 10 % or 1 % must be left
    assert survive(before, after, scale, np.zeros(4, np.bool_)).tolist() == [True, False, False, True]
    assert survive(before, after, scale, np.ones(4, np.bool_)).tolist() == [True, False, True, True]


def test_boxes_beyond_the_canvas_do_not_survive() -> None:
    view = random_view(100, 100, Augmentation(scale=0, translate=0, degrees=60), np.random.default_rng(1))
    beyond = np.array(((-50.0, 20, -10, 80),)).clip(0, 100)
    after = transformed_boxes(beyond, view)
    assert findable(after).all()
    assert not survive(beyond, after, view.scale, np.zeros(1, np.bool_)).any()
