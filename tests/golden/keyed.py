"""Tensors whose values follow from their names alone, so that no weights need to be stored (README.md)."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

HERE = Path(__file__).parent


def generator(name: str) -> np.random.Generator:
    """The generator that a name stands for."""
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))


def golden_network(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the released implementation gave for a network: its description and its numbers."""
    folder = HERE / "networks"
    description = json.loads(gzip.decompress((folder / f"{name}.json.gz").read_bytes()))
    with np.load(folder / f"{name}.npz") as arrays:
        return description, dict(arrays)


def keyed_image(description: dict[str, Any]) -> Tensor:
    """The image that a network's numbers were computed on."""
    shape = description["input_shape"]
    return torch.from_numpy(generator("image." + description["name"]).uniform(0, 1, shape).astype(np.float32))


def keyed_state_dict(description: dict[str, Any], anchors: tuple[Any, ...]) -> dict[str, Tensor]:
    """A released training checkpoint's state dict with keyed values.

    Args:
        description: the network's json.
        anchors: pixels, by level; stored in cells and in pixels, as released files do.
    """
    pixels = torch.tensor(anchors, dtype=torch.float32)
    strides = torch.tensor(description["strides"])
    state = {}
    for name, shape in description["state_dict"].items():
        last = name.rsplit(".", 1)[1]
        if last == "anchors":
            state[name] = pixels / strides[:, None, None]
        elif last == "anchor_grid":
            state[name] = pixels.reshape(shape)
        elif last == "num_batches_tracked":
            state[name] = torch.tensor(0)
        else:
            state[name] = torch.from_numpy(_values(name, last, shape, description["bn_gain"]))
    return state


def _values(name: str, last: str, shape: list[int], bn_gain: float) -> np.ndarray:
    random = generator(name)
    if last == "weight" and len(shape) == 4:
        values = random.normal(0, np.sqrt(2 / (shape[1] * shape[2] * shape[3])), shape)
    elif last == "weight":
        values = bn_gain * random.uniform(0.5, 1.5, shape)
    elif last == "running_var":
        values = random.uniform(0.5, 1.5, shape)
    elif last == "implicit":
        values = (1 if ".im." in name else 0) + random.normal(0, 0.02, shape)
    else:  # bias, running_mean
        values = random.normal(0, 0.1, shape)
    return values.astype(np.float32)
