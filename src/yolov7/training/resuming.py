"""Resuming a run from its newest undamaged state."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from yolov7.checkpoints.checkpoint import load_checkpoint
from yolov7.errors import CheckpointError, DamagedCheckpointError, UsageError
from yolov7.text import plural
from yolov7.training.keeper import BEST, LAST, METRICS, STATE
from yolov7.training.record import Stored
from yolov7.training.state import SafeState, previous

_LOG = logging.getLogger(__name__)

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


@dataclass(frozen=True)
class Past:
    """Progress of a run.

    Attributes:
        state: file of the training state; None before the end of the first epoch.
        network: checkpoint with the network; None before the end of the first epoch.
        history: one row per finished epoch.
        images: number of training images.
        planned: planned epochs before resuming.
    """

    state: Path | None = None
    network: Path | None = None
    history: tuple[dict[str, float], ...] = ()
    images: int | None = None
    planned: int | None = None


def find_past(directory: Path) -> Past:
    """Find the newest undamaged state of a run; log a warning about a damaged one.

    Raises:
        DamagedCheckpointError: all states are damaged or missing.
    """
    damage: list[DamagedCheckpointError] = []
    newest = directory / STATE
    for path in filter(Path.exists, (newest, previous(newest))):
        try:
            history, images = _read(path)
        except DamagedCheckpointError as error:
            damage.append(error)
            continue
        if damage or path != newest:
            why = damage[0] if damage else f"{newest} is not there"
            _LOG.warning("%s\nthe run goes on from %s, after epoch %d", why, path.name, len(history))
        return Past(path, _network(directory), history, images)
    if damage:
        raise DamagedCheckpointError(
            "the training state is damaged, and there is no other: the run cannot go on",
            file=newest,
            expected=f"a new run from its weights: yolov7 train DATA --weights {directory / LAST}",
            found=damage[0],
        )
    if (directory / METRICS).exists() and (directory / METRICS).read_bytes().count(b"\n") > 2:
        raise DamagedCheckpointError(
            "the training state is gone: the run cannot go on",
            file=newest,
            expected=f"a new run from its weights: yolov7 train DATA --weights {directory / LAST}",
        )
    return Past()


def _network(directory: Path) -> Path:
    """The first readable checkpoint; all have the same network and anchors."""
    paths = [path for path in (directory / LAST, directory / BEST) if path.exists()]
    for path in paths[:-1]:
        try:
            load_checkpoint(path)
        except CheckpointError as error:
            _LOG.warning("%s", error)
            continue
        return path
    return paths[-1] if paths else directory / LAST


def _read(path: Path) -> tuple[tuple[dict[str, float], ...], int]:
    """History and number of images in a training state.

    Raises:
        DamagedCheckpointError: damaged, or not the state of a run.
    """
    state = SafeState().load_checkpoint(path)
    _require(state, _WANTED, path)
    keeper = state["callbacks"].get("Keeper")
    _require(keeper, _KEEPER, path)
    history = keeper["history"]
    try:
        processed = state["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    except (KeyError, TypeError):
        processed = None
    numbers = range(1, len(history) + 1)
    sound = (
        all(isinstance(row, dict) and all(map(_is_number, row.values())) for row in history)
        and [row.get("epoch") for row in history] == list(numbers)
        and processed == state["epoch"] + 1 == len(history)
        and _all_numbers(state["loops"])
        and len(state["optimizer_states"]) == 1
        and all(
            isinstance(one, dict) and _all_numbers(one.get("param_groups"))
            for one in state["optimizer_states"]
        )
        and all(isinstance(t, Tensor) for t in (*state["state_dict"].values(), *state["gradients"].values()))
    )
    if not sound:
        raise DamagedCheckpointError("not the training state of a run", file=path, found="other values")
    return tuple(history), keeper["images"]


def _require(values: Any, wanted: dict[str, type], path: Path) -> None:
    """Refuse a dictionary that lacks one of the values, or has one of another type."""
    for name, kind in wanted.items():
        if not isinstance(values, dict) or type(values.get(name)) is not kind:
            found = values.get(name, "nothing") if isinstance(values, dict) else values
            raise DamagedCheckpointError(
                "not the training state of a run",
                file=path,
                expected=f"{name}: {kind.__name__}",
                found=str(found)[:100],
            )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _all_numbers(tree: Any) -> bool:
    """True if all leaves are numbers, bools or None."""
    if isinstance(tree, dict):
        return all(map(_all_numbers, tree.values()))
    if isinstance(tree, (list, tuple)):
        return all(map(_all_numbers, tree))
    return tree is None or isinstance(tree, (bool, int, float))


def require_more(run: Stored, past: Past) -> None:
    """Refuse to shorten a run to epochs that are done already.

    Raises:
        UsageError: as many epochs as wanted are done, or more.
    """
    done = len(past.history)
    if run.recipe.epochs != run.epochs and run.recipe.epochs <= done:
        raise UsageError(
            f"{plural(done, 'epoch')} done already",
            expected=f"more than {done}",
            found=f"--epochs {run.recipe.epochs}",
        )
