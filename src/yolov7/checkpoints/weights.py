"""What people type for weights -> the file that they mean: once, for every command and for Python.

a file             itself
a run's folder     its best.safetensors; last.safetensors where there is no best
yolov7.pt          a released checkpoint, downloaded once
yolov7             an error: the name of a network stands for no weights; fresh ones are asked for
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from yolov7.checkpoints.download import Progress
from yolov7.checkpoints.pretrained import RELEASED, fetch
from yolov7.errors import CheckpointError
from yolov7.files import exists, is_folder
from yolov7.models.zoo import NETWORKS
from yolov7.tensor_files.strangers import weights_of_run
from yolov7.text import did_you_mean

_LOG = logging.getLogger(__name__)


def find_weights(
    weights: str | os.PathLike[str],
    *,
    say: Callable[[str], None] = _LOG.warning,
    progress: Progress | None = None,
) -> Path:
    """Path of the weight file that a name stands for.

    A folder that is no run's is given back as it is: an artefact may be one.

    Args:
        weights: a file, the folder of a run, or the name of a released checkpoint.
        say: told the licence of a download, and which file of a run is taken.
        progress: told about the bytes of a download.

    Raises:
        CheckpointError: there is no such file; a name of a network stands for no weights.
        DownloadError: a released checkpoint cannot be fetched.
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
