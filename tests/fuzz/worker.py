"""Changed files, opened one after the other in a process that may break: a line of JSON about each."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.fuzz.kinds import KINDS
from tests.fuzz.mutations import mutated
from yolov7.errors import Yolov7Error
from yolov7.quiet import ignore_damage_warnings

MEMORY = 1_500_000_000
"""Bytes that opening one file may take."""
SECONDS = 30
"""Seconds of the processor that it may take."""


class Outcome(NamedTuple):
    """What came of a file: "read", "refused" or "fault"; of a fault its kind, and the whole story."""

    verdict: str
    fault: str = ""
    story: str = ""


class Folder:
    """Good files of a kind, of which one at a time is changed.

    Args:
        kind: of the files.
        path: folder with good ones.
        seed: of all changes; each has a random generator of its own beside.
    """

    def __init__(self, kind: str, path: Path, seed: int) -> None:
        self.kind, self.path, self.seed = kind, path, seed
        self.files = [file for pattern in KINDS[kind].files for file in sorted(path.glob(pattern))]
        self.good = [file.read_bytes() for file in self.files]

    def change(self, number: int) -> tuple[Path, bytes]:
        """The file that is changed as the one with this number, and its new content."""
        random = Random(f"{self.seed} {self.kind} {number}")
        index = random.randrange(len(self.files))
        file = self.files[index]
        insides = KINDS[self.kind].inside.get(file.suffix, ())
        return file, mutated(self.good[index], self.good, insides, random)

    def attempt(self, number: int) -> Outcome:
        """Open the data that the file with this number belongs to."""
        file, content = self.change(number)
        good = self.good[self.files.index(file)]
        file.write_bytes(content)
        try:
            return _judged(self.kind, file)
        finally:
            file.write_bytes(good)


def _judged(kind: str, file: Path) -> Outcome:
    verdict, before, begun = "read", _memory("VmRSS", fresh=True), time.process_time()
    with _overheard() as heard, tempfile.TemporaryFile() as errors, _standard_error(errors.fileno()):
        try:
            KINDS[kind].open(file)
        except Yolov7Error as error:
            verdict = "refused"
            heard.write(str(error))
        except BaseException as error:
            return Outcome("fault", _place(error), traceback.format_exc())
        sys.stderr.flush()
        errors.seek(0)
        warned = errors.read().decode(errors="replace")
    if (seconds := time.process_time() - begun) > SECONDS:
        return Outcome("fault", "time", f"{seconds:.1f} s of the processor")
    took = _memory("VmHWM") - before
    if took > MEMORY:
        return Outcome("fault", "memory", f"{took:,} bytes")
    if warned:
        return Outcome("fault", "warning: " + re.sub(r"[\d.]+|0x\w+|/\S+", "#", warned)[:80], warned)
    if steering := [
        c for c in heard.getvalue() if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"
    ]:
        return Outcome("fault", "control characters", repr(steering[:9]) + "\n" + repr(heard.getvalue()))
    return Outcome(verdict)


@contextlib.contextmanager
def _overheard() -> Iterator[io.StringIO]:
    """What is printed for people; log records go to nobody."""
    heard, logger, silent = io.StringIO(), logging.getLogger("yolov7"), logging.NullHandler()
    logger.addHandler(silent)
    try:
        with contextlib.redirect_stdout(heard):
            yield heard
    finally:
        logger.removeHandler(silent)


@contextlib.contextmanager
def _standard_error(file: int) -> Iterator[None]:
    """Standard error, that of libraries in C and warnings of Python included, goes into a file."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(file, 2)
    try:
        with (
            open(2, "w", closefd=False) as stream,
            contextlib.redirect_stderr(stream),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("always")
            ignore_damage_warnings()
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _place(error: BaseException) -> str:
    """The kind of an exception, and the line of this package that it came through last."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/yolov7/" in frame.filename] or frames
    return f"{type(error).__name__} in {Path(ours[-1].filename).name}:{ours[-1].lineno} {ours[-1].name}"


def _memory(key: str, *, fresh: bool = False) -> int:
    if fresh:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split(key + ":")[1].split()[0])


def main(arguments: Sequence[str]) -> None:
    """Open the files FIRST, FIRST + 1, ... of a kind until somebody ends this process."""
    kind, good, seed, first = arguments
    answers = os.fdopen(os.dup(1), "w")
    limit = _memory("VmSize") + 2 * MEMORY  # address space; what is used is measured
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Folder(kind, Path(shutil.copytree(good, Path(scratch, "now"))), int(seed))
        number = int(first)
        while True:
            print(
                json.dumps({"number": number, **folder.attempt(number)._asdict()}), file=answers, flush=True
            )
            number += 1


if __name__ == "__main__":
    main(sys.argv[1:])
