"""Process that runs steps from a given one on, and prints a line of JSON about each row and each end."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import torch
from benchmarks.gpu import fast, learns, right
from benchmarks.gpu.steps import Check

STEPS = [*right.ALL, *fast.ALL, *learns.ALL]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--deadline", type=float, required=True)
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--data")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    lines, sys.stdout = sys.stdout, sys.stderr  # libraries print: lines are ours alone

    def say(**values: object) -> None:
        print(json.dumps(values, default=float), file=lines, flush=True)

    device = torch.device("cpu" if options.dry else "cuda")
    say(machine=_machine(device), steps=[[step.section, step.name, step.seconds] for step in STEPS])
    with tempfile.TemporaryDirectory() as scratch:
        for number, step in enumerate(STEPS[options.first :], options.first):
            folder = Path(scratch, str(number))
            folder.mkdir()
            check = Check(device, options.dry, options.deadline, folder, options.data)
            say(begin=number)
            begun = time.monotonic()
            try:
                for row in step.run(check):
                    say(row=row)
                failed = None
            except Exception as error:
                traceback.print_exc()
                failed = f"{type(error).__name__}: {error}"
            say(end=number, seconds=time.monotonic() - begun, failed=failed)
            if failed and device.type == "cuda":
                return  # after some errors a process cannot use its GPU any more: another goes on


def _machine(device: torch.device) -> dict[str, object]:
    said: dict[str, object] = {"python": sys.version.split()[0], "torch": torch.__version__}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        said |= {
            "gpu": properties.name,
            "memory GB": properties.total_memory / 1e9,
            "gpus": torch.cuda.device_count(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return said


if __name__ == "__main__":
    main()
