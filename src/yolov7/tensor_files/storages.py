"""Storages of torch: a run of elements in a file, and the tensors that are views of it.

All arithmetic on sizes is done in Python's integers, before torch sees any of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from yolov7.errors import DamagedCheckpointError
from yolov7.tensor_files.tree import describe, name_of
from yolov7.text import printable

_ELEMENTS = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
}
STORAGE_TYPES: dict[str, torch.dtype] = {
    **{f"{module}.{name}Storage": t for name, t in _ELEMENTS.items() for module in ("torch", "torch.cuda")},
    "torch.storage.UntypedStorage": torch.uint8,
    "torch.storage._UntypedStorage": torch.uint8,
}
"""Class of storage -> dtype of its elements, for every class that a detector's checkpoint needs."""

DTYPES = (
    *_ELEMENTS.values(),
    *(torch.uint16, torch.uint32, torch.uint64),
    *(torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz),
)
"""Dtypes that a tensor may have. Some of torch's others can be neither converted nor copied."""

MAX_DIMENSIONS = 32
_VIEWED_PER_STORED = 4  # a tensor may be in a file under several names, but not under thousands
_VIEWED_FREELY = 16 * 2**20


class ViewAllowance:
    """Limit on the bytes of all tensors of a file together, so that small files stay small when copied.

    A storage of one element, expanded to a million times a million, or ten thousand names for one large
    tensor, cost nothing until they are converted. `stored` is the size of the file in bytes.
    """

    def __init__(self, stored: int) -> None:
        self.left = _VIEWED_PER_STORED * stored + _VIEWED_FREELY

    def spend(self, size: int) -> None:
        """Take `size` bytes. Raises: DamagedCheckpointError: fewer are left."""
        self.left -= size
        if self.left < 0:
            raise DamagedCheckpointError(
                "its tensors repeat the same stored values far too often",
                expected=f"tensors of at most {_VIEWED_PER_STORED} times the size of the file",
            )


class Storage:
    """Elements (N,) of one storage, of which tensors are views."""

    __slots__ = ("allowance", "elements")

    def __init__(self, elements: Tensor, allowance: ViewAllowance) -> None:
        self.elements = elements
        self.allowance = allowance

    def view(self, offset: object, size: object, stride: object, dtype: torch.dtype | None = None) -> Tensor:
        """Make a tensor of that shape, which shares memory with all other views of this storage.

        Raises: DamagedCheckpointError: it would reach outside of the storage, or a number is invalid.
        """
        elements = self.elements
        if dtype is not None and dtype != elements.dtype:
            if elements.dtype != torch.uint8 or dtype == torch.bool or elements.numel() % dtype.itemsize:
                raise DamagedCheckpointError(f"a storage of {elements.dtype} is read as {dtype}")
            elements = elements.view(dtype)
        shape, steps = whole_shape(size, "shape"), whole_numbers(stride, "stride")
        start = whole(offset, "offset")
        numel = math.prod(shape)
        last = sum((n - 1) * step for n, step in zip(shape, steps, strict=False)) if numel else -1
        if len(shape) != len(steps) or start + last >= elements.numel():
            raise DamagedCheckpointError(
                "a tensor does not fit into its storage",
                expected=f"at most {elements.numel()} elements",
                found=printable(f"shape {shape}, stride {steps}, offset {start}", 200),
            )
        self.allowance.spend(numel * elements.element_size())
        return elements.as_strided(shape, steps, elements.storage_offset() + start)


def separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give each tensor contiguous memory of its own, so that all can be trained and written."""
    found, used = {}, set[int]()
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage()
        alone = memory.nbytes() == tensor.numel() * tensor.element_size() and tensor.is_contiguous()
        if tensor.numel() and (not alone or memory.data_ptr() in used):
            tensor = tensor.clone(memory_format=torch.contiguous_format)
        used.add(tensor.untyped_storage().data_ptr())
        found[name] = tensor
    return found


def whole(value: object, what: str) -> int:
    """Check that a value is a whole number that torch can hold, 0 or more. Raises: DamagedCheckpointError."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise DamagedCheckpointError(f"impossible {what}", expected="a whole number", found=describe(value))
    return value


def whole_numbers(value: object, what: str) -> tuple[int, ...]:
    """Check that a value is a few whole numbers, such as a stride. Raises: DamagedCheckpointError."""
    if not isinstance(value, tuple | list) or len(value) > MAX_DIMENSIONS:
        raise DamagedCheckpointError(
            f"impossible {what}", expected=f"at most {MAX_DIMENSIONS} numbers", found=describe(value)
        )
    return tuple(whole(n, what) for n in value)


def whole_shape(value: object, what: str) -> tuple[int, ...]:
    """Check a shape. Raises: DamagedCheckpointError: invalid, or too large for torch to multiply."""
    shape = whole_numbers(value, what)
    whole(math.prod(max(n, 1) for n in shape), what)  # an empty dimension does not stop torch's overflow
    return shape


def element_type(symbol: object) -> torch.dtype:
    """Dtype of a class of storage. Raises: DamagedCheckpointError: an unknown class."""
    if (dtype := STORAGE_TYPES.get(name_of(symbol))) is None:
        raise DamagedCheckpointError("names an unknown kind of storage", found=describe(symbol))
    return dtype


def typed(buffer: Tensor, dtype: torch.dtype, *, swap: bool = False) -> Tensor:
    """View bytes (N,) uint8 as elements of `dtype`; with `swap`, reverse each one's bytes in place first.

    Raises: DamagedCheckpointError: a boolean that is neither 0 nor 1.
    """
    if swap and dtype.itemsize > 1:
        part = dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize
        buffer.numpy().view(f"u{part}").byteswap(inplace=True)
    if dtype == torch.bool and buffer.numel() and int(buffer.max()) > 1:
        raise DamagedCheckpointError("a storage of booleans holds something else")
    return buffer.view(dtype)
