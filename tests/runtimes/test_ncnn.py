"""Real ncnn artefacts of small networks against torch."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from tests.runtimes.lively import lively, noise
from yolov7.errors import CheckpointError, MissingDependencyError, OutputError, UsageError
from yolov7.images.letterbox import to_tensor
from yolov7.inference.backend import TorchBackend
from yolov7.models.architecture import VARIANTS
from yolov7.runtimes.description import ExportOptions
from yolov7.runtimes.ncnn import Ncnn

EVERYTHING = -1.0


@pytest.fixture(scope="module")
def checkpoint():
    return lively()


@pytest.fixture(scope="module")
def artefact(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("ncnn") / "network.ncnn"
    Ncnn().write(checkpoint, path, ExportOptions())
    return path


def images(count: int = 3, height: int = 96, width: int = 128) -> torch.Tensor:
    return to_tensor([noise(height, width, 10 + i) for i in range(count)])


def test_an_artefact_is_three_files(artefact):
    assert {path.name for path in artefact.iterdir()} == {
        "model.ncnn.param",
        "model.ncnn.bin",
        "description.json",
    }
    assert list(artefact.parent.iterdir()) == [artefact]


@pytest.mark.parametrize(
    "batch", [images(), images(1, 160, 64), images().float() / 255], ids=["bytes", "tall", "floats"]
)
def test_rows_are_those_of_torch(checkpoint, artefact, batch):
    rows = Ncnn().open(artefact, exact=True)(batch, EVERYTHING)
    for found, wanted in zip(rows, TorchBackend(checkpoint.model)(batch, EVERYTHING), strict=True):
        torch.testing.assert_close(found, wanted, atol=5e-3, rtol=1e-5)


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_in_16_bits_boxes_stay_off_the_grid_of_16_bits(checkpoint, artefact, monkeypatch, has_bfloat16):
    """Without bfloat16 in the processor ncnn would only imitate it: that is left alone."""
    monkeypatch.setattr("yolov7.runtimes.ncnn.has_bfloat16", lambda: has_bfloat16)
    rows = Ncnn().open(artefact)(images(), EVERYTHING)[0]
    wanted = TorchBackend(checkpoint.model)(images(), EVERYTHING)[0]
    assert (rows[:, :2] - rows[:, :2].bfloat16().float()).abs().max() > 0.01
    difference = (rows[:, 4:] - wanted[:, 4:]).abs().max()
    assert 1e-4 < difference < 0.1 if has_bfloat16 else difference < 0.03  # on ARM it is float16


def test_rows_above_an_objectness_alone(checkpoint, artefact):
    found = Ncnn().open(artefact, exact=True)(images(), 0.3)
    wanted = TorchBackend(checkpoint.model)(images(), 0.3)
    assert [len(rows) for rows in found] == [len(rows) for rows in wanted]
    assert all(0 < len(rows) < 500 for rows in found)


def test_sides_that_the_network_does_not_take(artefact):
    with pytest.raises(UsageError, match=r"multiples of 32\n  found:    96 x 100"):
        Ncnn().open(artefact)(images(width=100), EVERYTHING)


def test_the_description_comes_back(checkpoint, artefact):
    description = Ncnn().describe(artefact)
    assert (description.format, description.variant) == ("ncnn", "yolov7-tiny")
    assert description.names == checkpoint.names
    assert (description.size, description.shape) == (128, None)  # any, though it was not asked for
    assert description.precision == "float32"
    assert torch.equal(torch.tensor(description.anchors), checkpoint.model.anchors)


def test_half_precision_halves_the_weights(checkpoint, artefact, tmp_path):
    path = tmp_path / "half.ncnn"
    Ncnn().write(checkpoint, path, ExportOptions(half=True))
    half, full = ((folder / "model.ncnn.bin").stat().st_size for folder in (path, artefact))
    assert half < 0.55 * full
    assert Ncnn().describe(path).precision == "float16"
    rows = Ncnn().open(path, exact=True)(images(), EVERYTHING)[0]
    wanted = TorchBackend(checkpoint.model)(images(), EVERYTHING)[0]
    assert 1e-5 < (rows[:, 4:] - wanted[:, 4:]).abs().max() < 0.03


def test_damaged_and_foreign_artefacts_are_refused(artefact, tmp_path):
    with pytest.raises(CheckpointError, match="a part of this artefact is missing"):
        Ncnn().open(tmp_path)

    def damaged(name, change):
        path = tmp_path / f"{name}.ncnn"
        shutil.copytree(artefact, path)
        file = path / name
        file.write_bytes(change(file.read_bytes()))
        return path

    def half(content):
        return content[: len(content) // 2]

    for name in ("model.ncnn.param", "model.ncnn.bin"):
        with pytest.raises(CheckpointError, match=r"not whole|cannot read"):
            Ncnn().open(damaged(name, half))
    with pytest.raises(CheckpointError, match="does not say what it is"):
        Ncnn().open(damaged("description.json", half))
    shutil.rmtree(tmp_path / "description.json.ncnn")

    def without_the_first_level(content):
        said = json.loads(content)
        return json.dumps(said | {key: said[key][1:] for key in ("strides", "anchors")}).encode()

    of_two_levels = damaged("description.json", without_the_first_level)
    with pytest.raises(CheckpointError, match="do not match the description"):
        Ncnn().open(of_two_levels)


def test_what_pnnx_says_is_passed_on(checkpoint, monkeypatch, tmp_path):
    monkeypatch.setattr("yolov7.runtimes.ncnn.traced", lambda *_: torch.jit.ScriptModule())
    with pytest.raises(OutputError, match="pnnx cannot convert this network"):
        Ncnn().write(checkpoint, tmp_path / "n.ncnn", ExportOptions())
    assert list(tmp_path.iterdir()) == []


def test_without_the_libraries(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'open-yolov7\[ncnn\]'"):
        Ncnn().require(*Ncnn.runs_with)


@pytest.mark.slow
@pytest.mark.parametrize("variant", [variant.name for variant in VARIANTS])
def test_every_variant(variant, tmp_path):
    checkpoint = lively(variant, width=0.125)
    stride = checkpoint.model.strides[-1]
    Ncnn().write(checkpoint, tmp_path / "n.ncnn", ExportOptions())
    batch = images(2, 4 * stride, 3 * stride)
    found = Ncnn().open(tmp_path / "n.ncnn", exact=True)(batch, EVERYTHING)
    wanted = TorchBackend(checkpoint.model)(batch, EVERYTHING)
    for one, other in zip(found, wanted, strict=True):
        assert other[:, 4:].std() > 0.05  # else there is nothing to compare
        torch.testing.assert_close(one[:, 4:], other[:, 4:], atol=1e-4, rtol=0)
        torch.testing.assert_close(one[:, :4], other[:, :4], atol=1e-2, rtol=1e-4)
