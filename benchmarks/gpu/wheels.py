"""Install wheels of a folder, where this Python lacks the package, into another folder: DIR TARGET."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path


def main() -> None:
    folder, target = map(Path, sys.argv[1:])
    packages = sorted({wheel.name.partition("-")[0] for wheel in folder.glob("*.whl")})
    missing = [name for name in packages if not _installed(name)]
    print("beside this Python: " + (", ".join(missing) or "nothing"), flush=True)
    if missing:
        # Without dependencies: torch, above all, must stay the one that is there. Of several wheels of a
        # package, pip takes one for this Python.
        options = ["--quiet", "--no-index", "--no-deps", "--find-links", str(folder), "--target", str(target)]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, *missing], check=True)


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
