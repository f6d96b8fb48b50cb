"""Load a weight file, an exported artefact or a network by name as a predictor."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

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

    Nothing in the file is executed: a file that could run code is refused, or needs ``trust``.

    Args:
        weights: a YOLOv7 checkpoint or artefact, the folder of a training run, or the name of a released
            checkpoint such as ``yolov7.pt``, which is downloaded once.
        fresh: ``weights`` is the name of a network such as ``yolov7-tiny``, with fresh weights.
        runtime: ``torch`` (default); the name of a format, such as ``openvino``, into which a checkpoint is
            converted once; or ``auto``, the fastest installed one that agrees with torch, in 16 bits if the
            processor has them, or in INT8 if an artefact whose certificate passed lies beside the file.
        parallel: images in flight, each on one thread; not on torch. More raise throughput and latency.
        size: longest side of the scaled images, pixels; default: the checkpoint's.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; default: a GPU if there is one.
        half: 16 bits: float16 on a GPU, bfloat16 on a CPU if the runtime has it.
        augment: test-time augmentation, three views per image.
        conf, iou, classes, agnostic, max_detections: see :class:`~yolov7.thresholds.Thresholds`; each call of
            the predictor can change them.
        centred: see :class:`Predictor`.
        trust: let an artefact's runtime execute whatever is in it, because you know who made it: for TensorRT
            engines, and for TorchScript and torch.export programs that contain more than a network.

    Raises:
        UnsafeCheckpointError: the file could run code, and is not trusted.
        CheckpointError: the file is missing or cannot be used.
        DownloadError: a released checkpoint cannot be fetched.
        UsageError: an invalid argument.

    >>> predictor = load("best.pt", conf=0.4)
    >>> [result.source for result in predictor.predict("photos/")]
    ['photos/0.jpg', 'photos/1.jpg']
    """
    thresholds = Thresholds(conf, iou, max_detections, classes, agnostic)
    if size is not None:
        check_whole("image size in pixels", size)
    if not (fresh or isinstance(weights, Checkpoint)) and (found := find_artefact(Path(weights))) is not None:
        network = _artefact(found, Path(weights), runtime, size, parallel, half, trust)
    else:
        network = _network(weights, fresh, runtime, size, device, parallel, half)
    backend, names, size = network
    in_flight = 1 if isinstance(backend, TorchBackend) else parallel
    return Predictor(backend, names, size, thresholds, centred=centred, augment=augment, parallel=in_flight)


def _artefact(
    found: Runtime,
    path: Path,
    wanted: str | None,
    size: int | None,
    parallel: int,
    half: bool,
    trust: bool,
) -> tuple[Backend, tuple[str, ...], int]:
    """Open an exported artefact on its own runtime; returns it with its class names and image size.

    Raises: UsageError: it has another runtime or size.
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
    return backend, description.names, description.size if size is None else size


def _network(
    weights: str | os.PathLike[str] | Checkpoint,
    fresh: bool,
    wanted: str | None,
    size: int | None,
    device: str | torch.device | None,
    parallel: int,
    half: bool,
) -> tuple[Backend, tuple[str, ...], int]:
    """Open a checkpoint on a runtime; returns the same as `_artefact`."""
    file: Path | None = None
    if isinstance(weights, Checkpoint):
        checkpoint = weights
    else:
        if not fresh:
            weights = file = find_weights(weights)
        checkpoint = open_checkpoint(weights, fresh=fresh)
    backend: Backend
    size = checkpoint.size if size is None else size
    if wanted in (None, "torch"):
        backend = TorchBackend(checkpoint.model, device or default_device(), half=half)
    elif wanted == "auto":
        where = find_device(device or default_device())
        backend = fastest(checkpoint, where, size, parallel=parallel, beside=file)
    else:
        runtime = find_format(wanted)
        backend, _ = open_prepared(checkpoint, runtime, size, parallel=parallel, exact=not half)
    return backend, checkpoint.names, size


def find_artefact(path: Path) -> Runtime | None:
    """Format of an artefact; None if the path is something else.

    Raises: CheckpointError: the path has an artefact's name and does not exist; or the artefact is damaged.
    """
    if exists(path):
        return artefact_at(path)
    if runtime_of(path) is not None:
        raise CheckpointError("there is no such artefact", file=path)
    return None


def open_checkpoint(weights: str | os.PathLike[str], *, fresh: bool = False) -> Checkpoint:
    """Open a checkpoint by any name that :func:`load` takes, and log its notes.

    Args:
        weights: a weight file, the folder of a run, or the name of a released checkpoint.
        fresh: ``weights`` is the name of a network, with fresh weights.

    Raises:
        CheckpointError: the file is missing or cannot be used.
        DownloadError: a released checkpoint cannot be fetched.
        ArchitectureError: there is no network of this name.
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
