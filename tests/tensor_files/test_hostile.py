"""Malicious and damaged checkpoints: a clear error, nothing run, little memory, little time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bounded import PEAK
from tests.tensor_files import hostile
from tests.tensor_files.hostile_files import damaged_files
from tests.tensor_files.reading import read_checkpoint
from yolov7.checkpoints.checkpoint import load_checkpoint
from yolov7.errors import CheckpointError, DamagedCheckpointError, UnsafeCheckpointError

UNSAFE = sorted(hostile.unsafe_pickles(Path("marker")))
SENSELESS = hostile.damaged_pickles()
DAMAGED = damaged_files()
pytestmark = pytest.mark.clock
SECONDS = 6.0  # of processor time, for any hostile file; most take milliseconds


class Audit:
    """What Python itself reports while it is on: imports, compiled code, opened files, started programs."""

    def __init__(self) -> None:
        self.on = False
        self.events: list[tuple[str, str]] = []
        sys.addaudithook(self.hear)  # for good, hence the switch

    def hear(self, event: str, details: tuple[object, ...]) -> None:
        if self.on and event != "builtins.id":
            self.events.append((event, str(details[:1])))

    def of_reading(self, path: Path) -> list[tuple[str, str]]:
        """The events of reading a file, apart from opening it."""
        self.events, self.on = [], True
        try:
            read_checkpoint(path)
        except CheckpointError:
            pass
        finally:
            self.on = False
        return [(event, what) for event, what in self.events if (event, what) != ("open", str((str(path),)))]


@pytest.fixture(scope="session")
def audit() -> Audit:
    return Audit()


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


def error_of(path: Path) -> CheckpointError:
    """The error of loading, which has to be fit to print, and to come soon."""
    start = time.process_time()
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert time.process_time() - start < SECONDS
    message = str(caught.value)
    assert str(path) in message
    assert message.isascii()
    assert len(message) < 1000
    assert not any(c < " " and c != "\n" for c in message)
    return caught.value


@pytest.mark.parametrize("kind", UNSAFE)
def test_nothing_is_run(kind: str, tmp_path: Path, marker: Path, audit: Audit) -> None:
    pickled, symbol = hostile.unsafe_pickles(marker)[kind]
    (tmp_path / "plain.pt").write_bytes(pickled)
    hostile.write_zip(tmp_path / "zip.pt", pickled)
    hostile.write_legacy(tmp_path / "legacy.pt", pickled)
    hostile.write_legacy(tmp_path / "about.pt", hostile.PROTO2 + b"}.", about=pickled)
    hostile.write_legacy(tmp_path / "keys.pt", hostile.PROTO2 + b"}.", keys=pickled)
    for path in sorted(tmp_path.glob("*.pt")):
        error = error_of(path)
        assert isinstance(error, UnsafeCheckpointError), path.name
        assert symbol in str(error)
        assert "nothing of the file was run" in str(error)
        assert "byte " in str(error)
        assert audit.of_reading(path) == []
    assert not marker.exists()


@pytest.mark.parametrize("kind", ["reduce", "eval", "exec", "inst", "newobj", "nested pickle", "obj system"])
def test_those_payloads_are_live(kind: str, marker: Path) -> None:
    """Python's own pickle does run them: were ours to do so, the test above would see it."""
    pickled, _ = hostile.unsafe_pickles(marker)[kind]
    # A process of its own, since Popen's __new__ alone and the like leave debris.
    subprocess.run(
        [sys.executable, "-c", "import pickle, sys; pickle.loads(sys.stdin.buffer.read())"],
        input=pickled,
        check=False,
        stderr=subprocess.DEVNULL,
    )
    assert marker.exists() or kind == "newobj"


# What the first pattern that fits a kind wants to be told; each has to fail for its own reason.
REASONS = {
    "long4": "integer",
    "bomb$|duplicates|copies|wide text|colliding keys": "far more memory or steps",
    "deep key|wide key|laughs in sets|unhashable": "impossible key",
    "deep objects": "without end",
    "deep": "nested too deep",
    "laughs in": "stands for a huge one",
    "laughs for": "unknown kind|has no name|impossible|something else than numbers",
    "in itself": "contains itself",
    "expanded": "far too often",
    "(shape|stride|offset) (negative|beyond|of)|shape (absurd|overflows)": "impossible",
    "shape|stride|offset": "does not fit into its storage",
    "storage": "size|elements|missing|two ways|kind of storage|booleans|no storage|outside|no weights",
    "longer than": "truncated",
    "long": "integer|line has no end",
    "numpy": "numpy",
    "at the top": "no weights",
    "(two|no) value|open mark": "in the middle",
    "no end$|nothing$": "truncated|makes no sense|no state",
    "": "",
}


@pytest.mark.parametrize("kind", sorted(SENSELESS))
def test_senseless_pickles(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    hostile.write_zip(path, SENSELESS[kind])
    error = error_of(path)
    assert isinstance(error, DamagedCheckpointError)
    reason = next(reason for kinds, reason in REASONS.items() if re.search(kinds, kind))
    assert re.search(reason, error.message)


@pytest.mark.parametrize("kind", sorted(DAMAGED))
def test_damaged_files(kind: str, tmp_path: Path) -> None:
    content, word = DAMAGED[kind]
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    error = error_of(path)
    assert isinstance(error, DamagedCheckpointError)
    assert word in str(error)


def test_the_audit_hears(tmp_path: Path, audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would tell if a name in a file were imported."""
    reader = "yolov7.tensor_files.reading.read_pickle"
    monkeypatch.setattr(reader, lambda *_: __import__("missing_module"))
    hostile.write_zip(tmp_path / "x.pt", hostile.GOOD_PICKLE)
    with pytest.raises(ModuleNotFoundError):
        audit.of_reading(tmp_path / "x.pt")
    assert ("import", "('missing_module',)") in audit.events


def test_every_flipped_bit_of_the_weights_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    hostile.write_zip(path, hostile.GOOD_PICKLE)
    good = path.read_bytes()
    start = good.index(b"\x00\x00\x80\x3f")  # 1.0
    for bit in range(8 * 16):
        flipped = bytearray(good)
        flipped[start + bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        assert "checksum" in str(error_of(path))


def test_a_folder_a_pipe_and_a_missing_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    for path, word in (
        (tmp_path, "not a file"),
        (tmp_path / "pipe.pt", "not a file"),
        (tmp_path / "missing.pt", "No such file"),
    ):
        with pytest.raises(CheckpointError, match=word):
            load_checkpoint(path)


MEASURE = """
import sys
from yolov7.checkpoints.checkpoint import load_checkpoint
from yolov7.errors import CheckpointError

try:
    load_checkpoint(sys.argv[1])  # a good pickle, of no network
except CheckpointError:
    pass
before = peak()
for path in sys.argv[2:]:
    try:
        load_checkpoint(path)
    except CheckpointError:
        pass
    else:
        sys.exit(f"{path} was read")
after = peak()
ballast = b"x" * 500_000_000
print(after - before, peak() - before)
"""

GREEDY = ("set bomb", "memo bomb", "mark bomb", "tensor bomb", "wide text", "wide key", "copies of a set")


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of its memory from /proc")
def test_hostile_files_use_little_memory(tmp_path: Path) -> None:
    """The peak over the greediest, in one process that has read a good file before: under 200 MB."""
    good = tmp_path / "good.pt"
    hostile.write_zip(good, hostile.GOOD_PICKLE)
    paths = []
    for number, kind in enumerate(GREEDY):
        paths.append(tmp_path / f"{number}.pt")
        hostile.write_zip(paths[-1], SENSELESS[kind])
    for number, (content, _) in enumerate(DAMAGED.values()):
        paths.append(tmp_path / f"{number}.bin")
        paths[-1].write_bytes(content)
    largest = max(path.stat().st_size for path in paths)
    run = subprocess.run(
        [sys.executable, "-c", PEAK + MEASURE, str(good), *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    used, with_ballast = map(int, run.stdout.split())
    assert used < 200e6 + largest
    assert with_ballast > 450e6  # the measurement does see memory
