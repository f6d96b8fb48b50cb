"""Lock files: one holder at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from yolov7.lock import held

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
