"""The end of each epoch: evaluate, save, and decide whether to stop."""

from __future__ import annotations

import csv
import io
import logging
import math
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.data.dataset import Dataset
from yolov7.errors import TrainingError
from yolov7.evaluation.run import Evaluation, evaluate_network
from yolov7.files import write_file
from yolov7.inference.backend import TorchBackend
from yolov7.models.detector import Detector
from yolov7.reports.history import best_epoch
from yolov7.text import plural
from yolov7.training.module import TrainingModule
from yolov7.training.prepare import Run

_LOG = logging.getLogger(__name__)

STATE, LAST, BEST, METRICS = "state.safetensors", "last.safetensors", "best.safetensors", "metrics.csv"


class Keeper(pl.Callback):
    """Callback that evaluates the averaged network, saves checkpoints, metrics and state, and stops the run.

    The state is written last: a run that is killed earlier repeats the epoch, with the same result.

    Attributes:
        history: one row per epoch.
        spent: training time in seconds, including the time before resuming.
        images: number of training images.
        trains: True once an epoch has begun.
    """

    def __init__(self, run: Run, directory: Path) -> None:
        self.run = run
        self.directory = directory
        self.history: list[dict[str, float]] = []
        self.spent = 0.0
        self.images = 0
        self.trains = False
        self._begun = self._epoch_begun = self._saved = time.monotonic()

    @property
    def best_epoch(self) -> int:
        """Epoch with the highest AP, counted from 1; 0 if none was evaluated."""
        best = best_epoch(self.history)
        return 0 if best is None else int(best["epoch"])

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "spent": self.spent, "images": self.images}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = state_dict["history"]
        self.spent = state_dict["spent"]
        self.images = state_dict["images"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begun, self._saved = time.monotonic() - self.spent, -math.inf
        for optimizer in trainer.optimizers:
            _require_matching(optimizer)
        limits = self._limits_reached(self.history[-1]["seconds"]) if self.history else []
        if limits:
            trainer.should_stop = True
            _LOG.warning("stopped before epoch %d: %s", len(self.history) + 1, limits[0][0])

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epoch_begun = time.monotonic()
        self.trains = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TrainingModule)
        epoch, config = trainer.current_epoch + 1, self.run.config
        schedule, seconds = pl_module.schedule, time.monotonic() - self._epoch_begun
        row: dict[str, float] = {
            "epoch": epoch,
            **pl_module.mean_losses(),
            "learning_rate": schedule.at(trainer.current_epoch * schedule.iterations).learning_rate,
            "seconds": seconds,
            "images_per_second": pl_module.tally.images * trainer.world_size / seconds,
        }
        _require_finite(pl_module.shipped, epoch)
        is_last = epoch == trainer.max_epochs
        row |= self._measure(trainer, pl_module.shipped, wanted=is_last or epoch % config.evaluate_every == 0)
        self.history.append(row)
        self.spent = time.monotonic() - self._begun
        for logger in trainer.loggers:
            logger.log_metrics({key: value for key, value in row.items() if key != "epoch"}, step=epoch)

        improved = self.best_epoch == epoch
        limits = self._limits_reached(time.monotonic() - self._epoch_begun)
        trainer.should_stop |= trainer.strategy.broadcast(bool(limits))
        is_last |= trainer.should_stop
        checkpoint = self._checkpoint(pl_module.shipped, row)
        if trainer.is_global_zero:
            write_file(self.directory / METRICS, _as_csv(self.history))
            if improved:
                checkpoint.save(self.directory / BEST)
            if is_last and limits:
                _LOG.warning("stopped after epoch %d: %s", epoch, limits[0][0])
        is_due = time.monotonic() - self._saved >= config.save_interval
        if trainer.strategy.broadcast(is_last or is_due):
            if trainer.is_global_zero:
                checkpoint.save(self.directory / LAST)
            trainer.save_checkpoint(self.directory / STATE)
            self._saved = time.monotonic()

    def _measure(self, trainer: pl.Trainer, model: Detector, *, wanted: bool) -> dict[str, float]:
        """AP, AP50, AP75 and AR100, computed on the first process and sent to the others."""
        val = self.run.val
        row: dict[str, float] = {}
        if val is None or not wanted:
            return row
        if trainer.is_global_zero:
            metrics = evaluate_model(model, val, self.run, trainer.strategy.root_device)
            row = {name: getattr(metrics, name) for name in ("AP", "AP50", "AP75", "AR100")}
        return trainer.strategy.broadcast(row)

    def _limits_reached(self, seconds: float) -> list[tuple[str, str]]:
        """Limits that rule out another epoch of this duration: reason, and option that raises the limit."""
        config, reached = self.run.config, []
        waited = sum(row["epoch"] > self.best_epoch and "AP" in row for row in self.history)
        if config.patience is not None and waited >= config.patience:
            option = f"--patience {waited + config.patience}"
            reached.append((f"no better AP in {plural(waited, 'evaluation')}", option))
        if config.time_budget is not None and self.spent + seconds > 60 * config.time_budget:
            option = f"--time-budget {math.ceil(self.spent / 60 + config.time_budget)}"
            reached.append((f"another epoch would exceed {config.time_budget:g} minutes", option))
        return reached

    def how_to_go_on(self) -> str:
        """Command that continues the run, with more patience or time if it would stop at once."""
        limits = self._limits_reached(self.history[-1]["seconds"] if self.history else 0.0)
        options = [f"--resume {shlex.quote(str(self.directory))}", *(option for _, option in limits)]
        return f"yolov7 train {' '.join(options)}"

    def _checkpoint(self, model: Detector, row: dict[str, float]) -> Checkpoint:
        run = self.run
        return Checkpoint(
            model=model,
            names=run.train.names,
            size=run.size,
            naming="open-yolov7",
            precision="float32",
            training={key: None if math.isnan(value) else value for key, value in row.items()},
            about={
                "trained_with": "open-yolov7",
                "data": run.train.path.name,
                "started_from": run.config.weights and Path(run.config.weights).name,
            },
        )


def evaluate_model(model: Detector, dataset: Dataset, run: Run, device: torch.device) -> Evaluation:
    """Evaluate with the defaults of ``yolov7 val``, so that both give the same AP."""
    return evaluate_network(TorchBackend(model, device), dataset, names=run.train.names, size=run.size)


def _require_matching(optimizer: torch.optim.Optimizer) -> None:
    """Raise ValueError for the optimiser state of another network, which PyTorch loads without a check."""
    for parameter, values in optimizer.state.items():
        for value in values.values():
            if isinstance(value, torch.Tensor) and value.shape not in (parameter.shape, ()):
                raise ValueError(f"momentum of shape {tuple(value.shape)}, not {tuple(parameter.shape)}")


def _require_finite(model: Detector, epoch: int) -> None:
    if not all(torch.isfinite(tensor).all() for tensor in model.state_dict().values()):
        raise TrainingError(
            f"NaN or inf in the weights after epoch {epoch}; the state before it is kept",
            expected="a lower learning rate or 32-bit precision",
        )


def _as_csv(history: Sequence[dict[str, float]]) -> bytes:
    columns = list(dict.fromkeys(key for row in history for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in history)
    return text.getvalue().encode()
