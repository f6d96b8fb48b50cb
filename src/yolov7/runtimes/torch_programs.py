"""torch's own portable formats: TorchScript, for C++ and older tools, and programs of torch.export.

images float32 (B, 3, H, W) in [0, 1]  ─>  rows float32 (B, N, 5 + C)

Such a file is a program, and torch's loaders run whatever it says. So they see only files that the caller
trusts; of others, ``untrusted.torchscript`` and ``untrusted.exported_graph`` read the operations, run here.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.errors import CheckpointError, UsageError
from yolov7.files import write_file
from yolov7.quiet import no_warnings
from yolov7.runtimes.description import KEY, Description, ExportOptions
from yolov7.runtimes.network import RowNetwork, exported, traced
from yolov7.runtimes.runtime import ArtefactBackend, Runtime, library_errors, to_unit_range
from yolov7.tensor_files.archive import Archive
from yolov7.tensor_files.reading import open_file
from yolov7.untrusted import exported_graph, torchscript
from yolov7.untrusted.program import Program
from yolov7.untrusted.values import MAX_JSON, begins_with

_ZIP = b"PK\3\4"


class _TorchArchive(Runtime):
    """An archive of torch: read as a list of operations, or by torch's own loader if it is trusted."""

    extra = ""
    records: ClassVar[tuple[str, ...]]
    """Prefixes of the names of records by which the format is recognised."""
    read: ClassVar[staticmethod[[Archive], Program]]
    """Function that reads the operations."""
    load: ClassVar[staticmethod[[Path], Any]]
    """torch's own loader."""

    def recognises(self, path: Path) -> bool:
        if not begins_with(path, _ZIP):
            return False
        with open_file(path) as file:
            inside = [name.partition("/")[2] for name in Archive(file).records]
        return all(any(name.startswith(prefix) for name in inside) for prefix in self.records)

    def describe(self, path: Path) -> Description:
        with _opened(path) as (_, description):
            return description

    def open(
        self, path: Path, *, parallel: int = 1, exact: bool = False, trust: bool = False
    ) -> ArtefactBackend:
        with _opened(path) as (archive, description):
            if not trust:
                return TorchProgramBackend(description, self.read(archive), path)
        with library_errors(path, "torch cannot read this"), no_warnings():  # deprecation, torch's internals
            return TorchProgramBackend(description, self.load(path), path)

    def new_description(self, checkpoint: Checkpoint, options: ExportOptions) -> Description:
        if options.half:
            raise UsageError(
                f"{self.name} has no half precision: torch on a processor would only be slower with it"
            )
        return super().new_description(checkpoint, options)


class TorchScript(_TorchArchive):
    """A traced network."""

    name, suffix = "torchscript", ".torchscript"
    records = ("constants.pkl", "code/")
    read = staticmethod(torchscript.read_program)
    load = staticmethod(lambda path: torch.jit.load(path, "cpu"))

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        description = self.new_description(checkpoint, options)
        stride = description.strides[-1]
        batch, height, width = description.shape or (1, 4 * stride, 5 * stride)
        program = traced(RowNetwork(checkpoint.model), torch.zeros(batch, 3, height, width))
        write_file(path, script_bytes(program, {KEY: description.to_json()}))


class TorchExport(_TorchArchive):
    """A program of torch.export, which other compilers read."""

    name, suffix = "torch-export", ".pt2"
    records = ("archive_format", "models/")
    read = staticmethod(exported_graph.read_program)
    load = staticmethod(lambda path: torch.export.load(path).module())

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        description = self.new_description(checkpoint, options)
        program = exported(RowNetwork(checkpoint.model), description)
        content = io.BytesIO()
        with no_warnings():  # about torch's own internals
            torch.export.save(program, content, extra_files={KEY: description.to_json()})
        write_file(path, content.getbuffer())


def script_bytes(program: Any, extra_files: dict[str, str] | None = None) -> bytes:
    """Content of the file of a TorchScript program. (On a full disk, torch itself would end the process.)"""
    content = io.BytesIO()
    with no_warnings():  # TorchScript is deprecated
        torch.jit.save(program, content, _extra_files=extra_files)
    return content.getvalue()


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Archive, Description]]:
    with open_file(path) as file:
        archive = Archive(file)
        archive.check(deflated=True)
        name = f"{archive.folder}/extra/{KEY}"
        said = archive.read(name, MAX_JSON) if name in archive.records else None
        yield archive, Description.from_json(said, path)


class TorchProgramBackend(ArtefactBackend):
    """A program on the processor, of ours or torch's."""

    def __init__(self, description: Description, program: Program | Any, path: Path) -> None:
        super().__init__(description)
        self.program, self.path = program, path

    @torch.inference_mode()
    def infer(self, images: Tensor) -> Tensor:
        with library_errors(self.path, "this program fails"):
            rows = self.program(to_unit_range(images))
        if not isinstance(rows, Tensor) or not rows.is_floating_point():
            raise CheckpointError("this program gives no rows", file=self.path)
        return rows
