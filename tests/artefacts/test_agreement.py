"""Detections of two networks, matched; boxes are written (x1, y1, x2, y2, score, label)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from yolov7.artefacts.agreement import Agreement, ImageResult, agree, match, rows_agree
from yolov7.artefacts.tolerance import TOLERANCES
from yolov7.boxes import xyxy_to_cxcywh
from yolov7.inference.pipeline import ImageRows
from yolov7.nms import non_max_suppression
from yolov7.thresholds import Thresholds
from yolov7.types import Detections, Letterbox

CONF, IOU, CLASSES = 0.25, 0.45, 3
THRESHOLDS = Thresholds(CONF, IOU)
MAX_DETECTIONS = 300
EXACT = TOLERANCES["float32"]
MARGIN = EXACT.margin
SAME_SIZE = Letterbox((480, 640), (480, 640), (1.0, 1.0), (0, 0))

Box = tuple[float, float, float, float, float, int]
CAT: Box = (100, 100, 200, 200, 0.9, 0)
DOG: Box = (300, 100, 420, 300, 0.6, 1)


def shifted(box: Box, by: float) -> Box:
    """Along x: for a box 100 wide, by 37.93 is an IoU of 0.45."""
    return (box[0] + by, box[1], box[2] + by, *box[3:])


def scored(box: Box, score: float) -> Box:
    return (*box[:4], score, box[5])


def result(
    *boxes: Box, conf: float = CONF, iou: float = IOU, letterbox: Letterbox = SAME_SIZE
) -> ImageResult:
    """What a network sees whose rows are these boxes."""
    rows = torch.zeros(len(boxes), 5 + CLASSES)
    for row, (*corners, score, label) in zip(rows, boxes, strict=True):
        row[:4] = xyxy_to_cxcywh(torch.tensor(corners))
        row[4], row[5 + int(label)] = 1, score
    return ImageResult.of(ImageRows(rows, letterbox), Thresholds(conf, iou), MARGIN)


def compared(reference: ImageResult, candidate: ImageResult, tolerance=EXACT) -> Agreement:
    """A candidate with NMS inside, whose rows are unknown."""
    return agree(reference, replace(candidate, rows=None), THRESHOLDS, tolerance)


def compared_by_rows(reference: ImageResult, candidate: ImageResult, tolerance=EXACT) -> Agreement:
    return agree(reference, candidate, THRESHOLDS, tolerance)


def counts(agreement: Agreement) -> tuple[int, int, int, int]:
    """(pairs, lost, gained, on the threshold)"""
    return len(agreement.pairs), len(agreement.lost), len(agreement.gained), agreement.on_threshold


def test_what_is_kept_is_what_prediction_keeps():
    rows = torch.rand(3000, 5 + CLASSES, generator=torch.manual_seed(0))
    rows[:, :4] *= 400
    seen = ImageResult.of(ImageRows(rows, SAME_SIZE), THRESHOLDS, MARGIN)
    (expected,) = non_max_suppression(rows[None], CONF, IOU)
    assert len(expected.scores) == MAX_DETECTIONS
    for mine, theirs in zip(seen.boxes, expected, strict=True):
        assert torch.equal(mine[seen.kept], theirs)
    scores, labels = (rows[:, 4:5] * rows[:, 5:]).max(dim=1)
    assert len(seen.boxes.scores) == int((scores > CONF - MARGIN).sum()) > int((scores > CONF).sum())
    assert seen.rows is not None
    assert torch.equal(scores[seen.rows], seen.boxes.scores)
    assert torch.equal(labels[seen.rows], seen.boxes.labels)


def test_the_same_boxes_in_another_order_agree():
    agreement = compared(result(CAT, DOG), result(DOG, CAT))
    assert counts(agreement) == (2, 0, 0, 0)
    assert agreement.box.tolist() == agreement.score.tolist() == [0, 0]
    assert agreement.found == (2, 2)


def test_nothing_agrees_with_nothing():
    agreement = compared(result(), result())
    assert counts(agreement) == (0, 0, 0, 0)
    assert agreement.found == (0, 0)


def test_differences_are_the_largest_of_four_sides_and_of_the_scores():
    moved = (100.25, 100, 200, 199.25, 0.899, 0)
    agreement = compared(result(CAT, DOG), result(moved, DOG))
    assert sorted(agreement.box) == pytest.approx([0, 0.75], abs=1e-4)
    assert sorted(agreement.score) == pytest.approx([0, 0.001], abs=1e-6)


def test_boxes_differ_in_pixels_of_the_source():
    half = replace(SAME_SIZE, source_size=(960, 1280), scale=(0.5, 0.5))
    agreement = compared(result(CAT, letterbox=half), result(shifted(CAT, 0.2), letterbox=half))
    assert agreement.box.tolist() == pytest.approx([0.4], abs=1e-4)


def test_a_large_move_is_a_difference_of_a_pair_and_no_threshold():
    agreement = compared(result(CAT), result(shifted(CAT, 20)))
    assert counts(agreement) == (1, 0, 0, 0)
    assert agreement.box.tolist() == pytest.approx([20])


def test_labels_and_places_must_be_the_same():
    assert counts(compared(result(CAT), result((*CAT[:5], 1)))) == (0, 1, 1, 0)
    assert counts(compared(result(CAT), result(shifted(CAT, 70)))) == (0, 1, 1, 0)


def test_boxes_without_area_pair_with_themselves():
    outside = (650, 100, 700, 150, 0.8, 2)  # to the right of the image: clipped to its border
    assert counts(compared(result(outside), result(outside))) == (1, 0, 0, 0)


def test_matching_takes_the_best_overlap_first_and_each_box_once():
    def detections(*boxes: Box) -> Detections:
        array = np.array(boxes, np.float32)
        return Detections(array[:, :4], array[:, 4], array[:, 5].astype(np.int64))

    near, nearer = shifted(CAT, 10), shifted(CAT, 4)
    assert match(detections(CAT), detections(near, nearer)).tolist() == [[0, 1]]
    # The second of ours overlaps both of theirs best, and takes one of them only.
    assert sorted(match(detections(CAT, nearer), detections(nearer, near)).tolist()) == [[0, 1], [1, 0]]
    # Of two that overlap equally, the one whose score is closest.
    twice = detections(scored(CAT, 0.5), scored(CAT, 0.89))
    assert match(detections(CAT), twice).tolist() == [[0, 1]]


# -- lost and gained ------------------------------------------------------------------------------------


def test_lost_and_gained():
    assert counts(compared(result(CAT, DOG), result(CAT))) == (1, 1, 0, 0)
    assert compared(result(CAT, DOG), result(CAT)).lost.labels.tolist() == [1]
    assert counts(compared(result(CAT), result(CAT, DOG))) == (1, 0, 1, 0)


@pytest.mark.parametrize(("score", "outcome"), [(0.2505, (1, 0, 0, 1)), (0.26, (1, 1, 0, 0))])
def test_a_score_at_the_confidence_threshold(score, outcome):
    """The other network has it just below; or it ought to have it."""
    assert counts(compared(result(CAT, scored(DOG, score)), result(CAT, scored(DOG, 0.2499)))) == outcome
    lost, gained = outcome[1], outcome[2]
    reverse = (outcome[0], gained, lost, outcome[3])
    assert counts(compared(result(CAT, scored(DOG, 0.2499)), result(CAT, scored(DOG, score)))) == reverse


def test_a_box_that_moved_at_the_confidence_threshold_has_moved():
    agreement = compared(result(scored(CAT, 0.2505)), result(scored(shifted(CAT, 20), 0.2505)))
    assert counts(agreement) == (1, 0, 0, 0)
    assert agreement.box.tolist() == pytest.approx([20])


# -- suppression ----------------------------------------------------------------------------------------


def test_an_overlap_at_the_threshold():
    """In one network the lesser box overlaps a little more than 0.45, in the other a little less."""
    more, less = scored(shifted(CAT, 37.91), 0.7), scored(shifted(CAT, 37.95), 0.7)
    assert counts(compared(result(CAT, less), result(CAT, more))) == (1, 0, 0, 1)
    assert counts(compared(result(CAT, more), result(CAT, less))) == (1, 0, 0, 1)


def test_an_overlap_that_is_clear_is_no_excuse():
    other = scored(shifted(CAT, 30), 0.7)  # IoU 0.54
    assert counts(compared(result(CAT, other), result(CAT, other, iou=0.6))) == (1, 0, 1, 0)
    other = scored(shifted(CAT, 50), 0.7)  # IoU 0.33
    assert counts(compared(result(CAT, other), result(CAT, other, iou=0.3))) == (1, 1, 0, 0)


THREAD: Box = (100, 100, 100.0008, 145, 0.8, 0)


def test_the_overlap_of_boxes_as_thin_as_rounding():
    """Half of its width to the side is half a thousandth of a pixel, and two thirds of the overlap."""
    beside, below = (100.0004, 108, 100.0012, 153, 0.7, 0), (100, 108, 100.0008, 153, 0.7, 0)
    assert counts(compared(result(THREAD, beside), result(THREAD, below))) == (1, 0, 0, 1)
    assert counts(compared(result(THREAD, below), result(THREAD, beside))) == (1, 0, 0, 1)


def test_thin_boxes_that_are_apart_do_not_overlap():
    other = (100, 150, 100.0008, 195, 0.7, 0)
    assert counts(compared(result(THREAD, other), result(THREAD))) == (1, 1, 0, 0)
    assert counts(compared(result(THREAD), result(THREAD, other))) == (1, 0, 1, 0)


def test_of_two_equally_good_boxes_each_network_may_keep_another():
    first, second = scored(CAT, 0.9000), scored(shifted(CAT, 12), 0.8996)
    first_lower = scored(CAT, 0.8994)
    assert counts(compared(result(first, second), result(first_lower, second))) == (0, 0, 0, 2)


def test_of_two_equally_good_boxes_one_may_be_below_the_threshold():
    first, second = scored(CAT, 0.2504), scored(shifted(CAT, 12), 0.2496)
    reference, candidate = (
        result(first, second),
        result(scored(CAT, 0.2498), scored(shifted(CAT, 12), 0.2502)),
    )
    assert counts(compared(reference, candidate)) == (0, 0, 0, 2)


def test_of_two_boxes_that_are_not_equally_good_the_better_is_to_be_kept():
    first, second = scored(CAT, 0.9), scored(shifted(CAT, 12), 0.8)
    agreement = compared(result(first, second), result(scored(CAT, 0.7), second))
    assert counts(agreement) == (1, 0, 0, 0)
    assert agreement.box.tolist() == pytest.approx([12])
    assert agreement.score.tolist() == pytest.approx([0.1])


def test_what_follows_from_a_choice_by_a_hair_is_on_the_threshold_too():
    """A third box is suppressed by the first of two equally good ones, and not by the second."""
    first, second = scored(CAT, 0.9000), scored(shifted(CAT, 12), 0.8996)
    third = scored(shifted(CAT, -30), 0.7)
    agreement = compared(result(first, second, third), result(scored(CAT, 0.8994), second, third))
    assert counts(agreement) == (0, 0, 0, 3)
    reverse = compared(result(scored(CAT, 0.8994), second, third), result(first, second, third))
    assert counts(reverse) == (0, 0, 0, 3)


def test_the_same_box_twice_is_gained_once():
    """A candidate that suppresses nothing, though both boxes have the same score."""
    twice = result(CAT, CAT, iou=1.0)
    assert twice.kept.sum() == 2
    assert counts(compared(result(CAT, CAT), twice)) == (1, 0, 1, 0)


def test_suppression_across_classes_loses_a_box():
    inside = scored((*CAT[:5], 1), 0.8)
    agnostic = result(CAT)
    assert counts(compared(result(CAT, inside), agnostic)) == (1, 1, 0, 0)


def test_the_end_of_a_full_list_is_a_threshold():
    boxes = [(10 * i, 10, 10 * i + 5, 15, 0.9 - 0.001 * i, 0) for i in range(MAX_DETECTIONS + 1)]
    wide = Letterbox((100, 4000), (100, 4000), (1.0, 1.0), (0, 0))
    last, next_ = boxes[-2], boxes[-1]
    swapped = [*boxes[:-2], scored(last, next_[4] - 0.0002), scored(next_, last[4] + 0.0002)]
    near = replace(EXACT, score=0.002, margin=0.002)
    agreement = compared(result(*boxes, letterbox=wide), result(*swapped, letterbox=wide), near)
    assert counts(agreement) == (MAX_DETECTIONS - 1, 0, 0, 2)


def test_without_bounds_pairs_are_never_too_far_apart():
    agreement = compared(result(CAT), result(scored(shifted(CAT, 20), 0.6)), TOLERANCES["int8"])
    assert counts(agreement) == (1, 0, 0, 0)


def test_boxes_that_are_not_finite_are_lost():
    rows = torch.tensor([[150, 150, 100, float("nan"), 1, 0.9, 0, 0]])
    broken = ImageResult.of(ImageRows(rows, SAME_SIZE), THRESHOLDS, MARGIN)
    assert counts(compared(result(CAT), broken)) == (0, 1, 0, 0)


# -- what excuses nothing -------------------------------------------------------------------------------

MORE, LESS = scored(shifted(CAT, 37.91), 0.7), scored(shifted(CAT, 37.95), 0.7)
"""Of the cat a little more than 0.45, which suppresses, and a little less."""


def test_boxes_that_overlap_by_a_third_are_two_objects():
    apart, together = shifted(CAT, 54), shifted(CAT, 30)  # IoU 0.30 and 0.54
    assert counts(compared(result(CAT), result(apart))) == (0, 1, 1, 0)
    assert counts(compared(result(CAT), result(together))) == (1, 0, 0, 0)


def test_what_a_full_list_leaves_out_is_judged_by_that_list():
    """The candidate has two boxes too many, which are gained, and so no place for the last one."""
    places = [(20 * (i % 30) + 5, 20 * (i // 30) + 5) for i in range(MAX_DETECTIONS + 1)]
    grid: list[Box] = [(x, y, x + 10, y + 10, 0.8, 0) for x, y in places]
    shared, extra, last = grid[:298], grid[298:300], scored(grid[300], 0.5)
    reference, candidate = result(*shared, last), result(*shared, *extra, last)
    assert (reference.kept.sum(), candidate.kept.sum()) == (299, 300)
    assert counts(compared(reference, candidate)) == (298, 0, 2, 1)


@pytest.mark.parametrize(
    ("gained", "outcome"),
    [
        (LESS, (1, 0, 0, 1)),
        (scored(LESS, 0.75), (1, 0, 1, 0)),  # the score moved
        (scored(shifted(CAT, 42), 0.7), (1, 0, 1, 0)),  # the box moved
    ],
    ids=["the same box", "another score", "another place"],
)
def test_only_the_same_box_is_one_that_was_barely_suppressed(gained, outcome):
    assert counts(compared(result(CAT, MORE), result(CAT, gained))) == outcome


BESIDE = shifted(CAT, 62.9)
"""Overlaps the cat by 0.23, and MORE and LESS by 0.6."""


def test_each_box_that_suppressed_it_must_have_done_so_barely():
    reference, candidate = (
        result(CAT, scored(BESIDE, 0.8), MORE),
        result(CAT, scored(BESIDE, 0.8), LESS, iou=0.7),
    )
    assert counts(compared(reference, candidate)) == (2, 0, 1, 0)


@pytest.mark.parametrize(
    "other", [scored(BESIDE, 0.6), (*BESIDE[:4], 0.8, 1)], ids=["a lesser box", "a box of another class"]
)
def test_what_suppresses_nothing_does_not_count(other):
    """The cat alone suppressed MORE, and barely: the other box, which overlaps it clearly, did not."""
    reference, candidate = result(CAT, other, MORE), result(CAT, other, LESS, iou=0.7)
    assert (reference.kept.sum(), candidate.kept.sum()) == (2, 3)
    assert counts(compared(reference, candidate)) == (2, 0, 0, 1)


def test_a_box_that_is_kept_comes_before_a_nearer_one_that_is_not():
    reference = result(scored(CAT, 0.9), scored(shifted(CAT, 0.2), 0.8995))
    assert counts(compared(reference, result(scored(shifted(CAT, 0.15), 0.8997)))) == (1, 0, 0, 0)


# -- rows of the same number ----------------------------------------------------------------------------


def test_rows_of_one_number_are_one_box_wherever_it_lies():
    agreement = compared_by_rows(result(CAT, DOG), result(shifted(CAT, 70), scored(DOG, 0.5)))
    assert counts(agreement) == (2, 0, 0, 0)
    assert agreement.box.tolist() == pytest.approx([70, 0])
    assert agreement.score.tolist() == pytest.approx([0, 0.1])


def test_a_row_with_another_label_is_another_object():
    assert counts(compared_by_rows(result(CAT), result((*CAT[:5], 1)))) == (0, 1, 1, 0)


def test_objects_in_other_rows_are_the_same_objects():
    assert counts(compared_by_rows(result(CAT, DOG), result(DOG, CAT))) == (2, 0, 0, 0)


@pytest.mark.parametrize("score", [0.2505, 0.26])
def test_rows_on_the_threshold(score):
    """As without rows."""
    reference, candidate = result(CAT, scored(DOG, score)), result(CAT, scored(DOG, 0.2499))
    assert counts(compared_by_rows(reference, candidate)) == counts(compared(reference, candidate))
    assert counts(compared_by_rows(candidate, reference)) == counts(compared(candidate, reference))
    assert counts(compared_by_rows(result(CAT, MORE), result(CAT, LESS))) == (1, 0, 0, 1)
    assert counts(compared_by_rows(result(CAT, LESS), result(CAT, MORE))) == (1, 0, 0, 1)


def test_of_two_rows_around_one_object_each_network_may_keep_another():
    first, second = scored(CAT, 0.9000), scored(shifted(CAT, 12), 0.8996)
    assert counts(compared_by_rows(result(first, second), result(scored(CAT, 0.8994), second))) == (
        0,
        0,
        0,
        2,
    )
    far = compared_by_rows(result(first, second), result(scored(CAT, 0.7), second))
    assert counts(far) == (1, 0, 0, 0)  # not by a margin: the object's box moved
    assert far.box.tolist() == pytest.approx([12])


@pytest.mark.parametrize(
    ("change", "agrees"),
    [
        ({}, True),
        ({(2, 0): 0.6}, False),  # a box of a low score: a picture without objects has no others
        ({(1, 0): 0.4}, True),
        ({(1, 0): 0.6}, False),  # a box
        ({(0, 0): 50.0}, True),  # of a row without an object
        ({(0, 6): 0.002}, False),  # a class, of a row without an object too
        ({(1, 4): torch.nan}, False),
        ({(1, 2): torch.nan}, False),
    ],
)
def test_agreement_of_all_rows(change, agrees):
    reference = torch.full((3, 5 + CLASSES), 0.5)
    reference[0, 4], reference[2, 4] = 0.04, 0.06
    rows = reference.clone()
    for place, value in change.items():
        rows[place] += value
    assert rows_agree(rows, reference, EXACT) is agrees
    assert not rows_agree(rows[1:], reference, EXACT)


def test_large_boxes_may_move_with_their_size_in_bfloat16():
    reference = torch.tensor([[50.0, 50, 20, 100, 0.5, 0.5, 0.5]])
    for precision, move, agrees in (("bfloat16", 17, True), ("bfloat16", 19, False), ("float16", 3, False)):
        rows = reference.clone()
        rows[0, 1] += move
        assert rows_agree(rows, reference, TOLERANCES[precision]) is agrees, (precision, move)
