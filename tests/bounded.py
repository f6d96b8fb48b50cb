"""A piece of Python in a process of its own, within bounds of memory and time, and what it took."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

PEAK = """
def peak():
    # Bytes. Not ru_maxrss: a process inherits that from whoever started it.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
"""
"""The most memory that a process had, for scripts of tests; Linux only."""

_PROLOGUE = """
import json, math, resource, sys, time
def status(key):
    with open("/proc/self/status") as file:
        return 1024 * int(next(line for line in file if line.startswith(key)).split()[1])
import cv2, torch, yolov7.images.reading
memory, seconds, *arguments = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + int(memory),) * 2)
end = math.ceil(time.process_time() + float(seconds))
resource.setrlimit(resource.RLIMIT_CPU, (end, end + 10))
"""
_EPILOGUE = """
print(json.dumps([answer, status("VmHWM")]))
"""


@dataclass(frozen=True)
class Outcome:
    """What the code left in `answer`, and the most memory that its process had, in bytes."""

    answer: Any
    peak: int


def run_bounded(code: str, *arguments: object, memory: int = 1_500_000_000, seconds: float = 30) -> Outcome:
    """Run code that puts something into `answer`; its `arguments` are texts. Linux only.

    Args:
        code: Python.
        arguments: for the code.
        memory: bytes of address space beyond what the imported libraries take.
        seconds: of the processor, beyond the imports, after which it has failed.

    Raises:
        AssertionError: it failed, or took too long or too much.
    """
    script = _PROLOGUE + code + _EPILOGUE
    command = [sys.executable, "-c", script, *map(str, (memory, seconds, *arguments))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20 * seconds, check=False)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"not done after {20 * seconds} s") from None
    assert done.returncode != -signal.SIGXCPU, f"more than {seconds} s of the processor"
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    answer, peak = json.loads(done.stdout)
    return Outcome(answer, peak)
