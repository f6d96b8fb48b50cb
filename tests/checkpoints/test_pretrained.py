"""The table of released checkpoints, the cache, and fetching into it."""

from __future__ import annotations

import io
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoints.file_server import FileServer, file_server
from yolov7.checkpoints.pretrained import RELEASED, Released, cache_directory, fetch, is_offline
from yolov7.errors import DownloadError
from yolov7.models.architecture import VARIANTS


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("YOLOV7_OFFLINE", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"weights")
    with file_server(file.getvalue()) as served:
        yield served


def test_every_variant_of_the_paper_is_there() -> None:
    variants = {variant.name for variant in VARIANTS} - {"yolov7-tiny-silu"}  # never released
    assert {released.variant for released in RELEASED.values()} == variants


def test_table() -> None:
    for name, released in RELEASED.items():
        assert released.name == name
        assert released.url.startswith("https://github.com/")
        assert released.url.endswith("/" + name)
        assert released.sha256 is None or re.fullmatch("[0-9a-f]{64}", released.sha256)
        assert released.licence == ("MIT" if name == "v7.pt" else "GPL-3.0")
    assert next(iter(RELEASED)) == "v7.pt"


def test_fetches_once(cache: Path, server: FileServer) -> None:
    released = Released("file.pt", "yolov7", "MIT", server.url)
    steps: list[int] = []
    path = fetch(released, progress=lambda done, _: steps.append(done))
    assert path == cache / "file.pt"
    assert path.read_bytes() == server.content
    assert steps[-1] == len(server.content)
    assert fetch(released) == path
    assert len(server.requests) == 1


def test_checksum_is_looked_at(cache: Path, server: FileServer) -> None:
    released = Released("file.pt", "yolov7", "MIT", server.url, sha256="0" * 64)
    with pytest.raises(DownloadError, match="not the expected file"):
        fetch(released)
    assert not (cache / "file.pt").exists()


def test_offline_names_the_place_to_put_it_by_hand(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLOV7_OFFLINE", "1")
    with pytest.raises(DownloadError, match="offline") as caught:
        fetch(RELEASED["yolov7.pt"])
    for part in (str(cache / "yolov7.pt"), RELEASED["yolov7.pt"].url, "by hand"):
        assert part in str(caught.value)

    cache.mkdir()
    (cache / "yolov7.pt").write_bytes(b"put here by hand")
    assert fetch(RELEASED["yolov7.pt"]) == cache / "yolov7.pt"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", True), ("true", True), ("yes", True), ("0", False), ("", False), ("False", False), ("no", False)],
)
def test_offline_switch(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv("YOLOV7_OFFLINE", value)
    assert is_offline() is expected


def test_cache_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("YOLOV7_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_directory() == tmp_path / ".cache" / "open-yolov7"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_directory() == tmp_path / "xdg" / "open-yolov7"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_directory() == tmp_path / "local" / "open-yolov7"
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path / "own"))
    assert cache_directory() == tmp_path / "own"
