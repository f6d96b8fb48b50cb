"""What an ML program computes, operation by operation in torch: Core ML itself runs on macOS only.

It reads the finished package, weights included, and knows the operations that our networks become. Their
definitions are those of Core ML's reference of MIL operations.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

TYPES = {"fp16": torch.float16, "fp32": torch.float32, "int32": torch.int32}


def operations(package: Path) -> list[Any]:
    """All but constants, in order."""
    logging.getLogger("coremltools").setLevel(logging.ERROR)
    from coremltools.converters.mil.frontend.milproto.load import load
    from coremltools.proto.Model_pb2 import Model

    data = package / "Data" / "com.apple.CoreML"
    specification = Model.FromString((data / "model.mlmodel").read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = load(specification, specification.specificationVersion, str(data / "weights"))
    return [one for one in program.functions["main"].operations if one.op_type != "const"]


def run(package: Path, images: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] -> rows (B, N, 5 + C)."""
    values = {"images": images}

    def value(of: Any) -> Any:
        if isinstance(of, list | tuple):
            return [value(one) for one in of]
        if of.name in values:
            return values[of.name]
        constant = of.val
        return torch.from_numpy(constant) if isinstance(constant, np.ndarray) else constant

    for one in operations(package):
        arguments = {name: value(of) for name, of in one.inputs.items()}
        (output,) = one.outputs
        values[output.name] = OPERATIONS[one.op_type](**arguments)
    return values["rows"]


def _conv(x: Any, weight: Any, bias: Any, strides: Any, pad: Any, dilations: Any, **rest: Any) -> Tensor:
    top, bottom, left, right = pad.tolist()
    padded = F.pad(x, (left, right, top, bottom))
    assert rest["pad_type"] in ("custom", "valid")
    return F.conv2d(padded, weight, bias, strides.tolist(), 0, dilations.tolist(), int(rest["groups"]))


def _max_pool(x: Any, kernel_sizes: Any, strides: Any, pad: Any, **rest: Any) -> Tensor:
    top, bottom, left, right = pad.tolist()
    assert rest["pad_type"] in ("custom", "valid")
    assert not rest["ceil_mode"]
    padded = F.pad(x, (left, right, top, bottom), value=-torch.inf)
    return F.max_pool2d(padded, kernel_sizes.tolist(), strides.tolist())


def _slice(
    x: Any, begin: Any, end: Any, stride: Any = None, begin_mask: Any = (), end_mask: Any = ()
) -> Tensor:
    for axis in range(x.ndim):
        first = 0 if len(begin_mask) and begin_mask[axis] else int(begin[axis])
        last = x.shape[axis] if len(end_mask) and end_mask[axis] else int(end[axis])
        step = 1 if stride is None else int(stride[axis])
        assert 0 <= first < last <= x.shape[axis]
        x = x.index_select(axis, torch.arange(first, last, step))
    return x


def _upsample(x: Any, scale_factor_height: Any, scale_factor_width: Any) -> Tensor:
    return F.interpolate(x, scale_factor=(float(scale_factor_height), float(scale_factor_width)))


def _concat(values: Any, axis: Any, interleave: Any) -> Tensor:
    assert not interleave
    return torch.cat(values, dim=int(axis))


OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "add": lambda x, y: x + y,
    "cast": lambda x, dtype: x.to(TYPES[dtype]),
    "concat": _concat,
    "conv": _conv,
    "leaky_relu": lambda x, alpha: F.leaky_relu(x, float(alpha)),
    "max_pool": _max_pool,
    "mul": lambda x, y: x * y,
    "reshape": lambda x, shape: x.reshape(shape.tolist()),
    "sigmoid": lambda x: x.sigmoid(),
    "silu": lambda x: F.silu(x),
    "slice_by_index": _slice,
    "sub": lambda x, y: x - y,
    "transpose": lambda x, perm: x.permute(perm.tolist()),
    "upsample_nearest_neighbor": _upsample,
}
