"""LiteRT, once TensorFlow Lite: the network for Android, in one file.

    images float32 (B, H, W, 3) in [0, 1]  ─>  rows float32 (B, N, 5 + C)

The description is in a zip archive at the file's end, as TensorFlow Lite's own associated files are.
"""

from __future__ import annotations

import os
import threading
import warnings
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.errors import CheckpointError, DamagedCheckpointError, UsageError
from yolov7.files import is_file
from yolov7.runtimes.description import Description, ExportOptions
from yolov7.runtimes.network import RowNetwork
from yolov7.runtimes.runtime import ArtefactBackend, Runtime, to_float_array
from yolov7.tensor_files.archive import Archive
from yolov7.tensor_files.sniff import open_file
from yolov7.untrusted.values import MAX_JSON

INPUT, OUTPUT, DESCRIPTION = "images", "rows", "description.json"
_MAGIC = b"TFL3"


class LiteRt(Runtime):
    """The network, decoding included, without suppression; channels last, as is usual there."""

    name, suffix, extra = "litert", ".tflite", "litert"
    writes_with = ("litert_torch",)
    runs_with = ("ai_edge_litert",)
    takes_any_size = False

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        if options.dynamic:
            raise UsageError(f"{self.name} takes images of one size, in batches of one size")
        description = Description.of(checkpoint, self.name, options)
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")  # about torch's own internals, and of progress
            content = _convert(checkpoint, description)
            path.write_bytes(_with_half_weights(content) if options.half else content)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(DESCRIPTION, description.to_json())

    def recognises(self, path: Path) -> bool:
        if not is_file(path):
            return False
        with open_file(path) as file:
            return file.read(8)[4:] == _MAGIC

    def describe(self, path: Path) -> Description:
        with open_file(path) as file:
            try:
                archive = Archive(file)
                archive.check(folder=False)
                said = archive.read(DESCRIPTION, MAX_JSON)
            except DamagedCheckpointError:
                said = None
        return Description.from_json(said, path)

    def open(
        self, path: Path, *, parallel: int = 1, exact: bool = False, trust: bool = False
    ) -> ArtefactBackend:
        return LiteRtBackend(self.describe(path), path, parallel)


class LiteRtBackend(ArtefactBackend):
    """A network in LiteRT, on the processor; each thread that calls it gets an interpreter of its own."""

    def __init__(self, description: Description, path: Path, parallel: int) -> None:
        super().__init__(description)
        self.path, self.threads = path, max(1, (os.cpu_count() or 1) // parallel)
        self.of_thread = threading.local()
        self._runner()  # a file that it cannot read is known now

    def infer(self, images: Tensor) -> Tensor:
        found = self._runner()(**{INPUT: to_float_array(images.permute(0, 2, 3, 1))})
        return torch.from_numpy(found[OUTPUT])

    def _runner(self) -> Any:
        if not hasattr(self.of_thread, "runner"):
            from ai_edge_litert.interpreter import Interpreter

            try:
                interpreter = Interpreter(os.fspath(self.path), num_threads=self.threads)
                self.of_thread.runner = interpreter.get_signature_runner()
            except (RuntimeError, ValueError) as error:
                raise CheckpointError(f"LiteRT cannot read this: {error}", file=self.path) from None
        return self.of_thread.runner


class _ChannelsLast(nn.Module):
    """Images (B, H, W, 3) -> rows, under the name that they get in the file."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {OUTPUT: self.network(images.permute(0, 3, 1, 2))}


def _convert(checkpoint: Checkpoint, description: Description) -> bytes:
    import litert_torch

    assert description.shape is not None
    batch, height, width = description.shape
    network = _ChannelsLast(RowNetwork(checkpoint.model)).eval()
    converted = litert_torch.convert(network, sample_kwargs={INPUT: torch.zeros(batch, height, width, 3)})
    return converted.model_content()


def _with_half_weights(content: bytes) -> bytes:
    """Convolutions with weights in float16, which are widened when the file is opened."""
    from ai_edge_quantizer import qtyping, quantizer

    rounding = quantizer.Quantizer(bytearray(content))
    rounding.add_weight_only_config(
        regex=".*",
        operation_name=qtyping.TFLOperationName.CONV_2D,
        num_bits=16,
        algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING,
    )
    return bytes(rounding.quantize().quantized_model)
