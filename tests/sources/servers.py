"""Servers on this machine: files over HTTP that misbehave on request, and a camera that speaks RTSP."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]
"""Writes the whole response to a request."""


def content(body: bytes, kind: str, **headers: str) -> Answer:
    """A page with this content. Names of headers are given with _ for -."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        sent = {"Content-Length": str(len(body))} | {k.replace("_", "-"): v for k, v in headers.items()}
        for name, value in sent.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    return answer


@contextmanager
def web_server(pages: dict[str, Answer]) -> Iterator[str]:
    """Serves the pages by path; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                answer = pages.get(self.path)
                answer(self) if answer else self.send_error(404)
            except OSError:
                pass  # the client left

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Camera:
    """An RTSP server (RFC 2326) that plays an MPEG transport stream over TCP to whoever asks, from its begin.

    Args:
        stream: MPEG-2 transport stream.
        seconds: in which it is sent.
        breaks: for each connection after which fraction of the stream it breaks (None: it is played to its
            end), and whether it then is "reset" or goes "silent". Later ones are refused.
        film: whether it says how long the stream is, as servers of films do and cameras do not.
    """

    _PACKET = 7 * 188

    def __init__(
        self, stream: bytes, seconds: float, breaks: list[tuple[float, str] | None], film: bool
    ) -> None:
        self._film = film
        self.requests: list[str] = []
        self.connections = 0
        self._packets = [stream[i : i + self._PACKET] for i in range(0, len(stream), self._PACKET)]
        self._seconds = seconds
        self._breaks = breaks
        self._stop = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    @property
    def address(self) -> str:
        return f"rtsp://user:secret@127.0.0.1:{self._socket.getsockname()[1]}/door"

    def close(self) -> None:
        self._stop.set()
        with socket.create_connection(self._socket.getsockname()):  # wakes the thread that waits for one
            pass
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            if self._stop.is_set() or self.connections == len(self._breaks):
                connection.close()
                if self._stop.is_set():
                    return
                continue
            ending = self._breaks[self.connections]
            self.connections += 1
            thread = threading.Thread(target=self._talk, args=(connection, ending))
            self._threads.append(thread)
            thread.start()

    def _talk(self, connection: socket.socket, ending: tuple[float, str] | None) -> None:
        with connection, connection.makefile("rb") as lines:
            try:
                while True:
                    request = b""
                    while not request.endswith(b"\r\n\r\n"):
                        line = lines.readline()
                        if not line:
                            return
                        request += line
                    verb = self._answer(connection, request.decode())
                    if verb == "PLAY":
                        self._play(connection, ending)
                        return
            except OSError:
                return  # the client left

    def _answer(self, connection: socket.socket, request: str) -> str:
        self.requests.append(request)
        sequence = re.search(r"CSeq: *(\d+)", request)
        assert sequence
        headers, body = [f"CSeq: {sequence[1]}", "Session: 1"], ""
        verb = request.split()[0]
        if verb == "OPTIONS":
            headers.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
        elif verb == "DESCRIBE":
            lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=door", "t=0 0"]
            lines += ["a=range:npt=0-2.0"] if self._film else []
            lines += ["m=video 0 RTP/AVP 33", "a=control:track", ""]
            body = "\r\n".join(lines)
            headers += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        elif verb == "SETUP":
            headers.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        connection.sendall(("RTSP/1.0 200 OK\r\n" + "\r\n".join(headers) + "\r\n\r\n" + body).encode())
        return verb

    def _play(self, connection: socket.socket, ending: tuple[float, str] | None) -> None:
        sent = len(self._packets) if ending is None else round(ending[0] * len(self._packets))
        for number, packet in enumerate(self._packets[:sent]):
            rtp = struct.pack(">BBHII", 0x80, 33, number & 0xFFFF, number * 900, 1) + packet
            connection.sendall(struct.pack(">cBH", b"$", 0, len(rtp)) + rtp)
            if self._stop.wait(self._seconds / len(self._packets)):
                return
        if ending is not None and ending[1] == "silent":
            self._stop.wait(30)
        elif ending is not None:  # a reset instead of a polite end
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def camera(
    stream: bytes,
    seconds: float = 0.5,
    breaks: list[tuple[float, str] | None] | None = None,
    *,
    film: bool = False,
) -> Iterator[Camera]:
    """A camera for the time of a test; by default it plays the stream once."""
    device = Camera(stream, seconds, [None] if breaks is None else breaks, film)
    try:
        yield device
    finally:
        device.close()


def drip(body: bytes, kind: str, pause: float) -> Answer:
    """The content, one byte at a time."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.end_headers()
        for i in range(len(body)):
            request.wfile.write(body[i : i + 1])
            time.sleep(pause)

    return answer
