"""Cache of artefacts, written when first needed, so that any checkpoint runs on any runtime."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
import threading
from importlib import metadata
from pathlib import Path

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.checkpoints.pretrained import cache_directory
from yolov7.errors import CheckpointError
from yolov7.files import explained
from yolov7.runtimes.description import ExportOptions, weights_sha256
from yolov7.runtimes.runtime import ArtefactBackend, Runtime

_LOG = logging.getLogger(__name__)

FORM = 2
"""Version of the artefacts that this package writes; older ones in the cache are not used."""
_UNFINISHED = ".partial"
_WRITING = threading.Lock()
"""Held while an artefact is written: most runtimes trace the network, which is not thread-safe."""


def open_prepared(
    checkpoint: Checkpoint, runtime: Runtime, size: int, *, parallel: int = 1, exact: bool = False
) -> tuple[ArtefactBackend, Path]:
    """Open a checkpoint on a runtime, from its artefact in the cache; one that is damaged is written again.

    Args:
        checkpoint, runtime, size: see :func:`prepared`.
        parallel, exact: see :meth:`Runtime.open`.

    Returns:
        The backend and the path of the artefact.

    Raises:
        MissingDependencyError, OutputError: as in :func:`prepared`.
    """

    def opened() -> ArtefactBackend:
        return runtime.open(path, parallel=parallel, exact=exact, trust=runtime.needs_trust)

    path = prepared(checkpoint, runtime, size)
    try:
        return opened(), path
    except CheckpointError as error:
        _LOG.warning("damaged in the cache: %s", error.message)
        with explained(path.parent):
            shutil.rmtree(path.parent)
    prepared(checkpoint, runtime, size)
    return opened(), path


def prepared(checkpoint: Checkpoint, runtime: Runtime, size: int) -> Path:
    """Path of a checkpoint's artefact in the cache, written there if it is missing.

    Its folder is named by the weights, the size, and the versions of the libraries that write and run it.

    Args:
        checkpoint: any form.
        runtime: format of the artefact.
        size: size of the images, pixels, for formats of a single size.

    Raises:
        MissingDependencyError: the libraries of the format are not installed.
        OutputError: the cache cannot be written.
    """
    runtime.require(*runtime.writes_with, *runtime.runs_with)
    options = ExportOptions(size=size)
    if runtime.takes_any_size:  # any multiple of the stride, to which prediction pads
        options = ExportOptions(size=checkpoint.model.architecture.size, dynamic=True)
    folder = _home() / _key(checkpoint, runtime, options)
    path = folder / f"{checkpoint.model.architecture.name}{runtime.suffix}"
    with _WRITING:
        if not path.exists():
            _LOG.warning("converting the network for %s, once", runtime.name)
            with explained(folder):
                _write(checkpoint, runtime, path, options)
    return path


def _write(checkpoint: Checkpoint, runtime: Runtime, path: Path, options: ExportOptions) -> None:
    """Write an artefact into its folder, which appears when it is complete."""
    folder = path.parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=folder.parent, prefix=f"{folder.name}.", suffix=_UNFINISHED, ignore_cleanup_errors=True
    ) as name:
        made = Path(name, folder.name)
        made.mkdir()
        runtime.write(checkpoint, made / path.name, options)
        if not path.exists():
            shutil.rmtree(folder, ignore_errors=True)  # a folder without its artefact
        try:
            made.rename(folder)
        except OSError:  # another process was faster
            if not path.exists():
                raise


def artefacts() -> frozenset[str]:
    """Names of the folders of all artefacts in the cache."""
    return frozenset(folder.name for folder in _home().glob("*") if folder.suffix != _UNFINISHED)


def _home() -> Path:
    return cache_directory() / "runtimes"


def _key(checkpoint: Checkpoint, runtime: Runtime, options: ExportOptions) -> str:
    libraries = (*runtime.writes_with, *runtime.runs_with, "torch", "open-yolov7")
    said = {
        "weights": weights_sha256(checkpoint.model),
        "variant": checkpoint.model.architecture.name,
        "names": checkpoint.names,
        "size": None if options.dynamic else options.size,
        "form": FORM,
        "versions": {library: _version(library) for library in libraries},
    }
    digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()
    return f"{runtime.name}-{digest[:20]}"


def _version(module: str) -> str:
    try:
        return metadata.version(module)
    except metadata.PackageNotFoundError:  # the package has another name than the module
        return ""
