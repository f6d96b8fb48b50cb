"""Every format there is, by the name that users type. Nothing of a vendor's is imported here."""

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
    """The format of a name.

    Raises:
        UsageError: there is none; lists those there are.
    """
    if (found := FORMATS.get(name)) is None:
        raise UsageError("no such format", expected=", ".join(FORMATS), found=name)
    return found


def runtime_of(path: Path) -> Runtime | None:
    """The format of an artefact that is to be made, by how its name ends; None where that is no artefact's.

    What is there already is judged by its content: :func:`artefact_at`.
    """
    fitting = [runtime for runtime in FORMATS.values() if path.name.endswith(runtime.suffix)]
    return max(fitting, key=lambda runtime: len(runtime.suffix), default=None)


def artefact_at(path: Path) -> Runtime | None:
    """The format of an artefact by its content, whatever it is called; None where it is none.

    Raises:
        CheckpointError: it is damaged, or not of the format that its description tells of.
    """
    for runtime in FORMATS.values():
        if runtime.recognises(path):
            said = runtime.describe(path).format
            found = FORMATS.get(said)
            if found is None or not found.recognises(path):
                raise CheckpointError(
                    "this artefact is not of the format that it says",
                    file=path,
                    expected=runtime.name,
                    found=said,
                )
            return found
    return None
