"""Ctrl-C and SIGTERM while a network is trained: neither is ever lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import lightning.pytorch as pl


class Interrupts(pl.Callback):
    """Remembers that the run is to end, and ends it before the next batch at the latest.

    Python drops what is raised while an object is cleaned up, a generator for instance; a KeyboardInterrupt
    that comes at such a moment would be lost.
    """

    def __init__(self) -> None:
        self._came = False

    def check(self) -> None:
        """Raise what was lost.

        Raises:
            KeyboardInterrupt: there was an interrupt.
        """
        if self._came:
            raise KeyboardInterrupt

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """Take a signal."""
        self._came = True
        raise KeyboardInterrupt

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.check()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.check()


@contextmanager
def catching_interrupts() -> Iterator[Interrupts]:
    """Treat SIGTERM like Ctrl-C, and raise whatever was lost at the end.

    Handlers that somebody else has set, and signals that are ignored, stay as they are.

    Raises:
        KeyboardInterrupt: there was an interrupt.
    """
    interrupts = Interrupts()
    before = {}
    if threading.current_thread() is threading.main_thread():
        usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
        for number, handler in usual.items():
            if signal.getsignal(number) == handler:
                before[number] = signal.signal(number, interrupts.handle)
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    interrupts.check()
