"""TorchScript and torch.export's programs against the network they came from."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest
import torch

from tests.runtimes.lively import lively, noise
from yolov7.errors import CheckpointError, UsageError
from yolov7.images.letterbox import to_tensor
from yolov7.inference.backend import TorchBackend
from yolov7.runtimes.description import ExportOptions
from yolov7.runtimes.network import traced
from yolov7.runtimes.torch_programs import TorchExport, TorchScript

EVERYTHING = -1.0
both = pytest.mark.parametrize("runtime", [TorchScript(), TorchExport()], ids=lambda runtime: runtime.name)


@both
@pytest.mark.parametrize("dynamic", [False, True])
def test_rows_are_those_of_torch(runtime, dynamic, tmp_path):
    checkpoint = lively()
    path = tmp_path / f"n{runtime.suffix}"
    runtime.write(checkpoint, path, ExportOptions(dynamic=dynamic))
    backend = runtime.open(path)
    assert backend.shape == (None if dynamic else (128, 128))
    sides = [(128, 128), (96, 160)] if dynamic else [(128, 128)]
    for height, width in sides:
        images = to_tensor([noise(height, width, i) for i in range(3)])
        wanted = TorchBackend(checkpoint.model)(images, EVERYTHING)
        for batch in (images, images.float() / 255):
            for found, expected in zip(backend(batch, EVERYTHING), wanted, strict=True):
                torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-5)


@both
def test_the_description_comes_back(runtime, tmp_path):
    path = tmp_path / f"n{runtime.suffix}"
    runtime.write(lively(), path, ExportOptions(size=64))
    description = runtime.describe(path)
    assert (description.format, description.size, description.shape) == (runtime.name, 64, (1, 64, 64))


@both
def test_what_cannot_be_is_said(runtime, tmp_path):
    with pytest.raises(UsageError, match="half precision"):
        runtime.write(lively(), tmp_path / "n", ExportOptions(half=True))
    with pytest.raises(UsageError, match="multiples of 32"):
        runtime.write(lively(), tmp_path / "n", ExportOptions(size=100))
    damaged = tmp_path / f"damaged{runtime.suffix}"
    damaged.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(CheckpointError, match="truncated"):
        runtime.open(damaged)


def test_a_trusted_program_of_a_gpu_is_loaded_on_the_processor(tmp_path):
    path, moved = tmp_path / "n.torchscript", tmp_path / "gpu.torchscript"
    TorchScript().write(lively(), path, ExportOptions(size=64))
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(moved, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("data.pkl"):
                content = content.replace(b"X\3\0\0\0cpu", b"X\6\0\0\0cuda:0")
                assert b"cuda:0" in content
            target.writestr(name, content)
    images = to_tensor([noise(64, 64, 1)])
    trusted = TorchScript().open(moved, trust=True)
    assert torch.equal(trusted.infer(images), TorchScript().open(path, trust=True).infer(images))


def test_somebody_else_s_program_is_refused(tmp_path):
    traced(torch.nn.Identity(), torch.zeros(1)).save(tmp_path / "n.torchscript")
    with pytest.raises(CheckpointError, match="does not say what it is"):
        TorchScript().describe(tmp_path / "n.torchscript")


@pytest.mark.slow
def test_a_disk_without_room_is_an_error(tmp_path):
    """torch's own writer would end the process."""
    code = """
import resource, sys
from pathlib import Path
from tests.runtimes.lively import lively
from yolov7.errors import OutputError
from yolov7.runtimes.description import ExportOptions
from yolov7.runtimes.torch_programs import TorchScript
checkpoint = lively()
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    TorchScript().write(checkpoint, Path(sys.argv[1]), ExportOptions())
except OutputError as error:
    print(error)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "n.torchscript")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot be written" in done.stdout
    assert list(tmp_path.iterdir()) == []
