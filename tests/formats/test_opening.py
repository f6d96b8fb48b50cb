"""Recognition of data sets and their splits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats.small_sets import (
    coco_content,
    voc_object,
    voc_xml,
    write,
    write_coco,
    write_voc,
    write_yolo,
)
from yolov7.errors import DataError
from yolov7.formats.opening import open_dataset


def test_formats_are_recognised(tmp_path: Path) -> None:
    write_yolo(tmp_path / "yolo", {"a": "0 0.5 0.5 0.1 0.1"})
    write_coco(tmp_path / "coco", coco_content())
    write_voc(tmp_path / "voc", {"a": voc_xml(voc_object())})
    for kind in ("yolo", "coco", "voc"):
        assert open_dataset(tmp_path / kind).kind == kind
        assert open_dataset(str(tmp_path / kind)).path == tmp_path / kind


def test_paths_without_a_data_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file or folder"):
        open_dataset(tmp_path / "gone")
    with pytest.raises(DataError, match=r"no data set here\s+expected: a COCO json file"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="no data set here"):
        open_dataset(write(tmp_path / "notes.txt", "hello"))


def test_a_foreign_xml_file_does_not_make_a_folder_voc(tmp_path: Path) -> None:
    write_coco(tmp_path, coco_content())
    write(tmp_path / "annotations.xml", "<cvat/>")
    assert open_dataset(tmp_path).kind == "coco"


def test_several_json_files_are_splits(tmp_path: Path) -> None:
    for split in ("train2017", "val2017"):
        write_coco(tmp_path, coco_content(), file=f"annotations/instances_{split}.json", images=split)
    write(tmp_path / "annotations/captions_val2017.json", '{"annotations": []}')
    assert open_dataset(tmp_path, "train").split == "train2017"
    assert open_dataset(tmp_path, "val2017").split == "val2017"
    with pytest.raises(DataError, match=r"no split 'test'\s+expected: one of train2017, val2017"):
        open_dataset(tmp_path, "test")


def test_an_image_folder_is_accepted_for_coco_only(tmp_path: Path) -> None:
    file = write_yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2"})
    with pytest.raises(DataError, match="given for COCO json only"):
        open_dataset(file, images=tmp_path / "images")
