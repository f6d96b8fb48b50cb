"""torch's own portable forms: TorchScript, for C++ and older tools, and torch.export's programs.

images float32 (B, 3, H, W) in [0, 1]  ─>  rows float32 (B, N, 5 + C)

Such a file is a program, and torch's loaders run what it says. So they see only files that the caller trusts;
of others the operations are read by ``untrusted.torchscript`` and ``untrusted.exported_graph``, and run here.
"""

from __future__ import annotations

import io
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.errors import CheckpointError, UsageError
from yolov7.files import is_file, write_file
from yolov7.memory import is_allocation
from yolov7.runtimes.description import KEY, Description, ExportOptions
from yolov7.runtimes.network import RowNetwork, exported, traced
from yolov7.runtimes.runtime import ArtefactBackend, Runtime
from yolov7.tensor_files.archive import Archive
from yolov7.tensor_files.sniff import open_file
from yolov7.text import first_line
from yolov7.untrusted import exported_graph, torchscript
from yolov7.untrusted.program import Program
from yolov7.untrusted.values import MAX_JSON

_ZIP = b"PK\3\4"


class _TorchArchive(Runtime):
    """An archive of torch: read as a list of operations, or by torch's own loader if it is trusted."""

    records: ClassVar[tuple[str, ...]]
    """Beginnings of the names of records by which it is recognised."""

    @staticmethod
    @abstractmethod
    def _read(archive: Archive, path: Path) -> Program: ...

    @staticmethod
    @abstractmethod
    def _trusted(path: Path) -> Any: ...

    def recognises(self, path: Path) -> bool:
        return _has(path, *self.records)

    def describe(self, path: Path) -> Description:
        with _opened(path) as archive:
            return _description(archive, path)

    def open(
        self, path: Path, *, parallel: int = 1, exact: bool = False, trust: bool = False
    ) -> ArtefactBackend:
        with _opened(path) as archive:
            description = _description(archive, path)
            program = self._trusted(path) if trust else self._read(archive, path)
        return TorchProgramBackend(description, program, path)


class TorchScript(_TorchArchive):
    """A traced network. It always takes any batch and sides: nothing is gained by fixing them."""

    name, suffix, extra = "torchscript", ".torchscript", ""
    records = ("constants.pkl", "code/")
    _read = staticmethod(torchscript.read_program)

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        _no_half(self.name, options)
        description = Description.of(checkpoint, self.name, options)
        stride = description.strides[-1]
        batch, height, width = description.shape or (1, 4 * stride, 5 * stride)
        program = traced(RowNetwork(checkpoint.model), torch.zeros(batch, 3, height, width))
        write_file(path, script_bytes(program, {KEY: description.to_json()}))

    @staticmethod
    def _trusted(path: Path) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # deprecated, not gone
                return torch.jit.load(path, "cpu")
        except (RuntimeError, ValueError, OSError) as error:
            raise CheckpointError(f"torch cannot read this: {first_line(error)}", file=path) from None


class TorchExport(_TorchArchive):
    """A program of torch.export, which other compilers take."""

    name, suffix, extra = "torch-export", ".pt2", ""
    records = ("archive_format", "models/")
    _read = staticmethod(exported_graph.read_program)

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
        content = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about torch's own internals
            torch.export.save(program, content, extra_files={KEY: description.to_json()})
        write_file(path, content.getbuffer())

    @staticmethod
    def _trusted(path: Path) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about torch's own internals
                return torch.export.load(path).module()
        except Exception as error:  # what it raises for a damaged file has no common base
            raise CheckpointError(f"torch cannot read this: {first_line(error)}", file=path) from None


def script_bytes(program: Any, extra_files: dict[str, str] | None = None) -> bytes:
    """A TorchScript program as a file's bytes.

    torch ends the process where it writes to a disk that is full.
    """
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, not gone
        torch.jit.save(program, content, _extra_files=extra_files)
    return content.getvalue()


@contextmanager
def _opened(path: Path) -> Iterator[Archive]:
    """A checked archive.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    with open_file(path) as file:
        archive = Archive(file)
        archive.check(deflated=True)
        yield archive


def _description(archive: Archive, path: Path) -> Description:
    name = f"{archive.folder}/extra/{KEY}"
    return Description.from_json(archive.read(name, MAX_JSON) if name in archive.records else None, path)


def _has(path: Path, *parts: str) -> bool:
    """Whether a file is an archive with records whose names begin like these."""
    if not is_file(path):
        return False
    with open_file(path) as file:
        if file.read(len(_ZIP)) != _ZIP:
            return False
        inside = [name.partition("/")[2] for name in Archive(file).records]
    return all(any(name.startswith(part) for name in inside) for part in parts)


class TorchProgramBackend(ArtefactBackend):
    """A program on the processor.

    Args:
        description: of the artefact.
        program: of our own reading, or torch's.
        path: of the artefact.
    """

    def __init__(self, description: Description, program: Program | Any, path: Path) -> None:
        super().__init__(description)
        self.program, self.path = program, path

    @torch.inference_mode()
    def infer(self, images: Tensor) -> Tensor:
        pixels = images.to(torch.float32, memory_format=torch.contiguous_format)
        try:
            rows = self.program(pixels / 255 if images.dtype == torch.uint8 else pixels)
        except CheckpointError as error:
            raise CheckpointError(error.message, file=self.path) from None
        except (RuntimeError, ValueError, TypeError, IndexError, OverflowError) as error:
            if is_allocation(error):
                raise
            raise CheckpointError(f"this program fails: {first_line(error)}", file=self.path) from None
        if not isinstance(rows, Tensor) or not rows.is_floating_point():
            raise CheckpointError("this program gives no rows", file=self.path)
        return rows


def _no_half(name: str, options: ExportOptions) -> None:
    if options.half:
        raise UsageError(f"{name} has no half precision: torch on a processor would only be slower with it")
