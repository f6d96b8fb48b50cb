from __future__ import annotations

from pathlib import Path

import pytest
import torch

import yolov7
from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.data.shapes import NAMES, write_shapes
from yolov7.reproduce.precision import reproduce_table_10


def test_without_weights_it_is_the_papers() -> None:
    result = reproduce_table_10(None, None, say=print)
    assert [number.value for line in result.lines for number in line.numbers] == [52.9, 53.0, 53.0, 53.1, 0.2]


def test_every_setting_is_measured(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "w.safetensors"
    Checkpoint(yolov7.create("yolov7-tiny", 3), NAMES, 64, "open-yolov7", "float32").save(weights)
    data = write_shapes(tmp_path / "shapes", train=1, val=2, size=64)
    said: list[str] = []
    result = reproduce_table_10(weights, data, say=said.append)
    assert len(said) == 4
    assert all([n.source for n in line.numbers] == ["paper", "measured"] for line in result.lines)
    assert [line.network for line in result.lines] == 4 * ["yolov7-tiny"] + [""]
    measured = [line.numbers[1].value for line in result.lines]
    assert measured[4] == pytest.approx(measured[3] - measured[0], abs=0.006)
