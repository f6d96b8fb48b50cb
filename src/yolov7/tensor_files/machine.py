"""State of the stack machine that reads a pickle: bytes, stack, memo, and the budget that steps spend."""

from __future__ import annotations

from collections.abc import Callable

from yolov7.errors import DamagedCheckpointError
from yolov7.tensor_files.tree import describe

BUDGET = 128 * 2**20
"""Budget of one file: about the bytes of the Python objects it makes, at least 32 for each opcode."""
MAX_LINE = 1024
"""Bytes of a number or a name in the text protocols."""

_PER_CHARACTER = 4
_PER_ITEM = 128
_MEMO_ENTRY = 128


def _refuse_persistent(pid: object) -> object:
    """Refuse a persistent id: it refers to a storage, and a bare pickle has none."""
    raise DamagedCheckpointError("refers to a storage outside of the pickle", found=describe(pid))


class Machine:
    """Everything that an opcode can read or change.

    Args:
        data: one pickle or several, one after the other.
        persistent: maps a persistent id to the storage that it stands for.
        part: the part of the file that `data` is, for messages.

    Attributes:
        position: index of the next byte of ``data``.
        stack: values since the last mark; ``outer`` has the stacks below each mark.
        memo: remembered values, by number.
        left: rest of the budget.
    """

    def __init__(
        self, data: bytes, persistent: Callable[[object], object] = _refuse_persistent, part: str = "the file"
    ) -> None:
        self.data = data
        self.persistent = persistent
        self.part = part
        self.position = 0
        self.left = BUDGET
        self.clear()

    def clear(self) -> None:
        """Forget the stack and the memo."""
        self.stack: list[object] = []
        self.outer: list[list[object]] = []
        self.memo: dict[int, object] = {}

    def spend(self, amount: int) -> None:
        """Take an amount off the budget. Raises: DamagedCheckpointError: the budget is used up."""
        self.left -= amount
        if self.left < 0:
            raise DamagedCheckpointError(
                "asks for far more memory or steps than any checkpoint",
                expected=f"Python objects of at most {BUDGET >> 20} MiB beside the weights",
            )

    def spend_for(self, values: tuple[object, ...]) -> None:
        """Pay for work on values by their length: an opcode may name a large one again and again."""
        for value in values:
            if isinstance(value, str | bytes | bytearray):
                self.spend(_PER_CHARACTER * len(value))
            elif isinstance(value, list | tuple | dict | set | frozenset):
                self.spend(_PER_ITEM * len(value))

    def take(self, count: int) -> bytes:
        """Read the next `count` bytes."""
        if count > len(self.data) - self.position:
            raise DamagedCheckpointError("is truncated", expected=f"{count} more bytes")
        self.position += count
        return self.data[self.position - count : self.position]

    def number(self, width: int) -> int:
        """Read the next `width` bytes as an unsigned integer."""
        return int.from_bytes(self.take(width), "little")

    def line(self, limit: int = MAX_LINE) -> bytes:
        """Read the rest of a line, without its end."""
        end = self.data.find(b"\n", self.position, self.position + limit)
        if end < 0:
            raise DamagedCheckpointError("a line has no end")
        found = self.data[self.position : end]
        self.position = end + 1
        return found

    def push(self, value: object, cost: int = 0) -> None:
        """Put a value on the stack; `Unpickler` looks at the budget after each opcode."""
        self.left -= cost
        self.stack.append(value)

    def mark(self) -> None:
        """Begin a new stack on top of this one."""
        self.spend(_MEMO_ENTRY)
        self.outer.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[object]:
        """Pop the values since the last mark; paid for, since they are about to be copied."""
        items = self.stack
        self.stack = self.outer.pop()
        self.spend(8 * len(items))
        return items

    def remember(self, number: int) -> None:
        """Note the value on top of the stack in the memo."""
        self.spend(_MEMO_ENTRY)
        self.memo[number] = self.stack[-1]
