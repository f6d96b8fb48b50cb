"""The numbers of a run as TensorBoard reads them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

_LOG = logging.getLogger(__name__)


class Board(Logger):
    """Writer of a directory for TensorBoard.

    Each row is written at once and by the calling thread: a full disk ends the curves, with a warning, and
    not the run.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.file: Path | None = None
        self.lost = False

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Do nothing: hyperparameters are in config.json and recipe.json."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if self.lost:
            return
        rows = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        event = Event(wall_time=time.time(), step=step, summary=Summary(value=rows))
        try:
            if self.file is None:
                self.directory.mkdir(parents=True, exist_ok=True)
                self.file = self.directory / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"
                self._append(Event(wall_time=time.time(), file_version="brain.Event:2"))
            self._append(event)
        except OSError as error:
            self.lost = True
            _LOG.warning("%s: no more curves for TensorBoard: %s", self.directory, error.strerror)

    def _append(self, event: Event) -> None:
        assert self.file is not None
        with self.file.open("ab") as file:
            RecordWriter(file).write(event.SerializeToString())
