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
from yolov7.assign.guidance import Assigner
from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.data.shapes import write_shapes
from yolov7.formats.opening import open_dataset
from yolov7.losses.detection import DetectionLoss
from yolov7.samples.loader import TrainingLoader
from yolov7.samples.sampling import EpochSampler
from yolov7.training.recipes import TINY
from yolov7.training.state import SafeState
from yolov7.types import Batch, Targets


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
        # Rounding alone: float32 and float64 differ by as much where a leaky ReLU or a maximum turns over.
        assert error < 1e-2, f"{name}: {error}"


def test_halves_of_a_batch_have_the_gradients_of_the_whole_up_to_rounding(tmp_path: Path) -> None:
    """What processes compute, without them: losses divided by the mean number of positives.

    The network is in float64, where nothing turns over that should not; the loss is in float32, always.
    """
    data = open_dataset(write_shapes(tmp_path, train=8, val=0, size=96), "train")
    sampler = EpochSampler(len(data), batch_size=8, sizes=[96], seed=0)
    loader = TrainingLoader(data, sampler, TINY.augmentation)
    batch = next(loader.epoch(0))
    weights = calibrated_weights(tmp_path / "weights.safetensors")
    assert batch.targets is not None
    halves = [_part(batch, 0, 4), _part(batch, 4, 8)]
    whole, parts = (_gradients(weights, batches) for batches in ([batch], halves))
    for name, gradient in whole.items():
        error = (parts[name] - gradient).norm() / gradient.norm().clamp(min=1e-12)
        assert error < 1e-6, f"{name}: {error}"


def _part(batch: Batch, first: int, last: int) -> Batch:
    targets = batch.targets
    assert targets is not None
    mine = (targets.image_index >= first) & (targets.image_index < last)
    part = Targets(targets.image_index[mine] - first, targets.boxes[mine], targets.labels[mine])
    return Batch(batch.images[first:last], part)


def _gradients(weights: Path, batches: list[Batch]) -> dict[str, Tensor]:
    """As many processes as batches would have them: the sum over batches."""
    model = yolov7.load_checkpoint(weights).model.double().eval()
    assigner = Assigner(model.anchors, model.strides)
    predictions = [model(batch.images.double() / 255) for batch in batches]
    labels = [assigner(p, batch.targets) for p, batch in zip(predictions, batches, strict=True)]
    counts = [lead.level.bincount(minlength=3).float() for lead, _ in labels]
    mean = torch.stack(counts).mean(0)
    gains = TINY.gains.scaled(levels=3, classes=3, size=96)
    loss = DetectionLoss(model.anchors, model.strides, gains, mean_over_processes=lambda _: mean)
    for p, assigned, batch in zip(predictions, labels, batches, strict=True):
        (loss(p, assigned, batch.targets).total * len(batch.images)).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


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
