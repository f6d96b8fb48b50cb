"""The paper's tables as data: what each row changes, and the numbers that the paper gives for it.

``printed/`` has a file per table. A row is a network and, where training differs, changes of the recipe in
the notation of ``--set``. AP is in percent on COCO val2017, as printed; columns of test-dev end with
``_test``.

Paper: Tables 1 to 10. Rows of networks that are not built here are left out.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files

from yolov7.models.architecture import Architecture
from yolov7.models.zoo import find_architecture

Numbers = Mapping[str, float]
"""Values by column: parameters_m, gflops, fps, AP, AP50, AP75, APs, APm, APl."""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        label: as printed.
        architecture: the network.
        paper: the paper's numbers.
        size: side of the square input, pixels.
        recipe: changes of the recipe, such as ``guidance=independent``.
        note: choice made here where the paper leaves something open.
    """

    label: str
    architecture: Architecture
    paper: Numbers
    size: int
    recipe: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class Table:
    """A table of the paper."""

    name: str  # on the command line
    title: str  # as printed
    rows: tuple[Row, ...]  # in the paper's order
    ablation: bool = False  # whether its rows are to be trained under equal settings
    notes: tuple[str, ...] = ()  # remarks on all rows


def _table(name: str, title: str, *notes: str, ablation: bool = False) -> Table:
    text = files(__package__).joinpath("printed", f"{name}.csv").read_text(encoding="utf-8")
    rows = []
    for cells in csv.DictReader(text.splitlines()):
        label, network = cells.pop("label"), find_architecture(cells.pop("network"))
        size, recipe, note = (cells.pop(column, "") for column in ("size", "recipe", "note"))
        numbers = {column: float(value) for column, value in cells.items() if value}
        rows.append(Row(label, network, numbers, int(size or network.size), tuple(recipe.split()), note))
    return Table(name, title, tuple(rows), ablation, notes)


TABLE_1 = _table(
    "table1",
    "Comparison of baseline object detectors",
    "YOLOv4, YOLOR-u5 and the YOLOv4-tiny networks are not built here; the rows of the first two are "
    "left out.",
)
TABLE_2 = _table(
    "table2",
    "Comparison of state-of-the-art real-time object detectors",
    "The paper's FPS are of a V100 with batch 1; its 79.8G parameters of YOLOR-W6 are a slip for 79.8M. "
    "YOLOX, PPYOLOE and YOLOv5 are not built here.",
)
TABLE_3 = _table("table3", "Ablation study on proposed model scaling", ablation=True)
TABLE_4 = _table(
    "table4",
    "Ablation study on planned RepConcatenation model",
    "The paper does not say where positions (a) to (e) of Fig. 6 are: they are our choice, so these "
    "networks may differ from the paper's. The 3-stacked ELAN is YOLOv7-X's, whose AP in Table 1 is 52.9.",
    ablation=True,
)
TABLE_5 = _table(
    "table5",
    "Ablation study on planned RepResidual model",
    "The dark blocks of the backbone (CSPDarknet) are replaced, those of the neck stay.",
    ablation=True,
)
TABLE_6 = _table("table6", "Ablation study on proposed auxiliary head", ablation=True)
TABLE_7 = _table("table7", "Ablation study on constrained auxiliary head", ablation=True)
TABLE_8 = _table("table8", "Ablation study on partial auxiliary head", ablation=True)


def _by_speed(row: Row) -> float:
    return -row.paper["fps"]


_BY_SIZE = ("APs_test", "APm_test", "APl_test")
TABLE_9 = Table(
    "table9",
    "More comparison (batch 1, without TensorRT and without other training data)",
    tuple(
        replace(row, paper={name: row.paper[name] for name in row.paper if name not in _BY_SIZE})
        for row in sorted(TABLE_2.rows, key=_by_speed)
    ),
    notes=("The paper's FPS are of a V100. Networks of others are not built here.",),
)

TABLES = (TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5, TABLE_6, TABLE_7, TABLE_8, TABLE_9)


@dataclass(frozen=True)
class Setting:
    """A row of Table 10: how YOLOv7-X is measured, and the paper's AP, percent."""

    half: bool
    iou: float
    AP: float


TABLE_10 = (
    Setting(half=True, iou=0.65, AP=52.9),
    Setting(half=False, iou=0.65, AP=53.0),
    Setting(half=True, iou=0.70, AP=53.0),
    Setting(half=False, iou=0.70, AP=53.1),
)
