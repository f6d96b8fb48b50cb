"""A column is one call: Detections, their forms and the files take it from there."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from yolov7.drawing import Style
from yolov7.errors import UsageError
from yolov7.results.output import SinkOptions
from yolov7.results.result import Result, Timings
from yolov7.results.sinks import open_sinks
from yolov7.sources.frames import Frame
from yolov7.types import Detections, Letterbox
from yolov7.types.columns import COLUMNS, Column, add_column

NAMES = ("cat", "dog")
BOXES = np.array([[10, 20, 50.125, 60], [0, 0, 5, 5], [70, 8, 90, 30]], np.float32)
DEPTH = np.array([2.5, 0.125, 11], np.float32)
POINTS = np.array([[[12, 30], [40, 50]], [[1, 2], [3, 4.5]], [[70, 9], [90, 29]]], np.float32)


class Dots(Column):
    """Points that are drawn as single pixels."""

    def draw(self, values, canvas, colours, line):
        for points, colour in zip(values.round().astype(int), colours, strict=True):
            for x, y in points:
                canvas[y, x] = colour


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    known = dict(COLUMNS)
    add_column(Column("depth"))
    add_column(Dots("points", (2, 2), pixels=True))
    yield
    COLUMNS.clear()
    COLUMNS.update(known)


@pytest.fixture
def three() -> Detections:
    scores, labels = np.array([0.9, 0.5, 0.25], np.float32), np.array([1, 0, 7])
    return Detections(BOXES, scores, labels, NAMES, {"depth": DEPTH, "points": POINTS})


def same(a: Detections, b: Detections) -> None:
    assert a == b
    assert {name: values.dtype for name, values in a.columns.items()} == dict.fromkeys(b.columns, np.float32)
    assert len(b.columns) == 2


def test_columns_are_selected_with_their_boxes(three):
    same(three[[2, 0]], three[np.array([2, 0])])
    assert three[three.scores > 0.4].columns["depth"].tolist() == [2.5, 0.125]
    assert three[-1].columns["points"].tolist() == [[[70, 9], [90, 29]]]
    assert [one.columns["depth"].item() for one in three] == [2.5, 0.125, 11]
    assert three[:0].columns["points"].shape == (0, 2, 2)


def test_a_column_counts_for_equality(three):
    other = Detections(BOXES, three.scores, three.labels, NAMES, {"depth": DEPTH + 1, "points": POINTS})
    assert three != other
    assert three != Detections(BOXES, three.scores, three.labels, NAMES)


def test_pixels_are_mapped_to_the_source_and_other_values_are_not(three):
    box = Letterbox(source_size=(60, 100), size=(160, 200), scale=(2, 4), padding=(10, 8))
    mapped = three.to_source(box)
    assert mapped.columns["depth"] is DEPTH
    assert mapped.columns["points"].tolist() == [
        [[1, 5.5], [15, 10.5]],
        [[0, 0], [0, 0]],
        [[30, 0.25], [40, 5.25]],
    ]
    np.testing.assert_array_equal(mapped.boxes, box.to_source(BOXES))


def test_json_and_coco_entries_come_back(three):
    frame = Frame(np.zeros((60, 100, 3), np.uint8), "a.png", "a.png", 0)
    result = Result(three, frame.image, "a.png", 0, Timings(0, 0, 0, 0), frame)
    entries = json.loads(result.to_json())["detections"]
    assert list(entries[0]) == ["label", "name", "score", "box", "depth", "points"]
    assert (entries[1]["depth"], entries[1]["points"]) == (0.125, [[1, 2], [3, 4.5]])
    same(three, Detections.from_records(entries, NAMES))
    coco = json.loads(json.dumps(three.to_coco(7)))
    assert list(coco[0]) == ["image_id", "category_id", "bbox", "score", "depth", "points"]
    same(three, Detections.from_records(coco, NAMES))


def test_tables_come_back(three):
    table = three.to_pandas()
    assert table.columns.tolist() == ["x1", "y1", "x2", "y2", "score", "label", "name", "depth", "points"]
    assert table.depth.dtype == np.float32
    same(three, Detections.from_records(table.to_dict("records"), NAMES))


def test_supervision_has_the_columns_in_its_data(three):
    data = three.to_supervision().data
    assert data["depth"].tolist() == DEPTH.tolist()
    assert data["points"].shape == (3, 2, 2)


def test_files_of_a_run_come_back(three, tmp_path: Path):
    frames = [Frame(np.zeros((60, 100, 3), np.uint8), f"{i}.png", f"{i}.png", i) for i in range(2)]
    with open_sinks("csv,json,txt", tmp_path, NAMES) as sinks:
        sinks.write(frames[0], Detections.empty(NAMES))
        sinks.write(frames[1], three)
    with (tmp_path / "detections.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["depth"], row["points"]) for row in rows] == [
        ("2.500", "[[12.0, 30.0], [40.0, 50.0]]"),
        ("0.125", "[[1.0, 2.0], [3.0, 4.5]]"),
        ("11.000", "[[70.0, 9.0], [90.0, 29.0]]"),
    ]
    same(three, Detections.from_records(rows, NAMES))
    same(
        three,
        Detections.from_records(json.loads((tmp_path / "detections.json").read_text())["annotations"], NAMES),
    )
    assert [len(line.split()) for line in (tmp_path / "txt" / "1.txt").read_text().splitlines()] == [6, 6, 6]


def test_a_column_that_comes_later_is_refused_by_csv_and_loses_nothing(three, tmp_path: Path):
    frame = Frame(np.zeros((60, 100, 3), np.uint8), "a.png", "a.png", 0)
    failures: list[str] = []
    with open_sinks("csv", tmp_path, NAMES, on_error=lambda error: failures.append(str(error))) as sinks:
        sinks.write(frame, Detections(BOXES, three.scores, three.labels, NAMES))
        sinks.write(frame, three)
        sinks.write(frame, Detections(BOXES, three.scores, three.labels, NAMES))
    assert len(failures) == 1
    assert "not in fieldnames" in failures[0]
    assert "'depth'" in failures[0]
    assert len((tmp_path / "detections.csv").read_text().splitlines()) == 1 + 3 + 3


def test_columns_are_drawn_below_the_boxes(three, tmp_path: Path):
    black = np.zeros((60, 100, 3), np.uint8)
    style = Style(labels=False, scores=False)
    plain = Detections(BOXES, three.scores, three.labels, NAMES).plot(black, style)
    drawn = three.plot(black, style)
    changed = np.argwhere((plain != drawn).any(axis=2)).tolist()
    assert changed == [[2, 1], [4, 3], [30, 12], [50, 40]], (
        "the points of the third box are hidden by its line"
    )
    with open_sinks("pictures", tmp_path, NAMES, SinkOptions(style)) as sinks:
        sinks.write(Frame(black, "a.png", "a.png", 0), three)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "pictures/a.png"))[..., ::-1], drawn)


def test_from_tensors_takes_columns(three):
    tensors = {name: torch.from_numpy(values).double() for name, values in three.columns.items()}
    boxes, scores, labels = (torch.from_numpy(v) for v in (three.boxes, three.scores, three.labels))
    same(
        three,
        Detections.from_tensors(boxes, scores.bfloat16().float() * 0 + scores, labels, NAMES, **tensors),
    )


def test_columns_that_do_not_fit_are_refused(three):
    with pytest.raises(UsageError, match=r"points \(N, 2, 2\).*\n.*points \(3, 2\)"):
        Detections(BOXES, three.scores, three.labels, NAMES, {"points": POINTS[:, 0]})
    with pytest.raises(UsageError, match=r"no such column\n  expected: boxes, scores, .*\n  found:    mask"):
        Detections(BOXES, three.scores, three.labels, NAMES, {"mask": DEPTH})
    boxes, scores, labels = (torch.from_numpy(v) for v in (three.boxes, three.scores, three.labels))
    with pytest.raises(UsageError, match="no such column"):
        Detections.from_tensors(boxes, scores, labels, NAMES, mask=scores.bfloat16())


@pytest.mark.parametrize(
    "change",
    [
        *({"box": "a"}, {"points": "[[1, 2"}, {"points": "[[1, 2]]"}, {"score": "x"}),
        *({"label": 10**30}, {"bbox": 1}, {"bbox": [1, 2, 3]}),
        *({"label": 1.7}, {"label": math.nan}, {"score": None}, {"score": math.inf}),
        {"box": [1, 2, math.nan, 4]},
    ],
)
def test_records_that_are_no_detections(three, change):
    first, *others = three.to_records()
    with pytest.raises(UsageError):
        Detections.from_records([first | change, *others], NAMES)
    with pytest.raises(UsageError):
        Detections.from_records([first | change], NAMES)


def test_fields_of_some_records_are_ignored_unless_they_are_columns(three):
    first, *others = three.to_records()
    same(three, Detections.from_records([first | {"note": "late"}, *others], NAMES))
    same(three, Detections.from_records([first, others[0] | {"note": "late"}, *others[1:]], NAMES))
    partly = [first, *({key: one[key] for key in one if key != "depth"} for one in others)]
    with pytest.raises(UsageError, match="found:    'depth'"):
        Detections.from_records(partly, NAMES)


def test_records_without_a_field_are_refused_and_none_at_all_are_no_detections():
    with pytest.raises(UsageError, match=r"not detections\n  expected: boxes, scores\n  found:    label"):
        Detections.from_records([{"label": 1}])
    with pytest.raises(UsageError, match="not detections"):
        Detections.from_records([{"label": 1, "score": 1, "box": [1, 2, 3, 4]}, {"label": 1}])
    assert Detections.from_records([], NAMES) == Detections.empty(NAMES)
