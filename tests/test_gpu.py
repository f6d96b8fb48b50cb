"""The GPU check as far as a processor can show that it works: at tiny sizes, and when time is short."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def run(out: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """The command and its JSON."""
    finished = subprocess.run(
        [ROOT / "scripts/gpu", "--dry", "--out", out, *arguments],
        env=os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return finished, json.loads(out.read_text())


@pytest.mark.slow
def test_a_dry_run_passes_and_shows_dashes_for_times(tmp_path: Path) -> None:
    finished, document = run(tmp_path / "gpu.json", "--minutes", "10")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    sections = [step["section"] for step in document["steps"]]
    assert sorted(set(sections), key=sections.index) == ["Right", "Fast", "Learns"]
    rows = [row for step in document["steps"] for row in step["rows"]]
    assert sum("right" in row for row in rows) >= 25
    assert all(row["right"] for row in rows if "right" in row)
    assert sum("batch 1" in row["what"] for row in rows) == 8
    shown = [line for line in finished.stdout.splitlines() if "network ms" in line or "step ms" in line]
    assert len(shown) == 11
    assert all("network ms -," in line or "step ms -," in line for line in shown)


@pytest.mark.slow
def test_what_there_is_no_time_for_is_listed_and_the_results_are_kept(tmp_path: Path) -> None:
    finished, document = run(tmp_path / "gpu.json", "--minutes", "0.6")
    assert finished.returncode == 1
    failed = [step["failed"] for step in document["steps"] if step["failed"]]
    assert "no time left" in failed
    assert set(failed) <= {"took too long", "no time left"}
    assert len(document["steps"]) == 14
    assert f"{len(failed)} failed" in finished.stdout
