"""Install wheels of a folder, where this Python lacks the package, into another folder: DIR TARGET."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path


def main() -> None:
    folder, target = map(Path, sys.argv[1:])
    missing = [
        wheel for wheel in sorted(folder.glob("*.whl")) if not _installed(wheel.name.partition("-")[0])
    ]
    print("beside this Python: " + (", ".join(wheel.name for wheel in missing) or "nothing"), flush=True)
    if missing:
        # Without dependencies: torch, above all, must stay the one that is there.
        options = ["--quiet", "--no-index", "--no-deps", "--target", str(target)]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, *map(str, missing)], check=True)


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
