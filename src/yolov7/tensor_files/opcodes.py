"""What each opcode of a pickle does to the stack of `Unpickler`.

Protocols 0 to 5, as the standard library's ``pickletools`` describes them; no code of ``pickle`` is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from yolov7.errors import DamagedCheckpointError
from yolov7.tensor_files import arrays, symbols
from yolov7.tensor_files.literals import LITERALS, integer
from yolov7.tensor_files.tree import Foreign, Symbol, describe

if TYPE_CHECKING:
    from yolov7.tensor_files.unpickle import Unpickler

# What things cost, in bytes of memory or the like, on the high side (see `Unpickler.spend`).
_ENTRY = 128  # of a dict, set or memo whose table has just grown
_CONTAINER = 300  # an empty one, and what `check_finite` notes about it
_TENSOR = 1200
_TUPLE_KEY = 16384  # their hashes can be made to collide, so they are kept few
_PROTOCOL = 5

Handler = Callable[["Unpickler"], None]
HANDLERS: list[Handler | None] = [None] * 256
"""By opcode; None where there is no such opcode. STOP is the machine's own."""


def _opcode(*codes: bytes) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        for code in codes:
            HANDLERS[code[0]] = handler
        return handler

    return register


def _literal(read: Callable[[Unpickler], object]) -> Handler:
    return lambda u: u.push(read(u))


for _code, _read in LITERALS.items():
    _opcode(_code)(_literal(_read))


# Containers.


@_opcode(b"(")
def _mark(u: Unpickler) -> None:
    u.spend(_ENTRY)
    u.outer.append(u.stack)
    u.stack = []


@_opcode(b"0")
def _pop(u: Unpickler) -> None:
    if u.stack:
        u.stack.pop()
    else:
        u.pop_mark()


@_opcode(b"1")
def _pop_to_mark(u: Unpickler) -> None:
    u.pop_mark()


@_opcode(b"2")
def _duplicate(u: Unpickler) -> None:
    u.push(u.stack[-1])


@_opcode(b"t")
def _tuple(u: Unpickler) -> None:
    u.spend(_CONTAINER)
    u.push(tuple(u.pop_mark()))


@_opcode(b"\x85", b"\x86", b"\x87")
def _small_tuple(u: Unpickler) -> None:
    u.spend(_CONTAINER)
    size = u.data[u.position - 1] - 0x84
    if len(u.stack) < size:
        raise DamagedCheckpointError("builds a tuple out of nothing")
    items = tuple(u.stack[-size:])
    del u.stack[-size:]
    u.push(items)


@_opcode(b"]")
def _empty_list(u: Unpickler) -> None:
    u.spend(_CONTAINER)
    u.push([])


@_opcode(b"l")
def _list(u: Unpickler) -> None:
    u.spend(_CONTAINER)
    u.push(u.pop_mark())


@_opcode(b"a")
def _append(u: Unpickler) -> None:
    _extend(u, [u.stack.pop()])


@_opcode(b"e")
def _appends(u: Unpickler) -> None:
    _extend(u, u.pop_mark())


def _extend(u: Unpickler, items: list[object]) -> None:
    target = u.stack[-1]
    u.spend(64 + 16 * len(items))
    if isinstance(target, Foreign):
        if target.contents is None:
            target.contents = []
        target = target.contents
    if not isinstance(target, list):
        raise DamagedCheckpointError("appends to something that is no list", found=describe(target))
    target.extend(items)


@_opcode(b"}")
def _empty_dict(u: Unpickler) -> None:
    u.spend(_CONTAINER)
    u.push({})


@_opcode(b"d")
def _dict(u: Unpickler) -> None:
    u.spend(_CONTAINER)
    items = u.pop_mark()
    u.push({})
    _update(u, items)


@_opcode(b"s")
def _set_item(u: Unpickler) -> None:
    value, key = u.stack.pop(), u.stack.pop()
    _update(u, [key, value])


@_opcode(b"u")
def _set_items(u: Unpickler) -> None:
    _update(u, u.pop_mark())


def _update(u: Unpickler, items: list[object]) -> None:
    target = u.stack[-1]
    u.spend(_ENTRY + _ENTRY * len(items))
    if isinstance(target, Foreign):
        if target.contents is None:
            target.contents = {}
        target = target.contents
    if not isinstance(target, dict) or len(items) % 2:
        raise DamagedCheckpointError("sets items of something that is no dict", found=describe(target))
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[_key(u, key)] = value


def _key(u: Unpickler, key: object) -> object:
    if isinstance(key, tuple):
        u.spend(_TUPLE_KEY)
    return symbols.checked_key(key)


@_opcode(b"\x8f")
def _empty_set(u: Unpickler) -> None:
    u.spend(_CONTAINER)
    u.push(set())


@_opcode(b"\x90")
def _add_items(u: Unpickler) -> None:
    items = u.pop_mark()
    target = u.stack[-1]
    u.spend(_ENTRY * len(items))
    if not isinstance(target, set):
        raise DamagedCheckpointError("adds to something that is no set", found=describe(target))
    target.update(_key(u, item) for item in items)


@_opcode(b"\x91")
def _frozen_set(u: Unpickler) -> None:
    items = u.pop_mark()
    u.spend(_CONTAINER + _ENTRY * len(items))
    u.push(frozenset(_key(u, item) for item in items))


# The memo.


@_opcode(b"p")
def _put(u: Unpickler) -> None:
    _memorize(u, integer(u.line()))


@_opcode(b"q")
def _binput(u: Unpickler) -> None:
    _memorize(u, u.number(1))


@_opcode(b"r")
def _long_binput(u: Unpickler) -> None:
    _memorize(u, u.number(4))


@_opcode(b"\x94")
def _memoize(u: Unpickler) -> None:
    _memorize(u, len(u.memo))


def _memorize(u: Unpickler, index: int) -> None:
    u.spend(_ENTRY)
    u.memo[index] = u.stack[-1]


@_opcode(b"g")
def _get(u: Unpickler) -> None:
    u.push(u.memo[integer(u.line())])


@_opcode(b"h")
def _binget(u: Unpickler) -> None:
    u.push(u.memo[u.number(1)])


@_opcode(b"j")
def _long_binget(u: Unpickler) -> None:
    u.push(u.memo[u.number(4)])


# Names, and what is done with them.


@_opcode(b"c")
def _global(u: Unpickler) -> None:
    u.spend(_CONTAINER)
    module, name = u.line().decode(), u.line().decode()
    u.push(symbols.resolve(module, name))


@_opcode(b"\x93")
def _stack_global(u: Unpickler) -> None:
    u.spend(_CONTAINER)
    name, module = u.stack.pop(), u.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise DamagedCheckpointError("names a class by something that is no text", found=describe(name))
    u.push(symbols.resolve(module, name))


@_opcode(b"R")
def _reduce(u: Unpickler) -> None:
    args, function = u.stack.pop(), u.stack.pop()
    _rebuild(u, symbols.call, function, args)


@_opcode(b"\x81")
def _new_object(u: Unpickler) -> None:
    args, cls = u.stack.pop(), u.stack.pop()
    _rebuild(u, symbols.new, cls, args)


@_opcode(b"\x92")
def _new_object_with_keywords(u: Unpickler) -> None:
    keywords, args, cls = u.stack.pop(), u.stack.pop(), u.stack.pop()
    _rebuild(u, symbols.new, cls, (args, keywords) if keywords else args)


def _rebuild(
    u: Unpickler, how: Callable[[object, tuple[object, ...]], object], what: object, args: object
) -> None:
    if not isinstance(args, tuple):
        raise DamagedCheckpointError("wrong arguments for something to rebuild", found=describe(args))
    u.spend(_CONTAINER)
    u.charge_operands((args, *args))
    result = how(what, args)
    if isinstance(result, Tensor):
        u.spend(_TENSOR)
    elif isinstance(result, str | bytes):
        u.charge_operands((result,))
    u.push(result)


@_opcode(b"b")
def _build(u: Unpickler) -> None:
    state = u.stack.pop()
    target = u.stack[-1]
    if isinstance(target, Foreign):
        if target.state is not None:
            raise DamagedCheckpointError("fills an object twice", found=describe(target))
        target.state = state
    elif isinstance(target, arrays.ArrayType):
        target.fill(state)
    elif isinstance(target, np.ndarray):
        u.charge_operands((state, *state) if isinstance(state, tuple) else ())
        arrays.fill(target, state)
    elif isinstance(target, Symbol):
        raise symbols.refusal("asks to change", str(target))
    elif not isinstance(target, dict | Tensor):
        # What a dict or tensor carries besides (versions of modules, hooks, gradients) is not needed.
        raise DamagedCheckpointError("fills something that takes no state", found=describe(target))


@_opcode(b"Q")
def _persistent_id(u: Unpickler) -> None:
    u.spend(_TENSOR)
    u.push(u.persistent(u.stack.pop()))


@_opcode(b"i")
def _instance(u: Unpickler) -> None:
    module, name = u.line().decode("ascii", "replace"), u.line().decode("ascii", "replace")
    raise symbols.refusal("asks to call", f"{module}.{name}")


@_opcode(b"o")
def _object(u: Unpickler) -> None:
    items = u.pop_mark()
    raise symbols.refusal("asks to call", describe(items[0]) if items else "nothing")


@_opcode(b"\x82", b"\x83", b"\x84")
def _extension(u: Unpickler) -> None:
    code = u.number(1 << (u.data[u.position - 1] - 0x82))
    raise symbols.refusal("asks for", f"extension {code} of Python's own registry (copyreg)")


# What surrounds them.


@_opcode(b"\x80")
def _protocol(u: Unpickler) -> None:
    if (version := u.number(1)) > _PROTOCOL:
        raise DamagedCheckpointError(
            "is a pickle of an unknown protocol", expected=f"0 to {_PROTOCOL}", found=str(version)
        )


@_opcode(b"\x95")
def _frame(u: Unpickler) -> None:
    if u.number(8) > len(u.data) - u.position:
        raise DamagedCheckpointError("is truncated inside a frame")


@_opcode(b"P", b"\x97", b"\x98")
def _outside(_: Unpickler) -> None:
    raise DamagedCheckpointError("refers to data outside of the pickle, which torch never does")
