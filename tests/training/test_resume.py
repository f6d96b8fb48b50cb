"""Nothing is lost: runs that are killed, interrupted or stopped go on as if nothing had happened."""

from __future__ import annotations

import csv
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import lightning.pytorch as pl
import pytest
import torch

from tests.training.runs import PLAIN, StopAt, differing, run, start, wait_until, weights
from yolov7.data.scaled import scaled
from yolov7.data.shapes import write_shapes
from yolov7.errors import DamagedCheckpointError, OutputError, TrainingError, UsageError
from yolov7.formats.opening import open_dataset
from yolov7.losses.detection import DetectionLoss
from yolov7.samples.loader import TrainingLoader
from yolov7.samples.sampling import EpochSampler
from yolov7.training.config import TrainConfig
from yolov7.training.fit import train
from yolov7.training.optim import Schedule
from yolov7.training.recipes import TINY
from yolov7.training.state import SafeState

EPOCHS = 12
SMALL: dict[str, Any] = {
    "model": "yolov7-tiny",
    "width": 0.25,
    "size": 64,
    "batch_size": 2,
    "epochs": 2,
    "workers": 0,
    "accelerator": "cpu",
    "save_interval": 0,
    "report": False,
    "cache": False,
}
"""A run of seconds."""


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """A run of a few seconds: gradients wait over the ends of epochs, and the state is always written."""
    data = write_shapes(tmp_path_factory.mktemp("shapes"), train=22, val=4, size=96)
    changes = [
        part for change in (PLAIN[1], "warmup_epochs=1", "warmup_iterations=0") for part in ("--set", change)
    ]
    options = "--model yolov7-tiny --width 0.25 --size 96 --batch-size 8 --no-report --save-interval 0"
    return [data, *options.split(), "--workers", 1, "--epochs", EPOCHS, *changes]


@pytest.mark.slow
@pytest.mark.clock
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
    with pytest.raises(UsageError, match="not a run that can be resumed"):
        train(TrainConfig(resume=tmp_path), progress=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two short epochs; tests work on copies."""
    folder = tmp_path_factory.mktemp("finished")
    data = write_shapes(folder / "shapes", train=6, val=2, size=64)
    train(TrainConfig(data, out=folder / "run", **SMALL), progress=False)
    return folder / "run"


@pytest.fixture
def copy(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_a_finished_run_says_so(copy: Path) -> None:
    told: list[str] = []
    before = (copy / "state.safetensors").read_bytes()
    result = train(TrainConfig(resume=copy / "last.safetensors"), say=told.append, progress=False)
    assert "finished already after 2 epochs; --epochs N trains more" in told
    assert result.finished
    assert result.advice is None
    assert (copy / "state.safetensors").read_bytes() == before
    with pytest.raises(UsageError, match="2 epochs done already"):
        train(TrainConfig(resume=copy, epochs=1), progress=False)
    with pytest.raises(UsageError, match="--size 96, where the run has 64"):
        train(TrainConfig(resume=copy, epochs=3, size=96), progress=False)


def test_a_finished_run_is_extended_and_may_be_interrupted_then(copy: Path) -> None:
    """Two more epochs in one go, and with a stop: the same bits, by the schedule of four epochs."""
    told: list[str] = []
    other = Path(shutil.copytree(copy, copy.with_name("other")))
    result = train(TrainConfig(resume=copy, epochs=4), say=told.append, progress=False)
    assert [row["epoch"] for row in result.history] == [1, 2, 3, 4]
    recipe = replace(TINY, epochs=4)
    for row in result.history[2:]:
        expected = Schedule(recipe, 3, 2).at(3 * (int(row["epoch"]) - 1)).learning_rate
        assert row["learning_rate"] == pytest.approx(expected)
    assert any("4 epochs instead of 2: the schedule is recomputed" in line for line in told)
    with pytest.raises(KeyboardInterrupt):
        train(TrainConfig(resume=other, epochs=4), callbacks=[StopAt(3, 1)], progress=False)
    again = train(TrainConfig(resume=other), say=told.append, progress=False)
    assert len(again.history) == 4
    assert differing(weights(copy), weights(other)) == []


@pytest.mark.parametrize("damage", ["cut", "altered", "gone", "no state", "another network"])
def test_a_damaged_state_gives_way_to_the_one_before(
    copy: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    right, path = weights(copy), copy / "state.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[:100_000])
    elif damage == "altered":
        content[-5] ^= 0x55
        path.write_bytes(content)
    elif damage == "gone":
        path.unlink()
    elif damage == "no state":
        SafeState().save_checkpoint({}, path.with_name("x"))
        path.with_name("x").replace(path)
    else:
        (copy / "last.safetensors").write_bytes(b"damaged too")
        path.write_bytes(b"")
    result = train(TrainConfig(resume=copy), progress=False)
    assert "the run goes on from previous-state.safetensors, after epoch 1" in caplog.text
    assert str(path) in caplog.text
    assert result.finished
    assert differing(right, weights(copy)) == []


def alter_momentum(state: dict[str, Any]) -> None:
    entry = next(e for e in state["optimizer_states"][0]["state"].values() if "momentum_buffer" in e)
    entry["momentum_buffer"] = torch.zeros(3)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["state_dict"].clear(),
        lambda state: state["state_dict"].update({"model.anchors": torch.zeros(1)}),
        lambda state: state.update(state_dict=3),
        lambda state: state.pop("gradients"),
        lambda state: state["gradients"].update({next(iter(state["state_dict"])): "x"}),
        lambda state: state.update(callbacks={}),
        lambda state: state["callbacks"]["Keeper"].update(history=[{"epoch": "x"}]),
        lambda state: state["callbacks"]["Keeper"]["history"].pop(),
        lambda state: state["loops"]["fit_loop"]["epoch_progress"]["current"].update(completed="x"),
        lambda state: state["loops"].clear(),
        lambda state: state.update(optimizer_states=[]),
        lambda state: state.update({"pytorch-lightning_version": "x"}),
        alter_momentum,
    ],
)
def test_a_made_up_state_is_named(copy: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = copy / "state.safetensors"
    state = SafeState().load_checkpoint(path)
    change(state)
    SafeState().save_checkpoint(state, path)
    (copy / "previous-state.safetensors").unlink()
    told: list[str] = []
    with pytest.raises(DamagedCheckpointError) as raised:
        train(TrainConfig(resume=copy, epochs=3), say=told.append, progress=False)
    assert raised.value.file == str(path)
    assert not any("to go on" in line for line in told)


def test_a_run_without_any_state_is_not_begun_anew_in_silence(copy: Path) -> None:
    for path in copy.glob("*state.safetensors"):
        path.unlink()
    with pytest.raises(DamagedCheckpointError, match=r"missing.*\n.*--weights .*last.safetensors"):
        train(TrainConfig(resume=copy), progress=False)


def test_a_run_that_was_stopped_for_want_of_patience_needs_more(copy: Path) -> None:
    told: list[str] = []
    config = TrainConfig(resume=copy, epochs=9, patience=1)
    stopped = train(config, say=told.append, progress=False)
    assert len(stopped.history) == 2
    assert stopped.advice is not None
    assert stopped.advice.endswith(f"yolov7 train --resume {copy} --patience 2")
    assert "from now on --patience 1, which was none" in told
    assert len(train(TrainConfig(resume=copy), progress=False).history) == 2  # it remembers
    assert len(train(TrainConfig(resume=copy, patience=2), progress=False).history) > 2


def test_changed_pixels_are_another_data_set_and_moved_ones_are_not(copy: Path, finished: Path) -> None:
    moved = Path(shutil.copytree(finished.parent / "shapes", copy.with_name("moved")))
    told: list[str] = []
    assert train(TrainConfig(moved / "data.yaml", resume=copy), say=told.append, progress=False).finished
    assert any(line.startswith(f"from now on --data {moved}") for line in told)
    assert train(TrainConfig(resume=copy), progress=False).finished  # where it was found last
    for split in ("val", "train"):
        for image in moved.glob(f"images/{split}/*"):
            cv2.imwrite(str(image), 255 - cv2.imread(str(image)))
        with pytest.raises(UsageError, match=f"has changed since the run began .split {split}"):
            train(TrainConfig(resume=copy), progress=False)


HOLDER = """
import pathlib, sys
from yolov7.lock import held
with held(pathlib.Path(sys.argv[1])) as other:
    print(other, flush=True)
    sys.stdin.read()
"""


def test_a_run_is_trained_by_one_process(copy: Path) -> None:
    from yolov7.lock import held

    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, copy / ".lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "None\n"
    with pytest.raises(TrainingError, match=f"being trained already\n.*process {process.pid}"):
        train(TrainConfig(resume=copy), progress=False)
    process.kill()
    process.communicate()
    with held(copy / ".lock") as other:
        assert other is None
        with pytest.raises(TrainingError, match="being trained already"):
            train(TrainConfig(resume=copy), progress=False)
    assert train(TrainConfig(resume=copy), progress=False).finished


class Swallowed(pl.Callback):
    """A signal that comes while a generator is cleaned up: Python drops what it raises."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        def generator() -> Iterator[None]:
            try:
                yield
            finally:
                os.kill(os.getpid(), self.number)
                time.sleep(0)

        if trainer.current_epoch == 2:
            once = generator()
            next(once)
            del once


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_never_lost(copy: Path, number: signal.Signals) -> None:
    told: list[str] = []
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt):
        train(
            TrainConfig(resume=copy, epochs=5), callbacks=[Swallowed(number)], say=told.append, progress=False
        )
    assert f"2 epochs done; to go on: yolov7 train --resume {copy}" in told
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_disk_without_room_is_an_error_and_the_run_goes_on_later(copy: Path) -> None:
    """A limit on the length of files takes the part of the disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            train(TrainConfig(resume=copy, epochs=3), loggers=[], progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert len(train(TrainConfig(resume=copy), progress=False).history) == 3


def test_a_recipe_with_a_function_of_its_own_goes_on_from_python(copy: Path, finished: Path) -> None:
    def mine(*arguments: Any) -> Any:
        return DetectionLoss(*arguments)

    recipe, told = replace(TINY, loss=mine, nominal_batch=2), []
    config = TrainConfig(finished.parent / "shapes/data.yaml", out=copy.with_name("own"), **SMALL)
    with pytest.raises(KeyboardInterrupt):
        train(config, recipe, callbacks=[StopAt(1, 1)], say=told.append, progress=False)
    own = copy.with_name("own")
    assert f'1 epoch done; to go on: train(TrainConfig(resume="{own}"), recipe) from Python' in told[-1]
    with pytest.raises(UsageError, match="from Python: train"):
        train(TrainConfig(resume=own), progress=False)
    assert train(TrainConfig(resume=own), recipe, progress=False).finished


class Seen(pl.Callback):
    """The images of each batch."""

    def __init__(self) -> None:
        self.images: list[torch.Tensor] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.images.append(batch.images.clone())


def test_each_epoch_has_samples_of_its_own(copy: Path, finished: Path) -> None:
    """Those of the loader; with another cache setting than the epochs before, too."""
    seen = Seen()
    train(TrainConfig(resume=copy, epochs=4), callbacks=[seen], progress=False)
    source = scaled(open_dataset(finished.parent / "shapes/data.yaml", "train"), 64)
    sampler = EpochSampler(len(source), batch_size=2, sizes=[64], seed=0)
    loader = TrainingLoader(source, sampler, TINY.augmentation)
    expected = [batch.images for epoch in (2, 3) for batch in loader.epoch(epoch)]
    assert len(seen.images) == len(expected) == 6
    assert all(map(torch.equal, seen.images, expected))
    assert not any(torch.equal(one, other) for one in expected[:3] for other in expected[3:])


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
