"""Every variant on every runtime that runs anywhere, against torch; and that what it sees is the picture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.runtimes.at_once import check_calls_at_once
from tests.runtimes.float32 import in_float32
from tests.runtimes.lively import lively, noise
from tests.runtimes.seeing import picture, seeing

from yolov7.images.letterbox import to_tensor
from yolov7.inference.backend import TorchBackend
from yolov7.models.architecture import VARIANTS
from yolov7.runtimes.description import ExportOptions
from yolov7.runtimes.formats import find_format
from yolov7.runtimes.openvino import OpenVinoBackend
from yolov7.runtimes.runtime import Runtime

EVERYTHING = -1.0
RUNTIMES = ("onnx", "openvino", "torchscript", "torch-export", "ncnn")


@pytest.fixture(scope="module", params=RUNTIMES)
def artefact(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Runtime, Path]:
    """An artefact of `seeing()` that takes any shape."""
    runtime = find_format(request.param)
    path = tmp_path_factory.mktemp("artefact") / f"n{runtime.suffix}"
    runtime.write(seeing(), path, ExportOptions(dynamic=True))
    return runtime, path


def test_an_artefact_sees_what_torch_sees(artefact: tuple[Runtime, Path]):
    """Colours in their order, of bytes and of floats: of these weights no two pictures look the same."""
    runtime, path = artefact
    backend, reference = runtime.open(path, exact=True), TorchBackend(seeing().model)
    bytes_ = to_tensor([picture(128, 128, seed) for seed in range(2)])
    first, second = reference(bytes_, EVERYTHING)
    assert (first - second)[:, 4:].abs().max() > 0.3
    assert (first - reference(bytes_.flip(1), EVERYTHING)[0])[:, 4:].abs().max() > 0.3
    for images in (bytes_, bytes_.float() / 255):
        for found, expected in zip(backend(images, EVERYTHING), (first, second), strict=True):
            assert (found - expected)[:, 4:].abs().max() < 1e-3
            assert (found - expected)[:, :4].abs().max() < 0.5


def test_several_threads_call_at_once(artefact: tuple[Runtime, Path]):
    """With images of their own, in number and size too; as certificates run it, and as `auto` does."""
    runtime, path = artefact
    shapes = ((1, 96, 128), (2, 64, 64), (1, 96, 128), (1, 128, 96))
    batches = [
        to_tensor([noise(height, width, 10 * i + j) for j in range(count)])
        for i, (count, height, width) in enumerate(shapes)
    ]
    for exact in (True, False):
        check_calls_at_once(runtime.open(path, parallel=2, exact=exact), batches)


@pytest.mark.slow
@pytest.mark.parametrize("variant", [variant.name for variant in VARIANTS])
@pytest.mark.parametrize("name", [name for name in RUNTIMES if name not in ("onnx", "ncnn")])
def test_every_variant(name: str, variant: str, tmp_path: Path):
    """Those of ONNX and ncnn are with their own tests."""
    checkpoint, runtime = lively(variant, width=0.125, size=128), find_format(name)
    path = tmp_path / f"n{runtime.suffix}"
    runtime.write(checkpoint, path, ExportOptions(size=128))
    images = to_tensor([noise(128, 128, seed) for seed in range(2)])
    wanted = TorchBackend(checkpoint.model)(images, EVERYTHING)
    for found, expected in zip(runtime.open(path, exact=True)(images, EVERYTHING), wanted, strict=True):
        torch.testing.assert_close(found, expected, atol=0.01, rtol=1e-4)
    backend = runtime.open(path)
    if isinstance(backend, OpenVinoBackend):
        backend = in_float32(backend)
    for found, expected in zip(backend(images, EVERYTHING), wanted, strict=True):
        torch.testing.assert_close(found, expected, atol=0.01, rtol=1e-4)
