"""A stack machine that reads a pickle and runs nothing of it.

Opcodes that would import, call or build something go through the closed table of ``symbols.py``, where a name
is only ever a name. Everything is metered: a pickle may take so much memory and so many steps, and no more,
whatever it says. ``opcodes.py`` has the opcodes, protocols 0 to 5.
"""

from __future__ import annotations

import struct

from yolov7.errors import DamagedCheckpointError, UnsafeCheckpointError
from yolov7.tensor_files.machine import Machine
from yolov7.tensor_files.opcodes import HANDLERS
from yolov7.tensor_files.tree import check_finite
from yolov7.text import printable

MAX_PICKLE = 64 * 2**20
"""Bytes of a pickle; those of real checkpoints have some 100 KB, since the weights are elsewhere."""

_STEP = 32
_STOP = ord(".")
_MALFORMED = (IndexError, KeyError, TypeError, ValueError, OverflowError, RuntimeError, struct.error)
"""Raised by our own code over operands that make no sense: an empty stack, a memo without that entry."""


class Unpickler(Machine):
    """Reader of consecutive pickles."""

    _at = 0  # position of the latest opcode

    def load(self) -> object:
        """Read the next pickle as a tree (``tree.py``); `position` is then behind it.

        Raises:
            UnsafeCheckpointError: a name that no checkpoint needs; the message has it.
            DamagedCheckpointError: an invalid pickle, or one out of all proportion.
        """
        try:
            self._run()
            if len(self.stack) != 1 or self.outer:
                raise DamagedCheckpointError("ends in the middle of something")
            root = self.stack[0]
            check_finite(root)
            return root
        except (UnsafeCheckpointError, DamagedCheckpointError) as error:
            message = f"{error.message} (byte {self._at} of {self.part})"
            raise type(error)(message, expected=error.expected, found=error.found) from None
        except _MALFORMED as error:
            raise DamagedCheckpointError(
                f"the pickle makes no sense at byte {self._at} of {self.part}",
                found=printable(f"{type(error).__name__}: {error}"),
            ) from error
        finally:
            self.clear()

    def _run(self) -> None:
        data, end = self.data, len(self.data)
        while self.position < end:
            self._at = self.position
            code = data[self._at]
            self.position += 1
            if code == _STOP:
                return
            handler = HANDLERS.get(code)
            if handler is None:
                raise DamagedCheckpointError("is not a pickle", found=f"opcode 0x{code:02x}")
            self.left -= _STEP
            handler(self)
            if self.left < 0:
                self.spend(0)
        raise DamagedCheckpointError("is truncated: the pickle has no end")
