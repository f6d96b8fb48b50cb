"""Rows of an ablation, trained under equal settings: one run per row and seed.

A run's directory is ``OUT/<row>/seed-<k>``. A complete run is not repeated, an interrupted one continues.
"""

from __future__ import annotations

import csv
import json
import os
import re
import statistics
import time
from collections.abc import Sequence
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
from yolov7.reproduce.table import Say, from_paper
from yolov7.reproduce.tables import Row, Table
from yolov7.text import plural
from yolov7.training.config import TrainConfig
from yolov7.training.fit import train
from yolov7.training.keeper import LAST, METRICS
from yolov7.training.record import CONFIG

MEASURED = ("AP", "AP50", "AP75")


@dataclass(frozen=True)
class Run:
    """A training run of a row; `out` is the directory of all runs."""

    row: Row
    seed: int
    out: Path

    @property
    def directory(self) -> Path:
        return self.out / slug(self.row.label) / f"seed-{self.seed}"

    @property
    def history(self) -> list[dict[str, str]]:
        """Rows of metrics.csv, one per epoch; empty if there is no file."""
        try:
            with (self.directory / METRICS).open(newline="") as file:
                return list(csv.DictReader(file))
        except OSError:
            return []


def train_ablation(
    table: Table,
    base: TrainConfig,
    *,
    seeds: int = 1,
    processes: int | None = None,
    say: Say,
    progress: bool = True,
) -> Reproduction:
    """Train every row with every seed, and report mean and spread beside the paper's numbers.

    The AP of a run is that of its last epoch: the best epoch, chosen on the validation set, would be biased.

    Args:
        base: configuration of every run, apart from the changes of its row; its `out` is for all runs.
        seeds: runs per row; their seeds are 0, 1, 2...
        processes: runs at a time; default: one per GPU. On a CPU they share its cores.

    Raises:
        UsageError: the table is not an ablation, or existing runs have other settings.
        TrainingError: runs failed; the others are complete.
    """
    if not table.ablation:
        raise UsageError(f"{table.name} compares finished networks: there is nothing to train")
    if seeds < 1:
        raise UsageError("seeds of an ablation", expected="1 or more", found=seeds)
    out, epochs = Path(base.out), base.epochs
    assert epochs is not None
    runs = [Run(row, seed, out) for seed in range(seeds) for row in table.rows]
    unfinished = [(run, _config(run, base)) for run in runs if len(run.history) < epochs]
    for run in runs:
        _require_same_settings(run, _config(run, base))
    done = len(runs) - len(unfinished)
    say(
        f"{plural(len(runs), 'run')} of {plural(epochs, 'epoch')} in {out}"
        + f", {done} complete" * bool(done)
    )
    processes = min(processes or max(1, torch.cuda.device_count()), max(1, len(unfinished)))
    begun = time.monotonic()
    if processes == 1:
        for number, (run, config) in enumerate(unfinished, start=1):
            say(f"run {number} of {len(unfinished)}: {run.row.label}, seed {run.seed}")
            train(config, say=say, progress=progress)
    elif unfinished:
        _train_at_once(unfinished, processes, say)
    return _report(table, runs, base, processes, time.monotonic() - begun)


def slug(label: str) -> str:
    """Name of a row's folder."""
    return re.sub(r"[^a-z0-9.]+", "-", label.lower()).strip("-")


def last_weights(table: Table, out: Path) -> list[tuple[str, Path]]:
    """Label of each row, and last weights of its first seed."""
    return [(row.label, Run(row, 0, out).directory / LAST) for row in table.rows]


def _config(run: Run, base: TrainConfig) -> TrainConfig:
    """Configuration of a run, which continues if it was interrupted."""
    config = replace(
        base,
        model=run.row.architecture.name,
        set=(*base.set, *run.row.recipe),
        seed=run.seed,
        out=run.directory,
    )
    return replace(config, resume=run.directory) if (run.directory / CONFIG).exists() else config


def _require_same_settings(run: Run, config: TrainConfig) -> None:
    """Raise a UsageError if the run exists with other settings: it would not be comparable."""
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


def _train_at_once(unfinished: Sequence[tuple[Run, TrainConfig]], processes: int, say: Say) -> None:
    """Train runs in processes, each on its own GPU or its share of the cores."""
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
    finally:  # after Ctrl-C, which the processes receive too: they save their state and end
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
    """Train on one GPU, or on a share of the cores; entry point of a process."""
    gpus = torch.cuda.device_count()
    if gpus and config.accelerator in ("auto", "gpu"):
        config = replace(config, devices=f"{place % gpus},")
    with suppress(AttributeError):  # only on Linux can a process choose its cores
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


# -- results ----------------------------------------------------------------------------------------------


def _report(
    table: Table, runs: Sequence[Run], base: TrainConfig, processes: int, seconds: float
) -> Reproduction:
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
    seeds = plural(len({run.seed for run in runs}), "seed")
    width = f", {base.width:g} of the width" if base.width != 1 else ""
    hours = sum(float(epoch["seconds"]) for run in runs for epoch in run.history) / 3600
    measured = (
        f"measured: {data}, {plural(base.epochs or 0, 'epoch')} at {lines[0].size}{width}, {seeds}; "
        "AP of the averaged weights after the last epoch (NMS IoU 0.6), mean and half of the spread."
    )
    took = (
        f"{plural(len(runs), 'run')}, {hours:.2f} hours of training in all; "
        f"{seconds / 60:.0f} minutes now, {processes} at a time."
    )
    notes = (*table.notes, measured, "The paper's numbers: the whole networks on COCO.", took)
    return with_improvements(Reproduction(table.name, table.title, tuple(lines), notes))
