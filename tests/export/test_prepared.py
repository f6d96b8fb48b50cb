"""Artefacts in the cache."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.export.lively import lively
from yolov7.export.artefact import ExportOptions
from yolov7.export.prepared import prepared
from yolov7.export.torch_programs import TorchScript


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
