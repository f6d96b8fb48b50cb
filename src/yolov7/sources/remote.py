"""URLs of images, which are downloaded, and of videos, which PyAV streams itself."""

from __future__ import annotations

import base64
import re
import zlib
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import PurePosixPath
from urllib import request
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit

from yolov7.errors import SourceError, UsageError
from yolov7.images.kinds import SNIFFED, foreign_kind, is_image
from yolov7.web import Deadline, failure, opener, parsed, quoted, without_login

LIVE_SCHEMES = frozenset({"rtsp", "rtsps", "rtmp", "rtmps"})
"""Schemes of live streams, which do not wait for a slow consumer."""
SCHEMES = LIVE_SCHEMES | {"http", "https"}

MAX_DOWNLOAD = 256 * 1024 * 1024
"""Largest image to download, bytes."""

_VIDEO_TYPES = re.compile(
    r"video/|multipart/x-mixed-replace|application/(dash\+xml|vnd\.apple\.mpegurl|x-mpegurl)"
)
_VIDEO_STARTS = re.compile(
    rb".{4}ftyp|\x1aE\xdf\xa3|RIFF.{4}AVI |FLV\x01|OggS|\0\0\x01[\xb3\xba]|G.{187}G|#EXTM3U|.{4}(moov|mdat)",
    re.DOTALL,
)
_PATIENCE = 10
"""Longest transfer, in timeouts: a server that sends a few bytes at a time is given up."""
_CHUNK = 1 << 16


def scheme_of(source: str) -> str | None:
    """Scheme of a URL in lower case; None for a path.

    >>> scheme_of("RTSP://camera/1"), scheme_of("C:/photos")
    ('rtsp', None)
    """
    match = re.match(r"([a-z][a-z0-9+.-]+)://", source, re.IGNORECASE)
    return match[1].lower() if match else None


def check_scheme(url: str) -> None:
    """Raise a UsageError for an invalid URL or an unsupported scheme, such as file: or ftp:."""
    if scheme_of(url) not in SCHEMES:
        raise UsageError(
            f"{without_password(url)}: this kind of URL is not read",
            expected=", ".join(f"{scheme}://" for scheme in sorted(SCHEMES)),
            found=f"{scheme_of(url)}://",
        )
    parsed(url)


def without_password(url: str) -> str:
    """Remove user and password from a URL, so that it may be shown. Paths are unchanged.

    >>> without_password("rtsp://me:secret@camera/1")
    'rtsp://camera/1'
    """
    return url if scheme_of(url) is None else without_login(url)


def url_path(url: str) -> PurePosixPath:
    """Path of a URL, without escapes."""
    return PurePosixPath(unquote(urlsplit(url).path))


def url_name(url: str) -> str:
    """Name for results: the file name, or the server's name.

    >>> url_name("https://example.org/photos/a%20b.jpg?size=large")
    'a b.jpg'
    """
    return url_path(url).name or (urlsplit(url).hostname or "url")


def fetch_image(url: str, *, timeout: float, max_bytes: int = MAX_DOWNLOAD) -> bytes | None:
    """Download an image from an http or https URL; return None at once if it is a video.

    The first bytes decide which it is; the server's content type counts only if they do not.

    Args:
        url: address.
        timeout: seconds without data after which to give up; the whole transfer may take ten times as long.
        max_bytes: largest image, bytes.

    Raises:
        SourceError: no such page, no connection, too slow, too large, cut off, or a page instead of an image.
    """
    shown = without_password(url)
    try:
        with opener(Deadline(_PATIENCE * timeout, timeout)).open(_request(url)) as response:
            return _read(response, shown, max_bytes)
    except (OSError, HTTPException, ValueError, zlib.error) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise SourceError(f"{shown}: cannot be fetched: {without_login(failure(error, timeout))}") from error


def _read(response: HTTPResponse, shown: str, max_bytes: int) -> bytes | None:
    """Body of a response, unless it begins like a video."""
    promised = int(response.headers.get("Content-Length", -1))
    squeezed = response.headers.get("Content-Encoding", "identity").lower() in ("gzip", "deflate", "x-gzip")
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32) if squeezed else None  # 32: gzip or zlib
    content, fetched, known = bytearray(), 0, False
    while promised <= max_bytes and len(content) <= max_bytes:
        chunk = response.read1(_CHUNK)
        fetched += len(chunk)
        content += chunk if unpack is None else unpack.decompress(chunk, max_bytes + 1 - len(content))
        if not known and (len(content) >= SNIFFED or not chunk):
            known = True
            if _is_video(bytes(content[:SNIFFED]), response.headers, shown):
                return None
        if not chunk:
            if 0 <= fetched < promised:
                raise SourceError(
                    f"{shown}: the transfer was cut off",
                    expected=f"{promised:,} bytes",
                    found=f"{fetched:,} bytes",
                )
            return bytes(content)
    raise SourceError(
        f"{shown}: too large for an image",
        expected=f"at most {max_bytes:,} bytes",
        found=f"{promised:,} bytes" if promised > max_bytes else "more",
    )


def _is_video(start: bytes, headers: Message, shown: str) -> bool:
    """Test by its first bytes if a response is a video; raise a SourceError if it is a web page."""
    if is_image(start) or foreign_kind(start):
        return False
    kind = headers.get_content_type()
    if _VIDEO_TYPES.match(kind) or _VIDEO_STARTS.match(start):
        return True
    if ("Content-Type" in headers and kind.startswith("text/")) or start.lstrip()[:1] == b"<":
        raise SourceError(f"{shown}: this is a page", expected="an image or a video", found=kind)
    return False


def _request(url: str) -> request.Request:
    parts = parsed(url)
    wanted = request.Request(quoted(url), headers={"User-Agent": "open-yolov7"})
    if parts.username is not None:  # cameras: http://user:password@camera/snapshot.jpg
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        # "unredirected": not handed on to another server
        wanted.add_unredirected_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    return wanted
