"""The values that stand in a pickle as they are, behind their opcode: numbers, text, bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from yolov7.errors import DamagedCheckpointError

if TYPE_CHECKING:
    from yolov7.tensor_files.unpickle import Unpickler

MAX_INTEGER = 64
"""Bytes of the largest integer. States of random generators have 16."""


def integer(text: bytes) -> int:
    """A number in digits; `line` keeps them few."""
    value = int(text)
    if value.bit_length() > 8 * MAX_INTEGER:
        raise DamagedCheckpointError("holds an absurdly large integer")
    return value


def _binary_integer(u: Unpickler, size: int) -> int:
    if size > MAX_INTEGER:
        raise DamagedCheckpointError(
            "holds an absurdly large integer", expected=f"at most {MAX_INTEGER} bytes", found=f"{size} bytes"
        )
    u.spend(size)
    return int.from_bytes(u.take(size), "little", signed=True)


def _integer_or_truth(text: bytes) -> int:
    return text == b"01" if text in (b"00", b"01") else integer(text)


def _text(u: Unpickler, raw: bytes, encoding: str = "utf-8") -> str:
    u.spend(4 * len(raw))
    text = raw.decode(encoding, "surrogatepass")
    # Half a surrogate pair, from a file name that was not UTF-8, could not be printed.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _bytes(u: Unpickler, raw: bytes) -> bytes:
    u.spend(len(raw))
    return raw


def _python2_string(u: Unpickler, raw: bytes) -> str | bytes:
    """Python 2 wrote text and bytes alike."""
    try:
        return _text(u, raw)
    except UnicodeDecodeError:
        return _bytes(u, raw)


def _quoted(u: Unpickler, raw: bytes) -> str:
    if len(raw) < 2 or raw[:1] not in (b"'", b'"') or raw[:1] != raw[-1:] or b"\\" in raw:
        raise DamagedCheckpointError("holds text of Python 2 that cannot be read")
    return _text(u, raw[1:-1])


LITERALS: dict[bytes, Callable[[Unpickler], object]] = {
    b"N": lambda _: None,
    b"\x88": lambda _: True,
    b"\x89": lambda _: False,
    b")": lambda _: (),
    b"I": lambda u: _integer_or_truth(u.line()),
    b"L": lambda u: integer(u.line().rstrip(b"L")),
    b"J": lambda u: int.from_bytes(u.take(4), "little", signed=True),
    b"K": lambda u: u.number(1),
    b"M": lambda u: u.number(2),
    b"\x8a": lambda u: _binary_integer(u, u.number(1)),
    b"\x8b": lambda u: _binary_integer(u, u.number(4)),
    b"F": lambda u: float(u.line()),
    b"G": lambda u: struct.unpack(">d", u.take(8))[0],
    b"V": lambda u: _text(u, u.line(len(u.data)), "raw-unicode-escape"),
    b"\x8c": lambda u: _text(u, u.take(u.number(1))),
    b"X": lambda u: _text(u, u.take(u.number(4))),
    b"\x8d": lambda u: _text(u, u.take(u.number(8))),
    b"S": lambda u: _quoted(u, u.line(len(u.data))),
    b"U": lambda u: _python2_string(u, u.take(u.number(1))),
    b"T": lambda u: _python2_string(u, u.take(u.number(4))),
    b"C": lambda u: _bytes(u, u.take(u.number(1))),
    b"B": lambda u: _bytes(u, u.take(u.number(4))),
    b"\x8e": lambda u: _bytes(u, u.take(u.number(8))),
    b"\x96": lambda u: bytearray(_bytes(u, u.take(u.number(8)))),
}
