"""ONNX files, looked at before ONNX Runtime reads them: what is in them, and that nothing of it reaches out.

A graph may keep tensors in other files, by paths of its own; may name operators of libraries; and may hold
graphs within graphs, which loop. No artefact of this package has any of that, and none with it is opened.

Format: Protocol Buffers' wire format and the field numbers of onnx.proto, version 1.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from yolov7.errors import CheckpointError, DamagedCheckpointError, UnsafeCheckpointError
from yolov7.files import is_file
from yolov7.tensor_files.sniff import open_file
from yolov7.tensor_files.strangers import ONNX_HEADS
from yolov7.text import printable

MAX_FIELDS = 1_000_000
"""Of all messages together; the largest network here has 60,000."""
_DOMAINS = (b"", b"ai.onnx")

_MODEL_OPSET, _MODEL_GRAPH, _MODEL_METADATA, _MODEL_TRAINING, _MODEL_FUNCTIONS = 8, 7, 14, 20, 25
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_SPARSE = 1, 5, 15
_NODE_ATTRIBUTE, _NODE_DOMAIN = 5, 7
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_TENSOR_ELSEWHERE, _TENSOR_LOCATION = 13, 14


def is_onnx(path: Path) -> bool:
    """Whether a file begins as ONNX files do."""
    if not is_file(path):
        return False
    with open_file(path) as file:
        return file.read(3).startswith(ONNX_HEADS)


def metadata_of(path: Path) -> dict[str, bytes]:
    """The metadata of a file that was found to be harmless.

    Raises:
        UnsafeCheckpointError: it names other files, or has operators that are not ONNX's own.
        DamagedCheckpointError: it makes no sense.
    """
    with open_file(path) as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _Reader(content, path).model()
        except (ValueError, IndexError) as error:
            raise DamagedCheckpointError(
                "this is no whole ONNX file", file=path, found=printable(error, 100)
            ) from None


class _Reader:
    """Messages in a file, each with the place where it ends."""

    def __init__(self, content: mmap.mmap, path: Path) -> None:
        self._content, self._path, self._left = content, path, MAX_FIELDS

    def model(self) -> dict[str, bytes]:
        metadata: dict[str, bytes] = {}
        for number, start, end in self._fields(0, len(self._content)):
            if number == _MODEL_GRAPH:
                self._graph(start, end)
            elif number == _MODEL_OPSET:
                self._domain(start, end, 1)
            elif number == _MODEL_METADATA:
                entry = {key: self._content[a:b] for key, a, b in self._fields(start, end)}
                metadata[entry.get(1, b"").decode("utf-8", "replace")] = entry.get(2, b"")
            elif number in (_MODEL_TRAINING, _MODEL_FUNCTIONS):
                raise self._refused("functions of its own, or training")
        return metadata

    def _graph(self, start: int, end: int) -> None:
        for number, a, b in self._fields(start, end):
            if number == _GRAPH_NODE:
                self._node(a, b)
            elif number == _GRAPH_TENSOR:
                self._tensor(a, b)
            elif number == _GRAPH_SPARSE:
                raise self._refused("sparse tensors")

    def _node(self, start: int, end: int) -> None:
        self._domain(start, end, _NODE_DOMAIN)
        for number, a, b in self._fields(start, end):
            if number != _NODE_ATTRIBUTE:
                continue
            for kind, c, d in self._fields(a, b):
                if kind in _ATTRIBUTE_TENSORS:
                    self._tensor(c, d)
                elif kind in _ATTRIBUTE_GRAPHS:
                    raise self._refused("a graph within a graph: a loop or a condition")
                elif kind in _ATTRIBUTE_SPARSE:
                    raise self._refused("sparse tensors")

    def _tensor(self, start: int, end: int) -> None:
        for number, a, b in self._fields(start, end):
            if number == _TENSOR_ELSEWHERE or (number == _TENSOR_LOCATION and a):
                shown = printable(bytes(self._content[a:b]).decode("utf-8", "replace"), 80) if b > a else ""
                raise self._refused(f"a tensor in another file {shown}".rstrip())

    def _domain(self, start: int, end: int, field: int) -> None:
        """Make sure that operators are ONNX's own."""
        for number, a, b in self._fields(start, end):
            if number == field and (domain := self._content[a:b]) not in _DOMAINS:
                raise self._refused(f"operators of {printable(domain.decode('utf-8', 'replace'), 80)}")

    def _fields(self, at: int, end: int) -> Iterator[tuple[int, int, int]]:
        """The fields of a message: number, and where the content lies; of an integer its value, and 0."""
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise ValueError(f"more than {MAX_FIELDS} fields")
            key, at = self._integer(at, end)
            number, kind = key >> 3, key & 7
            if kind == 0:
                value, at = self._integer(at, end)
                yield number, value, 0
                continue
            if kind == 2:
                size, at = self._integer(at, end)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
            else:
                raise ValueError(f"a field of kind {kind}")
            if size > end - at:
                raise ValueError("a field that reaches out of its message")
            yield number, at, at + size
            at += size

    def _integer(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for place in range(10):
            if at + place >= end:
                raise ValueError("it is truncated")
            byte = self._content[at + place]
            value |= (byte & 127) << (7 * place)
            if byte < 128:
                return value, at + place + 1
        raise ValueError("an integer without end")

    def _refused(self, what: str) -> CheckpointError:
        return UnsafeCheckpointError(
            f"this graph has {what}, as no graph that `open-yolov7 export` writes; nothing of it was run",
            file=self._path,
        )
