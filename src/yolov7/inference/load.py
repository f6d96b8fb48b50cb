"""A predictor from the name of a weight file, or of a variant."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from yolov7.checkpoints.checkpoint import Checkpoint, load_checkpoint
from yolov7.checkpoints.coco_names import COCO_NAMES
from yolov7.checkpoints.pretrained import RELEASED, fetch
from yolov7.errors import CheckpointError
from yolov7.inference.augment import Augmented
from yolov7.inference.backend import Backend, TorchBackend, default_device
from yolov7.inference.predictor import Predictor
from yolov7.models.detector import create
from yolov7.models.zoo import NETWORKS, VARIANTS

_LOG = logging.getLogger(__name__)


def load(
    weights: str | os.PathLike[str] | Checkpoint,
    *,
    size: int | None = None,
    device: str | torch.device | None = None,
    half: bool = False,
    augment: bool = False,
    conf: float = 0.25,
    iou: float = 0.45,
    classes: Sequence[str | int] | None = None,
    agnostic: bool = False,
    max_detections: int = 300,
    centred: bool = False,
) -> Predictor:
    """Make any checkpoint ready for images. Nothing in the file is run.

    Args:
        weights: path of any YOLOv7 checkpoint; or the name of a released one such as ``yolov7.pt``, which is
            downloaded once; or a network such as ``yolov7-tiny`` for fresh weights, which find nothing.
        size: longest side that images are scaled to, pixels; the checkpoint's own where not given.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; a GPU where there is one.
        half: 16 bits: float16 on a GPU, bfloat16 on a CPU.
        augment: look at each image three times, mirrored and scaled.
        conf, iou, classes, agnostic, max_detections, centred: see :class:`Predictor`.

    Raises:
        CheckpointError: the file cannot be used, or is not there.
        DownloadError: a released checkpoint cannot be fetched.
        UsageError: an argument that cannot be.
    """
    checkpoint = weights if isinstance(weights, Checkpoint) else _checkpoint(weights)
    backend: Backend = TorchBackend(checkpoint.model, device or default_device(), half=half)
    if augment:
        backend = Augmented(backend)
    return Predictor(
        backend,
        checkpoint.names,
        size or checkpoint.size,
        conf=conf,
        iou=iou,
        classes=classes,
        agnostic=agnostic,
        max_detections=max_detections,
        centred=centred,
    )


def _checkpoint(weights: str | os.PathLike[str]) -> Checkpoint:
    path = Path(weights)
    fresh = {network.name: network for network in NETWORKS}.get(str(weights))
    if fresh is not None and not path.exists():
        _LOG.warning("%s has fresh weights: it finds nothing before it is trained", fresh.name)
        return Checkpoint(create(fresh).eval(), COCO_NAMES, fresh.size, "open-yolov7", "float32")
    if not path.exists() and (released := RELEASED.get(str(weights))) is not None:
        _LOG.warning("%s: %s, from %s", released.name, released.licence, released.url)
        path = fetch(released)
    if not path.exists():
        raise CheckpointError(
            "there is no such weight file",
            file=path,
            expected="a .pt, .pth or .safetensors file, or one of " + ", ".join(v.name for v in VARIANTS),
        )
    checkpoint = load_checkpoint(path)
    for note in checkpoint.notes:
        _LOG.info("%s: %s", path.name, note)
    return checkpoint
