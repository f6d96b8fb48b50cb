"""Names in a pickle, by a closed table.

A pickle mentions classes and functions by name. None of them is imported. A name is one of

    called     in `CALLS`: its effect is reproduced by our own code, on plain data only
    a value    torch's dtypes
    recorded   classes of other people's networks, and a few of the standard library: objects of them become
               `Foreign`, which remembers and does nothing
    refused    everything else of Python itself, of torch and of numpy, and every call not in the table
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import TypeVar

import torch
from torch import Tensor

from yolov7.errors import DamagedCheckpointError, UnsafeCheckpointError
from yolov7.tensor_files import arrays
from yolov7.tensor_files.storages import DTYPES, STORAGE_TYPES, Storage
from yolov7.tensor_files.tree import Foreign, Symbol, describe, name_of
from yolov7.text import printable

T = TypeVar("T")

_MAX_NAME = 200
_MAX_TUPLE_KEY = 16
_MAX_TUPLE_KEYS = 64
_MAX_PATH = 4096

# Names in other versions of Python, numpy and torch -> the one used here.
_RENAMED = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "pathlib._local": "pathlib",
    "numpy._core.multiarray": "numpy.core.multiarray",
    "numpy._core.numeric": "numpy.core.numeric",
}

# Packages that can run things: nothing of them but the names listed below.
_GUARDED = frozenset({*sys.stdlib_module_names, "builtins", "torch", "numpy"})

# Classes of Python and torch whose objects are recorded.
_RECORDED = frozenset(
    {"argparse.Namespace"}
    | {f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")}
)
_RECORDED_PACKAGES = ("torch.nn", "torch.optim")

# Names that may be mentioned, but neither called nor instantiated.
_MENTIONED = frozenset(
    {f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "object", "str", "tuple")}
    | {f"numpy.{name}" for name in arrays.SCALAR_TYPES}
    | {"numpy.ndarray", "torch.Tensor", "torch.storage.TypedStorage", "typing.Any"}
    | STORAGE_TYPES.keys()
)

_DTYPES = {str(dtype): dtype for dtype in DTYPES}  # "torch.float16": torch.float16, ...
_OTHER_DTYPES = frozenset(
    f"torch.{name}" for name, dtype in vars(torch).items() if isinstance(dtype, torch.dtype)
) - frozenset(_DTYPES)


def resolve(module: str, name: str) -> Symbol | torch.dtype:
    """Look up a name of a pickle.

    Raises:
        UnsafeCheckpointError: a name that no checkpoint of a network needs.
        DamagedCheckpointError: a dtype that no weights have.
    """
    if len(module) > _MAX_NAME or len(name) > _MAX_NAME:
        raise UnsafeCheckpointError("asks for a name of absurd length", found=printable(f"{module}.{name}"))
    symbol = Symbol(_RENAMED.get(module, module), name)
    dotted = str(symbol)
    if not name.isidentifier() or name.startswith("__") or not all(map(str.isidentifier, module.split("."))):
        raise refusal("asks for", f"{module}.{name}")
    if dotted in _DTYPES:
        return _DTYPES[dotted]
    if dotted in _OTHER_DTYPES:
        raise DamagedCheckpointError(
            "names a dtype that no detector's weights have", expected=", ".join(_DTYPES), found=dotted
        )
    if dotted in CALLS or dotted in _MENTIONED or _is_recorded(symbol):
        return symbol
    raise refusal("asks to call" if name[0].islower() else "asks for", f"{module}.{name}")


def refusal(verb: str, name: str) -> UnsafeCheckpointError:
    """Error about a name that is not in the table."""
    return UnsafeCheckpointError(
        f"{verb} {printable(name)}, which no checkpoint needs; nothing of the file was run",
        expected="tensors, plain data, and objects of network classes",
        found=printable(name),
    )


def _is_recorded(symbol: Symbol) -> bool:
    """True if objects of this class are recorded without being made."""
    package = symbol.module.split(".")[0]
    if package not in _GUARDED:
        return True
    inside = any(f"{symbol.module}.".startswith(f"{known}.") for known in _RECORDED_PACKAGES)
    return inside or str(symbol) in _RECORDED


def call(function: object, args: tuple[object, ...]) -> object:
    """Reproduce the call of a name. Raises: UnsafeCheckpointError: it is not in the table.

    Classes of networks are not called either: pickle makes their objects by `new`.
    """
    if isinstance(function, Symbol) and "." not in function.name:
        if (known := CALLS.get(str(function))) is not None:
            return known(*args)
        if str(function) in _RECORDED:
            return Foreign(function, args)
    raise refusal("asks to call", describe(function))


def new(cls: object, args: tuple[object, ...]) -> object:
    """Record an object of a class, as `pickle` makes it before its state is filled in.

    Raises: UnsafeCheckpointError: objects of that class have no place in a checkpoint.
    """
    if isinstance(cls, Symbol) and _is_recorded(cls) and "." not in cls.name and str(cls) not in CALLS:
        return Foreign(cls, args)
    return call(cls, args)


def checked_key(key: object) -> object:
    """Check a key of a dict or member of a set: only plain ones, because nested tuples hash without limit.

    Raises: DamagedCheckpointError: another kind of key.
    """
    if isinstance(key, str | bytes | bool | float | Symbol | Foreign | torch.dtype) or key is None:
        return key
    if isinstance(key, int) and -(2**63) <= key < 2**64:
        return key
    if isinstance(key, tuple) and len(key) <= _MAX_TUPLE_KEY and not any(isinstance(k, tuple) for k in key):
        return tuple(map(checked_key, key))
    raise DamagedCheckpointError("a dict or set has an impossible key", found=describe(key))


# Effects of the names in the table. Arguments come from the file: each is checked for its type before use.


def _as(kind: type[T], value: object) -> T:
    """Check the type of a value."""
    if not isinstance(value, kind):
        raise DamagedCheckpointError(
            "wrong argument for something to rebuild", expected=kind.__name__, found=describe(value)
        )
    return value


def _items(value: object) -> Collection[object]:
    return value if isinstance(value, tuple | set | frozenset) else _as(list, value)


def _keys(values: Collection[object]) -> Collection[object]:
    """Check values that are to be hashed: few tuples, because their hashes can be made to collide."""
    if sum(isinstance(checked_key(value), tuple) for value in values) > _MAX_TUPLE_KEYS:
        raise DamagedCheckpointError(
            "holds a set of tuples", expected=f"at most {_MAX_TUPLE_KEYS} in one call"
        )
    return values


def _tensor(storage: object, offset: object, size: object, stride: object, *_rest: object) -> Tensor:
    return _as(Storage, storage).view(offset, size, stride)


def _tensor_v3(
    storage: object,
    offset: object,
    size: object,
    stride: object,
    _requires_grad: object,
    _hooks: object,
    dtype: object,
    *_rest: object,
) -> Tensor:
    return _as(Storage, storage).view(offset, size, stride, _as(torch.dtype, dtype))


def _parameter(data: object, *_rest: object) -> Tensor:
    return _as(Tensor, data)


def _tensor_with_attributes(function: object, _cls: object, args: object, _state: object) -> Tensor:
    if not name_of(function).startswith("torch._utils._rebuild_tensor"):
        raise refusal("asks to call", describe(function))
    return _as(Tensor, call(function, _as(tuple, args)))


def _device(kind: object, index: object = None) -> str:
    return _as(str, kind) if index is None else f"{_as(str, kind)}:{_as(int, index)}"


def _ordered_dict(pairs: object = ()) -> dict[object, object]:
    if isinstance(pairs, dict):
        return dict(pairs)
    keys, values = [], []
    for pair in _items(pairs):
        key, value = _items(pair)
        keys.append(key)
        values.append(value)
    return dict(zip(_keys(keys), values, strict=True))


def _slice(*bounds: object) -> slice:
    return slice(*(None if bound is None else _as(int, bound) for bound in bounds))


def _complex(real: object, imaginary: object) -> complex:
    return complex(_as(float, real), _as(float, imaginary))


def _encode(text: object, encoding: object) -> bytes:
    """Bytes in protocols 0 to 2, which store them as text with the same code points."""
    if encoding not in ("latin1", "latin-1"):
        raise refusal("asks to encode with", describe(encoding))
    return _as(str, text).encode("latin-1")


def _byte_array(data: object = b"", encoding: object = "latin-1") -> bytearray:
    return bytearray(_encode(data, encoding) if isinstance(data, str) else _as(bytes, data))


def _path(kind: type[PurePath]) -> Callable[..., str]:
    def joined(*parts: object) -> str:
        texts = [_as(str, part) for part in parts]
        if sum(map(len, texts)) > _MAX_PATH:
            raise DamagedCheckpointError("holds a path of absurd length", expected=f"at most {_MAX_PATH}")
        return str(kind(*texts))

    return joined


def _attribute(owner: object, name: object) -> Symbol:
    """Name of a method that replaces another, as in ``self.forward = self.forward_fused``.

    For network classes only; the result is not callable.
    """
    if (
        not isinstance(owner, Symbol | Foreign)
        or "." in owner.name
        or not _is_recorded(Symbol(owner.module, owner.name))
        or not isinstance(name, str)
        or len(name) > _MAX_NAME
        or not name.isidentifier()
        or name.startswith("__")
    ):
        raise refusal("asks to call builtins.getattr on", f"{describe(owner)}, {describe(name)}")
    return Symbol(owner.module, f"{owner.name}.{name}")


def _reconstructor(cls: object, base: object, state: object) -> object:
    """Objects in protocols 0 and 1."""
    if name_of(base) not in ("builtins.object", "builtins.dict", "builtins.list"):
        raise refusal("asks to build", f"{describe(cls)} on {describe(base)}")
    return new(cls, () if state is None else (state,))


CALLS: dict[str, Callable[..., object]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _tensor_with_attributes,
    "torch.nn.parameter.Parameter": _parameter,
    "torch.Size": lambda sizes=(): tuple(_items(sizes)),
    "torch.device": _device,
    "torch.serialization._get_layout": lambda name: _as(str, name),
    "collections.OrderedDict": _ordered_dict,
    "collections.Counter": _ordered_dict,
    "collections.defaultdict": lambda _factory=None: {},
    "builtins.set": lambda members=(): set(_keys(_items(members))),
    "builtins.frozenset": lambda members=(): frozenset(_keys(_items(members))),
    "builtins.slice": _slice,
    "builtins.complex": _complex,
    "builtins.bytes": lambda: b"",  # empty bytes in protocols 0 to 2
    "builtins.bytearray": _byte_array,
    "builtins.getattr": _attribute,
    "_codecs.encode": _encode,
    "copyreg._reconstructor": _reconstructor,
    "pathlib.PosixPath": _path(PurePosixPath),
    "pathlib.PurePosixPath": _path(PurePosixPath),
    "pathlib.WindowsPath": _path(PureWindowsPath),
    "pathlib.PureWindowsPath": _path(PureWindowsPath),
    "numpy.dtype": arrays.ArrayType,
    "numpy.core.multiarray.scalar": arrays.scalar,
    "numpy.core.multiarray._reconstruct": arrays.empty,
    "numpy.core.numeric._frombuffer": arrays.from_buffer,
}
