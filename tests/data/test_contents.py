"""Cached digests of image files."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.formats.small_sets import write_image, write_yolo
from yolov7.data import contents
from yolov7.data.contents import digest_of_file, image_digests
from yolov7.formats.opening import open_dataset

NAMES = "abc"
WRITTEN = 1_700_000_000 * 10**9


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_yolo(tmp_path / "data", dict.fromkeys(NAMES, "0 0.5 0.5 0.2 0.2\n"))


def image_of(data: Path, name: str) -> Path:
    return data.parent / f"images/val/{name}.png"


def content(data: Path) -> list[str]:
    """Expected digests."""
    files = [image_of(data, name) for name in NAMES]
    return [hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest() for file in files]


def set_clock(monkeypatch: pytest.MonkeyPatch, data: Path, *, seconds: int) -> None:
    """Set the age of all images."""
    for name in NAMES:
        os.utime(image_of(data, name), ns=(WRITTEN, WRITTEN))
    monkeypatch.setattr(contents, "time", SimpleNamespace(time_ns=lambda: WRITTEN + seconds * 10**9))


def alter(file: Path) -> None:
    """Change a byte, but neither length nor modification time."""
    status, data = file.stat(), bytearray(file.read_bytes())
    data[-20] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_only_changed_files_are_read_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, data, seconds=3)
    first = image_digests(open_dataset(data), tmp_path / "cache")
    assert first == content(data)
    write_image(image_of(data, "a"), seed=9)
    alter(image_of(data, "b"))
    second = image_digests(open_dataset(data), tmp_path / "cache")
    assert second == [content(data)[0], *first[1:]]
    assert image_digests(open_dataset(data), tmp_path / "another") == content(data)


def test_recently_changed_files_are_always_read_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, data, seconds=1)
    image_digests(open_dataset(data), tmp_path / "cache")
    alter(image_of(data, "b"))
    assert image_digests(open_dataset(data), tmp_path / "cache") == content(data)


@pytest.mark.parametrize("damage", [b"", b"[[1]]", b"{", b"[" * 100_000])
def test_a_damaged_record_is_replaced(data: Path, tmp_path: Path, damage: bytes) -> None:
    first = image_digests(open_dataset(data), tmp_path / "cache")
    (record,) = (tmp_path / "cache").iterdir()
    record.write_bytes(damage)
    assert image_digests(open_dataset(data), tmp_path / "cache") == first
    assert len(record.read_bytes()) > 100


def test_missing_images_and_an_unwritable_cache_are_tolerated(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = open_dataset(data)
    image_of(data, "b").unlink()
    digests = image_digests(dataset, data)  # a file where a folder should be
    assert [bool(digest) for digest in digests] == [True, False, True]
    assert "read again at the next start" in caplog.text


def test_a_large_file_is_digested_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    try:
        assert digest_of_file(path) == hashlib.blake2b(bytes(64 << 20), digest_size=16).hexdigest()
        tracemalloc.reset_peak()
        digest_of_file(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
