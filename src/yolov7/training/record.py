"""What a run writes down about itself before it begins, and how a later one finds it again."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from yolov7.errors import UsageError
from yolov7.files import write_file
from yolov7.training.config import TrainConfig
from yolov7.training.prepare import Run, digest
from yolov7.training.recipes import Recipe, recipe_from

CONFIG, RECIPE = "config.json", "recipe.json"
MAY_CHANGE = (
    "data",
    "workers",
    "cache",
    "ignore_defects",
    "patience",
    "time_budget",
    "save_interval",
    "report",
)
"""What a resumed run may be asked anew; the rest decides about numbers and stays as it was."""


def store(run: Run, directory: Path) -> None:
    """Write down what was asked for and what was resolved, before anything else happens."""
    values = {
        key: str(value) if isinstance(value, Path) else value for key, value in asdict(run.config).items()
    }
    assert run.config.data is not None
    values["data"] = str(Path(run.config.data).resolve())
    values["data_digest"] = digest(run.train)
    write_file(directory / CONFIG, json.dumps(values, indent=2).encode())
    write_file(directory / RECIPE, json.dumps(run.recipe.to_dict(), indent=2).encode())


def stored(asked: TrainConfig, recipe: Recipe | None, directory: Path) -> tuple[TrainConfig, Recipe]:
    """The configuration of a run to continue; a few things may be asked anew.

    A recipe with a function of one's own must be given again: its file holds the function's name alone.

    Raises:
        UsageError: there is no such run.
    """
    try:
        values = json.loads((directory / CONFIG).read_text())
        recipe = recipe or recipe_from(json.loads((directory / RECIPE).read_text()))
    except (OSError, ValueError) as error:
        raise UsageError(
            "no run that could be continued", file=directory, expected=f"{CONFIG} and {RECIPE}", found=error
        ) from None
    defaults = TrainConfig()
    for field in fields(TrainConfig):
        value = getattr(asked, field.name)
        if value != getattr(defaults, field.name) and field.name in MAY_CHANGE:
            values[field.name] = value
    known = {field.name for field in fields(TrainConfig)}
    config = TrainConfig(**{key: _typed(key, value) for key, value in values.items() if key in known})
    return replace(config, resume=directory), recipe


def _typed(name: str, value: Any) -> Any:
    if name in ("data", "out", "resume") and value is not None:
        return Path(value)
    return tuple(value) if isinstance(value, list) else value


def require_same_data(run: Run, directory: Path) -> None:
    """Refuse to go on with other data than the run began with.

    Raises:
        UsageError: images or labels are not the same.
    """
    before = json.loads((directory / CONFIG).read_text()).get("data_digest")
    if before != digest(run.train):
        raise UsageError(
            "the data set has changed since the run began: a run goes on with what it began with",
            file=run.config.data,
            expected=f"images and labels with the fingerprint {before}",
            found=digest(run.train),
        )
