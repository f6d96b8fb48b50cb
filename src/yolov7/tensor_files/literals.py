"""Literal values of a pickle, each after its opcode: numbers, text, bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable

from yolov7.errors import DamagedCheckpointError
from yolov7.tensor_files.machine import Machine

MAX_INTEGER = 64
"""Bytes of the largest integer. States of random generators have 16."""


def integer(text: bytes) -> int:
    """Parse an integer written in digits, whose number `Machine.line` bounds."""
    value = int(text)
    if value.bit_length() > 8 * MAX_INTEGER:
        raise DamagedCheckpointError("holds an absurdly large integer")
    return value


def _binary_integer(machine: Machine, size: int) -> int:
    if size > MAX_INTEGER:
        raise DamagedCheckpointError(
            "holds an absurdly large integer", expected=f"at most {MAX_INTEGER} bytes", found=f"{size} bytes"
        )
    machine.spend(size)
    return int.from_bytes(machine.take(size), "little", signed=True)


def _integer_or_truth(text: bytes) -> int:
    return text == b"01" if text in (b"00", b"01") else integer(text)


def _text(machine: Machine, raw: bytes, encoding: str = "utf-8") -> str:
    machine.spend(4 * len(raw))
    text = raw.decode(encoding, "surrogatepass")
    # Half a surrogate pair, from a file name that was not UTF-8, could not be printed.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _bytes(machine: Machine, raw: bytes) -> bytes:
    machine.spend(len(raw))
    return raw


def _python2_string(machine: Machine, raw: bytes) -> str | bytes:
    """Decode a string of Python 2, where text and bytes were written alike."""
    try:
        return _text(machine, raw)
    except UnicodeDecodeError:
        return _bytes(machine, raw)


def _quoted(machine: Machine, raw: bytes) -> str:
    if len(raw) < 2 or raw[:1] not in (b"'", b'"') or raw[:1] != raw[-1:] or b"\\" in raw:
        raise DamagedCheckpointError("holds text of Python 2 that cannot be read")
    return _text(machine, raw[1:-1])


LITERALS: dict[bytes, Callable[[Machine], object]] = {
    b"N": lambda _: None,
    b"\x88": lambda _: True,
    b"\x89": lambda _: False,
    b")": lambda _: (),
    b"I": lambda m: _integer_or_truth(m.line()),
    b"L": lambda m: integer(m.line().rstrip(b"L")),
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
