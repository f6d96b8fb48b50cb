"""Shared parts of the readers of untrusted artefacts."""

from __future__ import annotations

import pytest

from yolov7.errors import UnsafeCheckpointError
from yolov7.untrusted.ncnn import checked_layers
from yolov7.untrusted.values import begins_with


def test_beginnings_of_files(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"1234TFL3")
    assert begins_with(path, b"TFL3", offset=4)
    assert begins_with(path, b"0", b"12")
    assert not begins_with(path, b"TFL3")
    assert not begins_with(tmp_path, b"1")


def test_the_line_of_a_layer_is_named(tmp_path):
    layers, weights = tmp_path / "param", tmp_path / "bin"
    layers.write_text("7767517\n2 2\nInput in 0 1 in0\nPython it 1 1 in0 out0\n")
    weights.write_bytes(b"")
    with pytest.raises(UnsafeCheckpointError, match=r"param:4: .*a layer Python"):
        checked_layers(layers, weights)
