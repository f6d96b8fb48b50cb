"""Core ML: the network for iPhones and Macs.

    images float32 (B, 3, H, W) in [0, 1]  ─>  rows float32 (B, N, 5 + C)

It can be written anywhere, and runs on macOS only.
"""

from __future__ import annotations

import json
import platform
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.errors import CheckpointError, UnsafeCheckpointError, UsageError
from yolov7.files import is_file
from yolov7.quiet import errors_only
from yolov7.runtimes.description import KEY, Description, ExportOptions
from yolov7.runtimes.network import INPUT, OUTPUT, RowNetwork, exported
from yolov7.runtimes.runtime import ArtefactBackend, Runtime, library_errors, to_float_array
from yolov7.untrusted.values import read_bounded

SPECIFICATION = Path("Data", "com.apple.CoreML", "model.mlmodel")
"""Path inside a package of the model without its weights."""
MAX_SPECIFICATION = 64 * 2**20


class CoreMl(Runtime):
    """The network with decoding, without NMS, as an ML program (iOS 15, macOS 12 and later)."""

    name, suffix, extra = "coreml", ".mlpackage", "coreml"
    writes_with = runs_with = ("coremltools",)
    takes_any_size = False

    def why_not_here(self) -> str | None:
        return None if platform.system() == "Darwin" else "Core ML runs on macOS only"

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        description = self.new_description(checkpoint, options)
        with _quiet(), tempfile.TemporaryDirectory(dir=path.parent) as folder:
            import coremltools

            model = _convert(checkpoint, description, Path(folder))
            specification = model.get_spec()
            _label(specification, description)
            coremltools.models.utils.save_spec(
                specification, str(Path(folder, "labelled.mlpackage")), weights_dir=model.weights_dir
            )
            Path(folder, "labelled.mlpackage").rename(path)

    def recognises(self, path: Path) -> bool:
        return is_file(path / SPECIFICATION)

    def describe(self, path: Path) -> Description:
        content = read_bounded(path / SPECIFICATION, MAX_SPECIFICATION)
        for found in re.findall(rb"@model_path/[^\x00-\x1f]*", content):
            if b".." in found:
                raise UnsafeCheckpointError("it names a file outside of itself", file=path, found=found)
        with _quiet():
            from coremltools.proto.Model_pb2 import Model
            from google.protobuf.message import DecodeError

        try:
            metadata = Model.FromString(content).description.metadata
        except DecodeError as error:
            raise CheckpointError(f"this is no Core ML package: {error}", file=path) from None
        return Description.from_json(metadata.userDefined.get(KEY), path)

    def open(
        self, path: Path, *, parallel: int = 1, exact: bool = False, trust: bool = False
    ) -> ArtefactBackend:
        description = self.describe(path)
        if (reason := self.why_not_here()) is not None:
            raise UsageError(reason, found=platform.system())
        return CoreMlBackend(description, path)


class CoreMlBackend(ArtefactBackend):
    """A network in Core ML, which itself divides it among processor, GPU and Neural Engine.

    Operations in float32 are computed in float32, and so never on the Neural Engine.
    """

    def __init__(self, description: Description, path: Path) -> None:
        super().__init__(description)
        with _quiet(), library_errors(path, "Core ML cannot read this"):
            import coremltools

            self.model = coremltools.models.MLModel(str(path))
        self.lock = threading.Lock()  # a model is for one thread at a time

    def infer(self, images: Tensor) -> Tensor:
        with self.lock:
            found = self.model.predict({INPUT: to_float_array(images)})
        return torch.from_numpy(found[OUTPUT]).float()


def _convert(checkpoint: Checkpoint, description: Description, folder: Path) -> Any:
    """Convert a checkpoint's network to a ``coremltools.models.MLModel`` in a folder.

    The source is a program of torch.export: the shapes in a trace are arrays of one number, which coremltools
    9 turns into Python numbers in a way that NumPy 2.4 refuses.
    """
    import coremltools

    program = exported(RowNetwork(checkpoint.model).eval(), description)
    precision = coremltools.precision.FLOAT32
    if description.precision == "float16":
        precision = coremltools.transform.FP16ComputePrecision(op_selector=_before_decoding)
    return coremltools.convert(
        program.run_decompositions({}),
        convert_to="mlprogram",
        minimum_deployment_target=coremltools.target.iOS15,
        compute_precision=precision,
        package_dir=str(folder / "converted.mlpackage"),
        skip_model_load=True,
    )


def _before_decoding(operation: Any) -> bool:
    """Whether a convolution depends on an operation. Later operations stay in float32."""
    waiting, seen = [operation], set()
    while waiting:
        one = waiting.pop()
        if one.op_type == "conv":
            return True
        for after in (child for output in one.outputs for child in output.child_ops):
            if after.name not in seen:
                seen.add(after.name)
                waiting.append(after)
    return False


def _label(specification: Any, description: Description) -> None:
    """Set the names and texts that Xcode shows, and the description."""
    import coremltools

    (image,), (rows,) = specification.description.input, specification.description.output
    coremltools.utils.rename_feature(specification, image.name, INPUT)
    coremltools.utils.rename_feature(specification, rows.name, OUTPUT)
    image.shortDescription = "RGB in [0, 1]"
    rows.shortDescription = "cx, cy, w, h in pixels, objectness, class probabilities; before NMS"
    metadata = specification.description.metadata
    metadata.shortDescription = f"{description.variant}: detects {', '.join(description.names)}"
    metadata.versionString = description.made_by[KEY]
    metadata.author = KEY
    metadata.license = str(description.about.get("licence", ""))
    metadata.userDefined["names"] = json.dumps(description.names)
    metadata.userDefined[KEY] = description.to_json()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence coremltools about other libraries, parts that only macOS has, and its progress."""
    with errors_only("coremltools"), redirect_stderr(StringIO()):
        yield
