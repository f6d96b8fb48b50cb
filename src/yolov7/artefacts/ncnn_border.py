"""ncnn's list of layers, looked at before ncnn reads it: its own reader believes every number in it.

7767517                                   a magic number
LAYERS BLOBS
TYPE NAME INPUTS OUTPUTS blob... key=value...     for each layer
"""

from __future__ import annotations

import re
from pathlib import Path

from yolov7.artefacts.written import check_file, read_bounded
from yolov7.errors import DamagedCheckpointError, UnsafeCheckpointError
from yolov7.text import printable

MAX_PARAM, MAX_BIN = 4 * 2**20, 4 * 2**30
MAX_LAYERS = 20_000
_LAYERS = """
    Input Split Concat Slice Crop Permute Reshape Flatten Squeeze ExpandDims Noop
    Convolution ConvolutionDepthWise Pooling Interp Padding
    BinaryOp UnaryOp Sigmoid Swish ReLU HardSwish HardSigmoid Mish TanH Softmax Clip
"""
LAYERS = frozenset(_LAYERS.split())
"""All that the networks of this package become, and their near relations."""
_MAGIC = "7767517"
_VALUE = re.compile(
    r"-?\d{1,5}=(-?[\d.e+-]{1,40}(,-?[\d.e+-]{1,40}){0,64}|"  # numbers,
    r'"\d?[whdc0-9,]{1,40}")'  # or a shape, in terms of the sizes of inputs
)
_WEIGHTS = 6  # of a convolution: the key of their number


def check_layers(param: Path, weights: Path) -> None:
    """Make sure that a list of layers is one that a network of this package has, and its weights are there.

    Raises:
        UnsafeCheckpointError: it has a layer that no such network has.
        DamagedCheckpointError: its numbers do not fit each other.
        CheckpointError: a file is missing, a link, or too large.
    """
    check_file(weights, MAX_BIN)
    lines = read_bounded(param, MAX_PARAM).decode("ascii", "replace").splitlines()
    counts = lines[1].split() if len(lines) > 2 else []
    if lines[:1] != [_MAGIC] or len(counts) != 2 or not all(_is_count(one) for one in counts):
        raise DamagedCheckpointError("this is no list of layers of ncnn", file=param)
    layers, blobs = map(int, counts)
    rows = [line.split() for line in lines[2:] if line.strip()]
    if layers != len(rows):
        raise DamagedCheckpointError(
            "the list of layers is not whole", file=param, expected=f"{layers} layers", found=len(rows)
        )
    made: set[str] = set()
    stored = 0
    for number, row in enumerate(rows, 3):
        stored += _check(row, made, param, number)
    if len(made) > blobs or 2 * stored > weights.stat().st_size:  # in 16 bits at least
        raise DamagedCheckpointError("the weights are not all there", file=weights)


def _check(row: list[str], made: set[str], param: Path, line: int) -> int:
    """Check one layer, remember what it gives, and tell the number of its weights."""
    if row[0] not in LAYERS:
        raise UnsafeCheckpointError(
            "this network has a layer that none of `open-yolov7 export` has; nothing of it was run",
            file=param,
            line=line,
            found=printable(row[0], 60),
        )
    if len(row) < 4 or not _is_count(row[2]) or not _is_count(row[3]):
        raise DamagedCheckpointError("a layer has no inputs and outputs", file=param, line=line)
    inputs, outputs = int(row[2]), int(row[3])
    blobs, values = row[4 : 4 + inputs + outputs], row[4 + inputs + outputs :]
    fits = len(blobs) == inputs + outputs and all(map(_VALUE.fullmatch, values))
    if not fits or not made.issuperset(blobs[:inputs]) or made.intersection(blobs[inputs:]):
        raise DamagedCheckpointError("a layer's numbers do not fit each other", file=param, line=line)
    made.update(blobs[inputs:])
    weights = [value.partition("=")[2] for value in values if value.startswith(f"{_WEIGHTS}=")]
    is_convolution = row[0].startswith("Convolution")
    if is_convolution and (len(weights) != 1 or not weights[0].isdecimal()):
        raise DamagedCheckpointError("a convolution without weights", file=param, line=line)
    return int(weights[0]) if is_convolution else 0


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) < 6 and int(text) <= MAX_LAYERS
