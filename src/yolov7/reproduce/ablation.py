"""The rows of an ablation, trained under equal settings: one run for each row and seed.

A run's directory is ``OUT/<row>/seed-<k>``. One that is complete is not trained again, one that was
interrupted goes on where it stopped.
"""

from __future__ import annotations

import csv
import json
import os
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from yolov7.errors import TrainingError, UsageError, Yolov7Error
from yolov7.models.architecture import scale
from yolov7.reproduce.counting import complexity
from yolov7.reproduce.improvement import with_improvements
from yolov7.reproduce.result import Line, Number, Reproduction
from yolov7.reproduce.table import from_paper
from yolov7.reproduce.tables import Row, Table
from yolov7.text import plural
from yolov7.training.config import TrainConfig
from yolov7.training.fit import train
from yolov7.training.keeper import LAST, METRICS
from yolov7.training.record import CONFIG

Say = Callable[[str], None]
MEASURED = ("AP", "AP50", "AP75")


@dataclass(frozen=True)
class Settings:
    """What all rows of an ablation share.

    Attributes:
        base: the runs' configuration: data, epochs, size, width, batch size and all else, but for what a row
            changes.
        seeds: runs of each row; their seeds are 0, 1, 2...
        processes: runs at a time; on GPUs one for each, on a processor they share its cores.
        out: directory.
    """

    base: TrainConfig
    seeds: int = 1
    processes: int | None = None
    out: Path = Path("runs/reproduce")


@dataclass(frozen=True)
class Run:
    """One run of a row."""

    row: Row
    seed: int
    directory: Path

    @property
    def history(self) -> list[dict[str, str]]:
        """What metrics.csv says, an entry an epoch; empty where there is none."""
        try:
            with (self.directory / METRICS).open(newline="") as file:
                return list(csv.DictReader(file))
        except OSError:
            return []


def train_ablation(table: Table, settings: Settings, *, say: Say, progress: bool = True) -> Reproduction:
    """Train every row with every seed, and report mean and spread beside the paper's numbers.

    The AP of a run is that of its last epoch: choosing the best epoch on the images that are measured would
    flatter.

    Raises:
        UsageError: the table is no ablation, or settings differ from those of runs that are there already.
        TrainingError: runs failed; the others are complete, and stay.
    """
    if not table.ablation:
        raise UsageError(f"{table.name} compares finished networks: there is nothing to train")
    if settings.seeds < 1:
        raise UsageError("seeds of an ablation", expected="1 or more", found=settings.seeds)
    runs = [
        Run(row, seed, settings.out / slug(row.label) / f"seed-{seed}")
        for seed in range(settings.seeds)
        for row in table.rows
    ]
    epochs = settings.base.epochs
    assert epochs is not None
    unfinished = [(run, _config(run, settings)) for run in runs if len(run.history) < epochs]
    for run in runs:
        _require_same_settings(run, _config(run, settings))
    done = len(runs) - len(unfinished)
    say(
        f"{plural(len(runs), 'run')} of {plural(epochs, 'epoch')} in {settings.out}"
        + f", {done} complete" * bool(done)
    )
    processes = min(settings.processes or _processes(), max(1, len(unfinished)))
    begun = time.monotonic()
    if processes == 1:
        for number, (run, config) in enumerate(unfinished, start=1):
            say(f"run {number} of {len(unfinished)}: {run.row.label}, seed {run.seed}")
            train(config, say=say, progress=progress)
    elif unfinished:
        _train_at_once(unfinished, processes, say)
    return _report(table, runs, settings, processes, time.monotonic() - begun)


def slug(label: str) -> str:
    """A row's label as the name of a folder."""
    return re.sub(r"[^a-z0-9.]+", "-", label.lower()).strip("-")


def _config(run: Run, settings: Settings) -> TrainConfig:
    """That of a row: to go on, where the run was interrupted."""
    config = replace(
        settings.base,
        model=run.row.architecture.name,
        set=(*settings.base.set, *run.row.recipe),
        seed=run.seed,
        out=run.directory,
    )
    return replace(config, resume=run.directory) if (run.directory / CONFIG).exists() else config


def _require_same_settings(run: Run, config: TrainConfig) -> None:
    """A directory holds one ablation: to change it half-way would compare what was not trained alike."""
    with suppress(OSError):
        there = json.loads((run.directory / CONFIG).read_text())
        assert config.data is not None
        wanted = asdict(config) | {"data": str(Path(config.data).resolve()), "set": list(config.set)}
        for name in ("data", "split", "val_split", "model", "width", "set", "epochs", "batch_size", "size"):
            asked, found = wanted[name], there[name]
            if asked is not None and asked != found:
                raise UsageError(
                    "there are runs with other settings already; take another --out",
                    file=run.directory / CONFIG,
                    expected=f"{name} {asked}",
                    found=found,
                )


# -- several at a time ----------------------------------------------------------------------------------


def _processes() -> int:
    """One for each GPU; a processor's cores are best left to one run at a time."""
    return max(1, torch.cuda.device_count())


def _train_at_once(unfinished: Sequence[tuple[Run, TrainConfig]], processes: int, say: Say) -> None:
    """A process a run, so many at a time: each has a GPU of its own, or its share of the cores."""
    context = get_context("spawn")
    waiting, total, failures = list(unfinished), len(unfinished), []
    running: dict[int, tuple[Run, BaseProcess, Connection]] = {}
    try:
        while waiting or running:
            for place in set(range(processes)) - set(running):
                if waiting:
                    run, config = waiting.pop(0)
                    answer, theirs = context.Pipe(duplex=False)
                    process: BaseProcess = context.Process(
                        target=_train_in_place, args=(config, place, processes, theirs)
                    )
                    process.start()
                    theirs.close()
                    running[place] = run, process, answer
            wait([process.sentinel for _, process, _ in running.values()])
            for place, (run, process, answer) in tuple(running.items()):
                if process.is_alive():
                    continue
                del running[place]
                outcome = _summary(run) if process.exitcode == 0 else f"failed: {_error(process, answer)}"
                if process.exitcode != 0:
                    failures.append(f"{run.row.label}, seed {run.seed} {outcome}")
                done = total - len(waiting) - len(running)
                say(f"{done} of {total}: {run.row.label}, seed {run.seed}: {outcome}")
    finally:  # after Ctrl-C, which they got too: they write down where they are, and end
        for _, process, _ in running.values():
            process.join()
    if failures:
        raise TrainingError("runs failed; the others are complete", found="; ".join(failures))


def _error(process: BaseProcess, answer: Connection) -> str:
    try:
        return str(answer.recv())
    except EOFError:
        return f"its process ended with status {process.exitcode}"


def _train_in_place(config: TrainConfig, place: int, places: int, answer: Connection) -> None:
    """Train on a GPU of one's own, or on a share of the cores."""
    gpus = torch.cuda.device_count()
    if gpus and config.accelerator in ("auto", "gpu"):
        config = replace(config, devices=f"{place % gpus},")
    with suppress(AttributeError):  # not every system lets a process choose its cores
        cores = sorted(os.sched_getaffinity(0))
        mine = cores[place::places] or cores
        os.sched_setaffinity(0, mine)
        torch.set_num_threads(len(mine))
    try:
        train(config, progress=False)
    except Yolov7Error as error:
        answer.send(str(error))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _summary(run: Run) -> str:
    last = run.history[-1]
    return f"AP {100 * float(last['AP']):.1f}, AP50 {100 * float(last['AP50']):.1f}"


# -- what came out --------------------------------------------------------------------------------------


def _report(
    table: Table, runs: Sequence[Run], settings: Settings, processes: int, seconds: float
) -> Reproduction:
    base = settings.base
    lines = []
    for row in table.rows:
        network = scale(row.architecture, width=base.width, branch=base.width)
        size = base.size or network.size
        counts = complexity(network)
        numbers = [
            Number("parameters_m", "computed", round(counts.parameters_deployed / 1e6, 2)),
            Number("gflops", "computed", round(counts.conv_gflops * (size / network.size) ** 2, 2)),
        ]
        last = [run.history[-1] for run in runs if run.row is row]
        for quantity in MEASURED:
            each = tuple(round(100 * float(epoch[quantity]), 2) for epoch in last)
            numbers.append(Number(quantity, "measured", round(statistics.mean(each), 2), each))
        paper = tuple(number for number in from_paper(row) if number.quantity in MEASURED)
        lines.append(Line(row.label, row.architecture.name, size, (*numbers, *paper), row.note))
    data = Path(base.data).name if base.data is not None else ""
    seeds = plural(settings.seeds, "seed")
    width = f", {base.width:g} of the width" if base.width != 1 else ""
    notes = [table.note] if table.note else []
    notes.append(
        f"measured: {data}, {base.epochs} epochs at {lines[0].size}{width}, {seeds}; "
        "AP of the average after the last epoch (IoU of suppression 0.6), mean and half of the spread."
    )
    notes.append("The paper's numbers are of the whole networks on COCO.")
    notes.append(
        f"{len(runs)} runs, {sum(map(_hours, runs)):.2f} hours of training in all; "
        f"{seconds / 60:.0f} minutes now, {processes} at a time."
    )
    shown, explained = with_improvements(table.name, lines)
    return Reproduction(table.name, table.title, shown, (*notes, *explained))


def _hours(run: Run) -> float:
    return sum(float(epoch["seconds"]) for epoch in run.history) / 3600


def last_weights(table: Table, settings: Settings) -> Iterator[tuple[Row, Path]]:
    """The last weights of each row's first seed."""
    for row in table.rows:
        yield row, settings.out / slug(row.label) / "seed-0" / LAST
