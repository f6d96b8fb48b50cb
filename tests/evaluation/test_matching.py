"""Which detection stands for which object: by hand, and against pycocotools."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.evaluation.scenes import detected, labelled, noisy
from tests.evaluation.test_coco import write_truth
from yolov7.evaluation.coco import coco_results
from yolov7.evaluation.matching import IGNORED, UNMATCHED, as_shown, judge, match
from yolov7.formats.opening import open_dataset

CAT, DOG = 0, 1


def test_the_best_score_chooses_first_and_takes_what_it_overlaps_most():
    image = labelled([(0, 0, 100, 100), (10, 0, 110, 100)], [CAT, CAT])
    found = detected(((5, 0, 105, 100), 0.5, CAT), ((9, 0, 109, 100), 0.9, CAT), ((0, 0, 100, 100), 0.4, CAT))
    assert match(image, found).tolist() == [0, 1, UNMATCHED]


def test_of_equal_overlaps_the_last_is_taken_as_pycocotools_does():
    """Two objects on either side of a detection, at the same distance."""
    boxes, middle = [(0, 0, 100, 100), (10, 0, 110, 100)], (5, 0, 105, 100)
    content = {
        "images": [{"id": 1}],
        "categories": [{"id": 1}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 1, "bbox": [x, 0, 100, 100], "area": 10_000, "iscrowd": 0}
            for i, (x, *_) in enumerate(boxes, 1)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = content
        truth.createIndex()
        found = [{"image_id": 1, "category_id": 1, "bbox": [5, 0, 100, 100], "score": 0.9}]
        official = COCOeval(truth, truth.loadRes(found), "bbox")
        official.evaluate()
    assert official.evalImgs[0]["dtMatches"][0].tolist() == [2]
    assert match(labelled(boxes, [CAT, CAT]), detected((middle, 0.9, CAT))).tolist() == [1]


def test_the_threshold_itself_is_enough():
    image = labelled([(0, 0, 100, 100)], [CAT])
    half = detected(((0, 0, 100, 50), 0.9, CAT))
    assert match(image, half).tolist() == [0]
    assert match(image, half, iou=0.51).tolist() == [UNMATCHED]


def test_another_class_is_taken_only_where_that_is_asked_for_and_no_object_of_its_own_is_free():
    image = labelled([(0, 0, 100, 100), (20, 0, 120, 100)], [DOG, CAT])
    found = detected(((1, 0, 101, 100), 0.9, CAT), ((2, 0, 102, 100), 0.8, CAT))
    assert match(image, found).tolist() == [1, UNMATCHED]
    assert match(image, found, across_classes=True).tolist() == [1, 0]


def test_what_is_on_a_crowd_of_its_class_is_ignored_unless_it_has_an_object():
    image = labelled([(0, 0, 200, 200), (0, 0, 20, 20)], [CAT, CAT], [True, False])
    found = detected(
        ((0, 0, 20, 20), 0.9, CAT),
        ((100, 100, 120, 120), 0.8, CAT),
        ((100, 100, 120, 120), 0.7, DOG),
        ((190, 190, 230, 230), 0.6, CAT),  # a quarter of it only
    )
    expected = [1, IGNORED, UNMATCHED, UNMATCHED]
    assert match(image, found).tolist() == expected
    assert match(image, found, across_classes=True).tolist() == expected


def test_nothing_against_something():
    nothing, something = labelled([], []), labelled([(0, 0, 9, 9)], [CAT])
    assert match(nothing, detected(((0, 0, 9, 9), 0.5, CAT))).tolist() == [UNMATCHED]
    assert match(something, detected()).tolist() == []


@pytest.mark.parametrize("iou", [0.5, 0.75])
def test_matches_are_those_of_pycocotools(iou: float, tmp_path: Path):
    rng = np.random.default_rng(7)
    dataset = open_dataset(write_truth(tmp_path, rng))
    detections = noisy(dataset, rng)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(dataset.path))
        found = truth.loadRes(coco_results(detections, dataset))
        official = COCOeval(truth, found, "bbox")
        official.params.iouThrs = np.array([iou])
        official.params.areaRng, official.params.areaRngLbl = [[0, 1e10]], ["all"]
        official.evaluate()
    expected = {}
    for entry in filter(None, official.evalImgs):
        for identity, taken, ignored in zip(
            entry["dtIds"], entry["dtMatches"][0], entry["dtIgnore"][0], strict=True
        ):
            expected[identity] = IGNORED if ignored else UNMATCHED if taken == 0 else int(taken)
    assert {IGNORED, UNMATCHED} < set(expected.values())
    numbers = iter(sorted(expected))
    for image in dataset.images:
        annotations = truth.getAnnIds(imgIds=[image.image_id])
        for taken in match(image, detections[image.image_id], iou=iou).tolist():
            ours = annotations[taken] if taken >= 0 else taken
            assert ours == expected[next(numbers)]


def test_a_person_sees_the_best_class_of_a_box_above_the_confidence():
    box, other = (0, 0, 10, 10), (50, 50, 60, 60)
    shown = as_shown(detected((box, 0.3, CAT), (box, 0.6, DOG), (other, 0.25, CAT), (other, 0.26, DOG)), 0.25)
    assert shown.labels.tolist() == [DOG, DOG]
    np.testing.assert_allclose(shown.scores, [0.6, 0.26])


def test_a_judgement_by_hand():
    image = labelled(
        [(0, 0, 40, 40), (50, 0, 90, 40), (100, 0, 140, 40), (0, 100, 200, 200)],
        [CAT, DOG, DOG, CAT],
        [False, False, False, True],
    )
    found = detected(
        ((0, 0, 40, 40), 0.9, CAT),  # right
        ((51, 0, 91, 40), 0.8, CAT),  # a dog taken for a cat
        ((150, 0, 190, 40), 0.5, DOG),  # nothing there
        ((10, 120, 40, 160), 0.7, CAT),  # in the crowd
        ((100, 0, 140, 40), 0.2, DOG),  # not confident enough: missed
    )
    (judgement,) = judge([image, labelled([], [], image_id=2)], {1: found}, conf=0.25)
    assert judgement.detections.scores.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.5])
    assert judgement.right.tolist() == [True, False, False, False]
    assert judgement.confused.tolist() == [False, True, False, False]
    assert judgement.false.tolist() == [False, False, False, True]
    assert judgement.missed.tolist() == [False, False, True, False]
    assert judgement.cost == pytest.approx(1 + (1 + 0.8) + 0.5)


def test_an_image_without_objects_can_be_judged():
    (judgement,) = judge([labelled([], [])], {1: detected(((0, 0, 9, 9), 0.5, CAT))})
    assert judgement.false.tolist() == [True]
    assert not judgement.right.any()
    assert judgement.cost == pytest.approx(0.5)
