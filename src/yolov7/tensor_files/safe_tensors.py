"""Safetensors files: a header with the place of each tensor, then the bytes of all.

    8 bytes   size of the header, little-endian
    header    JSON: {"__metadata__": {text: text}, name: {"dtype", "shape", "data_offsets": [begin, end]}...}
    rest      the tensors one behind the other, without gaps

The format's own library opens a path by itself, and makes an object for each entry before the entries can be
counted; here the file that was sniffed is the one that is read, and all sizes are bounded first.
"""

from __future__ import annotations

import json
import math
from io import BufferedReader
from typing import Any

import torch
from torch import Tensor

from yolov7.errors import DamagedCheckpointError
from yolov7.tensor_files.storages import typed, whole_numbers, whole_shape
from yolov7.tensor_files.tree import MAX_NAME, check_count, describe
from yolov7.text import printable

MAX_HEADER = 4 * 2**20
"""Largest header, bytes; our largest network's has 0.2 MB."""

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def read_safetensors(file: BufferedReader) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of an open safetensors file.

    Raises: DamagedCheckpointError: not a whole safetensors file, or sizes out of all proportion.
    """
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > min(MAX_HEADER, size - 8):
        raise _damaged("its header", f"at most {min(MAX_HEADER, size - 8):,} bytes", f"{length:,} bytes")
    header = _parsed(file.read(length))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise _damaged("its metadata", "text by name", describe(metadata))
    check_count(header)
    tensors = dict.fromkeys(header, torch.empty(0))
    position = 0
    for begin, end, name, shape, dtype in sorted(_entry(name, header[name]) for name in header):
        if begin != position or end > size - 8 - length:
            raise _damaged(
                f"the place of {printable(name, 100)}",
                f"bytes {position:,} to {size - 8 - length:,} at most",
                f"{begin:,} to {end:,}",
            )
        buffer = torch.empty(end - begin, dtype=torch.uint8)
        if end > begin and file.readinto(buffer.numpy().data) != end - begin:
            raise _damaged("its end", f"{end - begin:,} bytes more", "fewer; download or copy it again")
        tensors[name] = typed(buffer, _DTYPES[dtype]).reshape(shape)
        position = end
    if position != size - 8 - length:
        raise _damaged("its end", f"{position:,} bytes of tensors", f"{size - 8 - length:,}")
    return tensors, metadata


def _parsed(header: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(header.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _damaged("its header", "JSON", printable(error, 100) or type(error).__name__) from None
    if not isinstance(parsed, dict):
        raise _damaged("its header", "a JSON object", describe(parsed))
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _entry(name: str, entry: object) -> tuple[int, int, str, tuple[int, ...], str]:
    """Begin, end, name, shape and dtype of a tensor, sizes checked."""
    shown = printable(name, 100)
    if len(name) > MAX_NAME or not isinstance(entry, dict):
        raise _damaged(
            f"the entry of {shown}", f"an object, and a name of at most {MAX_NAME} characters", shown
        )
    dtype, place = entry.get("dtype"), whole_numbers(entry.get("data_offsets"), f"place of {shown}")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise _damaged(f"the dtype of {shown}", ", ".join(_DTYPES), describe(dtype))
    shape = whole_shape(entry.get("shape"), f"shape of {shown}")
    if len(place) != 2 or place[1] - place[0] != math.prod(shape) * _DTYPES[dtype].itemsize:
        raise _damaged(
            f"the size of {shown}", f"as its shape {shape} and dtype {dtype} want", f"place {place}"
        )
    return *place, name, shape, dtype


def _damaged(what: str, expected: str, found: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(f"not a whole safetensors file: {what}", expected=expected, found=found)
