"""The progress bar of a training run."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from yolov7.training.keeper import Keeper
from yolov7.training.module import TrainingModule

_LONG_BAR, _SHORT_BAR, _WIDE = 24, 8, 110


class ProgressBar(pl.Callback):
    """Bar over the batches of an epoch, with losses, speed and the run's remaining time; a line per epoch.

    Without a terminal there are only the lines. A narrow terminal leaves out the least important parts.
    """

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        console = Console(stderr=True)
        self._bar_width = _LONG_BAR if console.width >= _WIDE else _SHORT_BAR
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=self._bar_width),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}", style="dim"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", facts="")
        self._begun = self._epoch_begun = 0.0
        self._first_epoch = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._progress.start()
        self._begun, self._first_epoch = time.monotonic(), trainer.current_epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        description = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        self._progress.reset(
            self._task, total=trainer.num_training_batches, description=description, facts=""
        )
        self._epoch_begun = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, TrainingModule)
        if self._progress.disable:
            return
        now, tally = time.monotonic(), pl_module.tally
        total, box, objectness, classes = tally.means().tolist()
        epochs, batches = trainer.max_epochs or 0, trainer.num_training_batches
        done = (trainer.current_epoch - self._first_epoch) * batches + batch_idx + 1
        left = (epochs - self._first_epoch) * batches - done
        speed = tally.images * trainer.world_size / (now - self._epoch_begun)
        measured = [row["AP"] for row in self.keeper.history if "AP" in row]
        parts = [
            (2, f"AP {_percent(measured[-1])}" if measured else ""),
            (1, f"loss {total:.3f}"),
            (4, f"(box {box:.3f}, objectness {objectness:.3f}, classes {classes:.3f})"),
            (3, f"{speed:.0f} images/s"),
            (0, f"{_clock((now - self._begun) / done * left)} left"),
        ]
        taken = len(f"epoch {epochs}/{epochs} {batches}/{batches}  ") + self._bar_width
        facts = fitting(parts, self._progress.console.width - taken)
        self._progress.update(self._task, completed=batch_idx + 1, facts=facts)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        row = self.keeper.history[-1]
        parts = [(0, f"epoch {row['epoch']:.0f}/{trainer.max_epochs}"), (0, f"loss {row['total']:.4f}")]
        if "AP" in row:
            best = f"best epoch {self.keeper.best_epoch}" if self.keeper.best_epoch else ""
            parts += [(0, f"AP {_percent(row['AP'])}"), (2, f"AP50 {_percent(row['AP50'])}"), (1, best)]
        parts += [(3, f"{row['images_per_second']:.0f} images/s"), (1, _clock(row["seconds"]))]
        console = self._progress.console
        text = fitting(parts, console.width if console.is_terminal else None)
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._progress.stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._progress.stop()


def fitting(parts: Sequence[tuple[int, str]], width: int | None) -> str:
    """Join parts of a line; while it is too long, drop those of the highest rank. Rank 0 always stays.

    Args:
        parts: (rank, text) of each part; empty texts are left out.
        width: columns of the line; None for any length.

    >>> fitting([(0, "loss 1.234"), (2, "58 images/s"), (1, "1:30 left")], 24)
    'loss 1.234  1:30 left'
    """
    kept = [part for part in parts if part[1]]
    while True:
        line = "  ".join(text for _, text in kept)
        least = max(rank for rank, _ in kept)
        if width is None or len(line) <= width or least == 0:
            return line
        kept = [part for part in kept if part[0] != least]


def _percent(fraction: float) -> str:
    return "-" if math.isnan(fraction) else f"{100 * fraction:.1f}"


def _clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss: 90 -> 1:30."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
