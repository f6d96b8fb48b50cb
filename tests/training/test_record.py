"""The files that a run leaves for later, damaged or made up: one error that names the file, never more."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from yolov7.errors import DataError, UsageError
from yolov7.training.config import TrainConfig
from yolov7.training.machine import find_machine
from yolov7.training.prepare import Run
from yolov7.training.recipes import TINY
from yolov7.training.record import can_be_stored, find_run, store, stored


@pytest.fixture
def directory(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the beginning of a run writes."""
    from yolov7.formats.opening import open_dataset

    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path / "cache"))
    config = TrainConfig(
        shapes, model="yolov7-tiny", size=96, batch_size=4, epochs=2, cache=False, set=("momentum=0.9",),
        patience=3, out=tmp_path / "run",
    )  # fmt: skip
    recipe = replace(TINY, epochs=2, momentum=0.9)
    run: Any = Run(config, recipe, None, open_dataset(shapes, "train"), None, 96, 4, find_machine(config))  # type: ignore[arg-type]
    store(run, tmp_path / "run")
    return tmp_path / "run"


def test_a_run_comes_back_as_it_was(directory: Path, shapes: Path) -> None:
    before = stored(TrainConfig(), None, directory)
    assert before.recipe == replace(TINY, epochs=2, momentum=0.9)
    assert before.config.data == shapes.resolve()
    assert (before.config.patience, before.config.set, before.config.cache) == (3, ("momentum=0.9",), False)
    assert before.changes == ()


@pytest.mark.parametrize(
    "same",
    [
        {"model": "yolov7-tiny", "size": 96, "batch_size": 4, "epochs": 2, "set": ("momentum=0.9",)},
        {"out": "run"},
        {"cache": False, "patience": 3},
    ],
)
def test_what_is_so_already_may_be_said_again(
    directory: Path, same: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory.parent)
    assert stored(TrainConfig(**same), None, directory).changes == ()


def test_what_may_change_is_taken_and_said(directory: Path) -> None:
    asked = TrainConfig(epochs=5, patience=9, workers=2, save_interval=5, ignore_defects=True)
    before = stored(asked, None, directory)
    config = before.config
    assert (config.epochs, config.patience, config.workers, config.save_interval) == (5, 9, 2, 5)
    assert (before.recipe.epochs, before.epochs) == (5, 2)
    assert set(before.changes) == {
        "--epochs 5, which was 2",
        "--patience 9, which was 3",
        "--workers 2, which was none",
        "--save-interval 5, which was 60",
        "--ignore-defects, which was False",
    }


def test_a_default_that_was_named_is_asked_for(directory: Path) -> None:
    from yolov7.commands.learning import _Asked

    assert stored(TrainConfig(cache=True), None, directory).changes == ()
    assert stored(_Asked(cache=True), None, directory).changes == ("--cache, which was False",)
    values = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(values | {"width": 0.5}))
    with pytest.raises(UsageError, match=r"--width 1.0, where the run has 0.5"):
        stored(_Asked(width=1.0), None, directory)


def test_what_may_not_change_is_refused_by_name(directory: Path) -> None:
    asked = TrainConfig(
        size=64, set=("learning_rate=0.5",), model="yolov7-x", patience=1, seed=3, sync_bn=True
    )
    with pytest.raises(UsageError) as raised:
        stored(asked, None, directory)
    text = str(raised.value)
    for option in ("--size 64", "--set learning_rate=0.5", "--model yolov7-x", "--seed 3", "--sync-bn"):
        assert option in text.split("found:")[1]
    assert "--patience" not in text.split("found:")[1]
    assert all(f"--{option}" in text.split("found:")[0] for option in ("epochs", "patience", "data", "cache"))


def test_a_file_of_a_run_stands_for_it(directory: Path) -> None:
    (directory / "last.safetensors").touch()
    for path in (directory, directory / "last.safetensors", directory / "config.json"):
        assert find_run(path) == directory
    for path in (directory.parent, directory / "none.safetensors"):
        with pytest.raises(UsageError, match="not a run that can be resumed"):
            find_run(path)


def test_data_that_was_moved_is_asked_for(directory: Path, tmp_path: Path, shapes: Path) -> None:
    values = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(values | {"data": str(tmp_path / "gone.yaml")}))
    with pytest.raises(DataError, match=f"yolov7 train DATA --resume {directory}") as raised:
        stored(TrainConfig(), None, directory)
    assert raised.value.file == str(tmp_path / "gone.yaml")
    assert stored(TrainConfig(data=shapes), None, directory).config.data == shapes


@pytest.mark.parametrize("name", ["config.json", "recipe.json"])
@pytest.mark.parametrize("damage", ["", "{", "[]", "null", "[" * 99_999, "\xff", '{"epochs": {"a": 1}}'])
def test_damaged_files_are_named(directory: Path, name: str, damage: str) -> None:
    (directory / name).write_bytes(damage.encode("latin-1"))
    with pytest.raises(UsageError) as raised:
        stored(TrainConfig(), None, directory)
    assert raised.value.file == str(directory / name)


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": "x"}, {"epochs": 2.5}, {"epochs": True}, {"data": None}, {"data": 3}, {"set": "a=1"},
        {"set": [1]}, {"precision": "8"}, {"precision": []}, {"width": math.nan}, {"time_budget": math.inf},
        {"cache": 1}, {"seed": None}, {"freeze": {"a": 1}}, {"size": [96]}, {"out": 1},
    ],
)  # fmt: skip
def test_values_of_another_type_are_named(directory: Path, values: dict[str, Any]) -> None:
    before = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(before | values))
    with pytest.raises(UsageError, match=next(iter(values))) as raised:
        stored(TrainConfig(), None, directory)
    assert raised.value.file == str(directory / "config.json")
    (directory / "config.json").write_text(json.dumps({k: v for k, v in before.items() if k not in values}))
    with pytest.raises(UsageError, match=f"no {next(iter(values))}"):
        stored(TrainConfig(), None, directory)


@pytest.mark.parametrize(
    "values",
    [{"epochs": "x"}, {"learning_rate": float("nan")}, {"epochs": 1e999}, {"gains": 3}, {"guidance": "mine"},
     {"guidance": []}, {"augmentation": {"mosaic": 2}}, {"unheard": 1}, {"momentum": None}],
)  # fmt: skip
def test_a_recipe_that_cannot_be_is_named(directory: Path, values: dict[str, Any]) -> None:
    before = json.loads((directory / "recipe.json").read_text())
    (directory / "recipe.json").write_text(json.dumps(before | values))
    with pytest.raises(UsageError) as raised:
        stored(TrainConfig(), None, directory)
    assert raised.value.file == str(directory / "recipe.json")


def test_a_recipe_is_given_again_as_it_was(directory: Path) -> None:
    assert stored(TrainConfig(), TINY, directory).recipe == replace(TINY, epochs=2, momentum=0.9)
    other = replace(TINY, learning_rate=0.5, gains=replace(TINY.gains, box=9))
    with pytest.raises(UsageError, match=r"learning_rate 0.5 instead of 0.01, gains.box 9 instead of 0.05"):
        stored(TrainConfig(), other, directory)


def test_whether_a_recipe_can_be_stored() -> None:
    def mine(*_: Any) -> Any:
        return None

    assert can_be_stored(TINY)
    assert not can_be_stored(replace(TINY, guidance=mine))
