"""Commands, each in a process of its own that is measured, and stopped at a budget. Linux only.

The processes are forked from one that has imported everything: to import it takes longer than most commands.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

MEMORY = 1_500_000_000
"""Bytes that a command may have resident, libraries included."""
SECONDS = 30.0
_POLL = 0.02


@dataclass(frozen=True)
class Outcome:
    """What came of a command.

    Attributes:
        status: exit status; negative where a signal ended the process, as the budget does.
        peak: bytes that it had resident at most.
        seconds: of the processor, which a busy machine does not change.
        said: what it printed, the end of it.
    """

    status: int
    peak: int
    seconds: float
    said: str


class Commands:
    """A process that runs commands, one after the other; a context manager."""

    def __enter__(self) -> Commands:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bounds.commands"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def run(self, folder: Path, tokens: Sequence[str]) -> Outcome:
        """Run a command of ``yolov7``, or `check DATA` or `resume RUN`, in a folder."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps([str(folder), list(tokens)]), file=self._process.stdin, flush=True)
        return Outcome(*json.loads(self._process.stdout.readline()))


def _serve() -> None:
    """Answer each line of standard input, a folder and a command, with the fields of an Outcome."""
    for name in ("cv2", "faster_coco_eval", "yolov7.cli", "yolov7.evaluating", "yolov7.training.fit"):
        importlib.import_module(name)
    for line in sys.stdin:
        folder, tokens = json.loads(line)
        said = Path(folder, "said.txt")
        if (process := os.fork()) == 0:
            _become(Path(folder), said, tokens)
        status, peak, seconds = _watch(process)
        text = said.read_text(errors="replace")[-200_000:]
        print(json.dumps([status, peak, seconds, text]), flush=True)


def _watch(process: int) -> tuple[int, int, float]:
    """Wait for the end of a process, or end it; -> (exit status, peak in bytes, seconds)."""
    begin, peak = time.monotonic(), 0
    while True:
        ended, status, usage = os.wait4(process, os.WNOHANG)
        if ended:
            seconds = usage.ru_utime + usage.ru_stime
            return os.waitstatus_to_exitcode(status), max(peak, 1024 * usage.ru_maxrss), seconds
        resident = Path(f"/proc/{process}/statm").read_text().split()[1:2]
        peak = max(peak, 4096 * int(resident[0]) if resident else 0)
        if peak > 2 * MEMORY or time.monotonic() - begin > 4 * SECONDS:
            os.kill(process, signal.SIGKILL)
        time.sleep(_POLL)


def _become(folder: Path, said: Path, tokens: list[str]) -> None:
    """Run a command in this process, and end it."""
    from yolov7.cli import main

    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    # Open until the process ends.
    sys.stdout, sys.stderr = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(2), "w")
    status: object = 70
    try:
        inner = {"check": _check, "resume": _resume}.get(tokens[0])
        if inner is None:
            main(tokens)
        else:
            inner(tokens[1])
        status = 0
    except SystemExit as end:
        status = end.code
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 0)


def _check(data: str) -> None:
    """All that `yolov7 train` looks at before it trains."""
    from yolov7.training.config import TrainConfig
    from yolov7.training.prepare import prepare

    config = TrainConfig(
        data=Path(data), split="val", val_split="none", model="yolov7-tiny", width=0.25, accelerator="cpu"
    )
    _reported(lambda: prepare(config, None, print))


def _resume(run: str) -> None:
    """All that `yolov7 train --resume` looks at before it opens the data."""
    from yolov7.training.config import TrainConfig
    from yolov7.training.record import find_run, stored
    from yolov7.training.state import find_past

    def resumed() -> None:
        directory = find_run(Path(run))
        stored(TrainConfig(resume=directory), None, directory)
        find_past(directory)

    _reported(resumed)


def _reported(action: Callable[[], object]) -> None:
    from yolov7.errors import Yolov7Error

    try:
        action()
    except Yolov7Error as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    _serve()
