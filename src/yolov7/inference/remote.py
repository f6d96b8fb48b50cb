"""What is at a URL: an image, whose bytes are fetched, or a video, which PyAV streams itself."""

from __future__ import annotations

import base64
import re
import time
from http.client import HTTPException, HTTPResponse
from pathlib import PurePosixPath
from urllib import request
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit

from yolov7.errors import SourceError, UsageError
from yolov7.web import failure, opener

LIVE_SCHEMES = frozenset({"rtsp", "rtsps", "rtmp", "rtmps"})
"""Streams that do not wait for a slow consumer."""
SCHEMES = LIVE_SCHEMES | {"http", "https"}

MAX_DOWNLOAD = 256 * 1024 * 1024
"""Bytes of an image that are fetched at most."""

_VIDEO_TYPES = re.compile(
    r"video/|multipart/x-mixed-replace|application/(dash\+xml|vnd\.apple\.mpegurl|x-mpegurl)"
)
_PATIENCE = 10
"""A whole transfer may take this many timeouts: a server that drips is not waited for."""
_CHUNK = 1 << 16


def scheme_of(source: str) -> str | None:
    """The scheme of a URL in lower case; None for what is not one, such as a path."""
    match = re.match(r"([a-z][a-z0-9+.-]+)://", source, re.IGNORECASE)
    return match[1].lower() if match else None


def check_scheme(url: str) -> None:
    """Raises: UsageError: a kind of URL that is not read here, such as file: or ftp:."""
    if scheme_of(url) not in SCHEMES:
        raise UsageError(
            f"{without_password(url)}: this kind of URL is not read",
            expected=", ".join(f"{scheme}://" for scheme in sorted(SCHEMES)),
            found=f"{scheme_of(url)}://",
        )


def without_password(url: str) -> str:
    """The URL as it may be shown and written down: without user and password. Paths stay as they are."""
    if scheme_of(url) is None:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def url_path(url: str) -> PurePosixPath:
    """Path part of a URL, without escapes."""
    return PurePosixPath(unquote(urlsplit(url).path))


def url_name(url: str) -> str:
    """What to call what is there: by its file, else by its server."""
    return url_path(url).name or (urlsplit(url).hostname or "url")


def fetch_image(url: str, *, timeout: float, max_bytes: int = MAX_DOWNLOAD) -> bytes | None:
    """The content at an http or https URL; None, unread, where the server says that it is a video.

    Args:
        timeout: seconds without any data after which to give up.
        max_bytes: the most that is fetched.

    Raises:
        SourceError: no such page, no connection, too slow, too large, cut off, or a page instead of an image.
    """
    shown = without_password(url)
    deadline = time.monotonic() + _PATIENCE * timeout
    try:
        with opener().open(_request(url), timeout=timeout) as response:
            kind = response.headers.get_content_type()
            if _VIDEO_TYPES.match(kind):
                return None
            if kind.startswith("text/"):
                raise SourceError(f"{shown}: this is a page", expected="an image or a video", found=kind)
            return _read(response, shown, deadline, max_bytes)
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise SourceError(f"{shown}: cannot be fetched: {failure(error, timeout)}") from error


def _read(response: HTTPResponse, shown: str, deadline: float, max_bytes: int) -> bytes:
    content = bytearray()
    promised = int(response.headers.get("Content-Length", -1))
    while promised <= max_bytes and len(content) <= max_bytes:
        chunk = response.read1(_CHUNK)
        if not chunk:
            if 0 <= len(content) < promised:
                raise SourceError(
                    f"{shown}: the transfer was cut off",
                    expected=f"{promised:,} bytes",
                    found=f"{len(content):,} bytes",
                )
            return bytes(content)
        content += chunk
        if time.monotonic() > deadline:
            raise SourceError(f"{shown}: the transfer is too slow", found=f"{len(content):,} bytes so far")
    raise SourceError(
        f"{shown}: too large for an image",
        expected=f"at most {max_bytes:,} bytes",
        found=f"{promised:,} bytes" if promised > max_bytes else "more",
    )


def _request(url: str) -> request.Request:
    parts = urlsplit(url)
    wanted = request.Request(without_password(url), headers={"User-Agent": "open-yolov7"})
    if parts.username is not None:  # cameras: http://user:password@camera/snapshot.jpg
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        # "unredirected": not handed on to another server
        wanted.add_unredirected_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    return wanted
