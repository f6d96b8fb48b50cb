"""Released checkpoints by name, and the cache that they are downloaded into.

The authors publish no checksums: those below were published by several unrelated people who check their
downloads. Without one, the form of the file is checked instead (see ``download.py``). Reading a file is safe
in any case (see ``tensor_files``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from yolov7.checkpoints.download import Progress, download, not_downloaded


@dataclass(frozen=True)
class Released:
    """A checkpoint that others trained and published."""

    name: str  # of the file
    variant: str  # name of the network
    licence: str  # SPDX name of the weights' licence; shown to users, with ``url``, before the download
    url: str  # address of the file
    sha256: str | None = None  # SHA-256 of the file; None if unknown


def _by_authors(name: str, variant: str, sha256: str | None = None) -> Released:
    base = "https://github.com/WongKinYiu/yolov7/releases/download/v0.1/"
    return Released(name, variant, "GPL-3.0", base + name, sha256)


_YOLOV7_E6E_SHA256 = "b370120a414bf32b5d65fc808e5a32c8d9b3c63902d1bc41894fc9d86eccf9cb"
_YOLOV7_SHA256 = "d1ac3c74eb96a3eec77949c0f37a06bc272756606ff011d9353f7abff4e0c71d"
_V7_MIT_URL = "https://github.com/MultimediaTechLab/YOLO/releases/download/v1.0-alpha/v7.pt"

RELEASED: Mapping[str, Released] = {
    released.name: released
    for released in (
        Released("v7.pt", "yolov7", "MIT", _V7_MIT_URL),
        _by_authors("yolov7-tiny.pt", "yolov7-tiny"),
        _by_authors("yolov7.pt", "yolov7", _YOLOV7_SHA256),
        _by_authors("yolov7x.pt", "yolov7-x"),
        _by_authors("yolov7-w6.pt", "yolov7-w6"),
        _by_authors("yolov7-e6.pt", "yolov7-e6"),
        _by_authors("yolov7-d6.pt", "yolov7-d6"),
        _by_authors("yolov7-e6e.pt", "yolov7-e6e", _YOLOV7_E6E_SHA256),
        _by_authors("yolov7_training.pt", "yolov7"),
        _by_authors("yolov7x_training.pt", "yolov7-x"),
        _by_authors("yolov7-w6_training.pt", "yolov7-w6"),
        _by_authors("yolov7-e6_training.pt", "yolov7-e6"),
        _by_authors("yolov7-d6_training.pt", "yolov7-d6"),
        _by_authors("yolov7-e6e_training.pt", "yolov7-e6e"),
    )
}
"""Released checkpoints by file name, the permissively licensed one first. All were trained on COCO 2017."""


def cache_directory() -> Path:
    """Directory of downloads: $YOLOV7_CACHE, else ``open-yolov7`` in the platform's cache directory."""
    if own := os.environ.get("YOLOV7_CACHE"):
        return Path(own)
    base = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "open-yolov7"


def is_offline() -> bool:
    """True if $YOLOV7_OFFLINE forbids downloads: any value but empty, 0, no and false does."""
    return os.environ.get("YOLOV7_OFFLINE", "").lower() not in ("", "0", "no", "false")


def fetch(released: Released, *, progress: Progress | None = None) -> Path:
    """Find a released checkpoint in the cache, or download it there; returns its path.

    `progress` is called with the bytes as they come; not called without a download.

    Raises: DownloadError: the download fails, is forbidden, or brings another file.
    """
    target = cache_directory() / released.name
    if not target.is_file():
        if is_offline():
            raise not_downloaded(released.url, target, "downloads are switched off (offline)")
        download(released.url, target, sha256=released.sha256, progress=progress)
    return target
