"""What leaves the machine."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.error import URLError

import pytest

from yolov7.web import Deadline, opener


@pytest.mark.parametrize(("scheme", "first"), [("https", b"\x16"), ("http", b"G")])  # a TLS handshake, GET
def test_https_is_encrypted_from_its_first_byte(scheme: str, first: bytes) -> None:
    def first_byte() -> bytes:
        connection, _ = server.accept()
        with connection:
            return connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as threads:
        received = threads.submit(first_byte)
        with pytest.raises((URLError, OSError)):
            opener(Deadline(10, 10)).open(f"{scheme}://127.0.0.1:{server.getsockname()[1]}")
        assert received.result() == first
