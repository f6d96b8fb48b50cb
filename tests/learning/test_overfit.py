"""Networks learn: eight images by heart, through the whole of training, with and without auxiliary heads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch

import yolov7
from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.data.shapes import write_shapes
from yolov7.models.architecture import YOLOV7_TINY
from yolov7.training.config import TrainConfig
from yolov7.training.fit import train
from yolov7.training.keeper import Keeper

QUICKLY = (
    "nominal_batch=8",  # each batch is a step
    "learning_rate=0.1",
    "gains.objectness=5",
    "warmup_epochs=20",
    "warmup_bias_rate=0",
    "warmup_iterations=0",
    # Evaluation pads by half a stride: objects must be known wherever they lie on the grid.
    "augmentation.mosaic=0",
    "augmentation.mixup=0",
    "augmentation.translate=0.2",
    "augmentation.scale=0",
    "augmentation.flip_horizontal=0",
    "augmentation.hue=0",
    "augmentation.saturation=0",
    "augmentation.value=0",
)


class UntilLearnt(pl.Callback):
    """Ends a run once it knows its images: how many epochs that takes depends on how a processor rounds."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        (keeper,) = (callback for callback in trainer.callbacks if isinstance(callback, Keeper))
        trainer.should_stop |= bool(keeper.history) and keeper.history[-1].get("AP50", 0) >= 0.98


def learn(model: str | Path, epochs: int, directory: Path, size: int = 128, width: float = 1.0) -> float:
    """AP50 on the eight images that were learnt, after so many epochs at most."""
    data = write_shapes(directory / "shapes", train=8, val=0, size=size)
    data.write_text(data.read_text().replace("images/val", "images/train"))
    beginning = {"model": model} if isinstance(model, str) else {"weights": str(model)}
    config = TrainConfig(
        **beginning,
        data=data,
        recipe="tiny",
        size=size,
        width=width,
        epochs=epochs,
        batch_size=8,
        workers=0,
        accelerator="cpu",
        evaluate_every=40,
        save_interval=1000,
        report=False,
        out=directory / "run",
        set=QUICKLY,
    )
    result = train(config, callbacks=[UntilLearnt()], progress=False)
    assert result.evaluation is not None
    return result.evaluation.AP50


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
def test_without_auxiliary_heads(tmp_path: Path) -> None:
    assert learn("yolov7-tiny", 480, tmp_path) >= 0.95


@pytest.mark.slow
def test_with_auxiliary_heads(tmp_path: Path) -> None:
    """The small network with the heads of the large ones: coarse labels, and a neck with more taps."""
    architecture = replace(YOLOV7_TINY, name="tiny with auxiliary heads", auxiliary=YOLOV7_TINY.outputs)
    torch.manual_seed(0)
    weights = tmp_path / "fresh.safetensors"
    model = yolov7.create(architecture, classes=3)
    assert model.auxiliary is not None
    Checkpoint(model, ("circle", "square", "triangle"), 128, "open-yolov7", "float32").save(weights)
    assert learn(weights, 480, tmp_path) >= 0.95


@pytest.mark.slow
def test_yolov7_w6(tmp_path: Path) -> None:
    """A quarter of its width, with all of its depth and wiring: as much to learn with as yolov7-tiny has."""
    assert learn("yolov7-w6", 480, tmp_path, width=0.25) >= 0.95
