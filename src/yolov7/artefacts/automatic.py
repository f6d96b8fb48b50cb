"""The fastest way to run a network on this machine that was seen to be right.

    on a GPU     torch, float16, launches recorded in CUDA graphs
    elsewhere    an 8-bit artefact beside the weights  >  OpenVINO  >  torch in bfloat16, where the processor
                 has it  >  ONNX Runtime  >  torch

The order is that of docs/performance.md. What is faster than torch in float32 must agree with it first: an
8-bit artefact by its certificate, for it was measured on images; the others on a picture of our own making,
which for artefacts is tried once and remembered beside them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from yolov7.artefacts.documents import document_paths, is_certified
from yolov7.artefacts.prepared import open_prepared
from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.images.letterbox import to_tensor
from yolov7.inference.backend import Backend, TorchBackend, has_bfloat16
from yolov7.layout import BOX, OBJECTNESS
from yolov7.runtimes.description import weights_sha256
from yolov7.runtimes.onnx import Onnx
from yolov7.runtimes.openvino import OpenVino, OpenVinoInt8
from yolov7.runtimes.runtime import Runtime, is_installed
from yolov7.types import Image

_LOG = logging.getLogger(__name__)

SCORE_TOLERANCE = 0.05
"""Of objectness and class probabilities, from float32. Bfloat16 has 8 bits: single scores move by a hundredth
or two; a network that was converted wrongly is off by tenths."""
BOX_TOLERANCE = 0.1, 2.0
"""Of centres and sizes: a share of the longer side, and pixels. Wrong conversions are off by cells."""
SEEN = 0.05
"""Objectness above which a box counts: what is background may lie anywhere."""
_CHECKED = "agrees-with-torch"


def fastest(
    checkpoint: Checkpoint,
    device: torch.device,
    size: int,
    *,
    parallel: int = 1,
    beside: Path | None = None,
) -> Backend:
    """The first of the order above that is installed, runs, and agrees with torch.

    Args:
        checkpoint: any form.
        device: where torch would run.
        size: of the images.
        parallel: calls at the same time.
        beside: the checkpoint's file, where it has one.
    """
    # Made where it is needed only: it takes time and memory.
    plain = partial(TorchBackend, checkpoint.model, device)
    for make in _candidates(checkpoint, device, size, parallel, beside):
        try:
            backend, proof = make()
            if (proof is not None and proof.exists()) or agrees(backend, plain()):
                _remember(proof)
                _LOG.info("runs on %s", backend.runtime)
                return backend
            _LOG.warning("%s disagrees with torch here, and is not used", backend.runtime)
        except Exception as error:  # a vendor's library may raise anything, and the others are there
            _LOG.warning("not used: %s", error)
    return plain()


def _candidates(
    checkpoint: Checkpoint, device: torch.device, size: int, parallel: int, beside: Path | None
) -> Iterator[Callable[[], tuple[Backend, Path | None]]]:
    """What makes each backend, and the file that is there once it was seen to agree."""

    def artefact(runtime: Runtime) -> tuple[Backend, Path]:
        backend, path = open_prepared(checkpoint, runtime, size, parallel=parallel)
        return backend, path.with_name(_CHECKED)

    def in_8_bits(found: Path) -> tuple[Backend, Path]:
        return OpenVinoInt8().open(found, parallel=parallel), document_paths(found)[0]

    if device.type != "cpu":
        yield lambda: (TorchBackend(checkpoint.model, device, half=True, graphs=True), None)
        return
    if beside is not None and (found := certified(checkpoint, beside, size)) is not None:
        yield lambda: in_8_bits(found)
    if _all_installed(OpenVino()):
        yield lambda: artefact(OpenVino())
    if has_bfloat16():
        yield lambda: (TorchBackend(checkpoint.model, "cpu", half=True), None)
    if _all_installed(Onnx()):
        yield lambda: artefact(Onnx())


def certified(checkpoint: Checkpoint, file: Path, size: int) -> Path | None:
    """The 8-bit artefact beside a checkpoint's file: of the same weights, for this size, and proven.

    It is called as ``yolov7 export`` calls it: best.pt, best.int8.openvino. One that takes a single shape is
    passed over: squares hold more pixels than photos, and nobody can look at scaled views through it.
    """
    runtime = OpenVinoInt8()
    artefact = file.with_name(file.stem + runtime.suffix)
    if not artefact.exists() or not all(map(is_installed, runtime.runs_with)):
        return None
    try:
        description = runtime.describe(artefact)
    except Exception as error:  # a vendor's library may raise anything
        _LOG.warning("not used: %s", error)
        return None
    fits = description.weights == weights_sha256(checkpoint.model) and size == description.size
    if fits and description.shape is None and is_certified(artefact):
        return artefact
    _LOG.warning(
        "%s is not used: it is of other weights, another size or one shape only, or no certificate passed",
        artefact,
    )
    return None


def agrees(backend: Backend, reference: Backend) -> bool:
    """Whether two backends see the same in a picture of shapes and noise."""
    images = to_tensor([_picture(4 * reference.stride, 6 * reference.stride)])
    everything = -1.0
    (rows,), (expected,) = backend(images, everything), reference(images, everything)
    return rows.shape == expected.shape and _close(rows.cpu(), expected.cpu())


def _close(rows: Tensor, expected: Tensor) -> bool:
    scores = (rows[:, OBJECTNESS:] - expected[:, OBJECTNESS:]).abs().max()
    seen = expected[:, OBJECTNESS] > SEEN
    share, pixels = BOX_TOLERANCE
    allowed = share * expected[seen, 2:4].amax(dim=1, keepdim=True) + pixels
    moved = (rows[seen, BOX] - expected[seen, BOX]).abs()
    # "Not at most" instead of "greater than": NaN is not close.
    return bool(scores <= SCORE_TOLERANCE) and bool((moved <= allowed).all())


def _picture(height: int, width: int) -> Image:
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (height, width, 3), np.uint8)
    picture[height // 4 : -height // 4, width // 4 : width // 2] = (200, 40, 40)
    picture[height // 3 :, -width // 3 :] = np.linspace(0, 255, width // 3, dtype=np.uint8)[:, np.newaxis]
    return picture


def _all_installed(runtime: Runtime) -> bool:
    return all(is_installed(module) for module in (*runtime.writes_with, *runtime.runs_with))


def _remember(proof: Path | None) -> None:
    if proof is not None and not proof.exists():
        with suppress(OSError):  # a cache that cannot be written: it is seen again next time
            proof.touch()
