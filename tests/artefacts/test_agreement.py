"""Detections of two networks, matched; boxes are written (x1, y1, x2, y2, score, label)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from yolov7.artefacts.agreement import MAX_DETECTIONS, Agreement, Look, agree, match
from yolov7.artefacts.tolerance import TOLERANCES
from yolov7.boxes import xyxy_to_cxcywh
from yolov7.nms import non_max_suppression
from yolov7.types import Detections, Letterbox

CONF, IOU, CLASSES = 0.25, 0.45, 3
EXACT = TOLERANCES["float32"]
HAIR = EXACT.hair
SAME_SIZE = Letterbox((480, 640), (480, 640), (1.0, 1.0), (0, 0))

Box = tuple[float, float, float, float, float, int]
CAT: Box = (100, 100, 200, 200, 0.9, 0)
DOG: Box = (300, 100, 420, 300, 0.6, 1)


def shifted(box: Box, by: float) -> Box:
    """Along x: for a box 100 wide, by 37.93 is an IoU of 0.45."""
    return (box[0] + by, box[1], box[2] + by, *box[3:])


def scored(box: Box, score: float) -> Box:
    return (*box[:4], score, box[5])


def look(*boxes: Box, conf: float = CONF, iou: float = IOU, letterbox: Letterbox = SAME_SIZE) -> Look:
    """What a network sees whose rows are these boxes."""
    rows = torch.zeros(len(boxes), 5 + CLASSES)
    for row, (*corners, score, label) in zip(rows, boxes, strict=True):
        row[:4] = xyxy_to_cxcywh(torch.tensor(corners))
        row[4], row[5 + int(label)] = 1, score
    return Look.of(rows, letterbox, conf=conf, iou=iou, hair=HAIR)


def compared(reference: Look, candidate: Look, tolerance=EXACT) -> Agreement:
    return agree(reference, candidate, conf=CONF, iou=IOU, tolerance=tolerance)


def counts(agreement: Agreement) -> tuple[int, int, int, int]:
    """(pairs, lost, gained, on the threshold)"""
    return len(agreement.pairs), len(agreement.lost), len(agreement.gained), agreement.on_threshold


def test_what_is_kept_is_what_prediction_keeps():
    rows = torch.rand(3000, 5 + CLASSES, generator=torch.manual_seed(0))
    rows[:, :4] *= 400
    seen = Look.of(rows, SAME_SIZE, conf=CONF, iou=IOU, hair=HAIR)
    (expected,) = non_max_suppression(rows[None], CONF, IOU)
    assert len(expected.scores) == MAX_DETECTIONS
    for mine, theirs in zip(seen.kept, expected, strict=True):
        assert torch.equal(mine, theirs)
    scores = rows[:, 4] * rows[:, 5:].amax(dim=1)
    nearly = int((scores > CONF - HAIR).sum())
    assert len(seen.kept.scores) + len(seen.passed_over.scores) == nearly > int((scores > CONF).sum())


def test_the_same_boxes_in_another_order_agree():
    agreement = compared(look(CAT, DOG), look(DOG, CAT))
    assert counts(agreement) == (2, 0, 0, 0)
    assert agreement.box.tolist() == agreement.score.tolist() == [0, 0]
    assert agreement.found == (2, 2)


def test_nothing_agrees_with_nothing():
    agreement = compared(look(), look())
    assert counts(agreement) == (0, 0, 0, 0)
    assert agreement.found == (0, 0)


def test_differences_are_the_largest_of_four_sides_and_of_the_scores():
    moved = (100.25, 100, 200, 199.25, 0.899, 0)
    agreement = compared(look(CAT, DOG), look(moved, DOG))
    assert sorted(agreement.box) == pytest.approx([0, 0.75], abs=1e-4)
    assert sorted(agreement.score) == pytest.approx([0, 0.001], abs=1e-6)


def test_boxes_differ_in_pixels_of_the_source():
    half = replace(SAME_SIZE, source_size=(960, 1280), scale=(0.5, 0.5))
    agreement = compared(look(CAT, letterbox=half), look(shifted(CAT, 0.2), letterbox=half))
    assert agreement.box.tolist() == pytest.approx([0.4], abs=1e-4)


def test_a_large_move_is_a_difference_of_a_pair_and_no_threshold():
    agreement = compared(look(CAT), look(shifted(CAT, 20)))
    assert counts(agreement) == (1, 0, 0, 0)
    assert agreement.box.tolist() == pytest.approx([20])


def test_labels_and_places_must_be_the_same():
    assert counts(compared(look(CAT), look((*CAT[:5], 1)))) == (0, 1, 1, 0)
    assert counts(compared(look(CAT), look(shifted(CAT, 70)))) == (0, 1, 1, 0)


def test_boxes_without_area_pair_with_themselves():
    outside = (650, 100, 700, 150, 0.8, 2)  # to the right of the image: clipped to its border
    assert counts(compared(look(outside), look(outside))) == (1, 0, 0, 0)


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
    assert counts(compared(look(CAT, DOG), look(CAT))) == (1, 1, 0, 0)
    assert compared(look(CAT, DOG), look(CAT)).lost.labels.tolist() == [1]
    assert counts(compared(look(CAT), look(CAT, DOG))) == (1, 0, 1, 0)


@pytest.mark.parametrize(("score", "outcome"), [(0.2505, (1, 0, 0, 1)), (0.26, (1, 1, 0, 0))])
def test_a_score_at_the_confidence_threshold(score, outcome):
    """The other network has it just below; or it ought to have it."""
    assert counts(compared(look(CAT, scored(DOG, score)), look(CAT, scored(DOG, 0.2499)))) == outcome
    lost, gained = outcome[1], outcome[2]
    reverse = (outcome[0], gained, lost, outcome[3])
    assert counts(compared(look(CAT, scored(DOG, 0.2499)), look(CAT, scored(DOG, score)))) == reverse


def test_a_box_that_moved_at_the_confidence_threshold_has_moved():
    agreement = compared(look(scored(CAT, 0.2505)), look(scored(shifted(CAT, 20), 0.2505)))
    assert counts(agreement) == (1, 0, 0, 0)
    assert agreement.box.tolist() == pytest.approx([20])


# -- suppression ----------------------------------------------------------------------------------------


def test_an_overlap_at_the_threshold():
    """In one network the lesser box overlaps a little more than 0.45, in the other a little less."""
    more, less = scored(shifted(CAT, 37.91), 0.7), scored(shifted(CAT, 37.95), 0.7)
    assert counts(compared(look(CAT, less), look(CAT, more))) == (1, 0, 0, 1)
    assert counts(compared(look(CAT, more), look(CAT, less))) == (1, 0, 0, 1)


def test_an_overlap_that_is_clear_is_no_excuse():
    other = scored(shifted(CAT, 30), 0.7)  # IoU 0.54
    assert counts(compared(look(CAT, other), look(CAT, other, iou=0.6))) == (1, 0, 1, 0)
    other = scored(shifted(CAT, 50), 0.7)  # IoU 0.33
    assert counts(compared(look(CAT, other), look(CAT, other, iou=0.3))) == (1, 1, 0, 0)


THREAD: Box = (100, 100, 100.0008, 145, 0.8, 0)


def test_the_overlap_of_boxes_as_thin_as_rounding():
    """Half of its width to the side is half a thousandth of a pixel, and two thirds of the overlap."""
    beside, below = (100.0004, 108, 100.0012, 153, 0.7, 0), (100, 108, 100.0008, 153, 0.7, 0)
    assert counts(compared(look(THREAD, beside), look(THREAD, below))) == (1, 0, 0, 1)
    assert counts(compared(look(THREAD, below), look(THREAD, beside))) == (1, 0, 0, 1)


def test_thin_boxes_that_are_apart_do_not_overlap():
    other = (100, 150, 100.0008, 195, 0.7, 0)
    assert counts(compared(look(THREAD, other), look(THREAD))) == (1, 1, 0, 0)
    assert counts(compared(look(THREAD), look(THREAD, other))) == (1, 0, 1, 0)


def test_of_two_equally_good_boxes_each_network_may_keep_another():
    first, second = scored(CAT, 0.9000), scored(shifted(CAT, 12), 0.8996)
    first_lower = scored(CAT, 0.8994)
    assert counts(compared(look(first, second), look(first_lower, second))) == (0, 0, 0, 2)


def test_of_two_equally_good_boxes_one_may_be_below_the_threshold():
    first, second = scored(CAT, 0.2504), scored(shifted(CAT, 12), 0.2496)
    reference, candidate = look(first, second), look(scored(CAT, 0.2498), scored(shifted(CAT, 12), 0.2502))
    assert counts(compared(reference, candidate)) == (0, 0, 0, 2)


def test_of_two_boxes_that_are_not_equally_good_the_better_is_to_be_kept():
    first, second = scored(CAT, 0.9), scored(shifted(CAT, 12), 0.8)
    agreement = compared(look(first, second), look(scored(CAT, 0.7), second))
    assert counts(agreement) == (1, 0, 0, 0)
    assert agreement.box.tolist() == pytest.approx([12])
    assert agreement.score.tolist() == pytest.approx([0.1])


def test_what_follows_from_a_choice_by_a_hair_is_on_the_threshold_too():
    """A third box is suppressed by the first of two equally good ones, and not by the second."""
    first, second = scored(CAT, 0.9000), scored(shifted(CAT, 12), 0.8996)
    third = scored(shifted(CAT, -30), 0.7)
    agreement = compared(look(first, second, third), look(scored(CAT, 0.8994), second, third))
    assert counts(agreement) == (0, 0, 0, 3)
    reverse = compared(look(scored(CAT, 0.8994), second, third), look(first, second, third))
    assert counts(reverse) == (0, 0, 0, 3)


def test_the_same_box_twice_is_gained_once():
    """A candidate that suppresses nothing, though both boxes have the same score."""
    twice = look(CAT, CAT, iou=1.0)
    assert len(twice.kept.scores) == 2
    assert counts(compared(look(CAT, CAT), twice)) == (1, 0, 1, 0)


def test_suppression_across_classes_loses_a_box():
    inside = scored((*CAT[:5], 1), 0.8)
    agnostic = look(CAT)
    assert counts(compared(look(CAT, inside), agnostic)) == (1, 1, 0, 0)


def test_the_end_of_a_full_list_is_a_threshold():
    boxes = [(10 * i, 10, 10 * i + 5, 15, 0.9 - 0.001 * i, 0) for i in range(MAX_DETECTIONS + 1)]
    wide = Letterbox((100, 4000), (100, 4000), (1.0, 1.0), (0, 0))
    last, next_ = boxes[-2], boxes[-1]
    swapped = [*boxes[:-2], scored(last, next_[4] - 0.0002), scored(next_, last[4] + 0.0002)]
    near = replace(EXACT, score=0.002, hair=0.002)
    agreement = compared(look(*boxes, letterbox=wide), look(*swapped, letterbox=wide), near)
    assert counts(agreement) == (MAX_DETECTIONS - 1, 0, 0, 2)


def test_without_bounds_pairs_are_never_too_far_apart():
    agreement = compared(look(CAT), look(scored(shifted(CAT, 20), 0.6)), TOLERANCES["int8"])
    assert counts(agreement) == (1, 0, 0, 0)


def test_boxes_that_are_not_finite_are_lost():
    rows = torch.tensor([[150, 150, 100, float("nan"), 1, 0.9, 0, 0]])
    broken = Look.of(rows, SAME_SIZE, conf=CONF, iou=IOU, hair=HAIR)
    assert counts(compared(look(CAT), broken)) == (0, 1, 0, 0)


# -- what excuses nothing -------------------------------------------------------------------------------

MORE, LESS = scored(shifted(CAT, 37.91), 0.7), scored(shifted(CAT, 37.95), 0.7)
"""Of the cat a little more than 0.45, which suppresses, and a little less."""


def test_boxes_that_overlap_by_a_third_are_two_objects():
    apart, together = shifted(CAT, 54), shifted(CAT, 30)  # IoU 0.30 and 0.54
    assert counts(compared(look(CAT), look(apart))) == (0, 1, 1, 0)
    assert counts(compared(look(CAT), look(together))) == (1, 0, 0, 0)


def test_what_a_full_list_leaves_out_is_judged_by_that_list():
    """The candidate has two boxes too many, which are gained, and so no place for the last one."""
    places = [(20 * (i % 30) + 5, 20 * (i // 30) + 5) for i in range(MAX_DETECTIONS + 1)]
    grid: list[Box] = [(x, y, x + 10, y + 10, 0.8, 0) for x, y in places]
    shared, extra, last = grid[:298], grid[298:300], scored(grid[300], 0.5)
    reference, candidate = look(*shared, last), look(*shared, *extra, last)
    assert (len(reference.kept.scores), len(candidate.kept.scores)) == (299, 300)
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
    assert counts(compared(look(CAT, MORE), look(CAT, gained))) == outcome


BESIDE = shifted(CAT, 62.9)
"""Overlaps the cat by 0.23, and MORE and LESS by 0.6."""


def test_each_box_that_suppressed_it_must_have_done_so_barely():
    reference, candidate = look(CAT, scored(BESIDE, 0.8), MORE), look(CAT, scored(BESIDE, 0.8), LESS, iou=0.7)
    assert counts(compared(reference, candidate)) == (2, 0, 1, 0)


@pytest.mark.parametrize(
    "other", [scored(BESIDE, 0.6), (*BESIDE[:4], 0.8, 1)], ids=["a lesser box", "a box of another class"]
)
def test_what_suppresses_nothing_does_not_count(other):
    """The cat alone suppressed MORE, and barely: the other box, which overlaps it clearly, did not."""
    reference, candidate = look(CAT, other, MORE), look(CAT, other, LESS, iou=0.7)
    assert (len(reference.kept.scores), len(candidate.kept.scores)) == (2, 3)
    assert counts(compared(reference, candidate)) == (2, 0, 0, 1)
