"""Keypoints in YOLO labels, with kpt_shape and without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.formats.small_sets import HEIGHT, WIDTH, write_yolo
from yolov7.formats.keypoints import KeypointSuspicion
from yolov7.formats.opening import open_dataset

TWISTED = "0.45 0.45 0.55 0.45 0.1 0.1 0.9 0.9"


@pytest.mark.parametrize("shape", [(4, 2), (17, 3), (1, 3), (5, 3)])
def test_with_kpt_shape_only_the_box_of_a_row_is_read(shape: tuple[int, int], tmp_path: Path) -> None:
    points = " 0.1" * (shape[0] * shape[1])
    labels = f"1 0.5 0.5 0.2 0.4{points}\n0 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1 0.1 0.1 0.1\n"
    yaml = f"val: images/val\nnames: [a, b]\nkpt_shape: [{shape[0]}, {shape[1]}]\n"
    dataset = open_dataset(write_yolo(tmp_path, {"a": labels}, yaml=yaml))
    expected = np.array([[0.4, 0.3, 0.6, 0.7], [0.45, 0.45, 0.55, 0.55]]) * (WIDTH, HEIGHT, WIDTH, HEIGHT)
    np.testing.assert_allclose(dataset.images[0].boxes, expected, rtol=1e-6)
    assert not dataset.images[0].polygons
    (defect,) = dataset.defects
    assert (
        f"7 columns, where kpt_shape {list(shape)} has {5 + shape[0] * shape[1]}, a box 5" in defect.message
    )
    assert "rows with keypoints, which are ignored (the boxes are read): 1" in dataset.summary()


@pytest.mark.parametrize(
    ("row", "shape"),
    [
        (f"0.5 0.5 0.2 0.2 {TWISTED}", "[4, 2]"),
        ("0.5 0.5 0.4 0.4 0.35 0.35 0.65 0.35 0.5 0.65 0 0", "[4, 2]"),
        ("0.3 0.3 0.4 0.4 0.35 0.35 1 0.25 0.35 1", "[3, 2] or [2, 3]"),
    ],
)
def test_without_kpt_shape_polygons_that_look_like_keypoints_are_reported(
    row: str, shape: str, tmp_path: Path, one_defect: Callable[..., None]
) -> None:
    dataset = open_dataset(write_yolo(tmp_path, {"a": f"0 0.1 0.1 0.1 0.1\n0 {row}\n"}))
    one_defect(dataset.defects, "warning", f"{tmp_path}/labels/val/a.txt:2", f"needs kpt_shape: {shape}")
    labels = {f"i{i}": f"0 {row}\n" for i in range(10)}
    dataset = open_dataset(write_yolo(tmp_path / "many", labels))
    one_defect(dataset.defects, "error", f"{tmp_path}/many/labels/val/i0.txt:1", "10 rows")


@pytest.mark.parametrize(("points", "message"), [(3, "14 columns, where"), (2, "and visibilities")])
def test_rows_with_visibilities_are_dropped_with_a_hint_at_kpt_shape(
    points: int, message: str, tmp_path: Path, one_defect: Callable[..., None]
) -> None:
    row = "0 0.5 0.5 0.4 0.4" + " 0.35 0.45 2" * points + "\n0 0.1 0.1 0.1 0.1\n"
    defects = open_dataset(write_yolo(tmp_path, {"a": row})).defects
    one_defect(defects, "error", f"{tmp_path}/labels/val/a.txt:1", message)
    assert "kpt_shape" in defects[0].message


def test_polygons_are_not_suspected(rng: np.random.Generator) -> None:
    """Also quadrilaterals, all of which have equally many numbers, as keypoints do."""
    for points in (3, 4, 12):
        suspected = 0
        for _ in range(200):
            suspicion = KeypointSuspicion()
            for _ in range(4):
                centre, radius = rng.uniform(0.1, 0.9, 2), rng.uniform(0.02, 0.1)
                angles = np.sort(rng.uniform(0, 2 * np.pi, points))
                polygon = centre + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
                suspicion.add(polygon.ravel().tolist())
            suspected += suspicion.alive
        assert suspected <= 6, points


def test_keypoints_within_their_boxes_are_suspected(rng: np.random.Generator) -> None:
    suspected = 0
    for _ in range(200):
        suspicion = KeypointSuspicion()
        for _ in range(20):
            size = rng.uniform(0.1, 0.4, 2)
            centre = rng.uniform(size / 2, 1 - size / 2)
            suspicion.add([*centre, *size, *(centre + rng.uniform(-0.5, 0.5, (5, 2)) * size).ravel()])
        suspected += suspicion.alive
    assert suspected >= 190
