"""A checkpoint of torch, from its path to what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from yolov7.tensor_files.sniff import open_file, sniff_open
from yolov7.tensor_files.torch_files import read_torch


def read_checkpoint(path: Path) -> Any:
    with open_file(path) as file:
        return read_torch(file, sniff_open(file, str(path)), str(path))
