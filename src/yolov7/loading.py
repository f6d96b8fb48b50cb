"""A predictor from a weight file, an exported artefact, or the name of a network."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from yolov7.artefacts.automatic import fastest
from yolov7.artefacts.prepared import open_prepared
from yolov7.checkpoints.checkpoint import Checkpoint, load_checkpoint
from yolov7.checkpoints.coco_names import COCO_NAMES
from yolov7.checkpoints.weights import find_weights
from yolov7.errors import CheckpointError, UsageError
from yolov7.files import exists
from yolov7.inference.backend import Backend, TorchBackend, default_device, find_device
from yolov7.inference.predictor import Predictor
from yolov7.models.detector import create
from yolov7.models.zoo import find_architecture
from yolov7.runtimes.formats import artefact_at, find_format, runtime_of
from yolov7.runtimes.runtime import REJECTED, Runtime
from yolov7.thresholds import PREDICTION, Thresholds, check_whole

_LOG = logging.getLogger(__name__)


def load(
    weights: str | os.PathLike[str] | Checkpoint,
    *,
    fresh: bool = False,
    runtime: str | None = None,
    parallel: int = 1,
    size: int | None = None,
    device: str | torch.device | None = None,
    half: bool = False,
    augment: bool = False,
    conf: float = PREDICTION.conf,
    iou: float = PREDICTION.iou,
    classes: Sequence[str | int] | str | None = None,
    agnostic: bool = False,
    max_detections: int = PREDICTION.max_detections,
    centred: bool = False,
    trust: bool = False,
) -> Predictor:
    """Make any checkpoint, or an artefact of ``yolov7 export``, ready for images.

    Nothing in the file is run, whatever it is called: what could act is refused, or needs ``trust``.

    Args:
        weights: path of any YOLOv7 checkpoint or artefact; the folder of a training run; or the name of a
            released checkpoint such as ``yolov7.pt``, which is downloaded once.
        fresh: ``weights`` is the name of a network such as ``yolov7-tiny``, with fresh weights, which find
            nothing.
        runtime: what runs the network: ``torch`` where not given; the name of a format, such as ``openvino``,
            into which a checkpoint is converted once; or ``auto``, the fastest that is installed here and was
            seen to agree with torch, in 16 bits where the processor has them; or in 8 bits, where such an
            artefact with a certificate that passed lies beside the file. An artefact has its own.
        parallel: images that are worked on at the same time, each by one thread; not on torch. As many as
            there are processors give the most images per second, and are what the command ``predict`` takes
            for several images, at most 8. 1 answers soonest, because one image then has all processors.
        size: longest side that images are scaled to, pixels; the checkpoint's own where not given.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; a GPU where there is one.
        half: 16 bits: float16 on a GPU; on a CPU bfloat16, where runtimes have it.
        augment: look at each image three times, mirrored and scaled.
        conf, iou, classes, agnostic, max_detections: see :class:`~yolov7.thresholds.Thresholds`. They can be
            changed for each call of the predictor.
        centred: see :class:`Predictor`.
        trust: you know who made this artefact, and its own runtime may run whatever is in it: for TensorRT's
            engines, and for TorchScript and torch.export programs with more than a network in them.

    Raises:
        UnsafeCheckpointError: it could act, and is not trusted.
        CheckpointError: the file cannot be used, or is not there.
        DownloadError: a released checkpoint cannot be fetched.
        UsageError: an argument that cannot be.

    >>> predictor = load("best.pt", conf=0.4)
    >>> [result.source for result in predictor.predict("photos/")]
    ['photos/0.jpg', 'photos/1.jpg']
    """
    thresholds = Thresholds(conf, iou, max_detections, classes, agnostic)
    if size is not None:
        check_whole("image size in pixels", size)
    artefact = None if isinstance(weights, Checkpoint) or fresh else find_artefact(Path(weights))
    if artefact is not None and not isinstance(weights, Checkpoint):
        network = _artefact(artefact, Path(weights), runtime, size, parallel, half, trust)
    else:
        file = None if isinstance(weights, Checkpoint) or fresh else find_weights(weights)
        checkpoint = (
            weights if isinstance(weights, Checkpoint) else open_checkpoint(file or weights, fresh=fresh)
        )
        size = checkpoint.size if size is None else size
        network = _network(checkpoint, file, runtime or "torch", size, device, parallel, half)
    return Predictor(
        network.backend,
        network.names,
        network.size,
        thresholds,
        centred=centred,
        augment=augment,
        parallel=1 if isinstance(network.backend, TorchBackend) else parallel,
    )


class _Network(NamedTuple):
    backend: Backend
    names: tuple[str, ...]
    size: int


def _artefact(
    found: Runtime,
    path: Path,
    wanted: str | None,
    size: int | None,
    parallel: int,
    half: bool,
    trust: bool,
) -> _Network:
    """An exported artefact on its own runtime.

    Raises:
        UsageError: another runtime or size is wanted than it has.
    """
    if wanted not in (None, "auto", found.name):
        raise UsageError("an artefact has a runtime of its own", expected=found.name, found=wanted)
    if path.name.endswith(REJECTED):
        _LOG.warning("%s was compared with torch when it was made, and differed too much", path.name)
    found.require(*found.runs_with)
    backend = found.open(path, parallel=parallel, exact=not (half or wanted == "auto"), trust=trust)
    description = backend.description
    if backend.shape is not None and size not in (None, description.size):
        raise UsageError("this artefact takes images of one size", expected=description.size, found=size)
    return _Network(backend, description.names, description.size if size is None else size)


def _network(
    checkpoint: Checkpoint,
    file: Path | None,
    wanted: str,
    size: int,
    device: str | torch.device | None,
    parallel: int,
    half: bool,
) -> _Network:
    """A checkpoint on the runtime that is wanted."""
    backend: Backend
    if wanted == "torch":
        backend = TorchBackend(checkpoint.model, device or default_device(), half=half)
    elif wanted == "auto":
        where = find_device(device or default_device())
        backend = fastest(checkpoint, where, size, parallel=parallel, beside=file)
    else:
        runtime = find_format(wanted)
        backend, _ = open_prepared(checkpoint, runtime, size, parallel=parallel, exact=not half)
    return _Network(backend, checkpoint.names, size)


def find_artefact(path: Path) -> Runtime | None:
    """The format of an artefact; None where the path is that of something else.

    Raises:
        CheckpointError: it is called an artefact and not there; or damaged.
    """
    if exists(path):
        return artefact_at(path)
    if runtime_of(path) is not None:
        raise CheckpointError("there is no such artefact", file=path)
    return None


def open_checkpoint(weights: str | os.PathLike[str], *, fresh: bool = False) -> Checkpoint:
    """Open what :func:`load` takes for weights, as a checkpoint.

    Args:
        weights: a weight file, the folder of a run, or the name of a released checkpoint.
        fresh: ``weights`` is the name of a network, which gets fresh weights.

    Raises:
        CheckpointError: the file cannot be used, or is not there.
        DownloadError: a released checkpoint cannot be fetched.
        ArchitectureError: fresh weights are wanted of a network that there is not.
    """
    if fresh:
        network = find_architecture(os.fspath(weights))
        _LOG.warning("%s has fresh weights: it finds nothing before it is trained", network.name)
        return Checkpoint(create(network).eval(), COCO_NAMES, network.size, "open-yolov7", "float32")
    path = find_weights(weights)
    checkpoint = load_checkpoint(path)
    for note in checkpoint.notes:
        _LOG.warning("%s: %s", path.name, note)
    return checkpoint
