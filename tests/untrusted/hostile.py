"""Artefacts of a network of one line, as bytes, and what can be done to them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from yolov7.runtimes.network import traced
from yolov7.runtimes.torch_programs import script_bytes

SAID: dict[str, Any] = {
    "format": "torchscript",
    "variant": "yolov7-tiny",
    "names": ["a", "b"],
    "size": 64,
    "shape": None,
    "strides": [8, 16, 32],
    "anchors": [[[1.0, 1.0]] * 3] * 3,
    "precision": "float32",
    "weights": "x",
    "about": {},
    "made_by": {"open-yolov7": "0.1.0"},
}
"""A description; without a version, as the first artefacts had none."""


class OneLine(nn.Module):
    """Images -> rows of 7 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([2.0]), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        return torch.reshape(torch.mul(images[:, :, :, 0:7], self.scale), [1, -1, 7])


def torchscript(network: nn.Module | None = None, **changed: Any) -> bytes:
    """Traced, where nothing else is given."""
    program = traced(OneLine(), torch.zeros(1, 3, 64, 64)) if network is None else network
    return script_bytes(program, {"open-yolov7": json.dumps(SAID | changed)})


def exported(**changed: Any) -> bytes:
    """A program of torch.export."""
    content = io.BytesIO()
    program = torch.export.export(OneLine(), (torch.zeros(1, 3, 64, 64),))
    said = SAID | {"format": "torch-export"} | changed
    torch.export.save(program, content, extra_files={"open-yolov7": json.dumps(said)})
    return content.getvalue()


def edited(archive: bytes, change: Mapping[str, Callable[[bytes], bytes]], **added: bytes) -> bytes:
    """An archive whose records, by how their names end, went through functions; and with more of them."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(result, "w") as new:
        folder = old.namelist()[0].split("/")[0]
        for name in old.namelist():
            content = old.read(name)
            for end, function in change.items():
                if name.endswith(end):
                    content = function(content)
            new.writestr(name, content)
        for name, content in added.items():
            new.writestr(f"{folder}/{name}", content)
    return result.getvalue()


def written(folder: Path, name: str, content: bytes) -> Path:
    """The path of a file with that content."""
    path = folder / name
    path.write_bytes(content)
    return path
