"""Artefacts in the cache."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.runtimes.lively import lively
from yolov7.artefacts.prepared import artefacts, open_prepared, prepared
from yolov7.errors import OutputError
from yolov7.runtimes.description import ExportOptions
from yolov7.runtimes.onnx import Onnx
from yolov7.runtimes.torch_programs import TorchScript


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path))


class Counting(TorchScript):
    """Counts how often it writes."""

    written = 0

    def write(self, checkpoint, path, options):
        type(self).written += 1
        super().write(checkpoint, path, options)


class Failing(TorchScript):
    """Breaks off in the middle."""

    def write(self, checkpoint, path, options):
        path.write_bytes(b"half")
        raise KeyboardInterrupt


def test_written_once_for_the_same_weights(tmp_path):
    checkpoint, before = lively(), Counting.written
    first = prepared(checkpoint, Counting(), 128)
    assert prepared(lively(), Counting(), 128) == first
    assert prepared(checkpoint, Counting(), 256) == first  # it takes any size
    assert Counting.written == before + 1
    others = [lively(seed=1), replace(checkpoint, names=("a", "b", "c"))]
    assert first not in [prepared(other, Counting(), 128) for other in others]
    assert Counting.written == before + 3


def test_a_broken_conversion_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        prepared(lively(), Failing(), 128)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert TorchScript().open(prepared(lively(), TorchScript(), 128)).shape is None


def test_options_are_dynamic_where_that_is_possible(monkeypatch):
    seen: list[ExportOptions] = []

    class OneSize(TorchScript):
        takes_any_size = False

        def write(self, checkpoint, path, options):
            seen.append(options)
            super().write(checkpoint, path, options)

    prepared(lively(), OneSize(), 96)
    assert seen == [ExportOptions(size=96, dynamic=False)]


def test_any_size_goes_where_any_size_is_taken():
    """Prediction pads to the stride: whether it works must not depend on what is in the cache."""
    assert prepared(lively(), TorchScript(), 100) == prepared(lively(), TorchScript(), 128)


def test_several_at_once_make_one():
    checkpoint = lively()
    with ThreadPoolExecutor(4) as threads:
        paths = set(threads.map(lambda _: prepared(checkpoint, TorchScript(), 128), range(4)))
    assert len(paths) == len(artefacts()) == 1


@pytest.mark.parametrize("what", ["damaged", "taken away"])
def test_what_is_damaged_is_written_anew(what, caplog):
    checkpoint = lively()
    _, path = open_prepared(checkpoint, Onnx(), 128)
    (path.parent / "agrees-with-torch").touch()
    if what == "damaged":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        path.unlink()
    with caplog.at_level(logging.WARNING):
        backend, again = open_prepared(checkpoint, Onnx(), 128)
    assert (again, backend.variant) == (path, "yolov7-tiny")
    assert list(path.parent.iterdir()) == [path]  # what was said of the old one is gone
    assert ("damaged in the cache" in caplog.text) == (what == "damaged")


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="cannot be written"):
        prepared(lively(), TorchScript(), 128)
