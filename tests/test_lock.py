"""Lock files: one holder at a time."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from yolov7.lock import held, locked

OTHER = """
import pathlib, sys
from yolov7.lock import held
with held(pathlib.Path(sys.argv[1])) as holder:
    print(holder)
"""


def test_a_second_attempt_in_a_process_does_not_release_its_lock(tmp_path: Path) -> None:
    """The system drops all locks of a process on a file when the process closes the file once."""

    def holder_seen_by_another() -> str:
        command = [sys.executable, "-c", OTHER, tmp_path / "lock"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with held(tmp_path / "lock") as first, held(tmp_path / "lock") as second:
        assert first is None
        assert str(second).startswith(f"process {os.getpid()} on ")
    with held(tmp_path / "lock"):
        with held(tmp_path / "lock"):
            pass
        assert holder_seen_by_another().startswith(f"process {os.getpid()} on ")
    assert holder_seen_by_another() == "None\n"


HOLDER = """
import os, pathlib, sys, time
from yolov7.lock import held
with held(pathlib.Path(sys.argv[1])):
    child = os.fork()
    if child:
        print(child, flush=True)
    time.sleep(60)
"""


def test_another_process_holds_a_lock_until_it_is_killed_though_its_fork_lives(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    process = subprocess.Popen([sys.executable, "-c", HOLDER, file], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    fork = int(process.stdout.readline())
    try:
        with held(file) as other:
            assert other is not None
            assert other.startswith(f"process {process.pid} on ")
        process.kill()
        process.wait()
        with held(file) as other:
            assert other is None
    finally:
        os.kill(fork, signal.SIGKILL)
        process.stdout.close()


def test_a_lock_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    inside = threading.Event()

    def wait() -> None:
        with locked(tmp_path / "lock"):
            inside.set()

    waiting = threading.Thread(target=wait)
    with caplog.at_level(logging.WARNING), locked(tmp_path / "lock"):
        waiting.start()
        assert not inside.wait(0.3)
    waiting.join(30)
    assert inside.is_set()
    assert "waiting for another process to release" in caplog.text
