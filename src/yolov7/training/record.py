"""config.json and recipe.json of a run: written before the start, read on resuming."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.checkpoints.pretrained import cache_directory
from yolov7.data.contents import digest
from yolov7.errors import DataError, UsageError, Yolov7Error
from yolov7.files import exists, is_file, is_folder, write_file
from yolov7.training.config import TrainConfig
from yolov7.training.prepare import NETWORK, Run
from yolov7.training.recipes import Recipe, changed, recipe_from

CONFIG, RECIPE = "config.json", "recipe.json"
MAY_CHANGE = (
    *("epochs", "data", "images", "workers", "cache", "ignore_defects"),
    *("patience", "time_budget", "save_interval", "report"),
)
"""Options that may change on resuming; the others affect the result."""
_PATHS = ("data", "images", "out", "resume")
_DIGESTS = {"data_digest": "train", "val_digest": "val"}


@dataclass(frozen=True)
class Stored:
    """A run to resume, with changed options applied."""

    config: TrainConfig
    recipe: Recipe
    epochs: int  # planned before the change
    changes: tuple[str, ...]  # description of each changed option


def store(run: Run, directory: Path) -> None:
    """Write the resolved options and the recipe of a run, and its network if it has no name.

    Raises:
        OutputError: a file cannot be written.
    """
    values = asdict(run.config) | _digests(run) | {"resume": None}
    values |= {name: Path(values[name]).resolve() for name in ("data", "images") if values[name] is not None}
    if run.own:
        Checkpoint(run.model, run.train.names, run.size, "open-yolov7", "float32").save(directory / NETWORK)
    write_file(directory / CONFIG, json.dumps(values, indent=2, default=str).encode())
    write_file(directory / RECIPE, json.dumps(run.recipe.to_dict(), indent=2).encode())


def find_run(path: Path) -> Path:
    """Directory of a run, from its path or that of a file in it such as last.safetensors.

    Raises:
        UsageError: there is no run.
    """
    directory = path.parent if is_file(path) else path
    if not is_file(directory / CONFIG):
        found = f"no {CONFIG}" if is_folder(directory) else "no such file or folder"
        raise _no_run(path, found, f"the directory of a run, with {CONFIG} and {RECIPE}")
    return directory


def _no_run(path: Path, found: object, expected: str | None = None) -> UsageError:
    return UsageError("not a run that can be resumed", file=path, expected=expected, found=found)


def stored(asked: TrainConfig, recipe: Recipe | None, directory: Path) -> Stored:
    """Read a run to resume, and apply the options that may change.

    Args:
        asked: new options; those at their defaults count only if listed in ``asked.named``.
        recipe: the run's recipe; needed if it has functions without an import path.
        directory: directory of the run.

    Raises:
        UsageError: damaged files, or an option that must not change.
        DataError: the data set no longer exists.
    """
    config = _config(directory / CONFIG)
    own = _recipe(directory / RECIPE, recipe, config, directory)
    had = replace(config, epochs=config.epochs or own.epochs)
    changes, refused = {}, []
    for field in fields(TrainConfig):
        name, value, before = field.name, getattr(asked, field.name), getattr(had, field.name)
        wanted = value != field.default or name in asked.named
        if name == "resume" or not wanted or _same(name, value, before, directory):
            continue
        if name in MAY_CHANGE:
            changes[name] = value
        else:
            refused.append(f"{_option(name, value)}, where the run has {_text(before)}")
    if refused:
        possible = ", ".join("--" + name.replace("_", "-") for name in MAY_CHANGE)
        raise UsageError(
            "a resumed run keeps its options",
            file=directory / CONFIG,
            expected=f"with --resume only {possible}",
            found="; ".join(refused),
        )
    config = replace(had, **changes, resume=directory)
    assert config.data is not None
    if not exists(config.data):
        raise DataError(
            "the data set no longer exists",
            file=config.data,
            expected=f"its new path: yolov7 train DATA --resume {directory}",
        )
    said = (f"{_option(name, new)}, which was {_text(getattr(had, name))}" for name, new in changes.items())
    return Stored(config, replace(own, epochs=config.epochs or own.epochs), own.epochs, tuple(said))


def require_same_data(run: Run, directory: Path) -> None:
    """Refuse to resume a run whose images or labels have changed."""
    before, now = _read(directory / CONFIG), _digests(run)
    for key, split in _DIGESTS.items():
        if before.get(key) != now[key]:
            raise UsageError(
                f"the data set has changed since the run began (split {split}); it must be the same",
                file=run.config.data,
                expected=f"images and labels with the fingerprint {before.get(key)}",
                found=now[key],
            )


def can_be_stored(recipe: Recipe) -> bool:
    """True if recipe.json restores the recipe; a user-defined function may have no import path."""
    try:
        return recipe_from(json.loads(json.dumps(recipe.to_dict()))) == recipe
    except (Yolov7Error, TypeError, ValueError):
        return False


def _digests(run: Run) -> dict[str, str | None]:
    cache = cache_directory() / "images"
    val = None if run.val is None else digest(run.val, cache)
    return {"data_digest": digest(run.train, cache), "val_digest": val}


def _read(path: Path) -> dict[str, Any]:
    """Read a JSON object; refuse any other file."""
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise _no_run(path, error) from None
    if not isinstance(values, dict):
        raise _no_run(path, type(values).__name__, "an object")
    return values


def _config(path: Path) -> TrainConfig:
    """Read config.json, and check the type of each option."""
    values, hints = _read(path), get_type_hints(TrainConfig)
    options: dict[str, Any] = {}
    for name in (field.name for field in fields(TrainConfig)):
        if name not in values or not _fits(values[name], hints[name]):
            kind = str(getattr(hints[name], "__name__", hints[name])).replace("typing.", "")
            found = _text(values[name])[:100] if name in values else f"no {name}"
            raise _no_run(path, found, f"{name}: {kind}")
        value = values[name]
        options[name] = Path(value) if name in _PATHS and value is not None else value
        if isinstance(value, list):
            options[name] = tuple(value)
    if options["data"] is None:
        raise _no_run(path, "none", "data: a path")
    return TrainConfig(**options)


def _fits(value: Any, hint: Any) -> bool:
    """True if a JSON value has the type of an option."""
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if get_origin(hint) is tuple:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value)
    return value is None if hint is NoneType else type(value) is (str if hint is Path else hint)


def _recipe(path: Path, given: Recipe | None, config: TrainConfig, directory: Path) -> Recipe:
    """Read the run's recipe; a given one is used if it equals the file."""
    values = _read(path)
    if given is None:
        try:
            return recipe_from(values)
        except (Yolov7Error, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise UsageError(
                "the run's recipe cannot be read",
                file=path,
                expected="a recipe; if it has user-defined functions, pass it again from Python: "
                f'train(TrainConfig(resume="{directory}"), recipe)',
                found=error,
            ) from None
    epochs = values.get("epochs")
    given = changed(given, config.set)
    if type(epochs) is int:
        given = replace(given, epochs=epochs)
    differing = _differing(json.loads(json.dumps(given.to_dict())), values)
    if differing:
        raise UsageError("the recipe differs from the run's", file=path, found=differing)
    return given


def _differing(one: Any, other: Any, prefix: str = "") -> str:
    """Description of the values that differ; empty if none does."""
    if isinstance(one, dict) and isinstance(other, dict):
        parts = (_differing(one.get(k), other.get(k), f"{prefix}.{k}") for k in {**one, **other})
        return ", ".join(filter(None, parts))
    return "" if one == other else f"{prefix[1:]} {_text(one)} instead of {_text(other)}"


def _same(name: str, value: Any, before: Any, directory: Path) -> bool:
    """True if an option already has the value."""
    if name in _PATHS:
        there = {Path(before).resolve()} if before is not None else set()
        return Path(value).resolve() in there | ({directory.resolve()} if name == "out" else set())
    return bool(str(value) == str(before) if isinstance(value, Path) else value == before)


def _option(name: str, value: Any) -> str:
    """An option as typed: --size 96, --no-cache."""
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{option}" if value else f"--no-{option}"
    return f"--{option} {_text(value)}"


def _text(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
