"""The training state in a file: tensors and plain values, no code, written whole or not at all.

A resumed run continues from its newest undamaged state: :func:`find_past`.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from yolov7.checkpoints.checkpoint import load_checkpoint
from yolov7.errors import CheckpointError, DamagedCheckpointError
from yolov7.files import replacing
from yolov7.training.keeper import BEST, LAST, METRICS, STATE

_LOG = logging.getLogger(__name__)

FORMAT = "open-yolov7 training state"
_PREVIOUS = "previous-"
_WANTED = {
    "epoch": int,
    "global_step": int,
    "pytorch-lightning_version": str,
    "state_dict": dict,
    "loops": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "gradients": dict,
}
_KEEPER = {"history": list, "spent": float, "images": int}


class SafeState(CheckpointIO):
    """Lightning plugin that stores the training state as one safetensors file.

    The metadata hold the nested structure as JSON, and a checksum over structure and tensors. A new file is
    complete on the disk before it replaces the old one, which stays beside it: :func:`previous`.

    Attributes:
        given: True once a state was read, so that a later error may come from it.
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
        del map_location, weights_only  # always read into memory, never as code
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
                    "the training state differs from what was written",
                    file=path,
                    expected=f"checksum {metadata['checksum']}",
                    found=found,
                )
            state = _unflatten(json.loads(metadata["tree"]), tensors)
            if not isinstance(state, dict):
                raise TypeError(f"a {type(state).__name__}, not a dict")
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DamagedCheckpointError("not a whole training state", file=path, found=error) from None
        return state

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        Path(path).unlink(missing_ok=True)


def previous(path: Path) -> Path:
    """Path of the state written before the one at `path`."""
    return path.with_name(_PREVIOUS + path.name)


def _keep(path: Path) -> None:
    """Keep the current state as the previous one: by a hard link, or by renaming where links do not exist."""
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


@dataclass(frozen=True)
class Past:
    """Progress of a run; empty before the end of the first epoch."""

    state: Path | None = None  # file of the training state
    network: Path | None = None  # checkpoint with the network
    history: tuple[dict[str, float], ...] = ()  # one row per finished epoch
    images: int | None = None  # number of training images
    planned: int | None = None  # epochs planned before resuming


def find_past(directory: Path) -> Past:
    """Find the newest undamaged state of a run; log a warning about a damaged one.

    Raises:
        DamagedCheckpointError: all states are damaged or missing.
    """
    damage: DamagedCheckpointError | None = None
    newest = directory / STATE
    for path in filter(Path.exists, (newest, previous(newest))):
        try:
            history, images = _read(path)
        except DamagedCheckpointError as error:
            damage = damage or error
            continue
        if path != newest:
            why = damage or f"{newest} is missing"
            _LOG.warning("%s\nthe run goes on from %s, after epoch %d", why, path.name, len(history))
        return Past(path, _network(directory), history, images)
    metrics = directory / METRICS
    if damage or (metrics.exists() and metrics.read_bytes().count(b"\n") > 2):
        problem = "damaged, and there is no other" if damage else "missing"
        raise DamagedCheckpointError(
            f"the training state is {problem}: the run cannot go on",
            file=newest,
            expected=f"a new run from its weights: yolov7 train DATA --weights {directory / LAST}",
            found=damage,
        )
    return Past()


def _network(directory: Path) -> Path:
    """Find the first readable checkpoint; all have the same network and anchors."""
    last, best = directory / LAST, directory / BEST
    if not (last.exists() and best.exists()):
        return best if best.exists() else last
    try:
        load_checkpoint(last)
    except CheckpointError as error:
        _LOG.warning("%s", error)
        return best
    return last


def _read(path: Path) -> tuple[tuple[dict[str, float], ...], int]:
    """Read the history and the number of images from a state; refuse one that is not the state of a run."""
    state = SafeState().load_checkpoint(path)
    _require(state, _WANTED, path)
    keeper = state["callbacks"].get("Keeper")
    _require(keeper, _KEEPER, path)
    history, optimizers, loops = keeper["history"], state["optimizer_states"], state["loops"]
    try:
        processed = loops["fit_loop"]["epoch_progress"]["current"]["processed"]
    except (KeyError, TypeError):
        processed = None
    sound = (
        all(
            isinstance(row, dict) and all(type(value) in (int, float) for value in row.values())
            for row in history
        )
        and [row.get("epoch") for row in history] == list(range(1, len(history) + 1))
        and processed == state["epoch"] + 1 == len(history)
        and _all_numbers(loops)
        and len(optimizers) == 1
        and isinstance(optimizers[0], dict)
        and _all_numbers(optimizers[0].get("param_groups"))
        and all(isinstance(t, Tensor) for t in (*state["state_dict"].values(), *state["gradients"].values()))
    )
    if not sound:
        raise DamagedCheckpointError("not the training state of a run", file=path, found="other values")
    return tuple(history), keeper["images"]


def _require(values: Any, wanted: dict[str, type], path: Path) -> None:
    """Refuse anything but a dictionary with these names and types."""
    for name, kind in wanted.items():
        found = values.get(name, "nothing") if isinstance(values, dict) else values
        if not isinstance(values, dict) or type(values.get(name)) is not kind:
            raise DamagedCheckpointError(
                "not the training state of a run",
                file=path,
                expected=f"{name}: {kind.__name__}",
                found=str(found)[:100],
            )


def _all_numbers(tree: Any) -> bool:
    """True if all leaves are numbers, bools or None."""
    if isinstance(tree, dict):
        return all(map(_all_numbers, tree.values()))
    if isinstance(tree, (list, tuple)):
        return all(map(_all_numbers, tree))
    return tree is None or isinstance(tree, (bool, int, float))
