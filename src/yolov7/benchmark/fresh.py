"""Time from the start of a process to its first boxes, and its memory.

    python -m yolov7.benchmark.fresh '{"weights": ..., "images": [...], "batch": 1, "load": {...}}'

It imports only what a program that uses this package imports as well.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yolov7.artefacts.prepared import artefacts
from yolov7.benchmark.result import Fresh
from yolov7.errors import Yolov7Error
from yolov7.loading import load


def fresh(weights: str, images: Sequence[str], batch: int, options: Mapping[str, Any]) -> Fresh:
    """Measure a new process on image files; twice if the network had to be converted the first time.

    Args:
        weights: checkpoint or artefact.
        options: arguments of :func:`yolov7.load`.

    Raises:
        Yolov7Error: the process failed; the message is one line.
    """
    asked = json.dumps({"weights": weights, "images": list(images), "batch": batch, "load": dict(options)})
    first = _started(asked)
    if not first["converted"]:
        return Fresh(first["seconds"], None, first["memory_mb"])
    again = _started(asked)
    return Fresh(again["seconds"], first["seconds"], again["memory_mb"])


def _started(asked: str) -> dict[str, Any]:
    begun = time.time()
    done = subprocess.run([sys.executable, "-m", __name__, asked], capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise Yolov7Error(f"its process ended with status {done.returncode}: {last}")
    said: dict[str, Any] = json.loads(lines[-1])
    if "error" in said:
        raise Yolov7Error(said["error"])
    return said | {"seconds": said["first_boxes"] - begun}


def one_line(error: Exception) -> str:
    """Message of an error in one line."""
    text = str(error) if isinstance(error, Yolov7Error) else f"{type(error).__name__}: {error}"
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def main() -> None:
    """Entry point of the process: predict, and print the figures as JSON."""
    asked = json.loads(sys.argv[1])
    try:
        print(json.dumps(_measured(asked)))
    except Exception as error:  # a vendor's library may raise anything
        print(json.dumps({"error": one_line(error)}))


def _measured(asked: Mapping[str, Any]) -> dict[str, Any]:
    before = artefacts()
    predictor = load(asked["weights"], **asked["load"])
    results = predictor.predict(asked["images"], batch_size=asked["batch"])
    next(results)
    first = time.time()  # wall-clock time, which both processes share
    for _ in results:
        pass
    return {
        "first_boxes": first,
        "memory_mb": peak_memory_mb(),
        "converted": bool(artefacts() - before),
    }


def peak_memory_mb() -> float | None:
    """Peak memory of this process in MB; None if the system does not report it."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage: on Linux it includes the peak of the parent process.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return None


if __name__ == "__main__":
    main()
