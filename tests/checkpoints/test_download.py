"""Downloads from a real HTTP server on this machine, well-behaved and not."""

from __future__ import annotations

import hashlib
import io
import re
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.client import HTTPMessage
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request

import numpy as np
import pytest

from tests.checkpoints.file_server import FileServer, file_server
from yolov7 import web
from yolov7.checkpoints import download as module
from yolov7.checkpoints.download import download
from yolov7.errors import DownloadError


def checkpoint(seed: int = 0, size: int = 200_000) -> bytes:
    """Bytes of a zip file such as torch writes, of the same size for each seed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data/0", np.random.default_rng(seed).bytes(size))
    return file.getvalue()


CONTENT = checkpoint()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with file_server(CONTENT) as served:
        yield served


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "file.pt"


def leftovers(target: Path) -> list[str]:
    """Names beside the target, but for the lock."""
    return sorted(path.name for path in target.parent.iterdir() if not path.name.endswith(".lock"))


def begin(server: FileServer, target: Path, count: int) -> None:
    """Leave a part of that many bytes behind, as a call does whose connections are all cut."""
    server.cuts = [count] + [0] * (module.CONNECTIONS - 1)
    with pytest.raises(DownloadError):
        download(server.url, target)
    assert target.with_name("file.pt.part").stat().st_size == count
    server.requests.clear()


# --- It comes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_length", [True, False])
@pytest.mark.parametrize("sha256", [None, SHA256, SHA256.upper()], ids=["none", "lower", "upper"])
def test_whole_file(server: FileServer, target: Path, has_length: bool, sha256: str | None) -> None:
    server.has_length = has_length
    steps: list[tuple[int, int | None]] = []
    download(server.url, target, sha256=sha256, progress=lambda done, total: steps.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert leftovers(target) == ["file.pt"]
    total = len(CONTENT) if has_length else None
    assert steps[0] == (0, total)
    assert steps[-1] == (len(CONTENT), total)
    assert steps == sorted(steps, key=lambda step: step[0])


def test_old_torch_format(server: FileServer, target: Path) -> None:
    server.content = b"\x80\x02" + b"any pickle"
    download(server.url, target)
    assert target.read_bytes() == server.content


def test_what_is_there_is_left_alone(server: FileServer, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"mine")
    download(server.url, target, sha256=SHA256)
    assert target.read_bytes() == b"mine"
    assert server.requests == []


def test_redirection(server: FileServer, target: Path) -> None:
    download(server.moved_url, target)
    assert target.read_bytes() == CONTENT
    assert [request["path"] for request in server.requests] == ["/moved", "/file"]


# --- It is cut ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_length", [True, False])
def test_cut_connection_is_taken_up_again(server: FileServer, target: Path, has_length: bool) -> None:
    server.cuts, server.has_length = [60_000, 70_000], has_length
    download(server.url, target)
    assert target.read_bytes() == CONTENT
    assert leftovers(target) == ["file.pt"]
    if has_length:
        assert [request.get("range") for request in server.requests] == [
            None,
            "bytes=60000-",
            "bytes=130000-",
        ]
        assert server.requests[1]["if-range"] == '"1"'


def test_next_call_goes_on(server: FileServer, target: Path) -> None:
    begin(server, target, 60_000)
    steps: list[int] = []
    download(server.url, target, progress=lambda done, _: steps.append(done))
    assert target.read_bytes() == CONTENT
    assert leftovers(target) == ["file.pt"]
    assert [request["range"] for request in server.requests] == ["bytes=60000-"]
    assert steps[0] == 60_000


def test_goes_on_through_a_redirection(server: FileServer, target: Path) -> None:
    begin(server, target, 60_000)
    download(server.moved_url, target)
    assert target.read_bytes() == CONTENT
    assert server.requests[-1]["range"] == "bytes=60000-"
    assert server.requests[-1]["if-range"] == '"1"'


@pytest.mark.parametrize(("etag", "condition"), [(None, "Wed, 06 Jul 2022 00:00:00 GMT"), (None, None)])
def test_goes_on_by_date_or_size_alone(
    server: FileServer, target: Path, etag: str | None, condition: str | None
) -> None:
    server.etag, server.modified = etag, condition
    begin(server, target, 60_000)
    download(server.url, target)
    assert target.read_bytes() == CONTENT
    assert [request.get("if-range") for request in server.requests] == [condition]
    assert server.requests[0]["range"] == "bytes=60000-"


def test_weak_etag_is_no_proof(server: FileServer, target: Path) -> None:
    server.etag, server.modified = 'W/"1"', "Wed, 06 Jul 2022 00:00:00 GMT"
    begin(server, target, 60_000)
    download(server.url, target)
    assert target.read_bytes() == CONTENT
    assert server.requests[0]["if-range"] == server.modified


def test_server_without_ranges(server: FileServer, target: Path) -> None:
    server.ranges, server.cuts = False, [60_000]
    download(server.url, target)
    assert target.read_bytes() == CONTENT
    assert [request.get("range") for request in server.requests] == [None, "bytes=60000-"]


@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize("size", [200_000, 300_000, 20_000])
def test_changed_file_starts_again(server: FileServer, target: Path, heeds_if_range: bool, size: int) -> None:
    begin(server, target, 60_000)
    server.content, server.etag = checkpoint(seed=1, size=size), '"2"'
    server.heeds_if_range = heeds_if_range
    download(server.url, target)
    assert target.read_bytes() == server.content
    assert leftovers(target) == ["file.pt"]


def test_part_that_only_lacks_its_last_step(server: FileServer, target: Path) -> None:
    """The process ended between the last byte and the renaming."""
    begin(server, target, 60_000)
    target.with_name("file.pt.part").write_bytes(CONTENT)
    download(server.url, target)
    assert target.read_bytes() == CONTENT
    assert server.requests == []


@pytest.mark.parametrize("note", ["", "[1]", '{"total": 1}'])
def test_part_without_a_readable_note_starts_again(server: FileServer, target: Path, note: str) -> None:
    begin(server, target, 60_000)
    target.with_name("file.pt.part.json").write_text(note)
    download(server.url, target)
    assert target.read_bytes() == CONTENT
    assert "range" not in server.requests[0]


# --- It fails -----------------------------------------------------------------------------------------------


def test_short_body(server: FileServer, target: Path) -> None:
    server.cuts = [50_000, 0, 0, 0]
    with pytest.raises(DownloadError) as caught:
        download(server.url, target)
    assert "the connection was cut" in str(caught.value)
    assert caught.value.expected == f"{len(CONTENT):,} bytes"
    assert caught.value.found == "50,000 bytes"
    assert caught.value.file == str(target)
    assert server.url in str(caught.value)
    assert leftovers(target) == ["file.pt.part", "file.pt.part.json"]


def test_wrong_checksum_deletes_what_came(server: FileServer, target: Path) -> None:
    with pytest.raises(DownloadError, match="not the expected file") as caught:
        download(server.url, target, sha256="0" * 64)
    assert caught.value.expected == "SHA-256 " + "0" * 64
    assert caught.value.found == f"SHA-256 {SHA256}"
    assert leftovers(target) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>please log in</html>", "no checkpoint"),
        (b"", "no checkpoint"),
        (CONTENT[:-50], "damaged"),
        (CONTENT[:1000] + bytes(100) + CONTENT[1100:], "damaged"),
    ],
)
def test_what_is_no_checkpoint_is_deleted(
    server: FileServer, target: Path, content: bytes, reason: str
) -> None:
    server.content = content
    with pytest.raises(DownloadError, match=reason) as caught:
        download(server.url, target)
    assert caught.value.expected == "a checkpoint of torch"
    assert leftovers(target) == []


def test_compressed_zip_is_not_unpacked(server: FileServer, target: Path) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(50_000_000))
    server.content = bomb.getvalue()
    with pytest.raises(DownloadError, match="damaged"):
        download(server.url, target)
    assert leftovers(target) == []


@pytest.mark.parametrize("status", [404, 403, 500])
def test_server_says_no(server: FileServer, target: Path, status: int) -> None:
    server.status = status
    with pytest.raises(DownloadError, match=f"the server answers {status} ") as caught:
        download(server.url, target)
    assert "by hand" in str(caught.value)
    assert len(server.requests) == 1
    assert leftovers(target) == []


def test_refused_connection(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(DownloadError, match="the server refuses the connection"):
            download(f"http://127.0.0.1:{port}/file", target)


def test_server_that_never_answers(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        with pytest.raises(DownloadError, match=r"no answer for 0\.1 s"):
            download(f"http://127.0.0.1:{port}/file", target, timeout=0.1)


@pytest.mark.clock
def test_server_that_stops_in_the_middle(server: FileServer, target: Path) -> None:
    server.barrier = threading.Event()
    try:
        with pytest.raises(DownloadError, match="the connection was cut"):
            download(server.url, target, timeout=0.3)
    finally:
        server.barrier.set()


def test_unknown_server(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")

    def look_up(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)  # a test must not ask a real name server
    with pytest.raises(DownloadError, match="the server's name is not known here"):
        download("https://weights.invalid/file", target)


@pytest.mark.parametrize("url", ["ftp://host/file", "file:///etc/passwd", "data:,x", "file.pt"])
def test_other_schemes_are_refused(url: str, target: Path) -> None:
    with pytest.raises(DownloadError, match="no http or https address"):
        download(url, target)
    assert not target.parent.exists()


@pytest.mark.parametrize("place", ["ftp://127.0.0.1/file", "file:///etc/hostname"])
def test_redirection_to_another_scheme_is_refused(server: FileServer, target: Path, place: str) -> None:
    server.redirect = place
    with pytest.raises(DownloadError, match=r"ftp|not allowed"):
        download(server.moved_url, target)
    assert leftovers(target) == []


def test_redirections_in_a_circle(server: FileServer, target: Path) -> None:
    server.redirect = "/moved"
    with pytest.raises(DownloadError, match="302"):
        download(server.moved_url, target)


def test_redirection_away_from_https_is_refused() -> None:
    request = Request("https://secure.invalid/file")
    with pytest.raises(URLError, match="redirects from https to http"):
        web.RedirectHandler().redirect_request(
            request, io.BytesIO(), 302, "Found", HTTPMessage(), "http://open.invalid/file"
        )


def test_disk_too_small(server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: module.shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(DownloadError, match="the disk is full") as caught:
        download(server.url, target)
    assert caught.value.expected == f"{len(CONTENT):,} bytes free"
    assert caught.value.found == "1,000 bytes"


def test_disk_full_on_the_way(server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full is a disk without space."""
    monkeypatch.setattr(module._Part, "start", lambda part, _: part.path.symlink_to("/dev/full"))
    with pytest.raises(DownloadError, match="the disk is full"):
        download(server.url, target)


def test_folder_that_cannot_be_made(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    with pytest.raises(DownloadError, match="not downloaded from"):
        download(server.url, tmp_path / "a file" / "file.pt")


# --- Two at once --------------------------------------------------------------------------------------------


def test_two_threads_fetch_once(server: FileServer, target: Path) -> None:
    server.barrier = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            download(server.url, target, sha256=SHA256)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    threads[0].join(0.3)  # all have begun; the body of the first stands still in its middle
    assert not target.exists()
    server.barrier.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 1


CHILD = """
import sys
from pathlib import Path
from yolov7.checkpoints.download import download
download(sys.argv[1], Path(sys.argv[2]), sha256=sys.argv[3])
"""


def test_two_processes_fetch_once(server: FileServer, target: Path) -> None:
    server.barrier = threading.Event()
    command = [sys.executable, "-c", CHILD, server.url, str(target), SHA256]
    children = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    server.barrier.set()
    for child in children:
        assert re.fullmatch(
            r"(waiting for another process to release .*\.file\.pt\.lock\n)?", child.communicate()[1]
        )
        assert child.returncode == 0
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 1
    assert leftovers(target) == ["file.pt"]


def test_killed_process_frees_its_place(server: FileServer, target: Path) -> None:
    server.barrier = threading.Event()
    command = [sys.executable, "-c", CHILD, server.url, str(target), SHA256]
    child = subprocess.Popen(command)
    while not server.requests:
        assert child.poll() is None
    child.kill()
    child.wait()
    server.barrier.set()
    download(server.url, target, sha256=SHA256)
    assert target.read_bytes() == CONTENT
