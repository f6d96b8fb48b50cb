"""http and https as this package uses them: nothing else is followed, and failures are told in words."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from typing import IO
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit


class RedirectHandler(request.HTTPRedirectHandler):
    """Follows a redirection, but never away from encryption."""

    def redirect_request(
        self,
        req: request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> request.Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            fp.close()
            raise URLError(f"it leads away from https, to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def opener() -> request.OpenerDirector:
    """urllib for http and https alone: any other kind of URL finds no handler."""
    director = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPErrorProcessor(),
        request.UnknownHandler(),
        RedirectHandler(),
    ):
        director.add_handler(handler)
    return director


def failure(error: BaseException, timeout: float) -> str:
    """What went wrong, for a person."""
    if isinstance(error, HTTPError):
        return f"the server answers {error.code} {error.reason}"
    if isinstance(error, URLError):
        inner = error.reason
        return failure(inner, timeout) if isinstance(inner, BaseException) else inner
    if isinstance(error, socket.gaierror):
        return "the server's name is not known here; is there a connection to the internet?"
    if isinstance(error, ConnectionRefusedError):
        return "the server refuses the connection"
    if isinstance(error, TimeoutError):
        return f"no answer for {timeout:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not to be trusted ({error.verify_message})"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full"
    return str(error) or type(error).__name__
