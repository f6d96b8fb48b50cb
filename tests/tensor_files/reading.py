"""A checkpoint of torch, from its path to what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from yolov7.tensor_files.reading import read_file
from yolov7.tensor_files.sniff import open_file


def read_checkpoint(path: Path) -> Any:
    with open_file(path) as file:
        return read_file(file).tree
