"""The curves for TensorBoard."""

from __future__ import annotations

import logging
import signal
import sys

import pytest

from yolov7.reports.board import Board

METRICS = {"total": 2.5, "AP": 0.25}


def test_tensorboard_reads_the_rows(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = Board(tmp_path / "tensorboard")
    for epoch in (1, 2):
        board.log_metrics({name: value * epoch for name, value in METRICS.items()}, step=epoch)
    read = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(row.step, row.value) for row in read.Scalars("AP")] == [(1, 0.25), (2, 0.5)]
    assert [(row.step, row.value) for row in read.Scalars("total")] == [(1, 2.5), (2, 5.0)]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX has limits of file sizes")
def test_a_full_disk_ends_the_curves_and_not_the_run(tmp_path, caplog):
    """Here a limit of the size of files; the error comes from the same calls."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        board = Board(tmp_path / "tensorboard")
        with caplog.at_level(logging.WARNING, logger="yolov7"):
            for epoch in range(5):
                board.log_metrics(METRICS, step=epoch)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert len(caplog.records) == 1
    assert "no more curves for TensorBoard: File too large" in caplog.text


def test_a_directory_that_is_not_there_ends_nothing(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    Board(tmp_path / "file").log_metrics(METRICS, step=1)
    assert "no more curves" in caplog.text
