"""All cases, and when one is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from PIL import Image as Pillow

from tests.bounds import artefacts, data_files, pictures, weight_files
from tests.bounds.case import Case, Ready
from tests.bounds.commands import MEMORY, SECONDS, Outcome
from tests.formats.small_sets import write_yolo
from tests.fuzz.kinds import KINDS
from tests.runtimes.lively import lively, noise

CASES: dict[str, Callable[[], Case]] = {
    **data_files.CASES,
    **pictures.CASES,
    **weight_files.CASES,
    **artefacts.CASES,
}
"""Each makes its content when it is called."""

PICTURES = {
    "png: a bit a pixel, 17,300 a side",
    "gif: one frame, 16,000 a side",
    "tiff: 17,000 a side, group 4",
    "tiff: deflated, 17,000 a side",
}
"""Pictures of nearly MAX_PIXELS, which are sound, and are shown to the network as any other."""
PICTURE_MEMORY = 1_700_000_000


def prepared(folder: Path) -> Ready:
    """Sound files for the cases."""
    folder.mkdir()
    lively(size=64).save(folder / "w.safetensors")
    Pillow.fromarray(noise(64, 80)).save(folder / "a.png")
    data = write_yolo(
        folder / "data", {"a": "0 .5 .5 .2 .2\n"}, yaml="val: images/val\nnames: [red, green, blue]\n"
    )
    KINDS["run"].make(folder / "training")
    return Ready(folder / "w.safetensors", folder / "a.png", data, folder / "training" / "run")


def faults(name: str, outcome: Outcome) -> list[str]:
    """What is wrong with an outcome: neither success nor one clear error, or too much of memory or time."""
    found = []
    if outcome.status not in (0, 1, 2) or "Traceback" in outcome.said:
        found.append("NEITHER READ NOR REFUSED")
    if outcome.status and not re.search("error: |[1-9] skipped|[1-9] error", outcome.said):
        found.append("NO ERROR")
    if len(outcome.said) > 400_000:
        found.append("TALKS TOO MUCH")
    if outcome.peak > (PICTURE_MEMORY if name in PICTURES else MEMORY):
        found.append("MEMORY")
    if outcome.seconds > SECONDS:
        found.append("TIME")
    return found
