from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import yolov7
from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.data.shapes import NAMES, write_shapes
from yolov7.errors import UsageError
from yolov7.reproduce.table import reproduce_table, reproduce_table_10
from yolov7.reproduce.tables import TABLE_1, TABLE_2, TABLE_9, TABLES, Table


def silent(_: str) -> None:
    """Say nothing."""


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_counts_are_the_papers_to_the_last_digit(table: Table) -> None:
    for line in reproduce_table(table, say=silent).lines:
        numbers = {(n.quantity, n.source): n.value for n in line.numbers}
        for quantity in ("parameters_m", "gflops"):
            if line.network and (quantity, "paper") in numbers:
                ours, theirs = numbers[quantity, "computed"], numbers[quantity, "paper"]
                assert ours == theirs, (line.label, quantity)


def test_tables_2_and_9_are_one_measurement() -> None:
    """Rows that both tables have say the same of what both have."""
    by_label = {row.label: row for row in TABLE_2.rows}
    assert len(by_label) == len(TABLE_9.rows)
    for row in TABLE_9.rows:
        assert all(by_label[row.label].paper[name] == value for name, value in row.paper.items())


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    Checkpoint(yolov7.create("yolov7-tiny", 3), NAMES, 416, "open-yolov7", "float32").save(path)
    return path


def test_ap_is_measured_in_every_row_of_the_network(tiny: Path, tmp_path: Path) -> None:
    data = write_shapes(tmp_path / "shapes", train=1, val=2, size=64)
    result = reproduce_table(TABLE_1, weights=[tiny], data=data, say=silent)
    measured = [line for line in result.lines if any(n.source == "measured" for n in line.numbers)]
    assert [(line.label, line.size) for line in measured] == [("YOLOv7-tiny", 416), ("YOLOv7-tiny", 320)]
    assert any("tiny.safetensors" in note for note in result.notes)


def test_weights_without_data_or_row_are_refused(tiny: Path) -> None:
    with pytest.raises(UsageError, match="--data"):
        reproduce_table(TABLE_1, weights=[tiny], say=silent)
    with pytest.raises(UsageError, match=r"table9 has no such network.*\n?.*yolov7-tiny-silu"):
        reproduce_table(TABLE_9, weights=[tiny], data=tiny, say=silent)


def test_frames_per_second_of_real_inputs() -> None:
    table = Table("few", "Few", (TABLE_1.rows[6],))  # tiny at 320
    photos = [np.zeros((48, 64, 3), np.uint8)] * 2
    result = reproduce_table(table, photos=photos, say=silent)
    (fps,) = (n.value for n in result.lines[0].numbers if (n.quantity, n.source) == ("fps", "measured"))
    assert 0 < fps < 10_000
    assert any("batch 1; network and decoding, median of 2 photos" in note for note in result.notes)


def test_table_9_is_sorted_by_speed():
    speeds = [row.paper["fps"] for row in TABLE_9.rows]
    assert speeds == sorted(speeds, reverse=True)
    assert "APs_test" not in TABLE_9.rows[0].paper


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
