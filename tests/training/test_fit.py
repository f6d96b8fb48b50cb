"""Runs from beginning to end, and all that may come between."""

from __future__ import annotations

import csv
import json
import multiprocessing
import shutil
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

import yolov7
from tests.training.runs import StopAt, differing, weights
from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.errors import DataError, TrainingError, UsageError
from yolov7.evaluation.run import evaluate_network
from yolov7.models.architecture import YOLOV7_TINY, scale
from yolov7.training import keeper
from yolov7.training.config import TrainConfig
from yolov7.training.fit import train
from yolov7.training.module import TrainingModule
from yolov7.training.recipes import TINY

NARROW = scale(YOLOV7_TINY, width=0.25, branch=0.25)
"""The network of `options`."""


def test_a_run_leaves_everything_that_is_needed_later(options: dict[str, Any], tmp_path: Path) -> None:
    told: list[str] = []
    result = train(TrainConfig(**options, out=tmp_path / "run"), say=told.append, progress=False)
    assert result.finished
    assert result.directory == tmp_path / "run"
    assert result.evaluation is not None
    assert len(result.evaluation.by_image) == 4
    names = {path.name for path in result.directory.iterdir()}
    assert {"config.json", "recipe.json", "metrics.csv", "last.safetensors", "state.safetensors"} <= names
    rows = list(csv.DictReader((result.directory / "metrics.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(float(row["total"]) > 0 and float(row["images_per_second"]) > 0 for row in rows)
    checkpoint = yolov7.load_checkpoint(result.last)
    assert checkpoint.names == ("circle", "square", "triangle")
    assert (checkpoint.size, checkpoint.model.architecture.name) == (96, "yolov7-tiny")
    assert checkpoint.training["epoch"] == 2
    assert json.loads((result.directory / "recipe.json").read_text())["final_share"] == 0.01
    assert any("10 images" in line for line in told)


def test_the_best_ap_is_one_number(options: dict[str, Any], tmp_path: Path) -> None:
    """In the history, at the end, by `val`, and on the page: the same weights, AP and epoch."""
    torch.manual_seed(0)
    eager = yolov7.create(NARROW, classes=3)
    with torch.no_grad():
        for conv in eager.lead.convs:  # sure of itself: so many boxes that the threshold of NMS decides
            conv.bias.view(3, 8)[:, 4:] += 6
    path = tmp_path / "eager.safetensors"
    Checkpoint(eager, ("circle", "square", "triangle"), 96, "open-yolov7", "float32").save(path)
    options |= {"epochs": 3, "report": True, "weights": str(path)}
    result = train(TrainConfig(**options, out=tmp_path / "run"), progress=False)
    best = max(result.history, key=lambda row: row["AP"])
    assert result.evaluation is not None
    assert result.evaluation.AP == best["AP"] > 0
    again = yolov7.evaluate(result.best, options["data"], device="cpu")
    assert [best["AP"], best["AP50"]] == [again.AP, again.AP50]
    assert yolov7.load_checkpoint(result.best).training["epoch"] == best["epoch"]
    assert signature(yolov7.evaluate).parameters["iou"].default == 0.65
    assert signature(evaluate_network).parameters["thresholds"].default.iou == 0.65
    page = (result.directory / "report.html").read_text(encoding="utf-8")
    assert f"epoch {best['epoch']}" in page[page.index("Best AP") :][:200]


def test_a_second_run_has_a_directory_of_its_own(options: dict[str, Any], tmp_path: Path) -> None:
    options["epochs"] = 1
    directories = [
        train(TrainConfig(**options, out=tmp_path / "run"), progress=False).directory.name for _ in range(2)
    ]
    assert directories == ["run", "run-2"]


class Workers(pl.Callback):
    """Counts the processes that prepare images."""

    def on_train_batch_end(self, *_: Any) -> None:
        self.count = len(multiprocessing.active_children())


def test_any_number_of_workers_gives_the_same_run(options: dict[str, Any], tmp_path: Path) -> None:
    for workers in (0, 2):
        config = TrainConfig(**{**options, "workers": workers}, out=tmp_path / str(workers))
        train(config, callbacks=[seen := Workers()], progress=False)
        assert seen.count == workers
    assert differing(weights(tmp_path / "0"), weights(tmp_path / "2")) == []


class Pixels(pl.Callback):
    """Remembers the images of each epoch."""

    def __init__(self) -> None:
        self.of_epoch: dict[int, set[bytes]] = {}

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        seen = self.of_epoch.setdefault(trainer.current_epoch, set())
        seen |= {image.numpy().tobytes() for image in batch.images}


def test_another_seed_gives_another_run_and_each_epoch_other_samples(
    options: dict[str, Any], tmp_path: Path
) -> None:
    seen = []
    for seed in (0, 1):
        config = TrainConfig(**options, seed=seed, out=tmp_path / str(seed))
        train(config, callbacks=[pixels := Pixels()], progress=False)
        seen += pixels.of_epoch.values()
    assert differing(weights(tmp_path / "0"), weights(tmp_path / "1"))
    assert len(seen) == 4
    assert len(set.union(*seen)) == sum(map(len, seen)) == 40


class Poison(pl.Callback):
    """Makes the network useless before a batch of the second epoch."""

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, TrainingModule)
        if (trainer.current_epoch, batch_idx) == (1, 1):
            self.images = batch.image_ids
            with torch.no_grad():
                next(pl_module.model.parameters()).fill_(torch.nan)


def test_a_loss_that_is_no_number_ends_the_run_and_names_the_images(
    options: dict[str, Any], tmp_path: Path
) -> None:
    poison = Poison()
    with pytest.raises(TrainingError, match="epoch 2, batch 2") as raised:
        train(TrainConfig(**options, out=tmp_path / "run"), callbacks=[poison], progress=False)
    assert "images " + ", ".join(map(str, poison.images)) in str(raised.value)
    kept = weights(tmp_path / "run")
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())
    result = train(TrainConfig(resume=tmp_path / "run"), progress=False)  # without the poison
    assert result.finished


def test_a_run_that_gets_no_better_ends_early(options: dict[str, Any], tmp_path: Path) -> None:
    """A learning rate of 0 changes nothing, so the first evaluation stays the best."""
    options |= {
        "epochs": 9,
        "patience": 2,
        "set": ("learning_rate=0", "warmup_bias_rate=0"),
        "frozen_statistics": True,
    }
    result = train(TrainConfig(**options, out=tmp_path / "run"), progress=False)
    assert not result.finished
    assert len(result.history) == 3


class EndAfter(pl.Callback):
    """A callback of somebody else's, which ends a run after an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop |= trainer.current_epoch + 1 >= self.epoch


def test_a_run_that_a_callback_ends_is_written_down(options: dict[str, Any], tmp_path: Path) -> None:
    config = TrainConfig(**(options | {"epochs": 4, "save_interval": 1e9}), out=tmp_path / "run")
    ended = train(config, callbacks=[EndAfter(3)], progress=False)
    assert len(ended.history) == 3
    assert yolov7.load_checkpoint(ended.last).training["epoch"] == 3
    whole = train(replace(config, resume=tmp_path / "run"), progress=False)
    assert [row["epoch"] for row in whole.history] == [1, 2, 3, 4]
    straight = train(replace(config, out=tmp_path / "straight"), progress=False)
    assert not differing(weights(whole.directory), weights(straight.directory))


class Minutes(pl.Callback):
    """A clock by which each epoch takes a minute."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.now += 60 * (batch_idx == 0)


def test_a_run_ends_before_its_time_is_over(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "time", clock := Minutes())
    options |= {"epochs": 1000, "time_budget": 2.5}
    result = train(TrainConfig(**options, out=tmp_path / "run"), callbacks=[clock], progress=False)
    assert [row["seconds"] for row in result.history] == [60, 60]
    assert (tmp_path / "run" / "state.safetensors").exists()


def test_frozen_parts_stay_as_they_are(options: dict[str, Any], tmp_path: Path) -> None:
    first = train(TrainConfig(**options, out=tmp_path / "first"), progress=False)
    changes = ("nominal_batch=4", "warmup_epochs=0")
    options |= {"model": None, "width": 1.0, "weights": str(first.last), "set": changes}
    before = yolov7.load_checkpoint(first.last).model.state_dict()

    def moved(**more: Any) -> set[str]:
        out = train(
            TrainConfig(**options, freeze=("backbone",), **more, out=tmp_path / "run"), progress=False
        )
        after = yolov7.load_checkpoint(out.last).model.state_dict()
        return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}

    assert moved() == {"neck", "outputs", "lead"}
    assert moved(unfreeze_after=1) == {"backbone", "neck", "outputs", "lead"}


def test_fine_tuning_says_which_tensors_it_took(
    options: dict[str, Any], tmp_path: Path, coarse_weights: Path
) -> None:
    told: list[str] = []
    options |= {"model": None, "width": 1.0, "weights": str(coarse_weights), "epochs": 1}
    result = train(TrainConfig(**options, out=tmp_path / "run"), say=told.append, progress=False)
    text = "\n".join(told)
    assert "recipe fine-tune" in text
    assert "boxes and objectness taken, classes fresh: lead.convs.0.weight" in text
    assert yolov7.load_checkpoint(result.last).model.classes == 3


@pytest.fixture
def coarse_weights(tmp_path: Path) -> Path:
    """A checkpoint for one class."""
    path = tmp_path / "one.safetensors"
    model = yolov7.create(NARROW, classes=1)
    Checkpoint(model, ("thing",), 96, "open-yolov7", "float32").save(path)
    return path


def test_multi_scale_trains(options: dict[str, Any], tmp_path: Path) -> None:
    sizes: set[int] = set()

    class Sizes(pl.Callback):
        def on_train_batch_start(
            self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
        ) -> None:
            sizes.add(batch.images.shape[-1])

    config = TrainConfig(**options, multi_scale=True, out=tmp_path / "run")
    assert train(config, callbacks=[Sizes()], progress=False).finished
    assert sizes <= {64, 96, 128}
    assert len(sizes) > 1


def test_a_recipe_of_ones_own(options: dict[str, Any], tmp_path: Path) -> None:
    recipe = replace(TINY, epochs=1, nominal_batch=4, close_mosaic=1)
    del options["epochs"]
    result = train(TrainConfig(**options, out=tmp_path / "run"), recipe, progress=False)
    assert len(result.history) == 1
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["nominal_batch"] == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": None}, "data set"),
        ({"size": 31}, "invalid image size"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": -1}, "batch_size"),
        ({"workers": -1}, "workers"),
        ({"time_budget": float("nan")}, "time_budget"),
        ({"save_interval": -1.0}, "save_interval"),
        ({"seed": 10**30}, "seed"),
        ({"width": 0}, "width"),
        ({"width": 0.5, "weights": "some.pt", "model": None}, "--model beside --width"),
        ({"recipe": "best"}, "unknown recipe"),
        ({"devices": "two"}, "devices"),
        ({"freeze": ("legs",)}, "no such part"),
        ({"set": ("a=1",)}, "no such setting"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_happens(
    options: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train(TrainConfig(**{**options, **change}, out=tmp_path / "run"), progress=False)
    assert not (tmp_path / "run").exists()


def test_an_undivided_set_is_divided(options: dict[str, Any], tmp_path: Path) -> None:
    told: list[str] = []
    source = Path(options["data"]).parent
    root = tmp_path / "undivided"
    shutil.copytree(source / "images" / "train", root / "images")
    shutil.copytree(source / "labels" / "train", root / "labels")
    (root / "data.yaml").write_text("train: images\nnames: [a, b, c]\n")
    options |= {"data": root / "data.yaml", "epochs": 1}
    result = train(TrainConfig(**options, out=tmp_path / "run"), say=told.append, progress=False)
    assert result.finished
    assert "no validation split: 1 of 10 images are held out" in told
    assert result.evaluation is not None
    config = TrainConfig(**options, val_split="none", out=tmp_path / "run")
    result = train(config, say=told.append, progress=False)
    assert result.evaluation is None
    assert result.best == result.last


def test_nothing_to_learn_from_is_an_error(options: dict[str, Any], tmp_path: Path) -> None:
    source = Path(options["data"]).parent
    root = tmp_path / "empty"
    shutil.copytree(source / "images", root / "images")
    for label in source.glob("labels/*/*.txt"):
        (root / label.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
        (root / label.relative_to(source)).touch()
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [a]\n")
    with pytest.raises(DataError, match="nothing to train on"):
        train(TrainConfig(**{**options, "data": root / "data.yaml"}, out=tmp_path / "run"), progress=False)


def test_ctrl_c_in_the_middle_of_an_epoch(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(TrainConfig(**options, out=tmp_path / "run"), callbacks=[StopAt(1, 1)], progress=False)
    straight = train(TrainConfig(**options, out=tmp_path / "straight"), progress=False)
    resumed = train(TrainConfig(resume=tmp_path / "run"), progress=False)
    assert differing(weights(straight.directory), weights(resumed.directory)) == []
