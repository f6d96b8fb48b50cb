"""What a person watches while a network learns."""

from __future__ import annotations

import math
import time
from typing import Any

import lightning.pytorch as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from yolov7.training.keeper import Keeper
from yolov7.training.module import TrainingModule


class ProgressBar(pl.Callback):
    """A bar for the batches of the epoch, with losses, speed, and the time left of the whole run; a line when
    an epoch is over. Without a terminal the lines alone.

    Args:
        keeper: knows the metrics.
    """

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self._progress: Progress | None = None
        self._begun = 0.0
        self._first_epoch = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}", style="dim"),
            console=console,
            transient=True,
            auto_refresh=True,
            disable=not console.is_terminal,
        )
        self._progress.start()
        self._task = self._progress.add_task("", total=trainer.num_training_batches, facts="")
        self._begun, self._first_epoch = time.monotonic(), trainer.current_epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._progress is not None:
            description = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self._progress.reset(
                self._task, total=trainer.num_training_batches, description=description, facts=""
            )
            self._epoch_begun = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, TrainingModule)
        if self._progress is None:
            return
        facts = ""
        if not self._progress.disable:
            now, tally = time.monotonic(), pl_module.tally
            total, box, objectness, classes = tally.means(pl_module.device).tolist()
            batches = trainer.num_training_batches
            done = (trainer.current_epoch - self._first_epoch) * batches + batch_idx + 1
            left = ((trainer.max_epochs or 0) - self._first_epoch) * batches - done
            speed = tally.images * trainer.world_size / (now - self._epoch_begun)
            measured = [row["AP"] for row in self.keeper.history if "AP" in row]
            facts = f"AP {_percent(measured[-1])}  " if measured else ""
            facts += (
                f"loss {total:.3f} (box {box:.3f}, objectness {objectness:.3f}, classes {classes:.3f})  "
                f"{speed:.1f} images/s  {_clock((now - self._begun) / done * left)} left"
            )
        self._progress.update(self._task, completed=batch_idx + 1, facts=facts)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._progress is None:
            return
        row = self.keeper.history[-1]
        text = f"epoch {row['epoch']:.0f}/{trainer.max_epochs}  loss {row['total']:.4f}"
        if "AP" in row:
            text += f"  AP {_percent(row['AP'])}  AP50 {_percent(row['AP50'])}"
            text += f"  best AP in epoch {self.keeper.best_epoch}" if self.keeper.best_epoch else ""
        text += f"  {row['images_per_second']:.1f} images/s  {_clock(row['seconds'])}"
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _percent(fraction: float) -> str:
    return "-" if math.isnan(fraction) else f"{100 * fraction:.1f}"


def _clock(seconds: float) -> str:
    """90 -> 1:30."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
