"""The training state in a file: tensors and plain values, no code, written whole or not at all."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
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
_PREVIOUS = "previous-"


class SafeState(CheckpointIO):
    """Lightning plugin that stores the training state as one safetensors file.

    The metadata hold the nested structure as JSON, and a checksum over structure and tensors. A new file is
    complete on the disk before it replaces the old one, which stays beside it: :func:`previous`.

    Attributes:
        given: True once a state was read, so that a later error may be its fault.
    """

    def __init__(self) -> None:
        self.given = False

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write the state.

        Raises:
            OutputError: no space or no permission; the old file is still there.
        """
        del storage_options
        tensors: dict[str, Tensor] = {}
        tree = json.dumps(_flatten(checkpoint, tensors))
        metadata = {"format": FORMAT, "tree": tree, "checksum": checksum(tree, tensors)}
        with replacing(path, SafetensorError, sync=True) as partial:
            save_file(tensors, partial, metadata)
            _keep(Path(path))

    def load_checkpoint(
        self,
        path: str | os.PathLike[str],
        map_location: Callable[..., Any] | None = None,
        weights_only: bool | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """Read the state.

        Raises:
            DamagedCheckpointError: not a training state, or damaged.
        """
        del map_location, weights_only  # always read into memory, and never code
        self.given = True
        try:
            with safe_open(os.fspath(path), framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise DamagedCheckpointError(
                        "not a training state", file=path, expected=FORMAT, found=metadata.get("format")
                    )
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
            found = checksum(metadata["tree"], tensors)
            if found != metadata["checksum"]:
                raise DamagedCheckpointError(
                    "the training state is not what was written",
                    file=path,
                    expected=f"checksum {metadata['checksum']}",
                    found=found,
                )
            state = _unflatten(json.loads(metadata["tree"]), tensors)
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DamagedCheckpointError("not a whole training state", file=path, found=error) from None
        if not isinstance(state, dict):
            raise DamagedCheckpointError("not a whole training state", file=path, found=type(state).__name__)
        return state

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Delete the state, if it exists."""
        Path(path).unlink(missing_ok=True)


def previous(path: Path) -> Path:
    """Path of the state written before the one at `path`."""
    return path.with_name(_PREVIOUS + path.name)


def _keep(path: Path) -> None:
    """Keep the present state as the previous one: as a hard link, or renamed where links do not exist."""
    if not path.exists():
        return
    link = previous(path).with_name(f".{previous(path).name}")
    with suppress(OSError):
        link.unlink(missing_ok=True)
        link.hardlink_to(path)
        link.replace(previous(path))
        return
    path.replace(previous(path))


def checksum(tree: str, tensors: Mapping[str, Tensor]) -> str:
    """CRC-32 of the structure and of the tensors, with their names, dtypes and shapes."""
    value = zlib.crc32(tree.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        value = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), value)
        if tensor.numel():
            value = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, value)
    return f"{value:08x}"


def _flatten(value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON form of a value: containers are tagged with their type, tensors go into `tensors`."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, dict):  # pairs, because JSON has no numbers as keys
        return {"dict": [[key, _flatten(item, tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_flatten(item, tensors) for item in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a training state holds tensors and plain values, not {type(value).__name__}")


def _unflatten(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content].clone(memory_format=torch.preserve_format)
    if kind == "dict":
        return {key: _unflatten(item, tensors) for key, item in content}
    if kind not in ("list", "tuple"):
        raise ValueError(f"unknown kind {kind!r}")
    items = [_unflatten(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items
