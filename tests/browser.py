"""A real browser, headless and without network, for the pages that this project writes."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

_NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
_MESSAGE = re.compile(r":CONSOLE[:(]\d+[\])]+ (.*)")


@dataclass(frozen=True)
class Visit:
    """A page as the browser has it: its document, what its console was told, and its looks (H, W, 3) RGB."""

    document: str
    console: list[str]
    picture: npt.NDArray[np.uint8]


def visit(page: Path, *, width: int = 1280, height: int = 1600, dark: bool = False) -> Visit:
    """Open a page from disk."""
    shot = page.with_name(f"{page.stem}-shot.png")
    theme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    document, errors = _browse(
        page,
        "--dump-dom",
        f"--screenshot={shot}",
        f"--window-size={width},{height}",
        "--hide-scrollbars",
        *theme,
    )
    pixels = cv2.imread(str(shot))
    return Visit(document, _MESSAGE.findall(errors), cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def act(page: Path, script: str, *, width: int = 1280) -> Any:
    """What a function of (document, window) in JavaScript returns when it is called on the open page."""
    harness = page.with_name(f"{page.stem}-harness.html")
    harness.write_text(
        f"<!doctype html><meta charset=utf-8><pre id=answer></pre>"
        f'<iframe id=f src="{page.name}" style="width:{width}px;height:900px"></iframe><script>'
        "document.getElementById('f').onload = event => {"
        "  const inner = event.target.contentWindow;"
        f"  const answer = ({script})(inner.document, inner);"
        "  document.getElementById('answer').textContent = JSON.stringify(answer);"
        "};</script>",
        encoding="utf-8",
    )
    document, errors = _browse(harness, "--dump-dom", "--allow-file-access-from-files")
    found = re.search('<pre id="answer">(.+?)</pre>', document, re.DOTALL)
    assert found, _MESSAGE.findall(errors)
    return json.loads(html.unescape(found[1]))


def _browse(page: Path, *arguments: str) -> tuple[str, str]:
    browser = next(filter(None, map(shutil.which, _NAMES)), None)
    if browser is None:
        pytest.fail(
            "the tests of pages need a browser: apt-get install chromium (Debian, Ubuntu: chromium-browser), "
            "or Chrome on the PATH"
        )
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",  # a sandbox cannot be made by root, nor inside many containers
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={page.with_name('browser')}",
            "--enable-logging=stderr",
            "--log-level=0",
            *arguments,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, done.stderr
