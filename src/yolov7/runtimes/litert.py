"""LiteRT, formerly TensorFlow Lite: the network for Android, in one file.

    images float32 (B, H, W, 3) in [0, 1]  ─>  rows float32 (B, N, 5 + C)

The description is in a zip archive at the end of the file, as TensorFlow Lite's own associated files are.
"""

from __future__ import annotations

import os
import threading
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.errors import DamagedCheckpointError
from yolov7.quiet import no_warnings
from yolov7.runtimes.description import FILE, Description, ExportOptions
from yolov7.runtimes.network import INPUT, OUTPUT, RowNetwork
from yolov7.runtimes.runtime import ArtefactBackend, Runtime, library_errors, threads, to_float_array
from yolov7.tensor_files.archive import Archive
from yolov7.tensor_files.reading import open_file
from yolov7.untrusted.values import MAX_JSON, begins_with

_MAGIC = b"TFL3"


class LiteRt(Runtime):
    """The network with decoding, without NMS. Images have channels last, as usual in LiteRT."""

    name, suffix, extra = "litert", ".tflite", "litert"
    writes_with = ("litert_torch",)
    runs_with = ("ai_edge_litert",)
    takes_any_size = False

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        description = self.new_description(checkpoint, options)
        # Messages about torch's internals, and progress.
        with no_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            content = _convert(checkpoint, description)
            path.write_bytes(_with_half_weights(content) if options.half else content)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(FILE, description.to_json())

    def recognises(self, path: Path) -> bool:
        return begins_with(path, _MAGIC, offset=4)

    def describe(self, path: Path) -> Description:
        with open_file(path) as file:
            try:
                archive = Archive(file)
                archive.check(folder=False)
                said = archive.read(FILE, MAX_JSON)
            except DamagedCheckpointError:
                said = None
        return Description.from_json(said, path)

    def open(
        self, path: Path, *, parallel: int = 1, exact: bool = False, trust: bool = False
    ) -> ArtefactBackend:
        return LiteRtBackend(self.describe(path), path, parallel)


class LiteRtBackend(ArtefactBackend):
    """A network in LiteRT on the processor, with an interpreter for each calling thread."""

    def __init__(self, description: Description, path: Path, parallel: int) -> None:
        super().__init__(description)
        self.path, self.threads = path, threads(parallel)
        self.of_thread = threading.local()
        self._runner()  # fails now if LiteRT cannot read the file

    def infer(self, images: Tensor) -> Tensor:
        found = self._runner()(**{INPUT: to_float_array(images.permute(0, 2, 3, 1))})
        return torch.from_numpy(found[OUTPUT])

    def _runner(self) -> Any:
        if not hasattr(self.of_thread, "runner"):
            from ai_edge_litert.interpreter import Interpreter

            with library_errors(self.path, "LiteRT cannot read this"):
                interpreter = Interpreter(os.fspath(self.path), num_threads=self.threads)
                self.of_thread.runner = interpreter.get_signature_runner()
        return self.of_thread.runner


class _ChannelsLast(nn.Module):
    """Images (B, H, W, 3) -> rows (B, N, 5 + C), under their name in the file."""

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
    """Round the weights of convolutions to float16. They are widened when the file is opened."""
    from ai_edge_quantizer import qtyping, quantizer

    rounding = quantizer.Quantizer(bytearray(content))
    rounding.add_weight_only_config(
        regex=".*",
        operation_name=qtyping.TFLOperationName.CONV_2D,
        num_bits=16,
        algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING,
    )
    return bytes(rounding.quantize().quantized_model)
