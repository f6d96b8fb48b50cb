"""Curves against counts made one by one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.scenes import detected, evaluated, labelled, noisy
from tests.evaluation.test_coco import write_truth
from yolov7.data.dataset import Dataset
from yolov7.evaluation.curves import CONFIDENCES, RECALLS, ConfidenceCurves, confidence_curves
from yolov7.evaluation.matching import IGNORED, match
from yolov7.formats.opening import open_dataset
from yolov7.types import Detections


@pytest.fixture
def scene(tmp_path: Path) -> tuple[Dataset, dict[int | str, Detections]]:
    rng = np.random.default_rng(11)
    dataset = open_dataset(write_truth(tmp_path, rng))
    return dataset, noisy(dataset, rng)


def test_the_metrics_are_means_of_the_curves(scene):
    dataset, detections = scene
    outcome = evaluated(dataset, detections)
    curves, metrics = outcome.precision_recall, outcome
    assert curves.precision.shape == (10, 101, 3)
    assert curves.names == ("class 2", "class 5", "class 9"), "class 11 has no object"
    assert curves.mean().mean() == pytest.approx(metrics.AP)
    assert curves.mean(0.5).mean() == pytest.approx(metrics.AP50)
    assert curves.mean(0.75).mean() == pytest.approx(metrics.AP75)
    of_class = {one.name: one for one in metrics.per_class}
    for place, name in enumerate(curves.names):
        assert curves.at(0.5)[:, place].mean() == pytest.approx(of_class[name].AP50)
    assert math.isnan(of_class["class 11"].AP50)


def test_precision_at_each_recall_counted_by_hand(scene):
    dataset, detections = scene
    curves = evaluated(dataset, detections).precision_recall.at(0.5)
    for label in range(3):
        objects, ranked = 0, []
        for image in sorted(dataset.images, key=lambda image: image.image_id):
            found = detections[image.image_id]
            objects += int(((image.labels == label) & ~image.crowds).sum())
            entries = zip(found.scores, found.labels, match(image, found), strict=True)
            ranked += [
                (-score, taken >= 0) for score, mine, taken in entries if mine == label and taken != IGNORED
            ]
        ranked.sort(key=lambda entry: entry[0])  # stable: equal scores stay in the order of the images
        right = np.cumsum([hit for _, hit in ranked])
        precision, recall = right / np.arange(1, len(ranked) + 1), right / objects
        expected = [max(precision[recall >= point], default=0) for point in RECALLS]
        np.testing.assert_allclose(curves[:, label], expected, atol=1e-12)


def test_precision_recall_and_f1_at_a_confidence_are_those_of_the_remaining_detections(scene):
    dataset, detections = scene
    curves = confidence_curves(dataset.images, detections, dataset.names)
    for place in range(0, len(CONFIDENCES), 25):
        confidence = CONFIDENCES[place]
        right, found, objects = np.zeros((3, 4))
        for image in dataset.images:
            remaining = detections[image.image_id]
            remaining = remaining[remaining.scores > confidence]
            for label, taken in zip(remaining.labels, match(image, remaining), strict=True):
                right[label] += taken >= 0
                found[label] += taken != IGNORED
            for label, crowd in zip(image.labels, image.crowds, strict=True):
                objects[label] += not crowd
        for label in range(4):
            precision = right[label] / found[label] if found[label] else math.nan
            recall = right[label] / objects[label] if objects[label] else math.nan
            f1 = 2 * right[label] / (found[label] + objects[label]) if objects[label] else math.nan
            assert curves.precision[label, place] == pytest.approx(precision, nan_ok=True)
            assert curves.recall[label, place] == pytest.approx(recall, nan_ok=True)
            assert curves.f1[label, place] == pytest.approx(f1, nan_ok=True)
    assert math.isnan(curves.recall[3, 0]), "no object of the last class"


def test_the_best_confidence_is_amid_those_that_do_equally_well():
    image = labelled([(0, 0, 50, 50)], [0])
    found = detected(((0, 0, 50, 50), 0.8, 0), ((100, 100, 150, 150), 0.4, 0))
    curves = confidence_curves([image], {1: found}, ("cat", "dog"))
    confidence, f1 = curves.best
    assert f1 == 1, "classes without objects do not count"
    assert confidence == pytest.approx(0.6, abs=0.003)
    assert curves.mean_recall[0] == 1
    assert curves.mean_precision[0] == 0.5
    assert math.isnan(curves.mean_precision[-1])


def test_the_best_confidence_may_be_the_last_or_none():
    rising = np.linspace(0, 1, len(CONFIDENCES))[None]
    assert ConfidenceCurves(("cat",), rising, rising, rising).best == (1, 1)
    nothing = confidence_curves([labelled([], [])], {1: detected()}, ("cat",))
    assert all(map(math.isnan, nothing.best))
    assert all(map(math.isnan, confidence_curves([], {}, ("cat",)).best))
