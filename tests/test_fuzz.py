"""A handful of changed files of each kind; what runs for long is `scripts/fuzz`."""

from __future__ import annotations

import ctypes
import os
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import mutations, worker
from tests.fuzz.kinds import KINDS
from tests.fuzz.worker import Folder
from yolov7.errors import DataError


@pytest.mark.parametrize("kind", KINDS)
def test_changed_files_are_read_or_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path / "cache"))
    KINDS[kind].make(tmp_path / kind)
    folder = Folder(kind, tmp_path / kind, seed=0)
    for file in folder.files:
        KINDS[kind].open(file)
    outcomes = [folder.attempt(number) for number in range(12)]
    assert [outcome for outcome in outcomes if outcome.verdict == "fault"] == []
    assert Counter(outcome.verdict for outcome in outcomes)["refused"]
    assert [file.read_bytes() for file in folder.files] == folder.good


def _steer(_: Path) -> None:
    print("\x1b[2J")


def _warn(_: Path) -> None:
    os.write(2, b"libx: warning 7\n")


def _fill(_: Path) -> None:
    ctypes.memset(ctypes.create_string_buffer(1_600_000_000), 1, 1_600_000_000)


def _spin(_: Path) -> None:
    begun = time.process_time()
    while time.process_time() < begun + 0.2:
        pass


def _fail(_: Path) -> None:
    raise KeyError("x")


def _refuse(_: Path) -> None:
    raise DataError("bad \x1b[2J")


@pytest.mark.parametrize(
    ("opening", "verdict", "fault"),
    [
        (_steer, "fault", "control characters"),
        (_warn, "fault", "warning: libx: warning #\n"),
        (_fill, "fault", "memory"),
        (_spin, "fault", "time"),
        (_fail, "fault", "KeyError in"),
        (_refuse, "refused", ""),
    ],
)
def test_what_counts_as_a_fault(tmp_path, monkeypatch, opening, verdict, fault):
    monkeypatch.setitem(KINDS, "yaml", replace(KINDS["yaml"], open=opening))
    if opening is _spin:
        monkeypatch.setattr(worker, "SECONDS", 0.1)
    KINDS["yaml"].make(tmp_path)
    outcome = Folder("yaml", tmp_path, seed=0).attempt(0)
    assert outcome.verdict == verdict
    assert outcome.fault.startswith(fault)


def test_the_same_seed_changes_the_same(tmp_path):
    KINDS["coco"].make(tmp_path)
    first, again, other = (Folder("coco", tmp_path, seed) for seed in (1, 1, 2))
    assert [first.change(n) for n in range(6)] == [again.change(n) for n in range(6)]
    assert [first.change(n) for n in range(6)] != [other.change(n) for n in range(6)]


def test_long_lines_are_repeated_less_often():
    """A line of a megabyte a thousand times would be too much for the process that opens files."""
    text = "<a>" * 300_000
    assert (
        max(len(mutations._line(text, [text], Random(seed))) for seed in range(20)) <= 2 * mutations.MAX_BYTES
    )
