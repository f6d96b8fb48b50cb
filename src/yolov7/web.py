"""Access to http and https only, with deadlines and failures in plain words."""

from __future__ import annotations

import errno
import http.client
import io
import re
import socket
import ssl
import time
from functools import partial
from typing import IO, Any
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from yolov7.errors import UsageError

_SAFE = "%/:=&?~#+!$,;'@()*[]|"


def parsed(url: str) -> SplitResult:
    """Split an http, https, rtsp or rtmp URL; raise a UsageError if it is invalid."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        if not host or re.search(r"[\s\x00-\x1f\\^`{|}<>\"%]", host):
            raise ValueError("invalid server name")
        host.encode("idna")
    except (ValueError, UnicodeError) as error:
        raise UsageError(
            f"{without_login(url)}: not a valid URL",
            expected="such as https://server/photo.jpg",
            found=without_login(str(error)),
        ) from None
    return parts


def without_login(url: str) -> str:
    """Remove user and password from a URL, valid or not, so that it may be shown and stored."""
    return re.sub(r"(?<=//)[^/?#\s]*@", "", url)


def quoted(url: str) -> str:
    """Encode a URL in ASCII, without its login: percent-encoded, with IDNA for the server's name."""
    parts = parsed(url)
    server = parts.netloc.rpartition("@")[2]
    if not server.isascii():
        server = parts.hostname.encode("idna").decode() if parts.hostname else ""
        server += f":{parts.port}" if parts.port else ""
    others = (quote(part, _SAFE) for part in (parts.path, parts.query, parts.fragment))
    return urlunsplit((parts.scheme, server, *others))


class Deadline:
    """Time limit in seconds of an exchange: connecting, redirections, headers and body together.

    It fails sooner after `silence` seconds without any data.
    """

    def __init__(self, seconds: float, silence: float) -> None:
        self._end = time.monotonic() + seconds
        self._silence = silence

    def patience(self) -> float:
        """Seconds to wait for more data; raise a TooSlowError if the deadline has passed."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TooSlowError("the transfer is too slow")
        return min(left, self._silence)


class TooSlowError(TimeoutError):
    """Data kept coming, but too slowly."""


class _TimedReader(io.RawIOBase):
    """Reader of a socket that keeps to a deadline."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket, deadline: Deadline) -> None:
        self._raw, self._socket, self._deadline = raw, connection, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._deadline.patience())
        try:
            return self._raw.readinto(buffer)
        except TimeoutError:
            self._deadline.patience()  # raises if this was the deadline
            raise

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    """Response whose lines, headers and chunks are all read within a deadline."""

    def __init__(self, sock: socket.socket, *args: Any, deadline: Deadline, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock, deadline))


def _timed(
    kind: type[http.client.HTTPConnection], deadline: Deadline, host: str, **options: Any
) -> http.client.HTTPConnection:
    connection = kind(host, **{**options, "timeout": deadline.patience()})
    # The stubs want a class; http.client calls it and no more.
    connection.response_class = partial(_TimedResponse, deadline=deadline)  # type: ignore[assignment]
    return connection


class _TimedHandler(request.HTTPHandler, request.HTTPSHandler):
    """Handler of http and https whose connections keep to a deadline."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_timed, http.client.HTTPConnection, self._deadline), req)

    def https_open(self, req: request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_timed, http.client.HTTPSConnection, self._deadline), req)


class RedirectHandler(request.HTTPRedirectHandler):
    """Handler of redirections that never leave https for http."""

    def redirect_request(
        self,
        req: request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> request.Request | None:
        fp.close()  # urllib would read the whole page
        try:
            target = quoted(newurl)  # without a login, which messages would show
        except UsageError:
            raise URLError(f"it leads to {without_login(newurl)}, which is not a valid URL") from None
        if req.type == "https" and urlsplit(target).scheme != "https":
            raise URLError(f"it redirects from https to {target}")
        return super().redirect_request(req, fp, code, msg, headers, target)


def opener(deadline: Deadline | None = None) -> request.OpenerDirector:
    """Make a urllib opener that handles http and https only, with a deadline for all that is done with it."""
    director = request.OpenerDirector()
    access = [_TimedHandler(deadline)] if deadline else [request.HTTPHandler(), request.HTTPSHandler()]
    for handler in (
        request.ProxyHandler(),
        *access,
        request.HTTPDefaultErrorHandler(),
        request.HTTPErrorProcessor(),
        request.UnknownHandler(),
        RedirectHandler(),
    ):
        director.add_handler(handler)
    return director


def failure(error: BaseException, timeout: float) -> str:
    """Explain an exception of urllib in plain words; `timeout` is that of the exchange, in seconds."""
    if isinstance(error, HTTPError):
        return f"the server answers {error.code} {error.reason}"
    if isinstance(error, URLError):
        inner = error.reason
        return failure(inner, timeout) if isinstance(inner, BaseException) else inner
    if isinstance(error, socket.gaierror):
        return "the server's name is not known here, or there is no connection to the internet"
    if isinstance(error, ConnectionRefusedError):
        return "the server refuses the connection"
    if isinstance(error, TooSlowError):
        return str(error)
    if isinstance(error, TimeoutError):
        return f"no answer for {timeout:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not to be trusted ({error.verify_message})"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full"
    return str(error) or type(error).__name__
