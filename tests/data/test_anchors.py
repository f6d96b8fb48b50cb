"""Recall of anchors, and their fit to boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.formats.small_sets import coco_content, write_coco, write_image, write_yolo
from yolov7.data.anchors import best_possible_recall, box_sizes_at, fit_anchors, suitable_anchors
from yolov7.errors import DataError
from yolov7.formats.opening import open_dataset
from yolov7.models.architecture import P6_ANCHORS, YOLOV7

ONE = (((10.0, 20.0),),)


@pytest.mark.parametrize(
    ("size", "reached"),
    [
        ((10, 20), True),
        ((39, 79), True),
        ((2.6, 5.1), True),
        ((39, 5.1), True),
        ((41, 20), False),
        ((10, 81), False),
        ((2.4, 20), False),
        ((10, 4.9), False),
    ],
)
def test_a_match_needs_both_sides_within_the_ratio(size: tuple[float, float], reached: bool) -> None:
    assert best_possible_recall([size], ONE) == reached


def test_recall_is_the_fraction_of_boxes_with_a_match() -> None:
    sizes = np.array([(10, 20), (1, 1), (300, 300), (90, 1000)], np.float32)
    anchors = (((10, 20), (12, 16)), ((200, 200), (400, 400)))
    assert best_possible_recall(sizes, anchors) == 0.5
    assert best_possible_recall(sizes, anchors, ratio=30) == 1
    assert best_possible_recall(np.zeros((0, 2)), anchors) == 1


def brute_force(sizes: np.ndarray, anchors: np.ndarray, ratio: float) -> float:
    reached = 0
    for w, h in sizes:
        reached += any(max(w / aw, aw / w, h / ah, ah / h) < ratio for aw, ah in anchors)
    return reached / len(sizes)


def test_recall_agrees_with_a_loop_over_all_pairs(rng: np.random.Generator) -> None:
    sizes = np.exp(rng.normal(3.5, 1.5, (500, 2)))
    for anchors in (YOLOV7.anchors, P6_ANCHORS):
        for ratio in (2.0, 4.0):
            expected = brute_force(sizes, np.reshape(anchors, (-1, 2)), ratio)
            assert best_possible_recall(sizes, anchors, ratio) == expected
            assert 0 < expected < 1


def flat_boxes(rng: np.random.Generator, count: int = 600) -> np.ndarray:
    """Boxes shaped like lines of text, unlike those of COCO. -> (N, 2)."""
    heights = np.exp(rng.normal(2.2, 0.5, count))
    return np.stack((heights * np.exp(rng.normal(2.8, 0.5, count)), heights), axis=1)


def test_fitted_anchors_match_boxes_that_the_default_ones_miss(rng: np.random.Generator) -> None:
    sizes = flat_boxes(rng)
    assert best_possible_recall(sizes, YOLOV7.anchors) < 0.5
    for levels, per_level in ((3, 3), (4, 3), (2, 5)):
        anchors = fit_anchors(sizes, levels, per_level)
        assert best_possible_recall(sizes, anchors) > 0.98
        assert np.shape(anchors) == (levels, per_level, 2)
        areas = np.prod(anchors, axis=2).ravel()
        assert (np.diff(areas) >= 0).all()


def test_fitting_is_deterministic(rng: np.random.Generator) -> None:
    sizes = flat_boxes(rng, 12_000)  # more than are looked at
    assert fit_anchors(sizes, 3, 3, seed=1) == fit_anchors(sizes, 3, 3, seed=1)
    assert fit_anchors(sizes, 3, 3, seed=1) != fit_anchors(sizes, 3, 3, seed=2)


def test_fitted_anchors_are_the_centres_of_clusters(rng: np.random.Generator) -> None:
    centres = np.array([(10, 12), (30, 90), (200, 40), (300, 310)], np.float64)
    sizes = np.concatenate([centre * np.exp(rng.normal(0, 0.02, (50, 2))) for centre in centres])
    found = np.array(fit_anchors(sizes, 2, 2)).reshape(-1, 2)
    np.testing.assert_allclose(found, centres[np.argsort(centres.prod(axis=1))], rtol=0.03)


@pytest.mark.parametrize("sizes", [[(30, 40)], [(30, 40)] * 20, [(30, 40), (300, 30)]])
def test_anchors_can_be_fitted_to_fewer_boxes(sizes: list[tuple[float, float]]) -> None:
    anchors = fit_anchors(sizes, 3, 3)
    assert np.isfinite(anchors).all()
    assert (np.array(anchors) > 0).all()
    assert best_possible_recall(sizes, anchors) == 1


def test_fitting_without_boxes_is_refused() -> None:
    with pytest.raises(DataError, match="without boxes"):
        fit_anchors(np.zeros((0, 2)), 3, 3)


def test_box_sizes_are_scaled_to_the_training_size(tmp_path: Path) -> None:
    boxes = [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 8, 40]},
        {"id": 2, "image_id": 5, "category_id": 1, "bbox": [10, 10, 20, 30]},
        {"id": 3, "image_id": 5, "category_id": 1, "bbox": [0, 0, 50, 50], "iscrowd": 1},
        {"id": 4, "image_id": 5, "category_id": 1, "bbox": [0, 0, 0.2, 30]},
    ]
    content = coco_content(annotations=boxes)
    content["images"][1] |= {"height": 160, "width": 40}
    file = write_coco(tmp_path, content)
    write_image(tmp_path / "images/5.png", size=(160, 40))
    sizes = box_sizes_at(open_dataset(file), 640)
    assert sizes.dtype == np.float32
    np.testing.assert_allclose(sizes, [(64, 320), (80, 120)])


def test_anchors_are_replaced_only_if_too_few_boxes_match_and_fitted_ones_match_more(tmp_path: Path) -> None:
    """No single anchor matches both boxes, of 4 x 4 and 80 x 60 pixels."""
    labels = f"0 0.2 0.2 {4 / 80} {4 / 60}\n0 0.5 0.5 1 1\n"
    dataset = open_dataset(write_yolo(tmp_path, {"a": labels}))
    small, tiny = (((4.0, 4.0),),), (((0.5, 0.5),),)
    assert suitable_anchors(small, dataset, 80, recall=0.5, seed=0) == (small, "")
    kept, decision = suitable_anchors(small, dataset, 80, recall=0.6, seed=0)
    assert kept == small
    assert decision == "anchors match 50.0% of the boxes; fitted ones do not match more"
    fitted, decision = suitable_anchors(tiny, dataset, 80, recall=0.5, seed=0)
    assert best_possible_recall(box_sizes_at(dataset, 80), fitted) == 0.5
    assert decision == "anchors match 0.0% of the boxes: others, fitted to the data, match 50.0%"
