"""ONNX files, checked before ONNX Runtime reads them: nothing in them refers to anything outside.

A graph may keep tensors in other files, at paths of its own; may name operators of libraries; and may hold
graphs within graphs, which loop. No artefact of this package does, and none that does is opened.

Format: Protocol Buffers' wire format and the field numbers of onnx.proto, version 1.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from yolov7.tensor_files.reading import open_file
from yolov7.text import printable
from yolov7.untrusted.values import damaged, refused

MAX_FIELDS = 1_000_000
"""Most fields of all messages together; the largest network has 60,000."""
_DOMAINS = (b"", b"ai.onnx")

_MODEL_OPSET, _MODEL_GRAPH, _MODEL_METADATA, _MODEL_TRAINING, _MODEL_FUNCTIONS = 8, 7, 14, 20, 25
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_SPARSE = 1, 5, 15
_NODE_ATTRIBUTE, _NODE_DOMAIN = 5, 7
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_TENSOR_ELSEWHERE, _TENSOR_LOCATION = 13, 14


def metadata_of(path: Path) -> dict[str, bytes]:
    """Check a file, and read its metadata.

    Raises:
        UnsafeCheckpointError: it names other files, or has operators that are not ONNX's own.
        DamagedCheckpointError: it is no whole ONNX file.
    """
    with (
        open_file(path) as file,
        damaged("this is no whole ONNX file"),
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        return _Reader(content).model()


class _Reader:
    """The messages of a file, each from its start to its end."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content, self._left = content, MAX_FIELDS

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
                raise refused("functions of its own, or training")
        return metadata

    def _graph(self, start: int, end: int) -> None:
        for number, a, b in self._fields(start, end):
            if number == _GRAPH_NODE:
                self._node(a, b)
            elif number == _GRAPH_TENSOR:
                self._tensor(a, b)
            elif number == _GRAPH_SPARSE:
                raise refused("sparse tensors")

    def _node(self, start: int, end: int) -> None:
        self._domain(start, end, _NODE_DOMAIN)
        for number, a, b in self._fields(start, end):
            if number != _NODE_ATTRIBUTE:
                continue
            for kind, c, d in self._fields(a, b):
                if kind in _ATTRIBUTE_TENSORS:
                    self._tensor(c, d)
                elif kind in _ATTRIBUTE_GRAPHS:
                    raise refused("a graph within a graph: a loop or a condition")
                elif kind in _ATTRIBUTE_SPARSE:
                    raise refused("sparse tensors")

    def _tensor(self, start: int, end: int) -> None:
        for number, a, b in self._fields(start, end):
            if number == _TENSOR_ELSEWHERE or (number == _TENSOR_LOCATION and a):
                shown = printable(bytes(self._content[a:b]).decode("utf-8", "replace"), 80) if b > a else ""
                raise refused(f"a tensor in another file {shown}".rstrip())

    def _domain(self, start: int, end: int, field: int) -> None:
        for number, a, b in self._fields(start, end):
            if number == field and (domain := self._content[a:b]) not in _DOMAINS:
                raise refused(f"operators of {printable(domain.decode('utf-8', 'replace'), 80)}")

    def _fields(self, at: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Fields of a message: number, start and end of the content; of an integer: number, value and 0."""
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
