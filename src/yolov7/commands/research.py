"""The command for those who have the paper open."""

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from yolov7.console import is_quiet, reproduction_table, say, show
from yolov7.errors import UsageError
from yolov7.options import Commas, JsonSwitch, Switch, weight_file
from yolov7.text import did_you_mean

if TYPE_CHECKING:
    from yolov7.reproduce.result import Reproduction
    from yolov7.types import Image

PHOTOS = 10

_TRAINING = frozenset(
    {"train", "split", "val_split", "epochs", "size", "width", "batch_size", "seeds", "processes", "set_"}
)
"""Options of `reproduce` that are for --train."""


def reproduce(
    name: str,
    /,
    *,
    weights: Commas = (),
    data: Path | None = None,
    images: str | None = None,
    train: Path | None = None,
    split: str = "train",
    val_split: str | None = None,
    epochs: int = 30,
    size: int | None = None,
    width: float = 1.0,
    batch_size: int | None = None,
    seeds: int = 1,
    processes: int | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = (),
    device: str | None = None,
    released_mapping: Switch = False,
    out: Path | None = None,
    json_: JsonSwitch = False,
) -> None:
    """Compute a table or a figure of the paper, the paper's numbers beside ours.

    Every number says where it comes from: the paper; computed here (networks are built and counted); or
    measured on this machine.

    Parameters
    ----------
    name:
        table1 to table10, or figure8; in upper or lower case.
    weights:
        Checkpoints of the networks, to measure on DATA (tables 1, 2, 9, 10) or to look into (figure8).
    data:
        Labelled images to measure WEIGHTS on.
    images:
        Photos: for frames per second (tables 1, 2, 9), or for the maps (figure8); the first 10 are taken.
    train:
        Labelled images: train every row of an ablation (tables 3 to 8) on them, under equal settings.
    split:
        Part of the data set to learn from.
    val_split:
        Part to measure on; "val", else "test", by default.
    epochs:
        Passes over the data, for each run.
    size:
        Side of the images, pixels; the networks' own by default.
    width:
        Share of the networks' channels, for small machines.
    batch_size:
        Images a step.
    seeds:
        Runs of each row.
    processes:
        Runs at a time; one for each GPU by default. On a processor they share its cores.
    set_:
        Change numbers of the recipe of all rows, NAME=VALUE.
    device:
        Where to measure: cpu, cuda, cuda:1...
    released_mapping:
        Measure WEIGHTS as the paper's numbers were: boxes half a pixel off where padding is odd.
    out:
        Directory of the runs and pictures; runs/NAME by default. Runs that are there already are not
        repeated, interrupted ones go on.
    json_:
        Print JSON instead of a table.
    """
    given = _given(locals())
    from yolov7.reproduce.tables import TABLES

    tables = {table.name: table for table in TABLES}
    name = _known_name(name, [*tables, "table10", "figure8"])
    _refuse_unused(name, given)
    directory = out or Path("runs", name)
    checkpoints = [str(weight_file(path)) for path in weights]
    photos = _photos(images)
    if name == "figure8":
        _figure_8(checkpoints, photos, directory, size)
        return
    if name == "table10":
        from yolov7.reproduce.precision import reproduce_table_10

        if len(checkpoints) > 1:
            raise UsageError("table10 measures one checkpoint", found=", ".join(checkpoints))
        first = checkpoints[0] if checkpoints else None
        _present(
            reproduce_table_10(first, data, device=device, released_mapping=released_mapping, say=say),
            as_json=json_,
        )
        return
    if train is None:
        from yolov7.reproduce.table import reproduce_table

        result = reproduce_table(
            tables[name],
            weights=checkpoints,
            data=data,
            photos=photos,
            device=device,
            released_mapping=released_mapping,
            say=say,
        )
        _present(result, as_json=json_)
        return

    from yolov7.reproduce.ablation import Settings, train_ablation
    from yolov7.training.config import TrainConfig

    base = TrainConfig(
        data=train,
        split=split,
        val_split=val_split,
        epochs=epochs,
        size=size,
        width=width,
        batch_size=batch_size,
        set=set_,
        report=False,
        accelerator="auto" if device is None else "cpu" if device == "cpu" else "gpu",
    )
    settings = Settings(base, seeds, processes, directory)
    result = train_ablation(tables[name], settings, say=say, progress=not is_quiet())
    _present(result, as_json=json_)
    if photos:
        from yolov7.reproduce.ablation import last_weights
        from yolov7.reproduce.figure8 import draw_figure_8

        labelled = [(row.label, path) for row, path in last_weights(tables[name], settings)]
        for path in draw_figure_8(labelled, photos, directory):
            say(f"objectness maps: {path}")


def _known_name(wanted: str, known: list[str]) -> str:
    """The table or figure that is meant.

    Raises:
        UsageError: there is none.
    """
    name = wanted.lower().replace(" ", "").replace("-", "").replace("_", "")
    if name not in known:
        raise UsageError(
            f"not one of the tables and figures that are reproduced here{did_you_mean(name, known)}",
            expected=", ".join(known),
            found=wanted,
        )
    return name


def _given(values: Mapping[str, Any]) -> set[str]:
    """Options that differ from their defaults."""
    options = inspect.signature(reproduce).parameters.values()
    return {o.name for o in options if o.kind is o.KEYWORD_ONLY and values[o.name] != o.default}


def _refuse_unused(name: str, given: set[str]) -> None:
    """Raise a UsageError where options would change nothing."""
    if name == "figure8":
        used = {"weights", "images", "size", "out"}
    elif name == "table10":
        used = {"weights", "data", "device", "json_"}
    elif "train" in given:
        used = {*_TRAINING, "images", "device", "out", "json_"}
    else:
        used = {"weights", "data", "images", "device", "json_"}
    if not given & {"weights", "images", "train"}:
        used -= {"device"}
    if "weights" in used & given and "data" in used:
        used |= {"released_mapping"}
    if unused := given - used:
        training = unused <= _TRAINING | {"out"} and name in (f"table{number}" for number in range(3, 9))
        raise UsageError(
            f"{name} has no use for {_typed(unused)}{' without --train' if training else ''}",
            expected=f"for {name}: {_typed(used)}",
        )


def _typed(names: set[str]) -> str:
    return ", ".join("--" + name.strip("_").replace("_", "-") for name in sorted(names))


def _present(result: Reproduction, *, as_json: bool) -> None:
    if as_json:
        show(json.dumps(result.to_dict(), indent=2))
    else:
        reproduction_table(result)


def _photos(source: str | None) -> list[Image]:
    """The first pictures of a source; what cannot be read is an error here."""
    if source is None:
        return []
    from yolov7.sources.opening import open_source

    photos = []
    for frame in itertools.islice(open_source(source), PHOTOS):
        if frame.error is not None:
            raise frame.error
        assert frame.image is not None
        photos.append(frame.image)
    return photos


def _figure_8(checkpoints: list[str], photos: list[Image], out: Path, size: int | None) -> None:
    from yolov7.reproduce.figure8 import draw_figure_8

    if not checkpoints or not photos:
        raise UsageError("figure8 shows what trained networks see", expected="--weights and --images")
    labelled = [(Path(path).stem, path) for path in checkpoints]
    for path in draw_figure_8(labelled, photos, out, size):
        show(path)
