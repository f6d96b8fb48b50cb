"""Table of all formats by name. No vendor library is imported here."""

from __future__ import annotations

from pathlib import Path

from yolov7.errors import CheckpointError, UsageError
from yolov7.runtimes.coreml import CoreMl
from yolov7.runtimes.litert import LiteRt
from yolov7.runtimes.ncnn import Ncnn
from yolov7.runtimes.onnx import Onnx
from yolov7.runtimes.onnx_detections import OnnxEndToEnd, OnnxNms
from yolov7.runtimes.openvino import OpenVino, OpenVinoInt8
from yolov7.runtimes.runtime import Runtime
from yolov7.runtimes.tensorrt import TensorRt
from yolov7.runtimes.torch_programs import TorchExport, TorchScript

FORMATS: dict[str, Runtime] = {
    runtime.name: runtime
    for runtime in (
        Onnx(),
        OnnxNms(),
        OnnxEndToEnd(),
        OpenVino(),
        OpenVinoInt8(),
        TensorRt(),
        TorchScript(),
        TorchExport(),
        Ncnn(),
        LiteRt(),
        CoreMl(),
    )
}


def find_format(name: str) -> Runtime:
    """Look up a format by its name.

    Raises:
        UsageError: no format has this name; the message lists all.

    >>> find_format("ncnn").suffix
    '.ncnn'
    """
    if name not in FORMATS:
        raise UsageError("no such format", expected=", ".join(FORMATS), found=name)
    return FORMATS[name]


def runtime_of(path: Path) -> Runtime | None:
    """Format of an artefact to be written, by the suffix of its name; None if no format has this suffix.

    For an existing artefact, see :func:`artefact_at`.
    """
    fitting = [runtime for runtime in FORMATS.values() if path.name.endswith(runtime.suffix)]
    return max(fitting, key=lambda runtime: len(runtime.suffix), default=None)


def artefact_at(path: Path) -> Runtime | None:
    """Format of an artefact by its content, whatever its name; None if it is no artefact.

    Raises:
        CheckpointError: it is damaged, or not of the format in its description.
    """
    for runtime in FORMATS.values():
        if runtime.recognises(path):
            said = runtime.describe(path).format
            if said in FORMATS and FORMATS[said].recognises(path):
                return FORMATS[said]
            raise CheckpointError(
                "this artefact is not of the format that it says",
                file=path,
                expected=runtime.name,
                found=said,
            )
    return None
