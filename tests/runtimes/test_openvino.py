"""Real OpenVINO artefacts of small networks against torch."""

from __future__ import annotations

import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from tests.runtimes.float32 import in_float32
from tests.runtimes.lively import lively, noise
from yolov7.errors import CheckpointError, SourceError, UsageError
from yolov7.images.letterbox import to_tensor
from yolov7.inference.backend import TorchBackend
from yolov7.runtimes.description import ExportOptions
from yolov7.runtimes.openvino import MODEL, OpenVino, OpenVinoInt8, _core, _head_outputs

EVERYTHING = -1.0


@pytest.fixture(scope="module")
def checkpoint():
    return lively()


@pytest.fixture(scope="module")
def dynamic(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("openvino") / "network.openvino"
    OpenVino().write(checkpoint, path, ExportOptions(dynamic=True))
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(4):
        cv2.imwrite(str(folder / f"{i}.png"), noise(96, 128, i))
    return folder


def images(count: int = 2, height: int = 96, width: int = 128) -> torch.Tensor:
    return to_tensor([noise(height, width, 10 + i) for i in range(count)])


@pytest.mark.parametrize(
    "batch", [images(), images(1, 160, 64), images().float() / 255], ids=["bytes", "tall", "floats"]
)
def test_rows_are_those_of_torch(checkpoint, dynamic, batch):
    rows = OpenVino().open(dynamic, exact=True)(batch, EVERYTHING)
    for found, wanted in zip(rows, TorchBackend(checkpoint.model)(batch, EVERYTHING), strict=True):
        torch.testing.assert_close(found, wanted, atol=2e-3, rtol=1e-5)


def test_rows_above_an_objectness_alone(checkpoint, dynamic):
    found = OpenVino().open(dynamic, exact=True)(images(), 0.3)
    wanted = TorchBackend(checkpoint.model)(images(), 0.3)
    assert [len(rows) for rows in found] == [len(rows) for rows in wanted]
    assert all(0 < len(rows) < 500 for rows in found)


def test_in_16_bits_boxes_stay_off_the_grid_of_16_bits(checkpoint, dynamic):
    """Decoding in bfloat16 would put a centre at 100 on a grid of half pixels."""
    rows = OpenVino().open(dynamic)(images(), EVERYTHING)[0]
    assert (rows[:, :2] - rows[:, :2].bfloat16().float()).abs().max() > 0.01
    wanted = TorchBackend(checkpoint.model)(images(), EVERYTHING)[0]
    assert (rows[:, 4:] - wanted[:, 4:]).abs().max() < 0.1


def test_a_fixed_shape_takes_other_batches_but_no_other_size(checkpoint, tmp_path):
    OpenVino().write(checkpoint, tmp_path / "n.openvino", ExportOptions(batch=2, size=128))
    backend = OpenVino().open(tmp_path / "n.openvino", exact=True)
    assert backend.shape == (128, 128)
    batch = images(3, 128, 128)
    wanted = TorchBackend(checkpoint.model)(batch, EVERYTHING)
    for found, expected in zip(backend(batch, EVERYTHING), wanted, strict=True):
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-5)
    with pytest.raises(UsageError, match="128 x 128"):
        backend(images(), EVERYTHING)


def test_boxes_are_decoded_of_the_cells_above_the_threshold_alone(checkpoint, dynamic):
    """Where speed is wanted; in float32, so that every number can be compared."""
    backend, reference = in_float32(OpenVino().open(dynamic)), TorchBackend(checkpoint.model)
    assert len(backend._run(images())) == 3
    for batch in (images(), images(1, 160, 64), images().float() / 255):
        every, wanted = backend(batch, EVERYTHING), reference(batch, EVERYTHING)
        for found, above, expected in zip(every, backend(batch, 0.3), wanted, strict=True):
            torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-5)
            torch.testing.assert_close(above, found[found[:, 4] > 0.3])
            assert 0 < len(above) < len(found)


def test_an_artefact_without_names_of_its_logits_runs_whole(checkpoint, dynamic, tmp_path):
    """Older ones have none: nothing between a head and its rows is guessed."""
    old = tmp_path / "old.openvino"
    shutil.copytree(dynamic, old)
    for levels in (b"logits2", b"logits"):  # one name is missing, and all
        (old / MODEL).write_bytes((old / MODEL).read_bytes().replace(levels, b"other"))
        backend = in_float32(OpenVino().open(old))
        assert len(backend._run(images())) == 1
        wanted = TorchBackend(checkpoint.model)(images(), EVERYTHING)
        torch.testing.assert_close(backend(images(), EVERYTHING), wanted, atol=2e-3, rtol=1e-5)


def test_a_head_of_another_build_has_no_logits_and_its_artefact_runs_whole(dynamic):
    """Nothing between a head and its rows is guessed."""
    from openvino import Model, opset13

    image = opset13.parameter([1, 3, 8, 8], np.float32)
    weights = np.zeros((7, 3, 1, 1), np.float32)
    heads = [opset13.convolution(image, weights, [1, 1], [0, 0], [0, 0], [1, 1]) for _ in range(2)]
    for level in (opset13.relu(heads[0]), opset13.concat(heads, axis=1)):
        assert _head_outputs(Model([opset13.concat([level, level], axis=1)], [image])) == []
    assert len(_head_outputs(_core().read_model(dynamic / MODEL))) == 3


def test_half_precision_halves_the_file(checkpoint, dynamic, tmp_path):
    OpenVino().write(checkpoint, tmp_path / "half.openvino", ExportOptions(dynamic=True, half=True))
    sizes = [(path / "model.bin").stat().st_size for path in (tmp_path / "half.openvino", dynamic)]
    assert sizes[0] < 0.6 * sizes[1]
    assert OpenVino().describe(tmp_path / "half.openvino").precision == "float16"


def test_8_bits(checkpoint, photos, tmp_path):
    path = tmp_path / "n.int8.openvino"
    OpenVinoInt8().write(checkpoint, path, ExportOptions(dynamic=True, calibration=photos))
    description = OpenVinoInt8().describe(path)
    assert (description.format, description.precision) == ("openvino-int8", "int8")
    assert b"FakeQuantize" in (path / "model.xml").read_bytes()
    wanted = TorchBackend(checkpoint.model)(images(), EVERYTHING)[0]
    by_us, as_it_is = OpenVinoInt8().open(path), OpenVino().open(path, exact=True)
    for backend in (by_us, as_it_is):  # the second is how others will run it
        rows = backend(images(), EVERYTHING)[0]
        assert np.corrcoef(rows[:, 4], wanted[:, 4])[0, 1] > 0.9
        assert np.corrcoef(rows[:, 0], wanted[:, 0])[0, 1] > 0.999
    assert len(by_us._run(images())) == 3  # quantisation keeps the names of the logits
    exactly = OpenVinoInt8().open(path, exact=True)
    assert torch.equal(exactly(images(), 0.1)[0], by_us(images(), 0.1)[0])


def test_8_bits_need_images(checkpoint, tmp_path):
    with pytest.raises(UsageError, match="calibration"):
        OpenVinoInt8().write(checkpoint, tmp_path / "n", ExportOptions())
    with pytest.raises(SourceError, match="no image to calibrate"):
        OpenVinoInt8().write(checkpoint, tmp_path / "n", ExportOptions(calibration=tmp_path))
    assert not (tmp_path / "n").exists()


def test_the_description_comes_back(checkpoint, dynamic):
    description = OpenVino().describe(dynamic)
    assert description.names == checkpoint.names
    assert description.variant == "yolov7-tiny"
    assert description.shape is None
    assert description.strides == (8, 16, 32)


def test_damaged_and_foreign_files_are_refused(dynamic, tmp_path):
    with pytest.raises(CheckpointError, match="a part of this artefact is missing"):
        OpenVino().open(tmp_path)
    (tmp_path / "model.xml").write_text("<net>")
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match="cannot read"):
        OpenVino().open(tmp_path)
    text = (dynamic / "model.xml").read_text()
    (tmp_path / "model.xml").write_text(text.replace("open-yolov7", "somebody"))
    (tmp_path / "model.bin").write_bytes((dynamic / "model.bin").read_bytes())
    with pytest.raises(CheckpointError, match="does not say what it is"):
        OpenVino().open(tmp_path)


def test_signals_arrive_after_networks_have_come_and_gone(dynamic):
    """OpenVINO sets up stacks for signals; one that is gone would end the process at the next signal."""
    code = f"""
import gc, signal, subprocess
from pathlib import Path
from yolov7.runtimes.openvino import OpenVino

ended = []
signal.signal(signal.SIGCHLD, lambda *_: ended.append(1))
first, second = (OpenVino().open(Path({str(dynamic)!r})) for _ in range(2))
del first
gc.collect()
del second
gc.collect()
ended.clear()
subprocess.run(["true"])
print("ended", len(ended))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "ended 1")
