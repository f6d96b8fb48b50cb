"""What a run remembers of itself, and what it does at the end of an epoch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import yolov7
from yolov7.training.config import TrainConfig
from yolov7.training.fit import train
from yolov7.training.keeper import Keeper
from yolov7.training.state import SafeState

STATE = {
    "history": [
        {"epoch": 1, "AP": 0.3, "AP50": 0.5, "seconds": 90.0},
        {"epoch": 2, "AP": 0.2, "AP50": 0.4, "seconds": 60.0},
        {"epoch": 3, "AP": 0.1, "AP50": 0.4, "seconds": 60.0},
    ],
    "spent": 210.0,
    "images": 10,
}


def keeper(tmp_path: Path, **options: Any) -> Keeper:
    run: Any = type("Run", (), {"config": TrainConfig(**options)})()
    made = Keeper(run, tmp_path / "a run")
    made.load_state_dict(json.loads(json.dumps(STATE)))
    return made


def test_everything_that_it_remembers_comes_back(tmp_path: Path) -> None:
    assert keeper(tmp_path).state_dict() == STATE


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({}, ""),
        ({"patience": 3}, ""),
        ({"patience": 2}, " --patience 4"),
        ({"patience": 1}, " --patience 3"),
        ({"time_budget": 10}, ""),
        ({"time_budget": 4}, " --time-budget 8"),
        ({"time_budget": 4, "patience": 2}, " --patience 4 --time-budget 8"),
    ],
)
def test_the_command_that_goes_on_fits_the_run(tmp_path: Path, options: dict[str, Any], advice: str) -> None:
    """Two evaluations without a better one; 3.5 minutes are spent, and an epoch takes 1."""
    made = keeper(tmp_path, **options)
    assert made.how_to_go_on() == f"yolov7 train --resume '{tmp_path / 'a run'}'{advice}"


def test_a_worse_epoch_after_going_on_leaves_the_best_weights(
    options: dict[str, Any], tmp_path: Path
) -> None:
    """The state remembers an AP that no second epoch reaches: best.safetensors is the first one's."""
    options |= {"width": 0.25, "size": 64, "epochs": 1}
    train(TrainConfig(**options, out=tmp_path / "run"), progress=False)
    path = tmp_path / "run/state.safetensors"
    state = SafeState().load_checkpoint(path)
    state["callbacks"]["Keeper"]["history"][0]["AP"] = 0.99
    SafeState().save_checkpoint(state, path)
    before = (tmp_path / "run/best.safetensors").read_bytes()
    result = train(TrainConfig(resume=tmp_path / "run", epochs=2), progress=False)
    assert (tmp_path / "run/best.safetensors").read_bytes() == before
    first, last = (yolov7.load_checkpoint(path) for path in (result.best, result.last))
    assert (first.training["epoch"], last.training["epoch"]) == (1, 2)
