"""Artefacts made when they are first needed and kept, so that any checkpoint runs on any runtime."""

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

_UNFINISHED = ".partial"
_WRITING = threading.Lock()
"""Threads that want the same wait for it; and tracing, by which most runtimes write, is for one at a time."""


def open_prepared(
    checkpoint: Checkpoint, runtime: Runtime, size: int, *, parallel: int = 1, exact: bool = False
) -> tuple[ArtefactBackend, Path]:
    """A checkpoint on a runtime: its artefact out of the cache, ready to run, and where that is.

    What is damaged there is written anew, once.

    Args:
        checkpoint, runtime, size: see :func:`prepared`.
        parallel, exact: see :meth:`Runtime.open`.

    Raises:
        MissingDependencyError, OutputError: as :func:`prepared`.
    """
    path = prepared(checkpoint, runtime, size)
    try:
        return runtime.open(path, parallel=parallel, exact=exact, trust=runtime.needs_trust), path
    except CheckpointError as error:
        _LOG.warning("damaged in the cache: %s", error.message)
        with explained(path.parent):
            shutil.rmtree(path.parent)
    path = prepared(checkpoint, runtime, size)
    return runtime.open(path, parallel=parallel, exact=exact, trust=runtime.needs_trust), path


def prepared(checkpoint: Checkpoint, runtime: Runtime, size: int) -> Path:
    """A checkpoint's artefact out of the cache; it is written there where it is missing.

    What the name of its folder is made of decides whether it fits: weights, size, and versions of the
    libraries that write and run it.

    Args:
        checkpoint: any form.
        runtime: what is to run it.
        size: of the images, for runtimes that take one size only.

    Raises:
        MissingDependencyError: its libraries are not installed.
        OutputError: the cache cannot be written.
    """
    runtime.require(*runtime.writes_with, *runtime.runs_with)
    options = ExportOptions(size=size)
    if runtime.takes_any_size:  # any multiple of the stride, to which prediction pads, whatever its size is
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
    """Write an artefact and its folder, which is there when it is complete."""
    folder = path.parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=folder.parent, prefix=f"{folder.name}.", suffix=_UNFINISHED, ignore_cleanup_errors=True
    ) as name:
        made = Path(name, folder.name)
        made.mkdir()
        runtime.write(checkpoint, made / path.name, options)
        if not path.exists():
            shutil.rmtree(folder, ignore_errors=True)  # somebody took the artefact out of it
        try:
            made.rename(folder)
        except OSError:  # another process was quicker
            if not path.exists():
                raise


def artefacts() -> frozenset[str]:
    """Names of the folders of all artefacts in the cache."""
    found = _home().iterdir() if _home().is_dir() else ()
    return frozenset(folder.name for folder in found if folder.suffix != _UNFINISHED)


def _home() -> Path:
    return cache_directory() / "runtimes"


def _key(checkpoint: Checkpoint, runtime: Runtime, options: ExportOptions) -> str:
    versions = {module: _version(module) for module in (*runtime.writes_with, *runtime.runs_with)}
    said = {
        "weights": weights_sha256(checkpoint.model),
        "variant": checkpoint.model.architecture.name,
        "names": checkpoint.names,
        "size": None if options.dynamic else options.size,
        "versions": versions | {"torch": _version("torch"), "open-yolov7": _version("open-yolov7")},
    }
    digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()
    return f"{runtime.name}-{digest[:20]}"


def _version(module: str) -> str:
    try:
        return metadata.version(module)
    except metadata.PackageNotFoundError:  # a module that is called otherwise than its package
        return ""
