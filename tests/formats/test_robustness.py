"""Randomly damaged data sets of every format: read as far as possible, or refused with a DataError."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.formats.small_sets import coco_content, voc_object, voc_xml, write_coco, write_voc, write_yolo
from yolov7.errors import DataError
from yolov7.formats.opening import open_dataset

LABELS = "1 0.5 0.5 0.25 0.5\n0 0.1 0.1 0.6 0.2 0.3 0.9\n"
OUTLINED = {
    "id": 1,
    "image_id": 7,
    "category_id": 3,
    "bbox": [1, 2, 30, 40],
    "segmentation": [[1, 2, 30, 4, 5, 40]],
}


def yolo(root: Path) -> Path:
    write_yolo(root, {"a": LABELS, "b": LABELS})
    return root / "labels/val/a.txt"


def yaml(root: Path) -> Path:
    return write_yolo(
        root, {"a": LABELS}, yaml="path: .\nval: [images/val]\nnames: {0: cat, 1: dog}\nnc: 2\n"
    )


def coco(root: Path) -> Path:
    return write_coco(root, coco_content(annotations=[OUTLINED, *coco_content()["annotations"]]))


def voc(root: Path) -> Path:
    xml = voc_xml(
        voc_object(), voc_object("cat", (5, 6, 70, 50)), head='<?xml version="1.0" encoding="utf-8"?>\n'
    )
    write_voc(root, {"a": xml, "b": xml}, {"val": "a b"})
    return root / "Annotations/a.xml"


@pytest.mark.parametrize("make", [yolo, yaml, coco, voc])
@settings(max_examples=60, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=3), st.integers(0, 4)), max_size=4
    ),
    keep=st.sampled_from([1, 1, 1, 0.7, 0]),
)
def test_damaged_data_sets_are_read_or_refused(
    make: Callable[[Path], Path], changes: list[tuple[float, bytes, int]], keep: float
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = make(Path(folder))
        data = file.read_bytes()
        for where, inserted, removed in changes:
            at = int(where * len(data))
            data = data[:at] + inserted + data[at + removed :]
        file.write_bytes(data[: int(keep * len(data))])
        try:
            dataset = open_dataset(folder)
        except DataError:
            return
        for image in dataset.images:
            assert image.boxes.shape == (len(image), 4)
            assert (image.boxes[:, 2:] > image.boxes[:, :2]).all()
            assert set(image.labels.tolist()) <= set(range(len(dataset.names)))
            assert len(image.polygons) in (0, len(image))
        assert all(str(defect) for defect in dataset.defects)
