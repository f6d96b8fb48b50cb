"""Weights as users name them -> the file, for every command and for Python.

a file             itself
a run's folder     its best.safetensors; last.safetensors where there is no best
yolov7.pt          a released checkpoint, downloaded once
yolov7             an error: the name of a network has no weights; fresh ones need --fresh
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from yolov7.checkpoints.download import Progress
from yolov7.checkpoints.pretrained import RELEASED, fetch
from yolov7.errors import CheckpointError
from yolov7.files import exists, is_file, is_folder
from yolov7.models.zoo import NETWORKS
from yolov7.tensor_files.strangers import HEAD, NETWORK_YAML, is_unpacked, what_is
from yolov7.text import did_you_mean

_LOG = logging.getLogger(__name__)

OF_A_RUN = (
    *("best.safetensors", "last.safetensors"),
    *("weights/best.pt", "weights/last.pt", "best.pt", "last.pt"),  # the released tool's
)
"""Weight files in the folder of a run; the first that exists is taken."""


def find_weights(
    weights: str | os.PathLike[str],
    *,
    say: Callable[[str], None] = _LOG.warning,
    progress: Progress | None = None,
) -> Path:
    """Find the weight file that a name stands for; a released checkpoint is downloaded once.

    Any other folder than a run's is returned as it is, because an artefact may be a folder.

    Args:
        weights: a file, the folder of a run, or the name of a released checkpoint.
        say: called with the licence of a download, and with the file of a run that is taken.
        progress: called with the bytes of a download as they come.

    Raises:
        CheckpointError: no such file, or the name of a network, which has no weights.
        DownloadError: a released checkpoint cannot be downloaded.
    """
    path, name = Path(weights), os.fspath(weights)
    if is_folder(path):
        if (file := weights_of_run(path)) is None:
            return path
        say(f"{name}: {file.relative_to(path)} is used")
        return file
    if exists(path):
        return path
    if (released := RELEASED.get(name)) is not None:
        say(f"{released.name}: {released.licence}, from {released.url}")
        return fetch(released, progress=progress)
    networks = [network.name for network in NETWORKS]
    if name in networks:
        trained = [released.name for released in RELEASED.values() if released.variant == name]
        raise CheckpointError(
            f"{name} is the name of a network, not of trained weights",
            expected=(f"{' or '.join(trained)} for weights trained on COCO; " if trained else "")
            + "a weight file; or --fresh, in Python fresh=True, for fresh weights, which find nothing",
            found=name,
        )
    beside = [entry.name for entry in path.parent.iterdir()] if is_folder(path.parent) else []
    near = did_you_mean(path.name, beside) or did_you_mean(name, RELEASED) or did_you_mean(name, networks)
    raise CheckpointError(
        f"there is no such weight file{near}",
        file=path,
        expected="a .pt, .pth or .safetensors file, an exported artefact, the folder of a run, or one of "
        + ", ".join(RELEASED),
    )


def weights_of_run(folder: Path) -> Path | None:
    """Weight file in the folder of a run; None if there is none."""
    return next((folder / name for name in OF_A_RUN if is_file(folder / name)), None)


def is_dataset(path: Path) -> bool:
    """True if a path that may be a checkpoint or a data set is a data set."""
    if is_folder(path):
        return not is_unpacked(path) and weights_of_run(path) is None
    if path.suffix.lower() not in (".yaml", ".yml", ".json", ".data"):
        return False
    if not is_file(path):
        return True
    with path.open("rb") as file:
        return what_is(file.read(HEAD), os.fspath(path)) != NETWORK_YAML
