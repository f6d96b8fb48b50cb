"""The paper's tables as data: what each row changes, and the numbers that the paper gives for it.

A row is a network and, where training differs, changes of the recipe in the notation of ``--set``. AP and its
kin are percent on COCO val2017 as printed; where a table has two, test-dev's come with ``_test``.

Paper: Tables 1 to 10. Rows of networks that are not built here are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from yolov7.models import ablations, baselines
from yolov7.models import architecture as variants
from yolov7.models.architecture import Architecture

Numbers = Mapping[str, float]
"""By the names of the columns: parameters_m, gflops, fps, AP, AP50, AP75, APs, APm, APl."""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        label: as the paper prints it.
        architecture: the network.
        paper: what the paper says of it.
        size: of the input, pixels; the network's own where 0.
        recipe: what its training changes, such as ``guidance=independent``.
        note: what the paper leaves open, and what was chosen.
    """

    label: str
    architecture: Architecture
    paper: Numbers = field(default_factory=dict)
    size: int = 0
    recipe: tuple[str, ...] = ()
    note: str = ""

    @property
    def pixels(self) -> int:
        """Side of the square input."""
        return self.size or self.architecture.size


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Attributes:
        name: what users type.
        title: as printed.
        section: where it is discussed.
        rows: in the paper's order.
        ablation: whether its rows are there to be trained under equal settings.
        note: what holds for all rows.
    """

    name: str
    title: str
    section: str
    rows: tuple[Row, ...]
    ablation: bool = False
    note: str = ""


def _numbers(names: str, values: tuple[float, ...]) -> Numbers:
    return dict(zip(names.split(), values, strict=True))


# -- comparisons ----------------------------------------------------------------------------------------


def _compared(label: str, architecture: Architecture, *values: float, size: int = 0) -> Row:
    return Row(label, architecture, _numbers("parameters_m gflops AP AP50 AP75 APs APm APl", values), size)


TABLE_1 = Table(
    "table1",
    "Comparison of baseline object detectors",
    "5.2",
    (
        _compared("YOLOv4-CSP", baselines.YOLOV4_CSP, 52.9, 120.4, 50.3, 68.6, 54.9, 34.2, 55.6, 65.1),
        _compared("YOLOR-CSP", baselines.YOLOR_CSP, 52.9, 120.4, 50.8, 69.5, 55.3, 33.7, 56.0, 65.4),
        _compared("YOLOv7", variants.YOLOV7, 36.9, 104.7, 51.2, 69.7, 55.5, 35.2, 56.0, 66.7),
        _compared("YOLOR-CSP-X", baselines.YOLOR_CSP_X, 96.9, 226.8, 52.7, 71.3, 57.4, 36.3, 57.5, 68.3),
        _compared("YOLOv7-X", variants.YOLOV7_X, 71.3, 189.9, 52.9, 71.1, 57.5, 36.9, 57.7, 68.6),
        _compared(
            "YOLOv7-tiny", variants.YOLOV7_TINY, 6.2, 5.8, 35.2, 52.8, 37.3, 15.7, 38.0, 53.4, size=416
        ),
        _compared(
            "YOLOv7-tiny", variants.YOLOV7_TINY, 6.2, 3.5, 30.8, 47.3, 32.2, 10.0, 31.9, 52.2, size=320
        ),
        _compared("YOLOR-E6", baselines.YOLOR_E6, 115.8, 683.2, 55.7, 73.2, 60.7, 40.1, 60.4, 69.2),
        _compared("YOLOv7-E6", variants.YOLOV7_E6, 97.2, 515.2, 55.9, 73.5, 61.1, 40.6, 60.3, 70.0),
        _compared("YOLOR-D6", baselines.YOLOR_D6, 151.7, 935.6, 56.1, 73.9, 61.2, 42.4, 60.5, 69.9),
        _compared("YOLOv7-D6", variants.YOLOV7_D6, 154.7, 806.8, 56.3, 73.8, 61.4, 41.3, 60.6, 70.1),
        _compared("YOLOv7-E6E", variants.YOLOV7_E6E, 151.7, 843.2, 56.8, 74.4, 62.1, 40.8, 62.1, 70.6),
    ),
    note="YOLOv4, YOLOR-u5 and the YOLOv4-tiny networks are not built here; the rows of the first two are "
    "left out.",
)

_TIMED = "parameters_m gflops fps AP_test AP AP50_test AP75_test"
_TIMED_ROWS: tuple[tuple[str, Architecture, tuple[float, ...], tuple[float, ...]], ...] = (
    # Label, network, columns that Tables 2 and 9 share, small, medium and large objects of Table 2.
    (
        "YOLOR-CSP",
        baselines.YOLOR_CSP,
        (52.9, 120.4, 106, 51.1, 50.8, 69.6, 55.7),
        (31.7, 55.3, 64.7),
    ),
    (
        "YOLOR-CSP-X",
        baselines.YOLOR_CSP_X,
        (96.9, 226.8, 87, 53.0, 52.7, 71.4, 57.9),
        (33.7, 57.1, 66.8),
    ),
    (
        "YOLOv7-tiny-SiLU",
        variants.YOLOV7_TINY_SILU,
        (6.2, 13.8, 286, 38.7, 38.7, 56.7, 41.7),
        (18.8, 42.4, 51.9),
    ),
    ("YOLOv7", variants.YOLOV7, (36.9, 104.7, 161, 51.4, 51.2, 69.7, 55.9), (31.8, 55.5, 65.0)),
    ("YOLOv7-X", variants.YOLOV7_X, (71.3, 189.9, 114, 53.1, 52.9, 71.2, 57.8), (33.8, 57.1, 67.4)),
    ("YOLOR-P6", baselines.YOLOR_P6, (37.2, 325.6, 76, 53.9, 53.5, 71.4, 58.9), (36.1, 57.7, 65.6)),
    ("YOLOR-W6", baselines.YOLOR_W6, (79.8, 453.2, 66, 55.2, 54.8, 72.7, 60.5), (37.7, 59.1, 67.1)),
    ("YOLOR-E6", baselines.YOLOR_E6, (115.8, 683.2, 45, 55.8, 55.7, 73.4, 61.1), (38.4, 59.7, 67.7)),
    ("YOLOR-D6", baselines.YOLOR_D6, (151.7, 935.6, 34, 56.5, 56.1, 74.1, 61.9), (38.9, 60.4, 68.7)),
    ("YOLOv7-W6", variants.YOLOV7_W6, (70.4, 360.0, 84, 54.9, 54.6, 72.6, 60.1), (37.3, 58.7, 67.1)),
    ("YOLOv7-E6", variants.YOLOV7_E6, (97.2, 515.2, 56, 56.0, 55.9, 73.5, 61.2), (38.0, 59.9, 68.4)),
    ("YOLOv7-D6", variants.YOLOV7_D6, (154.7, 806.8, 44, 56.6, 56.3, 74.0, 61.8), (38.8, 60.1, 69.5)),
    ("YOLOv7-E6E", variants.YOLOV7_E6E, (151.7, 843.2, 36, 56.8, 56.8, 74.4, 62.1), (39.3, 60.5, 69.0)),
)

TABLE_2 = Table(
    "table2",
    "Comparison of state-of-the-art real-time object detectors",
    "5.3",
    tuple(
        Row(label, network, _numbers(_TIMED + " APs_test APm_test APl_test", shared + by_size))
        for label, network, shared, by_size in _TIMED_ROWS
    ),
    note="The paper's FPS are of a V100 with batch 1; its 79.8G parameters of YOLOR-W6 are a slip for 79.8M. "
    "YOLOX, PPYOLOE and YOLOv5 are not built here.",
)

TABLE_9 = Table(
    "table9",
    "More comparison (batch 1, without TensorRT and without other training data)",
    "8",
    tuple(
        sorted(
            (Row(label, network, _numbers(_TIMED, shared)) for label, network, shared, _ in _TIMED_ROWS),
            key=lambda row: -row.paper["fps"],
        )
    ),
    note="The paper's FPS are of a V100. Networks of others are not built here.",
)

# -- ablations ------------------------------------------------------------------------------------------

_COUNTED = "parameters_m gflops AP AP50 AP75"

TABLE_3 = Table(
    "table3",
    "Ablation study on proposed model scaling",
    "5.4.1",
    (
        Row(
            "base (v7-X light)",
            variants.YOLOV7_X_LIGHT,
            _numbers(_COUNTED, (47.0, 125.5, 51.7, 70.1, 56.0)),
        ),
        Row(
            "width only (1.25 w)",
            ablations.X_WIDTH_ONLY,
            _numbers(_COUNTED, (73.4, 195.5, 52.4, 70.9, 57.1)),
        ),
        Row(
            "depth only (2.0 d)",
            ablations.X_DEPTH_ONLY,
            _numbers(_COUNTED, (69.3, 187.6, 52.7, 70.8, 57.3)),
        ),
        Row("compound (v7-X)", variants.YOLOV7_X, _numbers(_COUNTED, (71.3, 189.9, 52.9, 71.1, 57.5))),
    ),
    ablation=True,
)

_BY_SIZE = "AP AP50 AP75 APs APm APl"


def _planned(letter: str, network: Architecture, where: str, *values: float) -> Row:
    return Row(f"Figure 6 ({letter})", network, _numbers(_BY_SIZE, values), note=f"RepConv: {where}")


TABLE_4 = Table(
    "table4",
    "Ablation study on planned RepConcatenation model",
    "5.4.2",
    (
        Row(
            "base (3-S ELAN)",
            variants.YOLOV7_X,
            _numbers(_BY_SIZE, (52.26, 70.41, 56.77, 35.81, 57.00, 67.59)),
        ),
        _planned(
            *("a", ablations.X_REP_A, "the first convolution of each stack"),
            *(52.18, 70.34, 56.90, 35.71, 56.83, 67.51),
        ),
        _planned(
            *("b", ablations.X_REP_B, "the second convolution of each stack, without identity"),
            *(52.30, 70.30, 56.92, 35.76, 56.95, 67.74),
        ),
        _planned(
            *("c", ablations.X_REP_C, "all six, without identity where one is concatenated"),
            *(52.33, 70.56, 56.91, 35.90, 57.06, 67.50),
        ),
        _planned(
            *("d", ablations.X_REP_D, "the first stack, as (c)"),
            *(52.17, 70.32, 56.82, 35.33, 57.06, 68.09),
        ),
        _planned(
            *("e", ablations.X_REP_E, "the last stack, as (c)"),
            *(52.23, 70.20, 56.81, 35.34, 56.97, 66.88),
        ),
        Row(
            "(b) with identities",
            ablations.X_REP_UNPLANNED,
            note="not in the paper: the identity that the plan forbids, to show what it does",
        ),
    ),
    ablation=True,
    note="Which positions (a) to (e) of Fig. 6 are is in no text: they are our choice, so these rows and the "
    "paper's need not be the same networks. The 3-stacked ELAN is YOLOv7-X's, whose AP in Table 1 is 52.9.",
)

TABLE_5 = Table(
    "table5",
    "Ablation study on planned RepResidual model",
    "5.4.2",
    (
        Row(
            "base (YOLOR-W6)",
            baselines.YOLOR_W6,
            _numbers(_BY_SIZE, (54.82, 72.39, 59.95, 39.68, 59.38, 68.30)),
        ),
        Row(
            "RepCSP",
            ablations.W6_REP_CSP,
            _numbers(_BY_SIZE, (54.67, 72.50, 59.58, 40.22, 59.61, 67.87)),
            note="dark blocks with RepConv",
        ),
        Row(
            "RCSP",
            ablations.W6_RCSP,
            _numbers(_BY_SIZE, (54.36, 71.95, 59.54, 40.15, 59.02, 67.44)),
            note="reversed dark blocks",
        ),
        Row(
            "RepRCSP",
            ablations.W6_REP_RCSP,
            _numbers(_BY_SIZE, (54.85, 72.51, 60.08, 40.53, 59.52, 68.06)),
            note="reversed dark blocks with RepConv",
        ),
        Row(
            "base (YOLOR-CSP)",
            baselines.YOLOR_CSP,
            _numbers(_BY_SIZE, (50.81, 69.47, 55.28, 33.74, 56.01, 65.38)),
        ),
        Row(
            "RepRCSP (YOLOR-CSP)",
            ablations.CSP_REP_RCSP,
            _numbers(_BY_SIZE, (50.91, 69.54, 55.55, 34.44, 55.74, 65.46)),
            note="reversed dark blocks with RepConv",
        ),
    ),
    ablation=True,
    note="The dark blocks of the backbone (CSPDarknet) are replaced, those of the neck stay.",
)

_AP = "AP AP50 AP75"

TABLE_6 = Table(
    "table6",
    "Ablation study on proposed auxiliary head",
    "5.4.3",
    (
        Row("base (v7-E6)", ablations.E6_NO_AUX, _numbers(_AP, (55.6, 73.2, 60.7))),
        Row(
            "independent",
            variants.YOLOV7_E6,
            _numbers(_AP, (55.8, 73.4, 60.9)),
            recipe=("guidance=independent",),
        ),
        Row(
            "lead guided",
            variants.YOLOV7_E6,
            _numbers(_AP, (55.9, 73.5, 61.0)),
            recipe=("guidance=lead_guided",),
        ),
        Row(
            "coarse-to-fine lead guided",
            variants.YOLOV7_E6,
            _numbers(_AP, (55.9, 73.5, 61.1)),
            recipe=("guidance=coarse_to_fine",),
        ),
    ),
    ablation=True,
)

TABLE_7 = Table(
    "table7",
    "Ablation study on constrained auxiliary head",
    "5.4.3",
    (
        Row("base (v7-E6)", ablations.E6_NO_AUX, _numbers(_AP, (55.6, 73.2, 60.7))),
        Row(
            "aux without constraint",
            variants.YOLOV7_E6,
            _numbers(_AP, (55.9, 73.5, 61.0)),
            recipe=("auxiliary.upper_bound=false",),
        ),
        Row(
            "aux with constraint",
            variants.YOLOV7_E6,
            _numbers(_AP, (55.9, 73.5, 61.1)),
            recipe=("auxiliary.upper_bound=true",),
        ),
    ),
    ablation=True,
)

TABLE_8 = Table(
    "table8",
    "Ablation study on partial auxiliary head",
    "5.4.3",
    (
        Row("base (v7-E6E)", ablations.E6E_NO_AUX, _numbers(_AP, (56.3, 74.0, 61.5))),
        Row("aux", ablations.E6E_FULL_AUX, _numbers(_AP, (56.5, 74.0, 61.6))),
        Row("partial aux", variants.YOLOV7_E6E, _numbers(_AP, (56.8, 74.4, 62.1))),
    ),
    ablation=True,
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
