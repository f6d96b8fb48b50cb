"""A checkpoint of torch, from its path to what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from yolov7.tensor_files.reading import open_file, read_file


def read_checkpoint(path: Path) -> Any:
    with open_file(path) as file:
        return read_file(file).tree
