"""A stack machine that reads a pickle and runs nothing of it.

Opcodes that would import, call or build something go through the closed table of ``symbols.py``, where a name
is only ever a name. Everything is metered: a pickle may take so much memory and so many steps, and no more,
whatever it says. ``opcodes.py`` has the opcodes, protocols 0 to 5.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from yolov7.errors import DamagedCheckpointError, UnsafeCheckpointError
from yolov7.tensor_files.opcodes import HANDLERS
from yolov7.tensor_files.tree import check_finite, describe
from yolov7.text import printable

BUDGET = 128 * 2**20
"""What one file may spend: about the bytes of the Python objects it makes, 32 at least for each opcode."""
MAX_PICKLE = 64 * 2**20
"""Bytes of one; those of real checkpoints have some 100 KB, the weights being elsewhere."""
MAX_LINE = 1024
"""Bytes of a number or a name in the text protocols."""

_STEP = 32
_PER_CHARACTER = 4
_PER_ITEM = 128
_STOP = ord(".")

_MALFORMED = (IndexError, KeyError, TypeError, ValueError, OverflowError, RuntimeError, struct.error)
"""What our own code raises over operands that make no sense: an empty stack, a memo without that entry."""


def refuse_persistent(pid: object) -> object:
    """Persistent ids stand for storages, which a bare pickle does not have."""
    raise DamagedCheckpointError("refers to a storage outside of the pickle", found=describe(pid))


class Unpickler:
    """Reads one pickle after the other from `data`.

    Args:
        data: the bytes.
        persistent: what stands for a persistent id.
        file: the file, for messages.
        part: the part of the file that `data` is, for messages.
    """

    data: bytes
    position: int

    def __init__(
        self,
        data: bytes,
        *,
        persistent: Callable[[object], object] = refuse_persistent,
        file: str | None = None,
        part: str = "the file",
    ) -> None:
        self.data = data
        self.persistent = persistent
        self.position = 0
        self._at = 0
        self._file = file
        self._part = part
        self._left = BUDGET
        self.stack: list[object] = []
        self.outer: list[list[object]] = []  # the stacks below each mark
        self.memo: dict[int, object] = {}

    def load(self) -> object:
        """The next pickle as a tree (``tree.py``); `position` is then behind it.

        Raises:
            UnsafeCheckpointError: it asks for what no checkpoint needs; the message names it.
            DamagedCheckpointError: it makes no sense, or is out of all proportion.
        """
        try:
            self._run()
            if len(self.stack) != 1 or self.outer:
                raise DamagedCheckpointError("ends in the middle of something")
            root = self.stack[0]
            check_finite(root)
            return root
        except (UnsafeCheckpointError, DamagedCheckpointError) as error:
            raise type(error)(
                f"{error.message} (byte {self._at} of {self._part})",
                file=self._file,
                expected=error.expected,
                found=error.found,
            ) from None
        except _MALFORMED as error:
            raise DamagedCheckpointError(
                f"the pickle makes no sense at byte {self._at} of {self._part}",
                file=self._file,
                found=printable(f"{type(error).__name__}: {error}"),
            ) from error
        finally:
            self.stack, self.outer, self.memo = [], [], {}

    def _run(self) -> None:
        data, end = self.data, len(self.data)
        while self.position < end:
            self._at = self.position
            code = data[self._at]
            self.position += 1
            if code == _STOP:
                return
            handler = HANDLERS[code]
            if handler is None:
                raise DamagedCheckpointError("is not a pickle", found=f"opcode 0x{code:02x}")
            self._left -= _STEP
            handler(self)
            if self._left < 0:
                self.spend(0)
        raise DamagedCheckpointError("is truncated: the pickle has no end")

    def spend(self, amount: int) -> None:
        """Take something off the budget. Raises: DamagedCheckpointError where it is used up."""
        self._left -= amount
        if self._left < 0:
            raise DamagedCheckpointError(
                "asks for far more memory or steps than any checkpoint",
                expected=f"Python objects of at most {BUDGET >> 20} MiB beside the weights",
            )

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > len(self.data) - self.position:
            raise DamagedCheckpointError("is truncated", expected=f"{count} more bytes")
        self.position += count
        return self.data[self.position - count : self.position]

    def number(self, width: int) -> int:
        """The next `width` bytes as an unsigned integer."""
        return int.from_bytes(self.take(width), "little")

    def line(self, limit: int = MAX_LINE) -> bytes:
        """What is left of a line, without its end."""
        end = self.data.find(b"\n", self.position, self.position + limit)
        if end < 0:
            raise DamagedCheckpointError("a line has no end")
        found = self.data[self.position : end]
        self.position = end + 1
        return found

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop_mark(self) -> list[object]:
        """What was pushed since the last mark; charged, since it is about to be copied."""
        items = self.stack
        self.stack = self.outer.pop()
        self.spend(8 * len(items))
        return items

    def charge_operands(self, values: tuple[object, ...]) -> None:
        """Work on values is paid for by their length: an opcode may name a large one again and again."""
        for value in values:
            if isinstance(value, str | bytes | bytearray):
                self.spend(_PER_CHARACTER * len(value))
            elif isinstance(value, list | tuple | dict | set | frozenset):
                self.spend(_PER_ITEM * len(value))
