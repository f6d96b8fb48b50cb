"""The fastest runtime on this machine that agrees with torch.

    on a GPU     torch in float16, with its launches recorded in CUDA graphs
    elsewhere    an INT8 artefact beside the weights  >  OpenVINO  >  torch in bfloat16, if the processor has
                 it  >  ONNX Runtime  >  torch

The order is that of docs/performance.md. Everything faster than torch in float32 must agree with it first: an
INT8 artefact by its certificate, the others on an artificial picture, which for artefacts happens once and is
remembered beside them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import torch

from yolov7.artefacts.agreement import ALL_ROWS, rows_agree
from yolov7.artefacts.documents import document_paths, is_certified
from yolov7.artefacts.prepared import open_prepared
from yolov7.artefacts.tolerance import TOLERANCES
from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.images.letterbox import to_tensor
from yolov7.inference.backend import Backend, TorchBackend, has_bfloat16
from yolov7.runtimes.description import weights_sha256
from yolov7.runtimes.onnx import Onnx
from yolov7.runtimes.openvino import OpenVino, OpenVinoInt8
from yolov7.runtimes.runtime import Runtime, is_installed, precision_of
from yolov7.types import Image

_LOG = logging.getLogger(__name__)

_CHECKED = "agrees-with-torch"
"""Name of the file beside an artefact that agreed."""


def fastest(
    checkpoint: Checkpoint,
    device: torch.device,
    size: int,
    *,
    parallel: int = 1,
    beside: Path | None = None,
) -> Backend:
    """Backend of the first runtime in the order above that is installed, runs, and agrees with torch.

    Args:
        checkpoint: any form.
        device: device for torch.
        size: size of the images, pixels.
        parallel: number of calls at the same time.
        beside: the checkpoint's file, if it has one: an INT8 artefact may lie beside it.
    """
    # Made only if needed: it takes time and memory.
    plain = partial(TorchBackend, checkpoint.model, device)
    for make in _candidates(checkpoint, device, size, parallel, beside):
        try:
            backend, proof = make()
            known = proof is not None and proof.exists()
            if known or agrees(backend, plain()):
                if proof is not None and not known:
                    with suppress(OSError):  # a cache that cannot be written: compared again next time
                        proof.touch()
                _LOG.info("runs on %s", backend.runtime)
                return backend
            _LOG.warning("%s disagrees with torch here, and is not used", backend.runtime)
        except Exception as error:  # a vendor's library may raise anything; the next candidate follows
            _LOG.warning("not used: %s", error)
    return plain()


def _candidates(
    checkpoint: Checkpoint, device: torch.device, size: int, parallel: int, beside: Path | None
) -> Iterator[Callable[[], tuple[Backend, Path | None]]]:
    """Functions that return each backend, and the file whose existence shows an earlier agreement, if any."""

    def artefact(runtime: Runtime) -> tuple[Backend, Path]:
        backend, path = open_prepared(checkpoint, runtime, size, parallel=parallel)
        return backend, path.with_name(_CHECKED)

    def int8(found: Path) -> tuple[Backend, Path]:
        return OpenVinoInt8().open(found, parallel=parallel), document_paths(found)[0]

    if device.type != "cpu":
        yield lambda: (TorchBackend(checkpoint.model, device, half=True, graphs=True), None)
        return
    if beside is not None and (found := certified(checkpoint, beside, size)) is not None:
        yield lambda: int8(found)
    if _is_installed(OpenVino()):
        yield lambda: artefact(OpenVino())
    if has_bfloat16():
        yield lambda: (TorchBackend(checkpoint.model, "cpu", half=True), None)
    if _is_installed(Onnx()):
        yield lambda: artefact(Onnx())


def certified(checkpoint: Checkpoint, file: Path, size: int) -> Path | None:
    """INT8 artefact beside a checkpoint's file, with the same weights, for this size, and certified.

    It has the name that ``yolov7 export`` gives: best.pt, best.int8.openvino. An artefact of a single shape
    is left out: squares hold more pixels than photos, and test-time augmentation scales images.
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
        "%s is not used: other weights, another size, only one shape, or no passed certificate",
        artefact,
    )
    return None


def agrees(backend: Backend, reference: Backend) -> bool:
    """Whether a backend agrees with torch on a picture of shapes and noise."""
    images = to_tensor([_picture(4 * reference.stride, 6 * reference.stride)])
    (rows,), (expected,) = backend(images, ALL_ROWS), reference(images, ALL_ROWS)
    return rows_agree(rows.cpu(), expected.cpu(), TOLERANCES[precision_of(backend)])


def _picture(height: int, width: int) -> Image:
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (height, width, 3), np.uint8)
    picture[height // 4 : -height // 4, width // 4 : width // 2] = (200, 40, 40)
    picture[height // 3 :, -width // 3 :] = np.linspace(0, 255, width // 3, dtype=np.uint8)[:, np.newaxis]
    return picture


def _is_installed(runtime: Runtime) -> bool:
    return all(is_installed(module) for module in (*runtime.writes_with, *runtime.runs_with))
