"""The training state in a file: tensors and plain values, nothing that runs, whole or not there at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from yolov7.errors import DamagedCheckpointError
from yolov7.files import replacing

FORMAT = "open-yolov7 training state"


class SafeState(CheckpointIO):
    """Reads and writes what Lightning remembers of a run as one safetensors file.

    The tensors lie in the file as they are; the tree that they hang in is JSON in its metadata. A file is
    complete on the disk before it takes the place of the one before.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write the state.

        Raises:
            OutputError: no space, no permission; the file before is still there.
        """
        del storage_options
        tensors: dict[str, Tensor] = {}
        tree = json.dumps(_flatten(checkpoint, tensors))
        with replacing(path, SafetensorError, sync=True) as partial:
            save_file(tensors, partial, {"format": FORMAT, "tree": tree})

    def load_checkpoint(
        self,
        path: str | os.PathLike[str],
        map_location: Callable[..., Any] | None = None,
        weights_only: bool | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """Read the state.

        Raises:
            DamagedCheckpointError: it is not one, or not a whole one.
        """
        del map_location, weights_only  # it lies in memory first, and nothing but values is ever read
        try:
            with safe_open(os.fspath(path), framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise DamagedCheckpointError(
                        "not a training state", file=path, expected=FORMAT, found=metadata.get("format")
                    )
                tree = json.loads(metadata["tree"])
                state = _unflatten(tree, file.get_tensor)
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DamagedCheckpointError("not a whole training state", file=path, found=error) from None
        assert isinstance(state, dict)
        return state

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Delete the state, if it is there."""
        Path(path).unlink(missing_ok=True)


def _flatten(value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON types; containers are marked with their kind, tensors go into `tensors`."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, dict):  # keys may be numbers, which JSON has not
        return {"dict": [[key, _flatten(item, tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_flatten(item, tensors) for item in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a training state holds tensors and plain values, not {type(value).__name__}")


def _unflatten(tree: Any, tensor: Callable[[str], Tensor]) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensor(content).clone(memory_format=torch.preserve_format)
    if kind == "dict":
        return {key: _unflatten(item, tensor) for key, item in content}
    items = [_unflatten(item, tensor) for item in content]
    return tuple(items) if kind == "tuple" else items
