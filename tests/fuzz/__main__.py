"""Change good files until something breaks: `scripts/fuzz --minutes N [--seed S] [--only KIND,...]`."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.fuzz.kinds import KINDS
from tests.fuzz.worker import SECONDS, Folder

_BATCH = 500
"""Files that a process opens before another takes over."""
_START = 120
"""Seconds in which a process must have imported everything."""
_HANGS = 20 * SECONDS
"""Seconds of the wall's clock after which a process is taken to hang."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="in all, shared by the kinds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(KINDS), help="comma-separated: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="what broke something goes there")
    options = parser.parse_args()
    kinds = options.only.split(",")
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(unknown)}")
    tables = {}
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["YOLOV7_CACHE"] = str(Path(scratch, "cache"))
        for kind in kinds:
            KINDS[kind].make(good := Path(scratch, kind))
            tables[kind] = _fuzz(kind, good, options.seed, 60 * options.minutes / len(kinds), options.out)
    print(f"\n{'kind':14}{'tried':>9}{'read':>9}{'refused':>9}{'faults':>9}")
    for kind, counts in tables.items():
        columns = (counts.total(), counts["read"], counts["refused"], counts["fault"])
        print(f"{kind:14}" + "".join(f"{column:9,}" for column in columns))
    return 1 if any(counts["fault"] for counts in tables.values()) else 0


def _fuzz(kind: str, good: Path, seed: int, seconds: float, out: Path) -> Counter[str]:
    """Open changed files of a kind for some time, in processes that follow each other."""
    counts: Counter[str] = Counter()
    folder, end, first = Folder(kind, good, seed), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        command = [sys.executable, "-m", "tests.fuzz.worker", kind, str(good), str(seed), str(first)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as worker:
            patience = _START
            for number in range(first, first + _BATCH):
                answer = _answer(worker, patience)
                counts[answer["verdict"]] += 1
                if answer["verdict"] == "fault":
                    _keep(out, kind, *folder.change(number), number, answer)
                if time.monotonic() > end or worker.poll() is not None:
                    break
                patience = _HANGS
            worker.kill()
        first = number + 1
        print(f"{kind}: {counts.total():,} tried, {counts['fault']} faults", flush=True)
    return counts


def _answer(worker: subprocess.Popen[str], patience: float) -> dict[str, Any]:
    """What a process says of the next file; or that it hangs, or broke."""
    assert worker.stdout is not None
    if not select.select([worker.stdout], [], [], patience)[0]:
        worker.kill()
        worker.wait()
        return {"verdict": "fault", "fault": "time", "story": f"not done after {patience} s"}
    line = worker.stdout.readline()
    if line:
        return dict(json.loads(line))
    code = worker.wait()
    return {"verdict": "fault", "fault": f"crash {code}", "story": f"the process ended with {code}"}


def _keep(out: Path, kind: str, file: Path, content: bytes, number: int, answer: dict[str, Any]) -> None:
    """The first file that showed a fault, with what happened."""
    name = f"{kind}-{hashlib.sha256(answer['fault'].encode()).hexdigest()[:8]}"
    print(f"{name}: {answer['fault']}", flush=True)
    if not (out / name).exists():
        (out / name).mkdir(parents=True)
        (out / name / file.name).write_bytes(content)
        (out / name / "fault.txt").write_text(
            f"{file.name}, number {number}\n{answer['fault']}\n\n{answer['story']}\n"
        )


if __name__ == "__main__":
    sys.exit(main())
