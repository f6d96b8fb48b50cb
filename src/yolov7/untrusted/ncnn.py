"""ncnn's list of layers, checked before ncnn reads it: ncnn believes every number in it.

7767517                                   a magic number
LAYERS BLOBS
TYPE NAME INPUTS OUTPUTS blob... key=value...     for each layer
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from yolov7.errors import CheckpointError, DamagedCheckpointError
from yolov7.text import printable
from yolov7.untrusted.demand import Demand
from yolov7.untrusted.values import check_file, damaged, read_bounded, refused

MAX_PARAM, MAX_BIN = 4 * 2**20, 4 * 2**30
MAX_LAYERS = 20_000
_LAYERS = """
    Input Split Concat Slice Crop Reshape Flatten Noop
    Convolution ConvolutionDepthWise Pooling Interp Padding
    BinaryOp UnaryOp Sigmoid Swish ReLU HardSwish HardSigmoid Mish TanH Softmax Clip
"""
LAYERS = frozenset(_LAYERS.split())
"""Layers of the networks of this package, and their close relatives."""
_MAGIC = "7767517"
_VALUE = re.compile(
    r"-?\d{1,5}=(-?[\d.e+-]{1,40}(,-?[\d.e+-]{1,40}){0,64}|"  # numbers,
    r'"\d?[whdc0-9,]{1,40}")'  # or a shape, in terms of the sizes of inputs
)
_WEIGHTS = 6  # key of the number of a convolution's weights
_PIXELS = 640 * 640  # pixels of the image whose demand stands for all sizes


def checked_layers(param: Path, weights: Path) -> str:
    """Read a list of layers, and check that their kinds are known and their demand is bounded.

    Raises:
        UnsafeCheckpointError: it has a layer that no such network has.
        DamagedCheckpointError: its numbers do not fit each other.
        CheckpointError: a file is missing, a link, or too large.
    """
    check_file(weights, MAX_BIN)
    text = read_bounded(param, MAX_PARAM).decode("ascii", "replace").replace("\0", " ")
    lines = text.splitlines()
    counts = lines[1].split() if len(lines) > 2 else []
    if lines[:1] != [_MAGIC] or len(counts) != 2 or not all(_is_count(one) for one in counts):
        raise DamagedCheckpointError("this is no list of layers of ncnn", file=param)
    layers, blobs = map(int, counts)
    rows = [line.split() for line in lines[2:] if line.strip()]
    if layers != len(rows):
        raise DamagedCheckpointError(
            "the list of layers is not whole", file=param, expected=f"{layers} layers", found=len(rows)
        )
    made: dict[str, _Maps] = {}
    demand = Demand(_PIXELS)
    stored = 0
    for number, row in enumerate(rows, 3):
        try:
            stored += _check(row, made, demand)
        except CheckpointError as error:
            error.file, error.line = str(param), number
            raise
    if len(made) > blobs or 2 * stored > weights.stat().st_size:  # in 16 bits at least
        raise DamagedCheckpointError("the weights are not all there", file=weights)
    return text


class _Maps(NamedTuple):
    """Upper bound on the size of a layer's result: channels, and pixels per pixel of the image."""

    channels: float
    area: float


def _check(row: list[str], made: dict[str, _Maps], demand: Demand) -> int:
    """Check one layer, remember the size of its result, and return the number of its weights."""
    if row[0] not in LAYERS:
        raise refused(f"a layer {printable(row[0], 60)}")
    if len(row) < 4 or not _is_count(row[2]) or not _is_count(row[3]):
        raise DamagedCheckpointError("a layer has no inputs and outputs")
    inputs, outputs = int(row[2]), int(row[3])
    blobs, values = row[4 : 4 + inputs + outputs], row[4 + inputs + outputs :]
    fits = len(blobs) == inputs + outputs and all(map(_VALUE.fullmatch, values))
    if not fits or not made.keys() >= set(blobs[:inputs]) or made.keys() & set(blobs[inputs:]):
        raise DamagedCheckpointError("a layer's numbers do not fit each other")
    said = {int(key): text for key, _, text in (value.partition("=") for value in values)}
    is_convolution = row[0].startswith("Convolution")
    if is_convolution and not said.get(_WEIGHTS, "").isdecimal():
        raise DamagedCheckpointError("a convolution without weights")
    with damaged("a layer's numbers make no sense"):
        maps, each = _given(row[0], [made[blob] for blob in blobs[:inputs]], said)
    made.update(dict.fromkeys(blobs[inputs:], maps))
    demand.add(maps.channels * maps.area * _PIXELS, each)
    return int(said[_WEIGHTS]) if is_convolution else 0


def _given(kind: str, inputs: list[_Maps], said: dict[int, str]) -> tuple[_Maps, float]:
    """Upper bound on a layer's result for such inputs, and multiplications per number in it."""

    def number(key: int, otherwise: float) -> float:
        return float(said.get(key, otherwise))

    if kind == "Input":
        return _Maps(3, 1), 0
    channels = (sum if kind == "Concat" else max)(maps.channels for maps in inputs)
    area = max(maps.area for maps in inputs)
    if kind.startswith("Convolution"):
        step = number(3, 1) * number(13, number(3, 1))
        filters = int(number(0, 0))
        return _Maps(filters, area / max(1, step)), int(said[_WEIGHTS]) / filters
    if kind == "Pooling":
        step = number(2, 1) * number(12, number(2, 1))
        return _Maps(channels, area / max(1, step)), number(1, 1) * number(11, number(1, 1))
    if kind == "Interp":
        if number(3, 0) or number(4, 0):  # of a size of its own
            raise ValueError
        return _Maps(channels, area * max(1, number(1, 1)) * max(1, number(2, 1))), 0
    if kind == "Padding" and max(number(key, 0) for key in (0, 1, 2, 3, 7, 8)) > 64:
        raise ValueError
    return _Maps(channels, area), 0


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) < 6 and int(text) <= MAX_LAYERS
