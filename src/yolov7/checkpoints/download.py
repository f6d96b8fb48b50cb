"""Download of a checkpoint over http(s): once, whole, and checked.

    another process at it?   wait, then take its file
    a part of it is here?    ask the server for the rest, unless its file has changed since
    the connection is cut?   connect again; the next call goes on with the part
    all of it is here?       check it, then move it to its place in one step

Checks: always the number of bytes that the server promises; then the SHA-256 or, if that is unknown, the
form: a whole zip file of ``torch.save`` with valid checksums, or torch's older format.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO
from urllib import request
from urllib.error import HTTPError
from urllib.parse import urlsplit

from yolov7.errors import DamagedCheckpointError, DownloadError
from yolov7.files import sha256_of_file
from yolov7.lock import locked
from yolov7.tensor_files.archive import Archive
from yolov7.web import failure, opener

Progress = Callable[[int, int | None], object]
"""Callback with the bytes received so far and in total (None if the server does not say)."""

TIMEOUT = 30.0
"""Longest silence of a server, seconds."""
CONNECTIONS = 4
"""Most connections for one file in one call."""
_CHUNK = 1 << 18


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    progress: Progress | None = None,
    timeout: float = TIMEOUT,
) -> None:
    """Download a checkpoint, unless the file is there already.

    Safe with several threads or processes at once: one downloads, the others wait for it.

    Args:
        url: http or https; redirections are followed, but not away from https.
        target: file to write; its folder is made.
        sha256: SHA-256 of the file in hexadecimal; None if unknown.
        progress, timeout: see ``Progress`` and ``TIMEOUT``.

    Raises:
        DownloadError: the file is incomplete (the next call resumes from the part kept beside the target), or
            a different one, which is deleted.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise not_downloaded(url, target, "this is no http or https address")
    part = _Part(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target.with_name(f".{target.name}.lock")):
            if target.is_file():
                return
            _receive_all(url, part, progress, timeout)
            _check(part, sha256)
            part.path.replace(target)
            part.forget()
    except DownloadError as error:
        raise not_downloaded(
            url, target, error.message, expected=error.expected, found=error.found
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise not_downloaded(url, target, failure(error, timeout)) from error


def not_downloaded(
    url: str, target: Path, reason: str, *, expected: object = None, found: object = None
) -> DownloadError:
    """Error of a download, which names the place to put the file by hand."""
    message = f"not downloaded from {url}: {reason}. It can also be put in this place by hand"
    return DownloadError(message, file=target, expected=expected, found=found)


class _CutOffError(DownloadError):
    """Connection that ended before the file did; another one may bring the rest."""


@dataclass(frozen=True)
class _Version:
    """Version of a server's file: its size, and its ETag or else its date, as far as the server says."""

    total: int | None
    validator: str | None


class _Part:
    """Partial download, and a note of its version: two files beside the target."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def version(self) -> _Version | None:
        """Version of the part; None if there is no part to resume."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            return _Version(**json.loads(self._note.read_text())) if self.size else None
        return None

    def start(self, version: _Version) -> None:
        """Begin a part of that version."""
        self.forget()
        self._note.write_text(json.dumps(asdict(version)))

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def _receive_all(url: str, part: _Part, progress: Progress | None, timeout: float) -> None:
    """Bring the part to the size that the server promises, over several connections if necessary."""
    for left in reversed(range(CONNECTIONS)):
        try:
            _receive(url, part, progress, timeout)
            break
        except _CutOffError:
            if not left:
                raise
        except HTTPError as error:
            error.close()
            # The server's file ends before the part does, so the part is of another file.
            if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not left:
                raise
            part.forget()


def _receive(url: str, part: _Part, progress: Progress | None, timeout: float) -> None:
    """Receive the whole file, or the rest of it, over one connection."""
    known, have = part.version, part.size
    if known and have == known.total:
        return
    # "identity": sizes and ranges of a compressed response are not those of the file.
    headers = {"User-Agent": "open-yolov7", "Accept-Encoding": "identity"}
    if known:
        headers["Range"] = f"bytes={have}-"
        if known.validator:
            headers["If-Range"] = known.validator  # a file that has changed comes whole

    with opener().open(request.Request(url, headers=headers), timeout=timeout) as response:
        version = _version(response)
        if response.status == http.client.PARTIAL_CONTENT:
            begins = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if not begins or version != known:
                part.forget()
                raise _CutOffError("the server offers the rest of another file")
        else:
            part.start(version)
            have = 0
        with part.path.open("ab") as file:
            _check_space(part.path, version.total, have)
            _copy(response, file, have, version.total, progress)


def _version(response: http.client.HTTPResponse) -> _Version:
    headers = response.headers
    total = headers.get("Content-Length", "")
    if response.status == http.client.PARTIAL_CONTENT:
        total = headers.get("Content-Range", "").rpartition("/")[2]
    etag = headers.get("ETag", "")
    # A weak ETag (W/"...") does not promise the same bytes, which resuming requires.
    validator = etag if etag.startswith('"') else headers.get("Last-Modified")
    return _Version(int(total) if total.isdecimal() else None, validator)


def _copy(
    response: http.client.HTTPResponse,
    file: IO[bytes],
    have: int,
    total: int | None,
    progress: Progress | None,
) -> None:
    """Append the bytes of a response."""
    cause: Exception | None = None
    chunk = b"first"
    while chunk:
        if progress is not None:
            progress(have, total)
        try:
            chunk = response.read1(_CHUNK)
        except (http.client.IncompleteRead, ConnectionError, TimeoutError) as error:
            cause, chunk = error, b""
        file.write(chunk)
        have += len(chunk)
    if cause or (total is not None and have != total):
        raise _CutOffError("the connection was cut", expected=_bytes(total), found=_bytes(have)) from cause
    file.flush()
    os.fsync(file.fileno())  # a power cut must not leave a file of the right name and size, full of zeros


def _check_space(path: Path, total: int | None, have: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if total is not None and total - have > free:
        raise DownloadError("the disk is full", expected=f"{_bytes(total - have)} free", found=_bytes(free))


def _check(part: _Part, sha256: str | None) -> None:
    """Check a complete part. Raises: DownloadError: it is another file, and is deleted."""
    try:
        if sha256 is None:
            _check_form(part.path)
        elif (found := sha256_of_file(part.path)) != sha256.lower():
            raise DownloadError(
                "not the expected file", expected=f"SHA-256 {sha256}", found=f"SHA-256 {found}"
            )
    except DownloadError:
        part.forget()
        raise


def _check_form(path: Path) -> None:
    expected = "a checkpoint of torch"
    with path.open("rb") as file:
        start = file.read(16)
        if start.startswith(b"\x80"):  # a pickle: torch's format before zip files
            return
        if not start.startswith(b"PK"):  # often a Wi-Fi login page
            raise DownloadError(
                "the download is no checkpoint", expected=expected, found=f"a file that begins {start!r}"
            )
        try:
            archive = Archive(file)
            archive.check()
            archive.check_contents()
        except DamagedCheckpointError as error:
            found = f"{error.message}: {error.found}" if error.found else error.message
            raise DownloadError("the download is damaged", expected=expected, found=found) from error


def _bytes(count: int | None) -> str:
    return "more bytes" if count is None else f"{count:,} bytes"
