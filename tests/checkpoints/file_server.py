"""A real HTTP server on this machine that hands out one file, and misbehaves on request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """What is served at ``/file`` and how; may be changed between requests.

    Attributes:
        content: the file.
        etag: its ETag, quotes included; None to send none.
        modified: its Last-Modified date; None to send none.
        ranges: whether a part may be asked for.
        heeds_if_range: whether a part of a file that has changed since is refused.
        cuts: for each request to come, after how many bytes of the body the connection ends (None: never).
        has_length: whether the size is announced; if not, the body goes in chunks.
        status: sent instead of the file where it is not 200.
        redirect: where ``/moved`` leads.
        requests: the headers of each request so far, by lower-case name, with its path.
        barrier: waited at in the middle of each body.
    """

    content: bytes = b""
    etag: str | None = '"1"'
    modified: str | None = None
    ranges: bool = True
    heeds_if_range: bool = True
    cuts: list[int | None] = field(default_factory=list)
    has_length: bool = True
    status: int = 200
    redirect: str = "/file"
    requests: list[dict[str, str]] = field(default_factory=list)
    barrier: threading.Event | None = None
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/file"

    @property
    def moved_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/moved"


@contextmanager
def file_server(content: bytes) -> Iterator[FileServer]:
    """A server while the block runs."""
    served = FileServer(content)

    class Handler(_Handler):
        state = served

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: FileServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        state = self.state
        state.requests.append({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}})
        self.close_connection = True
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", state.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif state.status != 200:
            self.send_error(state.status)
        else:
            self._send_file()

    def _send_file(self) -> None:
        state, total = self.state, len(self.state.content)
        start = self._first_byte()
        if start is not None and start >= total:
            self.send_error(416)
            return
        self.send_response(200 if start is None else 206)
        if state.etag is not None:
            self.send_header("ETag", state.etag)
        if state.modified is not None:
            self.send_header("Last-Modified", state.modified)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        body = state.content[start or 0 :]
        if state.has_length:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

        with suppress(ConnectionError):  # who asked may be gone
            self._send_body(body)

    def _send_body(self, body: bytes) -> None:
        state = self.state
        cut = state.cuts.pop(0) if state.cuts else None
        half = len(body) // 2
        for piece in (body[:half], body[half:]) if cut is None else (body[:cut],):
            self.wfile.write(piece if state.has_length else b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()
            if state.barrier is not None:
                state.barrier.wait(30)
        if not state.has_length and cut is None:
            self.wfile.write(b"0\r\n\r\n")

    def _first_byte(self) -> int | None:
        """Of the part that is asked for and may be had; None: the whole file."""
        state = self.state
        wanted = self.headers.get("Range")
        if wanted is None or not state.ranges:
            return None
        condition = self.headers.get("If-Range")
        if state.heeds_if_range and condition not in (None, state.etag, state.modified):
            return None
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""
