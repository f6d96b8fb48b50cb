"""The command that computes the paper's tables and figures."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from yolov7.console import is_quiet, reproduction_table, say, show
from yolov7.errors import UsageError
from yolov7.options import Device, JsonSwitch, OptionalCommas, ReleasedMapping, weight_file
from yolov7.text import did_you_mean

if TYPE_CHECKING:
    from yolov7.reproduce.result import Reproduction
    from yolov7.reproduce.tables import Table
    from yolov7.types import Image

PHOTOS = 10


@Parameter(name="*")
@dataclass(frozen=True)
class ReproduceOptions:
    """Options of `reproduce`.

    Attributes:
        weights: checkpoints of the networks, to evaluate on DATA (tables 1, 2, 9, 10) or to look into
            (figure8).
        data: labelled images to evaluate WEIGHTS on.
        images: photos to measure frames per second on (tables 1, 2, 9) or to map objectness in (figure8,
            trained ablations); the first 10 are used.
        out: directory of runs and pictures; default: runs/NAME. Complete runs in it are not repeated,
            interrupted ones continue.
        json_: print JSON instead of a table.
        size: side of the images, pixels (figure8, trained ablations); default: the networks'.
        train: labelled images to train every row of an ablation on (tables 3 to 8), under equal settings.
        split: split to train on.
        val_split: validation split; default: val, else test, else a held-out tenth.
        epochs: passes over the data, per run.
        width: width multiplier of the networks, for small machines.
        batch_size: images per batch.
        seeds: runs per row.
        processes: runs at a time; default: one per GPU. On a CPU they share its cores.
        set_: changes to every row's recipe, NAME=VALUE.
    """

    weights: OptionalCommas = None
    data: Path | None = None
    images: str | None = None
    device: Device = None
    released_mapping: ReleasedMapping = False
    out: Path | None = None
    json_: JsonSwitch = False
    size: int | None = None
    train: Path | None = None
    split: str = "train"
    val_split: str | None = None
    epochs: int = 30
    width: float = 1.0
    batch_size: int | None = None
    seeds: int = 1
    processes: int | None = None
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)] = ()

    @property
    def given(self) -> set[str]:
        """Names of the options that differ from their defaults."""
        return {field.name for field in fields(self) if getattr(self, field.name) != field.default}


_TRAINING = frozenset(
    {"train", "split", "val_split", "epochs", "size", "width", "batch_size", "seeds", "processes", "set_"}
)
"""Options that require --train."""


def reproduce(name: str, /, *, options: ReproduceOptions = ReproduceOptions()) -> None:
    """Compute a table or a figure of the paper, the paper's numbers beside ours.

    Every number says where it comes from: the paper; computed here (networks are built and counted); or
    measured on this machine.

    Args:
        name: table1 to table10, or figure8; in upper or lower case.
    """
    from yolov7.reproduce.tables import TABLES

    tables = {table.name: table for table in TABLES}
    name = _known_name(name, [*tables, "table10", "figure8"])
    _refuse_unused(name, options.given)
    checkpoints = [weight_file(path) for path in options.weights or ()]
    photos = _photos(options.images)
    if name == "figure8":
        _figure_8(options, checkpoints, photos)
    elif name == "table10":
        _present(_table_10(options, checkpoints), options)
    elif options.train is None:
        from yolov7.reproduce.table import reproduce_table

        result = reproduce_table(
            tables[name],
            weights=checkpoints,
            data=options.data,
            photos=photos,
            device=options.device,
            released_mapping=options.released_mapping,
            say=say,
        )
        _present(result, options)
    else:
        _ablation(tables[name], options, photos)


def _present(result: Reproduction, options: ReproduceOptions) -> None:
    if options.json_:
        show(json.dumps(result.to_dict(), indent=2))
    else:
        reproduction_table(result)


def _known_name(wanted: str, known: list[str]) -> str:
    """Name of the requested table or figure; raise a UsageError if there is none."""
    name = wanted.lower().replace(" ", "").replace("-", "").replace("_", "")
    if name not in known:
        raise UsageError(
            f"not one of the tables and figures that are reproduced here{did_you_mean(name, known)}",
            expected=", ".join(known),
            found=wanted,
        )
    return name


def _refuse_unused(name: str, given: set[str]) -> None:
    """Raise a UsageError for options that would have no effect."""
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


def _photos(source: str | None) -> list[Image]:
    """First images of a source; an unreadable one is an error."""
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


def _figure_8(options: ReproduceOptions, checkpoints: Sequence[str], photos: Sequence[Image]) -> None:
    from yolov7.reproduce.figure8 import draw_figure_8

    if not checkpoints or not photos:
        raise UsageError("figure8 shows what trained networks see", expected="--weights and --images")
    labelled = [(Path(path).stem, path) for path in checkpoints]
    for path in draw_figure_8(labelled, photos, options.out or Path("runs/figure8"), options.size):
        show(path)


def _table_10(options: ReproduceOptions, checkpoints: Sequence[str]) -> Reproduction:
    from yolov7.reproduce.table import reproduce_table_10

    if len(checkpoints) > 1:
        raise UsageError("table10 measures one checkpoint", found=", ".join(checkpoints))
    return reproduce_table_10(
        checkpoints[0] if checkpoints else None,
        options.data,
        device=options.device,
        released_mapping=options.released_mapping,
        say=say,
    )


def _ablation(table: Table, options: ReproduceOptions, photos: Sequence[Image]) -> None:
    from yolov7.reproduce.ablation import last_weights, train_ablation
    from yolov7.reproduce.figure8 import draw_figure_8
    from yolov7.training.config import TrainConfig

    out = options.out or Path("runs", table.name)
    base = TrainConfig(
        data=options.train,
        out=out,
        split=options.split,
        val_split=options.val_split,
        epochs=options.epochs,
        size=options.size,
        width=options.width,
        batch_size=options.batch_size,
        set=options.set_,
        report=False,
        accelerator="auto" if options.device is None else "cpu" if options.device == "cpu" else "gpu",
    )
    result = train_ablation(
        table, base, seeds=options.seeds, processes=options.processes, say=say, progress=not is_quiet()
    )
    _present(result, options)
    if photos:
        for path in draw_figure_8(last_weights(table, out), photos, out):
            say(f"objectness maps: {path}")
