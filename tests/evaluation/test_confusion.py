"""The confusion matrix: by hand, and against a count made one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.evaluation.scenes import detected, labelled, noisy
from tests.evaluation.test_coco import write_truth
from yolov7.evaluation.confusion import Confusion, confusion_matrix
from yolov7.evaluation.matching import judge
from yolov7.formats.opening import open_dataset


def overlap(a: list[float], b: list[float]) -> tuple[float, float]:
    """IoU, and the share of `a` that lies in `b`."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    area_a, area_b = ((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
    return shared / (area_a + area_b - shared), shared / area_a


def test_by_hand():
    image = labelled([(0, 0, 40, 40), (50, 0, 90, 40), (100, 0, 140, 40)], [0, 1, 1])
    found = detected(
        ((0, 0, 40, 40), 0.9, 0),
        ((51, 0, 91, 40), 0.8, 0),
        ((150, 0, 190, 40), 0.5, 1),
        ((0, 0, 40, 40), 0.4, 1),
    )
    matrix = confusion_matrix(judge([image], {1: found}), ("cat", "dog"))
    # The last detection is the first one's box with a lesser class: nobody sees it.
    assert matrix.counts.tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]
    np.testing.assert_allclose(matrix.shares, [[1, 0, 0], [0.5, 0, 0.5], [0, 1, 0]])
    assert matrix.most_frequent() == [Confusion("dog", "cat", 1, 0.5)]


def test_against_a_count_one_by_one(tmp_path: Path):
    rng = np.random.default_rng(5)
    dataset = open_dataset(write_truth(tmp_path, rng))
    detections = noisy(dataset, rng)
    expected = np.zeros((5, 5), int)
    for image in dataset.images:
        found = detections[image.image_id]
        boxes, truth = found.boxes.astype(float).tolist(), image.boxes.astype(float).tolist()
        free = {i for i in range(len(truth)) if not image.crowds[i]}
        for i in sorted(range(len(boxes)), key=lambda i: -found.scores[i]):
            if not found.scores[i] > 0.25:
                continue
            fitting = [
                (image.labels[j] == found.labels[i], overlap(boxes[i], truth[j])[0], j)
                for j in free
                if overlap(boxes[i], truth[j])[0] >= 0.5
            ]
            if fitting:
                _, _, taken = max(fitting)
                free.remove(taken)
                expected[image.labels[taken], found.labels[i]] += 1
            elif not any(
                image.crowds[j]
                and image.labels[j] == found.labels[i]
                and overlap(boxes[i], truth[j])[1] >= 0.5
                for j in range(len(truth))
            ):
                expected[4, found.labels[i]] += 1
        for j in free:
            expected[image.labels[j], 4] += 1
    matrix = confusion_matrix(judge(dataset.images, detections), dataset.names)
    assert matrix.counts.tolist() == expected.tolist()
    assert matrix.counts[:-1].sum() == sum(int((~image.crowds).sum()) for image in dataset.images)
    assert expected[:4, :4].trace() > 0
    assert expected[:4, :4].sum() > expected[:4, :4].trace(), "there are confusions"


def test_nothing_at_all():
    matrix = confusion_matrix([], ("cat",))
    assert matrix.counts.tolist() == [[0, 0], [0, 0]]
    assert matrix.most_frequent() == []
    assert not matrix.shares.any()
