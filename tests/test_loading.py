"""One door for checkpoints, artefacts and runtimes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.runtimes.lively import NAMES, lively, noise
from yolov7.errors import CheckpointError, UsageError
from yolov7.inference.backend import TorchBackend
from yolov7.loading import load
from yolov7.runtimes.description import ExportOptions
from yolov7.runtimes.openvino import OpenVino, OpenVinoBackend
from yolov7.runtimes.torch_programs import TorchScript

PHOTOS = [noise(90, 128, 1), noise(128, 70, 2), noise(128, 128, 3)]


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "best.safetensors"
    lively().save(path)
    return path


def boxes(predictor):
    return [result.detections.boxes for result in predictor.predict(PHOTOS)]


@pytest.mark.parametrize("runtime", ["openvino", "torchscript"])
def test_a_checkpoint_on_another_runtime(file, runtime):
    for found, wanted in zip(boxes(load(file, runtime=runtime)), boxes(load(file)), strict=True):
        np.testing.assert_allclose(found, wanted, atol=0.01)
        assert len(wanted) > 5


def test_several_images_at_a_time_come_in_their_order(file):
    predictor = load(file, runtime="openvino", parallel=2)
    assert predictor.parallel == 2
    many = PHOTOS * 5
    results = list(predictor.predict(many))
    assert [result.index for result in results] == list(range(15))
    wanted = boxes(load(file)) * 5
    for result, expected in zip(results, wanted, strict=True):
        np.testing.assert_allclose(result.detections.boxes, expected, atol=0.01)


def test_torch_is_given_one_image_at_a_time(file):
    """Its threads share the processor among themselves already."""
    assert load(file, parallel=2).parallel == 1


def test_auto_finds_nearly_the_same(file):
    predictor = load(file, runtime="auto")
    assert isinstance(predictor.backend, OpenVinoBackend)
    counts = [(len(a), len(b)) for a, b in zip(boxes(predictor), boxes(load(file)), strict=True)]
    assert all(abs(found - wanted) <= 0.3 * wanted for found, wanted in counts)


def test_an_artefact_needs_nothing_else(tmp_path):
    TorchScript().write(lively(), tmp_path / "n.torchscript", ExportOptions(size=96))
    predictor = load(tmp_path / "n.torchscript", conf=0.3)
    assert predictor.names == NAMES
    assert (predictor.size, predictor.backend.shape) == (96, (96, 96))
    padded = load(lively(), size=96, conf=0.3)  # a wide photo: the artefact sees it in a square
    for photo in PHOTOS[2:]:
        np.testing.assert_allclose(predictor(photo).boxes, padded(photo).boxes, atol=0.01)
    assert all(len(found) for found in boxes(predictor))


def test_an_artefact_has_a_runtime_and_a_size(tmp_path):
    OpenVino().write(lively(), tmp_path / "n.openvino", ExportOptions(size=96))
    assert isinstance(load(tmp_path / "n.openvino", runtime="auto").backend, OpenVinoBackend)
    with pytest.raises(UsageError, match="runtime of its own"):
        load(tmp_path / "n.openvino", runtime="torchscript")
    with pytest.raises(UsageError, match="images of one size"):
        load(tmp_path / "n.openvino", size=128)
    with pytest.raises(UsageError, match="any size"):
        load(tmp_path / "n.openvino", augment=True)


def test_unknown_formats_and_missing_artefacts_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no such format"):
        load(lively(), runtime="abacus")
    with pytest.raises(CheckpointError, match="no such artefact"):
        load(tmp_path / "missing.onnx")


@pytest.mark.parametrize("runtime", ["torch", "auto"])
def test_an_unknown_device_is_refused(file, runtime):
    with pytest.raises(UsageError, match=r"device cannot be used\n  expected: cpu"):
        load(file, runtime=runtime, device="banana")


def test_an_invalid_size_is_refused(file, tmp_path):
    for size in (0, 31, (320, 320), "320"):
        with pytest.raises(UsageError, match="invalid image size"):
            load(file, size=size)
    with pytest.raises(UsageError, match="invalid confidence threshold"):
        load(file, conf="0.3")
    OpenVino().write(lively(), tmp_path / "n.openvino", ExportOptions(dynamic=True))
    with pytest.raises(UsageError, match="invalid image size"):
        load(tmp_path / "n.openvino", size=0)


def test_a_size_that_is_no_multiple_of_the_stride(file):
    """Images are padded to one that is, whatever runs the network."""
    for found, wanted in zip(
        boxes(load(file, size=100, runtime="onnx")), boxes(load(file, size=100)), strict=True
    ):
        np.testing.assert_allclose(found, wanted, atol=0.01)
        assert len(wanted) > 5


def test_the_default_is_torch(file):
    assert isinstance(load(file).backend, TorchBackend)
