"""Real LiteRT files of small networks against torch.

It takes a quarter of a minute to write one, and litert-torch is for an environment of its own (see
docs/dependencies.md), which ``scripts/test-litert`` makes.
"""

from __future__ import annotations

import zipfile

import pytest
import torch

from tests.runtimes.at_once import check_calls_at_once
from tests.runtimes.lively import lively, noise
from yolov7.errors import CheckpointError, MissingDependencyError, UsageError
from yolov7.images.letterbox import to_tensor
from yolov7.inference.backend import TorchBackend
from yolov7.models.architecture import VARIANTS
from yolov7.runtimes.description import FILE, ExportOptions
from yolov7.runtimes.litert import LiteRt
from yolov7.runtimes.runtime import is_installed

EVERYTHING = -1.0


def real(test):
    """Of a test that writes a file."""
    missing = not is_installed("litert_torch")
    return pytest.mark.slow(pytest.mark.skipif(missing, reason="the extra litert is not installed")(test))


@pytest.fixture(scope="module")
def checkpoint():
    return lively()


@pytest.fixture(scope="module")
def artefact(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("litert") / "network.tflite"
    LiteRt().write(checkpoint, path, ExportOptions(batch=2))
    return path


def images(count: int = 3, side: int = 128) -> torch.Tensor:
    return to_tensor([noise(side, side, 10 + i) for i in range(count)])


@real
@pytest.mark.parametrize("batch", [images(), images(1).float() / 255], ids=["bytes", "floats"])
def test_rows_are_those_of_torch(checkpoint, artefact, batch):
    rows = LiteRt().open(artefact)(batch, EVERYTHING)
    for found, wanted in zip(rows, TorchBackend(checkpoint.model)(batch, EVERYTHING), strict=True):
        torch.testing.assert_close(found, wanted, atol=5e-3, rtol=1e-5)


@real
def test_another_size_is_refused(artefact):
    with pytest.raises(UsageError, match="128 x 128"):
        LiteRt().open(artefact)(images(side=96), EVERYTHING)


@real
def test_several_threads_call_at_once(artefact):
    check_calls_at_once(LiteRt().open(artefact, parallel=2), images().split(1))


@real
def test_the_description_comes_back(checkpoint, artefact):
    description = LiteRt().describe(artefact)
    assert (description.format, description.shape) == ("litert", (2, 128, 128))
    assert description.names == checkpoint.names


@real
def test_half_precision_halves_the_file(checkpoint, artefact, tmp_path):
    path = tmp_path / "half.tflite"
    LiteRt().write(checkpoint, path, ExportOptions(half=True))
    assert LiteRt().describe(path).precision == "float16"
    assert path.stat().st_size < 0.6 * artefact.stat().st_size
    (rows,), (wanted,) = (
        backend(images(1), EVERYTHING) for backend in (LiteRt().open(path), TorchBackend(checkpoint.model))
    )
    assert 1e-5 < (rows[:, 4:] - wanted[:, 4:]).abs().max() < 0.03


@real
def test_damaged_files_are_refused(artefact, tmp_path):
    path = tmp_path / "damaged.tflite"
    whole = artefact.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="does not say what it is"):
        LiteRt().open(path)
    path.write_bytes(bytes(1000) + whole[1000:])
    with pytest.raises(CheckpointError, match="LiteRT cannot read this"):
        LiteRt().open(path)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "n.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(100))
    with pytest.raises(CheckpointError, match="does not say what it is"):
        LiteRt().open(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(FILE, '{"format": "litert"}')
    with pytest.raises(CheckpointError, match="does not say what it is"):
        LiteRt().open(path)


def test_options_that_it_does_not_have(checkpoint, tmp_path):
    with pytest.raises(UsageError, match="one size"):
        LiteRt().write(checkpoint, tmp_path / "n.tflite", ExportOptions(dynamic=True))
    assert list(tmp_path.iterdir()) == []


def test_without_the_library(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'open-yolov7\[litert\]'"):
        LiteRt().require(*LiteRt.writes_with)


@real
@pytest.mark.parametrize("variant", [variant.name for variant in VARIANTS])
def test_every_variant(variant, tmp_path):
    checkpoint = lively(variant, width=0.125)
    LiteRt().write(checkpoint, tmp_path / "n.tflite", ExportOptions())
    (found,) = LiteRt().open(tmp_path / "n.tflite")(images(1), EVERYTHING)
    (wanted,) = TorchBackend(checkpoint.model)(images(1), EVERYTHING)
    assert wanted[:, 4:].std() > 0.05  # else there is nothing to compare
    torch.testing.assert_close(found[:, 4:], wanted[:, 4:], atol=1e-4, rtol=0)
    torch.testing.assert_close(found[:, :4], wanted[:, :4], atol=1e-2, rtol=1e-4)
