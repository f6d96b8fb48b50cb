"""The certificate on real networks: what equals torch passes, what was tampered with does not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tests.runtimes.seeing import NAMES, PICTURES, SIZE, SIZES, seeing, write_labelled, write_pictures
from yolov7.artefacts.certificate import certify
from yolov7.artefacts.tolerance import TOLERANCES, Tolerance
from yolov7.artefacts.verdict import Certificate
from yolov7.data.dataset import Dataset
from yolov7.formats.opening import open_dataset
from yolov7.images.letterbox import to_tensor
from yolov7.inference.backend import Backend, TorchBackend
from yolov7.inference.predictor import Predictor
from yolov7.nms import ScoredBoxes, non_max_suppression
from yolov7.runtimes.description import Description, ExportOptions
from yolov7.runtimes.onnx_detections import OnnxEndToEndBackend
from yolov7.runtimes.runtime import ArtefactBackend
from yolov7.runtimes.suppressed import Suppressed
from yolov7.thresholds import Thresholds
from yolov7.types import Image

CHECKPOINT = seeing()
TORCH = TorchBackend(CHECKPOINT.model)


class Tampered:
    """Torch, whose rows are changed on their way out."""

    stride, layout, variant, runtime = TORCH.stride, TORCH.layout, "tampered", "torch"

    def __init__(
        self,
        change: Callable[[Tensor], Tensor] = lambda rows: rows,
        shape: tuple[int, int] | None = None,
    ) -> None:
        self.change, self.shape = change, shape
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
        self.seen.append(tuple(images.shape))
        return tuple(self.change(rows.clone()) for rows in TORCH(images, objectness))


def certified(
    candidate: Backend,
    tolerance: Tolerance = TOLERANCES["float32"],
    *,
    images: object = PICTURES,
    data: Dataset | None = None,
    conf: float = 0.25,
) -> Certificate:
    return certify(
        TORCH,
        candidate,
        images,
        names=NAMES,
        size=SIZE,
        tolerance=tolerance,
        thresholds=Thresholds(conf),
        data=data,
    )


def failed(certificate: Certificate) -> list[str]:
    return [check.what for check in certificate.checks if not check.ok]


def moved(pixels: float) -> Callable[[Tensor], Tensor]:
    def change(rows: Tensor) -> Tensor:
        rows[:, 0] += pixels
        return rows

    return change


def fainter(by: float) -> Callable[[Tensor], Tensor]:
    def change(rows: Tensor) -> Tensor:
        rows[:, 4] *= 1 - by
        return rows

    return change


def test_torch_equals_torch():
    certificate = certified(Tampered())
    assert certificate.passed
    assert certificate.images == len(PICTURES)
    assert certificate.pairs == certificate.found[0] == certificate.found[1] > 20
    assert certificate.lost == certificate.gained == certificate.on_threshold == 0
    assert certificate.box.largest == certificate.score.largest == 0
    assert certificate.examples == ()


def test_what_is_compared_is_what_prediction_finds():
    predictor = Predictor(TORCH, NAMES, SIZE)
    found = sum(len(result.detections) for result in predictor.predict(PICTURES, batch_size=2))
    assert certified(Tampered()).found == (found, found)


def test_boxes_that_move_are_rejected():
    certificate = certified(Tampered(moved(0.6)))
    assert failed(certificate) == ["largest box difference, pixels"]
    assert certificate.box.median == pytest.approx(0.6, abs=0.01)
    assert certificate.box.largest == pytest.approx(0.6 / 0.8, abs=0.01)  # in the image that is scaled down
    assert "box 0.75 pixels" in certificate.examples[0]
    assert certified(Tampered(moved(0.39))).passed


def test_one_box_that_moves_is_rejected():
    """All others of an image stay where they are."""

    def move_the_best(rows: Tensor) -> Tensor:
        rows[rows[:, 4].argmax(), 0] += 0.6
        return rows

    certificate = certified(Tampered(move_the_best))
    assert failed(certificate) == ["largest box difference, pixels"]
    assert certificate.box.median == 0
    assert certificate.box.largest > 0.59


def test_scores_that_differ_are_rejected():
    certificate = certified(Tampered(fainter(0.005)))
    assert "largest score difference" in failed(certificate)
    assert 0.001 < certificate.score.largest <= 0.005
    assert certified(Tampered(fainter(0.0005))).passed


def test_a_lost_detection_is_rejected():
    def without_best(rows: Tensor) -> Tensor:
        """No box of the best one's class."""
        if len(rows):
            best = (rows[:, 4:5] * rows[:, 5:]).amax(dim=1).argmax()
            rows[:, 5 + rows[best, 5:].argmax()] = 0
        return rows

    certificate = certified(Tampered(without_best))
    assert failed(certificate) == ["detections lost or gained"]
    assert certificate.lost >= len(PICTURES)
    assert re.match(r"image\d: lost (red|green|blue) 0\.\d{3}$", certificate.examples[0])


def test_detections_at_the_threshold_are_counted_apart():
    """A threshold that lies half way between the scores of two networks which differ by a little."""
    scores = np.concatenate(
        [result.detections.scores for result in Predictor(TORCH, NAMES, SIZE).predict(PICTURES)]
    )
    conf = float(scores.min()) * (1 - 0.0005 / 2)
    certificate = certified(Tampered(fainter(0.0005)), conf=conf)
    assert certificate.found[0] > certificate.found[1]
    assert (certificate.lost, certificate.gained) == (0, 0)
    assert certificate.on_threshold >= 1
    assert certificate.passed


@pytest.mark.parametrize(
    ("conf", "images"), [(0.9999, PICTURES), (0.25, [np.zeros((64, 64, 3), np.uint8)] * 2)]
)
def test_where_nothing_is_found_nothing_is_proven(conf: float, images: list[Image]):
    empty = Tampered(lambda rows: rows[:0])
    certificate = certify(
        empty,
        empty,
        images,
        names=NAMES,
        size=SIZE,
        tolerance=TOLERANCES["int8"],
        thresholds=Thresholds(conf),
    )
    assert certificate.images == len(images)
    assert failed(certificate) == ["detections compared"]


def test_a_handful_says_nothing_of_8_bits(labelled):
    """Whose boxes and scores are not bounded; unless AP judges, or there are a hundred."""
    eight_bits, few = TOLERANCES["int8"], PICTURES[:1]
    itself = partial(certify, TORCH, TORCH, names=NAMES, size=SIZE)
    of_few, of_all = (itself(pictures, tolerance=eight_bits) for pictures in (few, PICTURES))
    assert 1 < of_few.pairs < 100 < of_all.pairs
    assert failed(of_few) == ["detections compared"]
    assert of_all.passed
    assert itself(few, tolerance=eight_bits, data=labelled).passed
    assert itself(few, tolerance=TOLERANCES["float32"]).passed


def test_no_number_is_no_detection():
    certificate = certified(Tampered(lambda rows: rows * float("nan")))
    assert failed(certificate) == ["detections compared", "detections lost or gained"]


def test_one_shape_is_what_both_see():
    candidate = Tampered(shape=(128, 160))
    certificate = certified(candidate)
    assert certificate.passed
    assert set(candidate.seen) == {(2, 3, 128, 160)}
    others = Tampered()
    certified(others)
    assert {shape[2:] for shape in others.seen} == {(128, 128)}  # what two neighbours have in common


def test_images_that_cannot_be_read_are_said(tmp_path: Path):
    write_pictures(tmp_path / "images")
    (tmp_path / "images" / "9.png").write_text("no image")
    certificate = certified(Tampered(), images=tmp_path / "images")
    assert certificate.images == len(SIZES)
    assert len(certificate.skipped) == 1
    assert certificate.skipped[0].startswith("9.png: ")


def test_progress_is_told(monkeypatch):
    monkeypatch.setattr("yolov7.artefacts.certificate.LIMIT", 3)
    told: list[tuple[str, int, int | None]] = []
    certify(
        TORCH,
        Tampered(),
        PICTURES,
        names=NAMES,
        size=SIZE,
        tolerance=TOLERANCES["float32"],
        progress=lambda *step: told.append(step),
    )
    assert told == [("comparing", 2, 3), ("comparing", 3, 3)]


# -- with labels, and with fewer bits --------------------------------------------------------------------


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(write_labelled(tmp_path_factory.mktemp("labelled") / "set", CHECKPOINT))


def test_ap_of_both(labelled: Dataset):
    certificate = certified(Tampered(), data=labelled)
    assert certificate.labelled == len(SIZES)
    assert certificate.ap is not None
    assert certificate.ap[0] == certificate.ap[1] > 0.5
    assert certificate.passed
    shaped = certified(Tampered(shape=(128, 160)), data=labelled)
    assert shaped.ap is not None
    assert shaped.ap[0] == shaped.ap[1]


def test_ap_that_is_lost_is_rejected_though_boxes_may_differ(labelled: Dataset):
    certificate = certified(Tampered(moved(3)), TOLERANCES["int8"], data=labelled)
    assert failed(certificate) == ["loss of AP"]
    assert certificate.ap is not None
    assert certificate.ap[0] - certificate.ap[1] > 0.01


def test_ap_of_the_reference_is_not_measured_twice(labelled: Dataset):
    certificate = certify(
        TORCH,
        Tampered(),
        PICTURES,
        names=NAMES,
        size=SIZE,
        tolerance=TOLERANCES["float32"],
        data=labelled,
        reference_ap=0.125,
    )
    assert certificate.ap is not None
    assert certificate.ap[0] == 0.125


class AtOnce(OnnxEndToEndBackend):
    """Torch with everything around it, as an artefact has that does everything by itself.

    Args:
        off: by so many pixels its boxes lie too far to the right, when it is given an image as it comes.
        iou: of its suppression.
    """

    def __init__(self, off: float = 0.0, iou: float = 0.45) -> None:
        ArtefactBackend.__init__(self, Description.of(CHECKPOINT, "at-once", ExportOptions(dynamic=True)))
        self.shape = (SIZE, SIZE)
        self.off, self.iou = off, iou

    def detect(self, images: Tensor, conf: float) -> tuple[Tensor, Tensor, Tensor]:
        found = non_max_suppression(TORCH(images, max(0, conf)), max(0, conf), self.iou)
        return tuple(map(partial(pad_sequence, batch_first=True), zip(*found, strict=True)))

    def detect_in(self, image: Image, conf: float) -> ScoredBoxes:
        found = Predictor(TORCH, NAMES, SIZE, Thresholds(conf=conf, iou=self.iou))(image)
        boxes = torch.from_numpy(found.boxes) + torch.tensor((self.off, 0, self.off, 0))
        return ScoredBoxes(boxes, torch.from_numpy(found.scores), torch.from_numpy(found.labels))


def test_what_does_everything_is_also_compared_as_a_whole(labelled: Dataset):
    certificate = certified(AtOnce(), data=labelled)
    assert certificate.passed
    assert certificate.suppresses
    assert certificate.whole is not None
    assert certificate.whole.images == certificate.images
    assert certificate.whole.pairs > 20
    assert certificate.whole.box.largest == 0
    assert sum(check.what.startswith("whole path: ") for check in certificate.checks) == 4
    assert json.loads(json.dumps(certificate.to_dict()))["whole"]["pairs"] == certificate.whole.pairs

    off = certified(AtOnce(off=3))
    assert "whole path: largest box difference, pixels" in failed(off)
    assert all(what.startswith("whole path: ") for what in failed(off))


def test_suppression_inside_is_compared_by_its_own_thresholds(labelled: Dataset):
    """AP is that after the same suppression, for both; the command's IoU is not the artefact's."""
    certificate = certify(
        TORCH,
        AtOnce(),
        PICTURES,
        names=NAMES,
        size=SIZE,
        tolerance=TOLERANCES["float32"],
        thresholds=Thresholds(iou=0.9),
        data=labelled,
    )
    assert certificate.passed
    assert certificate.iou == 0.45
    assert certificate.ap is not None
    assert certificate.ap[0] == certificate.ap[1]
    assert failed(certified(AtOnce(iou=0.6)))[0] == "detections lost or gained"


def test_suppressing_twice_changes_nothing():
    images = to_tensor([PICTURES[3], PICTURES[3][::-1]])
    once = non_max_suppression(TORCH(images, 0.25), 0.25, 0.45)
    twice = non_max_suppression(Suppressed(TORCH)(images, 0.25), 0.25, 0.45)
    for first, second in zip(once, twice, strict=True):
        assert len(first.scores) > 20
        torch.testing.assert_close(tuple(second), tuple(first))


def test_in_eight_bits_a_share_may_be_lost_where_no_labels_judge():
    few, many = every_nth_lost(40), every_nth_lost(4)
    assert certified(few, TOLERANCES["int8"]).passed
    certificate = certified(many, TOLERANCES["int8"])
    assert failed(certificate) == ["detections lost or gained"]
    assert not certified(few).passed


def every_nth_lost(n: int) -> Tampered:
    """Without the objects in every n-th column of the image."""

    def change(rows: Tensor) -> Tensor:
        columns = (rows[:, 0] * n / 128 * 4).long() % n
        rows[columns == 0, 4] = 0
        return rows

    return Tampered(change)


def test_bounds_of_a_certificate_follow_from_its_numbers():
    certificate = certified(Tampered())
    bounds = {check.what: check.allowed for check in certificate.checks}
    assert bounds["detections lost or gained"] == 0
    six = replace(certificate, tolerance=TOLERANCES["int8"], found=(6, 6))
    assert {check.what: check.allowed for check in six.checks} == {
        "detections compared": 100,
        "largest box difference, pixels": None,
        "largest score difference": None,
        "detections lost or gained": 1,
    }
    judged = replace(six, ap=(0.5, 0.495))
    bounds = {check.what: check.allowed for check in judged.checks}
    assert (bounds["detections compared"], bounds["detections lost or gained"]) == (1, None)
    assert judged.passed
    assert not replace(six, ap=(0.5, float("nan"))).passed


def test_a_certificate_is_json():
    certificate = certified(Tampered(moved(0.6)))
    document = json.loads(json.dumps(certificate.to_dict(), allow_nan=False))
    assert document["pairs"] == certificate.pairs
    assert [check["ok"] for check in document["checks"]] == [True, False, True, True]
    assert document["tolerance"]["box"] == 0.5


def test_tolerances_have_reasons_and_grow_with_coarseness():
    exact, half, brain, eight = (TOLERANCES[p] for p in ("float32", "float16", "bfloat16", "int8"))
    assert exact.box < half.box < brain.box
    assert eight.box is None
    assert exact.ap < half.ap <= brain.ap < eight.ap == 0.010
    assert exact.unmatched == 0 < half.unmatched < brain.unmatched < eight.unmatched
    assert all(tolerance.reason for tolerance in TOLERANCES.values())


def test_torch_in_sixteen_bits_is_not_torch_in_32():
    half = TorchBackend(CHECKPOINT.model, half=True)
    certificate = certify(TORCH, half, PICTURES, names=NAMES, size=SIZE, tolerance=TOLERANCES["float32"])
    assert "largest score difference" in failed(certificate)
