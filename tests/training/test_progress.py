"""What a person sees of a run fits into a terminal of 80 columns."""

from __future__ import annotations

import math
import re
import types
from typing import Any

import pytest
import torch

from yolov7.training.keeper import Keeper
from yolov7.training.module import TrainingModule
from yolov7.training.progress import ProgressBar


class Module(TrainingModule):
    """Losses without a network."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    device = torch.device("cpu")
    tally = types.SimpleNamespace(images=96, means=lambda: torch.tensor([12.3456, 0.1, 10.2, 2.0]))


def watched(keeper: Keeper, epochs: int, batches: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Lines that a terminal shows: one of an epoch under way, and that of its end."""
    trainer: Any = types.SimpleNamespace(
        is_global_zero=True, num_training_batches=batches, current_epoch=0, max_epochs=epochs, world_size=1
    )
    bar = ProgressBar(keeper)
    bar.on_train_start(trainer, Module())
    trainer.current_epoch = epochs - 1
    bar.on_train_epoch_start(trainer, Module())
    bar.on_train_batch_end(trainer, Module(), None, None, batches - 1)
    progress = bar._progress
    assert progress is not None
    with progress.console.capture() as live:
        progress.console.print(progress.get_renderable())
    bar.on_train_epoch_end(trainer, Module())
    bar.on_train_end(trainer, Module())
    told = live.get() + "\n" + capsys.readouterr().err
    uncoloured = re.sub(r"\x1b\[[0-9;]*m", "", told)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "\n", uncoloured).splitlines()


@pytest.mark.parametrize("columns", [80, 60, 200])
@pytest.mark.parametrize("ap", [0.4567, math.nan])
def test_lines_fit(
    columns: int, ap: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    row = {
        "epoch": 300,
        "total": 12.3456,
        "AP": ap,
        "AP50": ap,
        "images_per_second": 123.4,
        "seconds": 4000.0,
    }
    keeper: Any = types.SimpleNamespace(history=[row], best_epoch=298)
    lines = [line for line in watched(keeper, 300, 7393, capsys) if line.strip()]
    live = next(line for line in lines if "7393/7393" in line)
    end = next(line for line in lines if "loss 12.3456" in line)
    assert all(len(line.rstrip()) <= columns for line in (live, end)), (live, end)
    assert "loss 12.346" in live
    assert " left" in live
    assert "…" not in live
    assert "epoch 300/300" in end
    assert ("objectness" in live and "AP50" in end and "images/s" in end) == (columns == 200)
