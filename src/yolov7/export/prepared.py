"""Artefacts made when they are first needed and kept, so that any checkpoint runs on any runtime."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from importlib import metadata
from pathlib import Path

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.checkpoints.pretrained import cache_directory
from yolov7.export.artefact import ExportOptions, Runtime
from yolov7.export.identity import weights_sha256

_LOG = logging.getLogger(__name__)


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
    """
    runtime.require(*runtime.writes_with, *runtime.runs_with)
    options = ExportOptions(size=size, dynamic=runtime.takes_any_size)
    folder = _home() / _key(checkpoint, runtime, options)
    path = folder / f"{checkpoint.model.architecture.name}{runtime.suffix}"
    if not path.exists():
        _LOG.warning("converting the network for %s, once", runtime.name)
        making = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
        shutil.rmtree(making, ignore_errors=True)
        try:
            making.mkdir(parents=True)
            runtime.write(checkpoint, making / path.name, options)
            try:
                making.rename(folder)
            except OSError:  # another process was quicker, or a half-empty folder was left: its file decides
                if not path.exists():
                    raise
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return path


def artefacts() -> frozenset[str]:
    """Names of the folders of all artefacts in the cache."""
    found = _home().iterdir() if _home().is_dir() else ()
    return frozenset(folder.name for folder in found if folder.suffix != ".partial")


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
