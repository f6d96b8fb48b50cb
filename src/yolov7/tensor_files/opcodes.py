"""Effect of each opcode of a pickle on the machine.

Protocols 0 to 5, as the standard library's ``pickletools`` describes them; no code of ``pickle`` is used.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

import numpy as np
from torch import Tensor

from yolov7.errors import DamagedCheckpointError
from yolov7.tensor_files import arrays, symbols
from yolov7.tensor_files.machine import Machine
from yolov7.tensor_files.tree import Foreign, Symbol, describe

# Costs in bytes of memory or the like, on the high side (see `Machine.spend`).
_ENTRY = 128  # of a dict or set whose table has just grown
_CONTAINER = 300  # an empty one, and the notes of `check_finite` about it
_TENSOR = 1200
_TUPLE_KEY = 16384  # their hashes can be made to collide, so they are kept few
_PROTOCOL = 5

_MAX_INTEGER = 64
"""Bytes of the largest integer. States of random generators have 16."""

Handler = Callable[[Machine], object]


# Literals: numbers, text, bytes.


def _integer(text: bytes) -> int:
    """Parse an integer written in digits, whose number `Machine.line` bounds."""
    value = int(text)
    if value.bit_length() > 8 * _MAX_INTEGER:
        raise DamagedCheckpointError("holds an absurdly large integer")
    return value


def _binary_integer(m: Machine, size: int) -> int:
    if size > _MAX_INTEGER:
        raise DamagedCheckpointError(
            "holds an absurdly large integer", expected=f"at most {_MAX_INTEGER} bytes", found=f"{size} bytes"
        )
    m.spend(size)
    return int.from_bytes(m.take(size), "little", signed=True)


def _integer_or_truth(text: bytes) -> int:
    return text == b"01" if text in (b"00", b"01") else _integer(text)


def _text(m: Machine, raw: bytes, encoding: str = "utf-8") -> str:
    m.spend(4 * len(raw))
    text = raw.decode(encoding, "surrogatepass")
    # Half a surrogate pair, from a file name that was not UTF-8, could not be printed.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _bytes(m: Machine, raw: bytes) -> bytes:
    m.spend(len(raw))
    return raw


def _python2_string(m: Machine, raw: bytes) -> str | bytes:
    """Decode a string of Python 2, where text and bytes were written alike."""
    try:
        return _text(m, raw)
    except UnicodeDecodeError:
        return _bytes(m, raw)


def _quoted(m: Machine, raw: bytes) -> str:
    if len(raw) < 2 or raw[:1] not in (b"'", b'"') or raw[:1] != raw[-1:] or b"\\" in raw:
        raise DamagedCheckpointError("holds text of Python 2 that cannot be read")
    return _text(m, raw[1:-1])


_LITERALS: dict[bytes, Callable[[Machine], object]] = {
    b"N": lambda _: None,
    b"\x88": lambda _: True,
    b"\x89": lambda _: False,
    b")": lambda _: (),
    b"I": lambda m: _integer_or_truth(m.line()),
    b"L": lambda m: _integer(m.line().rstrip(b"L")),
    b"J": lambda m: int.from_bytes(m.take(4), "little", signed=True),
    b"K": lambda m: m.number(1),
    b"M": lambda m: m.number(2),
    b"\x8a": lambda m: _binary_integer(m, m.number(1)),
    b"\x8b": lambda m: _binary_integer(m, m.number(4)),
    b"F": lambda m: float(m.line()),
    b"G": lambda m: struct.unpack(">d", m.take(8))[0],
    b"V": lambda m: _text(m, m.line(len(m.data)), "raw-unicode-escape"),
    b"\x8c": lambda m: _text(m, m.take(m.number(1))),
    b"X": lambda m: _text(m, m.take(m.number(4))),
    b"\x8d": lambda m: _text(m, m.take(m.number(8))),
    b"S": lambda m: _quoted(m, m.line(len(m.data))),
    b"U": lambda m: _python2_string(m, m.take(m.number(1))),
    b"T": lambda m: _python2_string(m, m.take(m.number(4))),
    b"C": lambda m: _bytes(m, m.take(m.number(1))),
    b"B": lambda m: _bytes(m, m.take(m.number(4))),
    b"\x8e": lambda m: _bytes(m, m.take(m.number(8))),
    b"\x96": lambda m: bytearray(_bytes(m, m.take(m.number(8)))),
}


# Containers.


def _pop(m: Machine) -> None:
    if m.stack:
        m.stack.pop()
    else:
        m.pop_mark()


def _push_tuple(m: Machine, size: int) -> None:
    if len(m.stack) < size:
        raise DamagedCheckpointError("builds a tuple from an empty stack")
    items = tuple(m.stack[-size:])
    del m.stack[-size:]
    m.push(items, _CONTAINER)


def _extend(m: Machine, items: list[object]) -> None:
    target = m.stack[-1]
    m.spend(64 + 16 * len(items))
    if isinstance(target, Foreign):
        if target.contents is None:
            target.contents = []
        target = target.contents
    if not isinstance(target, list):
        raise DamagedCheckpointError("appends to something that is no list", found=describe(target))
    target.extend(items)


def _push_dict(m: Machine) -> None:
    items = m.pop_mark()
    m.push({}, _CONTAINER)
    _update(m, items)


def _set_item(m: Machine) -> None:
    value, key = m.stack.pop(), m.stack.pop()
    _update(m, [key, value])


def _update(m: Machine, items: list[object]) -> None:
    target = m.stack[-1]
    m.spend(_ENTRY + _ENTRY * len(items))
    if isinstance(target, Foreign):
        if target.contents is None:
            target.contents = {}
        target = target.contents
    if not isinstance(target, dict) or len(items) % 2:
        raise DamagedCheckpointError("sets items of something that is no dict", found=describe(target))
    target.update(zip(_keys(m, items[::2]), items[1::2], strict=True))


def _keys(m: Machine, items: list[object]) -> Iterable[object]:
    for item in items:
        if isinstance(item, tuple):
            m.spend(_TUPLE_KEY)
        yield symbols.checked_key(item)


def _add_to_set(m: Machine) -> None:
    items = m.pop_mark()
    target = m.stack[-1]
    m.spend(_ENTRY * len(items))
    if not isinstance(target, set):
        raise DamagedCheckpointError("adds to something that is no set", found=describe(target))
    target.update(_keys(m, items))


def _push_frozen_set(m: Machine) -> None:
    items = m.pop_mark()
    m.spend(_ENTRY * len(items))
    m.push(frozenset(_keys(m, items)), _CONTAINER)


# Names, calls and objects.


def _global(m: Machine) -> None:
    module, name = m.line().decode(), m.line().decode()
    m.push(symbols.resolve(module, name), _CONTAINER)


def _stack_global(m: Machine) -> None:
    name, module = m.stack.pop(), m.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise DamagedCheckpointError("names a class by something other than text", found=describe(name))
    m.push(symbols.resolve(module, name), _CONTAINER)


def _reduce(m: Machine) -> None:
    args, function = m.stack.pop(), m.stack.pop()
    _rebuild(m, symbols.call, function, args)


def _new_object(m: Machine) -> None:
    args, cls = m.stack.pop(), m.stack.pop()
    _rebuild(m, symbols.new, cls, args)


def _new_object_with_keywords(m: Machine) -> None:
    keywords, args, cls = m.stack.pop(), m.stack.pop(), m.stack.pop()
    _rebuild(m, symbols.new, cls, (args, keywords) if keywords else args)


def _rebuild(
    m: Machine, how: Callable[[object, tuple[object, ...]], object], what: object, args: object
) -> None:
    if not isinstance(args, tuple):
        raise DamagedCheckpointError("wrong arguments for something to rebuild", found=describe(args))
    m.spend(_CONTAINER)
    m.spend_for((args, *args))
    result = how(what, args)
    if isinstance(result, str | bytes):
        m.spend_for((result,))
    m.push(result, _TENSOR if isinstance(result, Tensor) else 0)


def _build(m: Machine) -> None:
    state = m.stack.pop()
    target = m.stack[-1]
    if isinstance(target, Foreign):
        if target.state is not None:
            raise DamagedCheckpointError("fills an object twice", found=describe(target))
        target.state = state
    elif isinstance(target, arrays.ArrayType):
        target.fill(state)
    elif isinstance(target, np.ndarray):
        m.spend_for((state, *state) if isinstance(state, tuple) else ())
        arrays.fill(target, state)
    elif isinstance(target, Symbol):
        raise symbols.refusal("asks to change", str(target))
    elif not isinstance(target, dict | Tensor):
        # A dict's or tensor's other state (versions of modules, hooks, gradients) is not needed.
        raise DamagedCheckpointError("fills something that takes no state", found=describe(target))


def _instance(m: Machine) -> None:
    module, name = m.line().decode("ascii", "replace"), m.line().decode("ascii", "replace")
    raise symbols.refusal("asks to call", f"{module}.{name}")


def _object(m: Machine) -> None:
    items = m.pop_mark()
    raise symbols.refusal("asks to call", describe(items[0]) if items else "nothing")


def _extension(code: int) -> None:
    raise symbols.refusal("asks for", f"extension {code} of Python's own registry (copyreg)")


# Framing and references.


def _protocol(m: Machine) -> None:
    if (version := m.number(1)) > _PROTOCOL:
        raise DamagedCheckpointError(
            "is a pickle of an unknown protocol", expected=f"0 to {_PROTOCOL}", found=str(version)
        )


def _frame(m: Machine) -> None:
    if m.number(8) > len(m.data) - m.position:
        raise DamagedCheckpointError("is truncated inside a frame")


def _outside(_: Machine) -> None:
    raise DamagedCheckpointError("refers to data outside of the pickle, which torch never does")


def _literal(read: Callable[[Machine], object]) -> Handler:
    return lambda m: m.push(read(m))


_BY_BYTE: dict[bytes, Handler] = {
    **{code: _literal(read) for code, read in _LITERALS.items()},
    b"(": Machine.mark,
    b"0": _pop,
    b"1": Machine.pop_mark,
    b"2": lambda m: m.push(m.stack[-1]),
    b"t": lambda m: m.push(tuple(m.pop_mark()), _CONTAINER),
    b"\x85": lambda m: _push_tuple(m, 1),
    b"\x86": lambda m: _push_tuple(m, 2),
    b"\x87": lambda m: _push_tuple(m, 3),
    b"]": lambda m: m.push([], _CONTAINER),
    b"l": lambda m: m.push(m.pop_mark(), _CONTAINER),
    b"a": lambda m: _extend(m, [m.stack.pop()]),
    b"e": lambda m: _extend(m, m.pop_mark()),
    b"}": lambda m: m.push({}, _CONTAINER),
    b"d": _push_dict,
    b"s": _set_item,
    b"u": lambda m: _update(m, m.pop_mark()),
    b"\x8f": lambda m: m.push(set(), _CONTAINER),
    b"\x90": _add_to_set,
    b"\x91": _push_frozen_set,
    b"p": lambda m: m.remember(_integer(m.line())),
    b"q": lambda m: m.remember(m.number(1)),
    b"r": lambda m: m.remember(m.number(4)),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"g": lambda m: m.push(m.memo[_integer(m.line())]),
    b"h": lambda m: m.push(m.memo[m.number(1)]),
    b"j": lambda m: m.push(m.memo[m.number(4)]),
    b"c": _global,
    b"\x93": _stack_global,
    b"R": _reduce,
    b"\x81": _new_object,
    b"\x92": _new_object_with_keywords,
    b"b": _build,
    b"Q": lambda m: m.push(m.persistent(m.stack.pop()), _TENSOR),
    b"i": _instance,
    b"o": _object,
    b"\x82": lambda m: _extension(m.number(1)),
    b"\x83": lambda m: _extension(m.number(2)),
    b"\x84": lambda m: _extension(m.number(4)),
    b"\x80": _protocol,
    b"\x95": _frame,
    b"P": _outside,
    b"\x97": _outside,
    b"\x98": _outside,
}
HANDLERS: dict[int, Handler] = {code[0]: handler for code, handler in _BY_BYTE.items()}
"""Handlers by opcode, without STOP, which is the reader's own."""
