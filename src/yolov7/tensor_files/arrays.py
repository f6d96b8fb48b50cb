"""Small numpy arrays and scalars inside a pickle: metrics, anchors, class weights.

Numbers, booleans and text only; never arrays of objects.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from yolov7.errors import DamagedCheckpointError
from yolov7.tensor_files.storages import whole_numbers
from yolov7.tensor_files.tree import describe, name_of
from yolov7.text import printable

Array = npt.NDArray[Any]

SCALAR_TYPES = (
    *("bool_", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128", "str_", "bytes_"),
)
"""Names of numpy's scalar types that a pickle may mention."""

_PLAIN_TYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16|[SU][1-9][0-9]{0,5})")


class ArrayType:
    """A ``numpy.dtype`` in a pickle: made from a short name; its byte order follows as its state."""

    __slots__ = ("dtype",)

    def __init__(self, name: object, _align: object = False, _copy: object = False) -> None:
        if not isinstance(name, str) or not _PLAIN_TYPE.fullmatch(name):
            raise DamagedCheckpointError(
                "holds a numpy array of something else than numbers or text", found=describe(name)
            )
        self.dtype = np.dtype(name)

    def fill(self, state: object) -> None:
        """Take the byte order from the state that numpy saved; the rest follows from the name."""
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            raise DamagedCheckpointError("holds an impossible numpy type", found=describe(state))
        self.dtype = self.dtype.newbyteorder(order)


def _filled(shape: object, kind: object, data: object, order: object) -> Array:
    """Copy the data into an array of that shape, in this machine's byte order."""
    dimensions = whole_numbers(shape, "shape of a numpy array")
    size = len(data) if isinstance(data, bytes | bytearray) else -1
    if not isinstance(kind, ArrayType) or math.prod(dimensions) * kind.dtype.itemsize != size:
        raise DamagedCheckpointError(
            "holds a numpy array whose size does not fit its data",
            found=printable(f"shape {dimensions}, data {describe(data)}", 200),
        )
    assert isinstance(data, bytes | bytearray)
    values = np.frombuffer(data, kind.dtype) if size else np.empty(0, kind.dtype)
    return values.reshape(dimensions, order="F" if order == "F" else "C").astype(kind.dtype.newbyteorder("="))


def scalar(kind: object, data: object = b"") -> object:
    """Stand-in for ``numpy.core.multiarray.scalar``: a number or text of Python's own."""
    return _filled((), kind, data, "C").item()


def from_buffer(data: object, kind: object, shape: object, order: object, axes: object = None) -> Array:
    """Stand-in for ``numpy.core.numeric._frombuffer``, of protocol 5."""
    if axes is not None:
        raise DamagedCheckpointError("holds a numpy array with permuted axes", found=describe(axes))
    return _filled(shape, kind, data, order)


def empty(cls: object, _shape: object, _kind: object) -> Array:
    """Stand-in for ``numpy.core.multiarray._reconstruct``: an array that is filled afterwards."""
    if name_of(cls) != "numpy.ndarray":
        raise DamagedCheckpointError("holds an unknown kind of numpy array", found=describe(cls))
    return np.empty(0, np.uint8)


def fill(array: Array, state: object) -> None:
    """Fill an array from the state that numpy saved: version, shape, type, Fortran order, bytes."""
    if not isinstance(state, tuple) or len(state) != 5 or array.size:
        raise DamagedCheckpointError("holds a damaged numpy array", found=describe(state))
    _, shape, kind, columns_first, data = state
    values = _filled(shape, kind, data, "F" if columns_first else "C")
    restore: Any = array.__setstate__  # others may hold the array already: it is filled in place
    restore((1, values.shape, values.dtype, False, values.tobytes()))
