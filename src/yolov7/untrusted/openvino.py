"""OpenVINO's model.xml, checked before OpenVINO reads it: a description, and a plain network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from yolov7.text import printable
from yolov7.untrusted.values import damaged, read_bounded, refused

MAX_XML, MAX_BIN = 32 * 2**20, 8 * 2**30
MAX_DEPTH = 40
MAX_ELEMENTS = 1_000_000
"""Most XML elements; the largest network has 40,000."""
_OPSET = re.compile(r"opset\d{1,2}")
_WITHIN = frozenset({"body", "then_body", "else_body", "port_map", "back_edges"})


class Read(NamedTuple):
    """A harmless network as bytes, and the description in it, if any.

    OpenVINO gets these bytes: if it read the files again, somebody could swap them in between.
    """

    xml: bytes
    weights: bytes
    description: str | None


def read_network(xml: Path, weights: Path, key: str) -> Read:
    """Read a network, and make sure that it is harmless.

    Args:
        xml, weights: its two files.
        key: name of the element whose value is the description.

    Raises:
        UnsafeCheckpointError: it has entities, operators not of OpenVINO's own sets, or graphs within graphs.
        DamagedCheckpointError: it is no XML, or reaches out of its weights.
        CheckpointError: a file is missing, a link, or too large.
    """
    content, constants = read_bounded(xml, MAX_XML), read_bounded(weights, MAX_BIN)
    reader = _Reader(xml, len(constants), key)
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.StartDoctypeDeclHandler = reader.doctype
    with damaged("OpenVINO cannot read this", xml, expat.ExpatError):
        parser.Parse(content, True)
    return Read(content, constants, reader.description)


class _Reader:
    """Handlers of the elements of an XML file."""

    def __init__(self, path: Path, weights: int, key: str) -> None:
        self._path, self._weights, self._key = path, weights, key
        self._depth = self._elements = 0
        self.description: str | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise ValueError("elements without end")
        if self._elements == 1 and name != "net":
            raise ValueError(f"it is a {printable(name, 40)}, no net")
        if name in _WITHIN:
            raise refused("a graph within a graph: a loop or a condition", self._path)
        if name == "layer" and not _OPSET.fullmatch(attributes.get("version", "")):
            raise refused(f"an operator of {printable(attributes.get('version'), 60)}", self._path)
        if name == "data" and "offset" in attributes:
            offset, size = int(attributes["offset"]), int(attributes.get("size", ""))
            if min(offset, size) < 0 or offset + size > self._weights:
                raise ValueError("a constant reaches out of the weights")
        if name == self._key:
            self.description = attributes.get("value")

    def end(self, _name: str) -> None:
        self._depth -= 1

    def doctype(self, *_: object) -> None:
        raise refused("a document type", self._path)
