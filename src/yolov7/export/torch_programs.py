"""torch's own portable forms: TorchScript, for C++ and older tools, and torch.export's programs.

images float32 (B, 3, H, W) in [0, 1]  ─>  rows float32 (B, N, 5 + C)
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.errors import CheckpointError, UsageError
from yolov7.export.artefact import KEY, ArtefactBackend, Description, ExportOptions, Runtime
from yolov7.export.network import RowNetwork, exported, traced


class TorchScript(Runtime):
    """A traced network. It always takes any batch and sides: nothing is gained by fixing them."""

    name, suffix, extra = "torchscript", ".torchscript", ""

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        _no_half(self.name, options)
        description = Description.of(checkpoint, self.name, options)
        stride = description.strides[-1]
        batch, height, width = description.shape or (1, 4 * stride, 5 * stride)
        program = traced(RowNetwork(checkpoint.model), torch.zeros(batch, 3, height, width))
        program.save(path, _extra_files={KEY: description.to_json()})

    def describe(self, path: Path) -> Description:
        return self._read(path)[1]

    def open(self, path: Path, *, parallel: int = 1, exact: bool = False) -> ArtefactBackend:
        program, description = self._read(path)
        return TorchProgramBackend(description, program)

    @staticmethod
    def _read(path: Path) -> tuple[Any, Description]:
        said = {KEY: b""}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # deprecated, not gone
                program = torch.jit.load(path, "cpu", said)
        except (RuntimeError, ValueError, OSError) as error:
            raise CheckpointError(f"torch cannot read this: {_first_line(error)}", file=path) from None
        return program, Description.from_json(said[KEY], path)


class TorchExport(Runtime):
    """A program of torch.export, which other compilers take."""

    name, suffix, extra = "torch-export", ".pt2", ""

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        _no_half(self.name, options)
        description = Description.of(checkpoint, self.name, options)
        batch, height, width = description.shape or (1, description.size, description.size)
        program = exported(
            RowNetwork(checkpoint.model),
            torch.zeros(batch, 3, height, width),
            dynamic=description.shape is None,
            stride=description.strides[-1],
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about torch's own internals
            torch.export.save(program, path, extra_files={KEY: description.to_json()})

    def describe(self, path: Path) -> Description:
        return self._read(path)[1]

    def open(self, path: Path, *, parallel: int = 1, exact: bool = False) -> ArtefactBackend:
        program, description = self._read(path)
        return TorchProgramBackend(description, program.module())

    @staticmethod
    def _read(path: Path) -> tuple[Any, Description]:
        said = {KEY: ""}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about torch's own internals
                program = torch.export.load(path, extra_files=said)
        except Exception as error:  # what it raises for a damaged file has no common base
            raise CheckpointError(f"torch cannot read this: {_first_line(error)}", file=path) from None
        return program, Description.from_json(said[KEY], path)


class TorchProgramBackend(ArtefactBackend):
    """A program on the processor."""

    def __init__(self, description: Description, program: Any) -> None:
        super().__init__(description)
        self.program = program

    @torch.inference_mode()
    def infer(self, images: Tensor) -> Tensor:
        pixels = images.to(torch.float32, memory_format=torch.contiguous_format)
        rows: Tensor = self.program(pixels / 255 if images.dtype == torch.uint8 else pixels)
        return rows


def _no_half(name: str, options: ExportOptions) -> None:
    if options.half:
        raise UsageError(f"{name} has no half precision: torch on a processor would only be slower with it")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
