"""A checkpoint of torch, from its path to what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from yolov7.checkpoints.container import read_torch
from yolov7.checkpoints.sniff import open_file, sniff_open


def read_checkpoint(path: Path) -> Any:
    with open_file(path) as file:
        return read_torch(file, sniff_open(file, str(path)), str(path))
