"""Ctrl-C and SIGTERM during training: neither is ever lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import lightning.pytorch as pl


class Interrupts(pl.Callback):
    """Callback that remembers an interrupt, and ends the run before the next batch at the latest.

    Python drops exceptions raised while it finalises an object, such as a generator; a KeyboardInterrupt
    would be lost then.
    """

    def __init__(self) -> None:
        self._interrupted = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if there was an interrupt, which Python may have dropped."""
        if self._interrupted:
            raise KeyboardInterrupt

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        self._interrupted = True
        raise KeyboardInterrupt

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.check()


@contextmanager
def catching_interrupts() -> Iterator[Interrupts]:
    """Treat SIGTERM like Ctrl-C inside the block, and raise a dropped interrupt at its end.

    Handlers set by others, and ignored signals, stay as they are.
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
