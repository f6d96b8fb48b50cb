"""Core ML packages of small networks: what they say, and what their programs compute, against torch."""

from __future__ import annotations

import json
import platform
import shutil

import pytest
import torch

from tests.runtimes import ml_program
from tests.runtimes.lively import lively, noise
from yolov7.errors import CheckpointError, MissingDependencyError, UsageError
from yolov7.images.letterbox import to_tensor
from yolov7.inference.backend import TorchBackend
from yolov7.models.architecture import VARIANTS
from yolov7.runtimes.coreml import SPECIFICATION, CoreMl
from yolov7.runtimes.description import ExportOptions

EVERYTHING = -1.0


@pytest.fixture(scope="module")
def checkpoint():
    return lively()


@pytest.fixture(scope="module")
def package(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("coreml") / "network.mlpackage"
    CoreMl().write(checkpoint, path, ExportOptions(batch=2))
    return path


def images(count: int, side: int = 128) -> torch.Tensor:
    return to_tensor([noise(side, side, 10 + i) for i in range(count)]).float() / 255


def test_its_program_computes_the_rows_of_torch(checkpoint, package):
    wanted = TorchBackend(checkpoint.model)(images(2), EVERYTHING)
    torch.testing.assert_close(ml_program.run(package, images(2)), torch.stack(wanted), atol=2e-3, rtol=1e-5)


@pytest.mark.slow
def test_half_precision_spares_the_decoding(checkpoint, package, tmp_path):
    path = tmp_path / "half.mlpackage"
    CoreMl().write(checkpoint, path, ExportOptions(half=True))
    assert CoreMl().describe(path).precision == "float16"
    weights = SPECIFICATION.parent / "weights" / "weight.bin"
    assert (path / weights).stat().st_size < 0.55 * (package / weights).stat().st_size
    types = {one.op_type: one.outputs[0].dtype.__name__ for one in ml_program.operations(path)}
    assert types["conv"] == types["max_pool"] == "fp16"
    assert types["sigmoid"] == types["mul"] == types["add"] == "fp32"
    (rows,), (wanted,) = (
        ml_program.run(path, images(1)),
        TorchBackend(checkpoint.model)(images(1), EVERYTHING),
    )
    assert 1e-5 < (rows[:, 4:] - wanted[:, 4:]).abs().max() < 0.03


def test_it_says_what_it_is(checkpoint, package):
    from coremltools.proto.Model_pb2 import Model

    description = CoreMl().describe(package)
    assert (description.format, description.shape) == ("coreml", (2, 128, 128))
    assert description.names == checkpoint.names
    words = Model.FromString((package / SPECIFICATION).read_bytes()).description
    assert json.loads(words.metadata.userDefined["names"]) == list(checkpoint.names)
    assert words.metadata.shortDescription == "yolov7-tiny: detects red, green, blue"
    assert words.metadata.author == "open-yolov7"
    assert (words.input[0].name, words.output[0].name) == ("images", "rows")
    assert list(words.output[0].type.multiArrayType.shape) == [2, 1008, 8]


def test_options_that_it_does_not_have(checkpoint, tmp_path):
    with pytest.raises(UsageError, match="one size"):
        CoreMl().write(checkpoint, tmp_path / "n.mlpackage", ExportOptions(dynamic=True))
    assert list(tmp_path.iterdir()) == []


def test_damaged_and_foreign_packages_are_refused(package, tmp_path):
    with pytest.raises(CheckpointError, match="a part of this artefact is missing"):
        CoreMl().describe(tmp_path)
    path = tmp_path / "n.mlpackage"
    shutil.copytree(package, path)
    whole = (path / SPECIFICATION).read_bytes()
    (path / SPECIFICATION).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="no Core ML package"):
        CoreMl().open(path)
    (path / SPECIFICATION).write_bytes(whole.replace(b"open-yolov7", b"open-yolov8"))
    with pytest.raises(CheckpointError, match="does not say what it is"):
        CoreMl().open(path)


@pytest.mark.skipif(platform.system() == "Darwin", reason="there it runs")
def test_elsewhere_it_says_that_it_runs_on_macos(package):
    with pytest.raises(UsageError, match="Core ML runs on macOS only"):
        CoreMl().open(package)


@pytest.mark.skipif(platform.system() != "Darwin", reason="Core ML runs on macOS only")
def test_on_macos_it_runs(checkpoint, package):
    wanted = TorchBackend(checkpoint.model)(images(3), EVERYTHING)
    for found, expected in zip(CoreMl().open(package)(images(3), EVERYTHING), wanted, strict=True):
        torch.testing.assert_close(found, expected, atol=2e-2, rtol=1e-4)
    with pytest.raises(UsageError, match="128 x 128"):
        CoreMl().open(package)(images(1, 96), EVERYTHING)


def test_without_the_library(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'open-yolov7\[coreml\]'"):
        CoreMl().require(*CoreMl.writes_with)


@pytest.mark.slow
@pytest.mark.parametrize("variant", [variant.name for variant in VARIANTS])
def test_every_variant(variant, tmp_path):
    checkpoint = lively(variant, width=0.125)
    CoreMl().write(checkpoint, tmp_path / "n.mlpackage", ExportOptions())
    found = ml_program.run(tmp_path / "n.mlpackage", images(1))
    (wanted,) = TorchBackend(checkpoint.model)(images(1), EVERYTHING)
    assert wanted[:, 4:].std() > 0.05  # else there is nothing to compare
    torch.testing.assert_close(found[0, :, 4:], wanted[:, 4:], atol=1e-4, rtol=0)
    torch.testing.assert_close(found[0, :, :4], wanted[:, :4], atol=1e-2, rtol=1e-4)
