from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from yolov7.data.shapes import write_shapes
from yolov7.errors import TrainingError, UsageError
from yolov7.reproduce.ablation import last_weights, slug, train_ablation
from yolov7.reproduce.figure8 import draw_figure_8
from yolov7.reproduce.tables import TABLE_1, TABLE_6, TABLE_7, Table
from yolov7.training.config import TrainConfig
from yolov7.training.recipes import COCO_P6, changed

SMALL = replace(TABLE_6, rows=(TABLE_6.rows[0], TABLE_6.rows[3]))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path / "cache"))


def few_epochs(folder: Path) -> TrainConfig:
    return TrainConfig(
        data=write_shapes(folder / "shapes", train=4, val=2, size=64),
        epochs=1,
        size=64,
        width=0.125,
        batch_size=2,
        workers=0,
        report=False,
        accelerator="cpu",
        precision="32",
        out=folder / "runs",
    )


@pytest.fixture
def settings(tmp_path: Path) -> TrainConfig:
    return few_epochs(tmp_path)


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainConfig, list[str], list[float]]:
    """Both rows, trained; tests that change something work on copies. -> settings, what was said, APs"""
    settings = few_epochs(tmp_path_factory.mktemp("complete"))
    return settings, *run(SMALL, settings)


def run(table: Table, settings: TrainConfig, processes: int = 1) -> tuple[list[str], list[float]]:
    """What was said, and the AP of each line."""
    said: list[str] = []
    result = train_ablation(table, settings, processes=processes, say=said.append, progress=False)
    aps = [
        n.value for line in result.lines for n in line.numbers if (n.quantity, n.source) == ("AP", "measured")
    ]
    return said, aps


def test_rows_are_trained_once_and_interrupted_ones_go_on(
    complete: tuple[TrainConfig, list[str], list[float]], tmp_path: Path
) -> None:
    settings, said, first = complete
    out = Path(shutil.copytree(settings.out, tmp_path / "runs"))
    settings = replace(settings, out=out)
    assert sum(text.startswith("run ") for text in said) == 2
    runs = sorted(path.parent.name for path in out.glob("*/seed-0"))
    assert runs == ["base-v7-e6", "coarse-to-fine-lead-guided"]

    said, again = run(SMALL, settings)
    assert again == first
    assert not any(text.startswith("run ") for text in said)

    shutil.rmtree(out / "base-v7-e6")
    said, third = run(SMALL, settings)
    assert sum(text.startswith("run ") for text in said) == 1
    assert third == first


def test_other_settings_need_another_directory(
    complete: tuple[TrainConfig, list[str], list[float]],
) -> None:
    settings, _, _ = complete
    more = replace(settings, epochs=3)
    with pytest.raises(UsageError, match="other settings already"):
        run(replace(SMALL, rows=SMALL.rows[:1]), more)


@pytest.mark.slow
def test_a_run_that_fails_does_not_end_the_others(settings: TrainConfig) -> None:
    """The second row's recipe cannot be: its process says so, the first is complete."""
    bad = replace(SMALL.rows[1], recipe=("guidance=nobody",))
    with pytest.raises(TrainingError, match=r"others are complete[\s\S]*coarse-to-fine[\s\S]*guidance"):
        run(replace(SMALL, rows=(SMALL.rows[0], bad)), settings, processes=2)
    said, aps = run(replace(SMALL, rows=SMALL.rows[:1]), settings)
    assert "1 complete" in said[0]
    assert len(aps) == 1


@pytest.mark.slow
def test_processes_side_by_side_train_the_same(
    complete: tuple[TrainConfig, list[str], list[float]], tmp_path: Path
) -> None:
    settings, _, alone = complete
    _, together = run(SMALL, replace(settings, out=tmp_path / "together"), processes=2)
    assert together == pytest.approx(alone, abs=2)


def test_maps_of_heads_that_were_trained_differently(
    complete: tuple[TrainConfig, list[str], list[float]], tmp_path: Path
) -> None:
    weights = last_weights(SMALL, Path(complete[0].out))
    (picture,) = draw_figure_8(weights, [np.zeros((48, 64, 3), np.uint8)], tmp_path)
    assert picture.stat().st_size > 1000


def test_comparisons_are_not_trained(settings: TrainConfig) -> None:
    with pytest.raises(UsageError, match="nothing to train"):
        train_ablation(TABLE_1, settings, say=print)


def test_settings_of_a_row_reach_its_recipe(settings: TrainConfig) -> None:
    without, bound = (changed(COCO_P6, row.recipe) for row in TABLE_7.rows[1:])
    assert not without.auxiliary.upper_bound
    assert bound.auxiliary.upper_bound
    assert slug(TABLE_7.rows[1].label) == "aux-without-constraint"
