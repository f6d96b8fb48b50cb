"""Small training runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from yolov7.data.shapes import write_shapes


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data.yaml of a few images of 96 pixels."""
    return write_shapes(tmp_path_factory.mktemp("shapes"), train=10, val=4, size=96)


@pytest.fixture
def options(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A run of a few seconds on the processor."""
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path / "cache"))
    return {
        "data": shapes,
        "model": "yolov7-tiny",
        "width": 0.25,
        "size": 96,
        "batch_size": 4,
        "epochs": 2,
        "workers": 0,
        "accelerator": "cpu",
        "save_interval": 0,
        "report": False,
    }


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small networks are quickest so, and sums have one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
