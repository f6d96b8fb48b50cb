"""Everything that a GPU can tell within minutes: is it right, is it fast, does it learn.

Prints each result as it comes, and writes all so far to a JSON file. Steps run in a process of their own; one
that fails, breaks the process or takes too long is listed, and the next one goes on.

    scripts/gpu                     needs an NVIDIA GPU and torch with CUDA; PYTHON names another interpreter
    scripts/gpu --wheels DIR        what this Python lacks is taken from wheels in DIR, and installed nowhere;
                                    elsewhere: pip download -d DIR --only-binary :all: open-yolov7[train]
    scripts/gpu --dry               tiny sizes on the processor: shows that the check itself works
"""

from __future__ import annotations

import argparse
import json
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

_START = 90
"""Seconds in which a process must have imported torch and found its device."""

Document = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=8, help="in all: %(default)s")
    parser.add_argument("--dry", action="store_true", help="tiny sizes on the processor")
    parser.add_argument("--data", help="data set to learn from; default: shapes")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu/gpu.json"), help="%(default)s")
    options = parser.parse_args()
    deadline = time.time() + 60 * options.minutes
    document: Document = {"machine": None, "dry": options.dry, "steps": []}
    first, steps = 0, None
    while steps is None or first < len(steps):
        if time.time() > deadline - 5:
            break
        arguments = ["--first", str(first), "--deadline", str(deadline)]
        arguments += ["--dry"] if options.dry else []
        arguments += ["--data", options.data] if options.data else []
        steps, first = _run(arguments, first, steps, deadline, document, options.out)
        if steps is None:
            _write(options.out, document)
            print("no step could be started: see the message above, if any", file=sys.stderr)
            return 1
    for section, name, _ in steps[first:]:
        document["steps"].append({"section": section, "name": name, "rows": [], "failed": "no time left"})
    _write(options.out, document)
    return _conclude(document, options.out)


def _run(
    arguments: list[str],
    first: int,
    steps: list[Any] | None,
    deadline: float,
    document: Document,
    out: Path,
) -> tuple[list[Any] | None, int]:
    """Run one process until it ends, breaks or takes too long: all steps, and the number of the next one."""
    command = [sys.executable, "-m", "benchmarks.gpu.worker", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        lines, limit = _read_ahead(worker), min(time.time() + _START, deadline)
        current: Document | None = None
        begun = False
        while (line := _next(lines, limit)) is not None:
            if "machine" in line:
                steps = line["steps"]
                if document["machine"] is None:
                    document["machine"] = line["machine"]
                    print(", ".join(f"{name} {_shown(value)}" for name, value in line["machine"].items()))
            elif "begin" in line:
                assert steps is not None
                first, begun = line["begin"], True
                section, name, seconds = steps[first]
                # On a processor that others use, too, even tiny sizes take their time.
                limit = deadline if document["dry"] else min(time.time() + seconds, deadline)
                current = {"section": section, "name": name, "rows": [], "failed": "was not ended"}
                document["steps"].append(current)
                print(f"\n{section}: {name}", flush=True)
            elif "row" in line and current is not None:
                current["rows"].append(line["row"])
                print("  " + _told(line["row"], dry=document["dry"]), flush=True)
            elif "end" in line and current is not None:
                current["failed"], current["seconds"] = line["failed"], line["seconds"]
                if line["failed"]:
                    print(f"  FAILED: {line['failed']}", flush=True)
                first, current = line["end"] + 1, None
            _write(out, document)
        worker.kill()
    if current is not None:
        current["failed"] = (
            "took too long" if time.time() >= limit else f"the process ended with {worker.returncode}"
        )
        print(f"  FAILED: {current['failed']}", flush=True)
        first += 1
        _write(out, document)
    elif steps is not None and not begun:
        section, name, _ = steps[first]
        failed = f"a new process ended with {worker.returncode} before it"
        document["steps"].append({"section": section, "name": name, "rows": [], "failed": failed})
        first += 1
    return steps, first


def _read_ahead(worker: subprocess.Popen[str]) -> queue.Queue[str]:
    """Lines that a process prints, then an empty one."""
    stdout = worker.stdout
    assert stdout is not None
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in stdout:
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    return lines


def _next(lines: queue.Queue[str], limit: float) -> Document | None:
    """The next line; None if the process has ended, or has printed nothing by the time of the limit."""
    try:
        line = lines.get(timeout=max(0.0, limit - time.time()))
    except queue.Empty:
        return None
    return dict(json.loads(line)) if line else None


def _told(row: Document, *, dry: bool) -> str:
    """A row in words; times of a dry run mean nothing, and are dashes."""
    if "right" in row:
        limit = f" (at most {_shown(row['allowed'])})" if "allowed" in row else ""
        unit = f" {row['unit']}" if row.get("unit") else ""
        return f"{'ok   ' if row['right'] else 'WRONG'} {row['what']}: {_shown(row['found'])}{unit}{limit}"
    columns = ((name, value) for name, value in row.items() if name != "what")
    return f"{row['what']}: " + ", ".join(
        f"{name} {'-' if dry else _shown(value)}" for name, value in columns
    )


def _shown(value: object) -> str:
    if isinstance(value, float):
        return "-" if value != value else f"{value:.3g}"
    return str(value)


def _write(path: Path, document: Document) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(document, indent=2) + "\n")
    partial.replace(path)


def _conclude(document: Document, out: Path) -> int:
    """Print what failed and where the results are: 0 if all is right."""
    wrong = [row["what"] for step in document["steps"] for row in step["rows"] if row.get("right") is False]
    failed = [f"{step['name']} ({step['failed']})" for step in document["steps"] if step["failed"]]
    print()
    for what in wrong:
        print(f"wrong: {what}")
    for what in failed:
        print(f"failed: {what}")
    print(f"{len(wrong)} wrong, {len(failed)} failed; all results: {out}")
    return 1 if wrong or failed else 0


if __name__ == "__main__":
    sys.exit(main())
