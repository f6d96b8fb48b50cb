"""The table of what each command takes: `python -m tests.bounds [PART OF A NAME...]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.bounds.commands import Commands
from tests.bounds.table import CASES, faults, prepared


def main() -> int:
    wanted = sys.argv[1:] or [""]
    bad = 0
    with tempfile.TemporaryDirectory() as scratch, Commands() as commands:
        ready = prepared(Path(scratch, "ready"))
        for number, (name, case) in enumerate(CASES.items()):
            if not any(part in name for part in wanted):
                continue
            folder = Path(scratch, str(number))
            folder.mkdir()
            for tokens in case()(folder, ready):
                outcome = commands.run(folder, tokens)
                found = faults(name, outcome)
                bad += bool(found)
                last = outcome.said.strip().splitlines()[-1:] or [""]
                print(
                    f"{name:<36}{tokens[0]:<9}{outcome.status:>4}{outcome.peak / 1e6:>7.0f} MB"
                    f"{outcome.seconds:>6.1f} s  {', '.join(found) or 'ok'}  {last[0][:110]}",
                    flush=True,
                )
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
