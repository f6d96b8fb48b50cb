"""The demo that trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolov7 import training_demo
from yolov7.data.shapes import write_shapes

FEW = {"train": 24, "val": training_demo.SHOWN, "size": 96}


def test_it_trains_measures_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch and few images instead of all: what it learns is the business of tests/learning."""
    monkeypatch.setattr(training_demo, "write_shapes", lambda folder, **_: write_shapes(folder, **FEW))
    told: list[str] = []
    result = training_demo.run(tmp_path / "demo", epochs=1, say=told.append, progress=False)
    assert result.directory == tmp_path / "demo" / "run"
    assert result.evaluation is not None
    assert len(result.evaluation.by_image) == FEW["val"]
    assert (tmp_path / "demo" / "overview.jpg").stat().st_size > 10_000
    page = (result.directory / "report.html").read_text()
    assert "circle" in page
    assert str(tmp_path) not in page
    assert {"samples.jpg", "positives.jpg"} <= {
        path.name for path in (result.directory / "pictures").iterdir()
    }
    assert any("report.html" in line for line in told)
