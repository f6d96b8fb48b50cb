"""Nothing is lost: runs that are killed, interrupted or stopped go on as if nothing had happened."""

from __future__ import annotations

import csv
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.training.runs import PLAIN, StopAt, differing, run, start, wait_until, weights
from yolov7.data.shapes import write_shapes
from yolov7.errors import UsageError
from yolov7.training.config import TrainConfig
from yolov7.training.fit import train

EPOCHS = 4


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """A run of a few seconds: gradients wait over the ends of epochs, and the state is always written."""
    data = write_shapes(tmp_path_factory.mktemp("shapes"), train=22, val=4, size=96)
    changes = [
        part for change in (PLAIN[1], "warmup_epochs=1", "warmup_iterations=0") for part in ("--set", change)
    ]
    options = "--model yolov7-tiny --size 96 --batch-size 8 --no-report --save-interval 0 --workers 1"
    return [data, *options.split(), "--epochs", EPOCHS, *changes]


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_as_if_it_never_was(
    arguments: list[object], tmp_path: Path
) -> None:
    assert run(tmp_path / "cache", *arguments, "--out", tmp_path / "calm").returncode == 0
    calm = weights(tmp_path / "calm")
    assert any(name.startswith("gradient.") for name in calm)  # else the test would not see them

    directory, chance = tmp_path / "killed", random.Random(0)
    go_on: list[object] = [*arguments, "--out", directory]
    killed = 0
    for _ in range(3):
        process = start(tmp_path / "cache", *go_on)
        _wait_for_a_state(process, directory)
        time.sleep(chance.uniform(0, 1))
        killed += process.poll() is None
        process.kill()
        process.communicate()
        go_on = ["--resume", directory]
    assert killed >= 2
    finished = run(tmp_path / "cache", *go_on, "--workers", 0)
    assert finished.returncode == 0, finished.stderr
    assert differing(calm, weights(directory)) == []
    assert _history(directory) == _history(tmp_path / "calm")


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(arguments: list[object], tmp_path: Path) -> None:
    directory = tmp_path / "run"
    process = start(tmp_path / "cache", *arguments, "--out", directory)
    _wait_for_a_state(process, directory)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"yolov7 train --resume {directory}" in told
    assert "Traceback" not in told
    epochs = len(_history(directory))
    finished = run(tmp_path / "cache", "--resume", directory)
    assert finished.returncode == 0, finished.stderr
    assert len(_history(directory)) == EPOCHS > epochs


def test_a_run_stopped_before_its_first_state_begins_anew(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(TrainConfig(**options, out=tmp_path / "run"), callbacks=[StopAt(0, 1)], progress=False)
    assert not (tmp_path / "run" / "state.safetensors").exists()
    result = train(TrainConfig(resume=tmp_path / "run"), progress=False)
    assert result.finished


def test_another_data_set_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(TrainConfig(**options, out=tmp_path / "run"), callbacks=[StopAt(0, 1)], progress=False)
    other = write_shapes(tmp_path / "other", train=5, val=1, size=96)
    with pytest.raises(UsageError, match="has changed"):
        train(TrainConfig(resume=tmp_path / "run", data=other), progress=False)


def test_what_is_no_run_cannot_be_continued(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run that could be continued"):
        train(TrainConfig(resume=tmp_path), progress=False)


def _wait_for_a_state(process: subprocess.Popen[str], directory: Path) -> None:
    """Until one is written that was not there before."""
    before = _written(directory)
    wait_until(process, lambda: _written(directory) > before)


def _written(directory: Path) -> float:
    state = directory / "state.safetensors"
    return state.stat().st_mtime if state.exists() else 0.0


def _history(directory: Path) -> list[list[str]]:
    """Rows of metrics.csv without the columns of time."""
    rows = csv.DictReader((directory / "metrics.csv").read_text().splitlines())
    timed = ("seconds", "images_per_second")
    return [[value for key, value in row.items() if key not in timed] for row in rows]
