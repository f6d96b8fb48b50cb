"""Several processes are one: the same gradients as one process with as many times the batch."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import yolov7
from tests.training.runs import environment, run
from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.data.shapes import write_shapes
from yolov7.training.state import SafeState


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """One step with a learning rate at once, then gradients of three batches that wait at the epoch's end.

    Batch norms keep their statistics: those of half a batch are others than those of the whole one.
    """
    directory = tmp_path_factory.mktemp("shapes")
    data = write_shapes(directory, train=32, val=2, size=96)
    weights = calibrated_weights(directory / "weights.safetensors")
    changes = ("warmup_epochs=0", "warmup_iterations=0", "nominal_batch=64", "augmentation.mosaic=0.5")
    options = f"--weights {weights} --size 96 --epochs 1 --precision 32 --frozen-statistics --no-report"
    return [data, *options.split(), *(part for change in changes for part in ("--set", change))]


def calibrated_weights(path: Path) -> Path:
    """A fresh network whose batch norms know its activations: else these vanish and rounding is all."""
    torch.manual_seed(0)
    model = yolov7.create("yolov7-tiny", classes=3).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(torch.rand(8, 3, 96, 96))
    Checkpoint(model, ("circle", "square", "triangle"), 96, "open-yolov7", "float32").save(path)
    return path


@pytest.fixture(scope="module")
def alone(options: list[object], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """One process, batches of 8."""
    directory = tmp_path_factory.mktemp("alone")
    finished = run(directory / "cache", *options, "--batch-size", 8, "--out", directory / "run")
    assert finished.returncode == 0, finished.stderr
    return learnt(directory / "run")


def learnt(directory: Path) -> dict[str, Tensor]:
    """Weights after the step, and the gradients since."""
    state = SafeState().load_checkpoint(directory / "state.safetensors")
    gradients = {f"gradient.{name}": gradient for name, gradient in state["gradients"].items()}
    assert gradients
    return {**{k: v for k, v in state["state_dict"].items() if v.is_floating_point()}, **gradients}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        error = (other[name] - tensor).norm() / tensor.norm().clamp(min=1e-12)
        assert error < 1e-4, f"{name}: {error}"


@pytest.mark.slow
def test_two_processes_of_half_the_batch(
    options: list[object], alone: dict[str, Tensor], tmp_path: Path
) -> None:
    parts = ("--accelerator", "cpu", "--devices", 2, "--batch-size", 4)
    finished = run(tmp_path / "cache", *options, *parts, "--out", tmp_path / "run")
    assert finished.returncode == 0, finished.stderr
    assert_same(alone, learnt(tmp_path / "run"))
    assert finished.stderr.count("recipe fine-tune") == 1  # one of them speaks


@pytest.mark.slow
def test_two_nodes_of_half_the_batch(options: list[object], alone: dict[str, Tensor], tmp_path: Path) -> None:
    """Two launchers that meet over the network, as on two machines."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    meeting = ["--master-addr", "127.0.0.1", "--master-port", str(port)]
    training = ["-m", "yolov7", "train", *map(str, options), "--accelerator", "cpu", "--batch-size", "4"]
    nodes = [
        subprocess.Popen(
            [*launcher, "--node-rank", str(rank), *meeting, *training, "--out", str(tmp_path / "run")],
            env={**environment(tmp_path / "cache"), "GLOO_SOCKET_IFNAME": "lo"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told = [node.communicate(timeout=300)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], told
    assert_same(alone, learnt(tmp_path / "run"))
    assert not (tmp_path / "run-2").exists()
