"""Networks, losses and guidance of one's own: trained, saved, found again, or refused before epoch 1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import yolov7
from tests import own_parts
from tests.training.runs import StopAt, differing, weights
from yolov7 import plugins
from yolov7.errors import ArchitectureError, CheckpointError, UsageError, Yolov7Error
from yolov7.models.architecture import YOLOV7_TINY, scale
from yolov7.training.config import TrainConfig
from yolov7.training.fit import train
from yolov7.training.recipes import TINY, Recipe

ROOT = Path(__file__).parents[2]
RECIPE = replace(TINY, guidance=own_parts.coarse_to_coarse, loss=own_parts.TwiceTheLoss)


@pytest.fixture
def options(options: dict[str, Any]) -> dict[str, Any]:
    """Networks of one's own are small already."""
    return options | {"width": 1.0}


def test_a_network_a_guidance_and_a_loss_of_ones_own(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They train; another process finds them by their import path if it was told where, and only then."""
    options |= {"model": own_parts.gated()}
    calm = train(TrainConfig(**options, out=tmp_path / "calm"), RECIPE, progress=False)
    assert calm.finished
    names = json.loads((calm.directory / "recipe.json").read_text())
    assert names["guidance"] == "tests.own_parts:coarse_to_coarse"
    assert names["loss"] == "tests.own_parts:TwiceTheLoss"
    assert json.loads((calm.directory / "config.json").read_text())["model"] == "gated"
    loaded = yolov7.load_checkpoint(calm.best).model
    assert loaded.architecture == own_parts.gated()

    config, told = TrainConfig(**options, out=tmp_path / "stopped"), list[str]()
    with pytest.raises(KeyboardInterrupt):
        train(config, RECIPE, callbacks=[StopAt(1, 1)], progress=False, say=told.append)
    assert f"YOLOV7_PARTS=tests.own_parts yolov7 train --resume {tmp_path / 'stopped'}" in told[-1]
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(plugins, "_registered", {})
        with pytest.raises(Yolov7Error, match=r"yolov7\.register\(coarse_to_coarse\)"):
            train(TrainConfig(resume=tmp_path / "stopped"), progress=False)
    resumed = subprocess.run(
        [sys.executable, "-m", "yolov7", "train", "--resume", str(tmp_path / "stopped")],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "YOLOV7_CACHE": str(tmp_path / "cache"),
            plugins.ENVIRONMENT: "tests.own_parts",
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert differing(weights(calm.directory), weights(tmp_path / "stopped")) == []


def test_a_run_that_is_stopped_in_its_first_epoch_begins_with_the_same_network(
    options: dict[str, Any], tmp_path: Path
) -> None:
    """A Detector is given with its weights, and stays as it is."""
    torch.manual_seed(7)
    model = yolov7.create(own_parts.gated(), classes=3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    options |= {"model": model, "epochs": 1}
    calm = train(TrainConfig(**options, out=tmp_path / "calm"), progress=False)
    with pytest.raises(KeyboardInterrupt):
        train(TrainConfig(**options, out=tmp_path / "run"), callbacks=[StopAt(0, 1)], progress=False)
    resumed = train(TrainConfig(resume=tmp_path / "run"), progress=False)
    assert differing(weights(calm.directory), weights(resumed.directory)) == []
    assert differing(before, model.state_dict()) == []
    initial = yolov7.load_checkpoint(tmp_path / "run" / "network.safetensors").model
    assert differing(before, initial.state_dict()) == []


def _cannot_be_saved() -> type[own_parts.Gated]:
    class Local(own_parts.Gated):
        pass

    return Local


@pytest.mark.parametrize(
    ("change", "recipe", "error", "message"),
    [
        (
            {"model": replace(own_parts.gated(), activation=lambda: torch.nn.ReLU())},
            None,
            CheckpointError,
            r"top of a module.*\n.*lambda",
        ),
        (
            {"model": replace(YOLOV7_TINY, output=_cannot_be_saved())},
            None,
            CheckpointError,
            r"top of a module.*\n.*Local",
        ),
        ({"model": yolov7.create("yolov7-tiny"), "weights": "x.pt"}, None, UsageError, "its own weights"),
        ({"model": yolov7.create("yolov7-tiny"), "width": 0.5}, None, UsageError, "--model beside --width"),
        ({"model": replace(YOLOV7_TINY, auxiliary=(8,))}, None, ArchitectureError, "3 widths, or none"),
        ({"model": "yolov7-tiny"}, RECIPE, UsageError, "yolov7-tiny has none"),
    ],
)
def test_what_could_not_be_saved_or_used_is_refused_before_anything_happens(
    options: dict[str, Any],
    tmp_path: Path,
    change: dict[str, Any],
    recipe: Recipe | None,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        train(TrainConfig(**{**options, **change}, out=tmp_path / "run"), recipe, progress=False)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_gives_something_else_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    changes = {"loss": lambda *_: lambda *_: torch.zeros(())}
    options |= {"model": scale(YOLOV7_TINY, width=0.25, branch=0.25)}
    with pytest.raises(UsageError, match=r"invalid result of the recipe's loss.*\n.*Losses"):
        train(TrainConfig(**options, set=changes, out=tmp_path / "run"), progress=False)
