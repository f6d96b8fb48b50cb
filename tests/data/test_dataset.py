"""Data set in memory: its summary, its defects and its classes."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from tests.formats.small_sets import write_yolo
from yolov7.data.dataset import Dataset, choose_split
from yolov7.data.findings import Defect, LeftOut
from yolov7.errors import DataError, SourceError
from yolov7.formats.opening import open_dataset

CAT = "0 0.2 0.2 0.1 0.1\n"


def test_the_summary_counts_everything() -> None:
    left_out = LeftOut("hidden", 2, "a/.x.jpg"), LeftOut("not read", 1200, "b.heic")
    defects = [Defect("a.txt", 1, "bad", "error")] * 5 + [Defect("a.txt", 2, "odd", "warning")] * 6
    dataset = Dataset(
        Path("data"), "yolo", "val", ("cat", "dog"), (0, 1), (), tuple(defects), left_out=left_out
    )
    assert dataset.summary() == (
        "val: 0 images, 0 boxes, 2 classes; left out: hidden: 2 (such as a/.x.jpg), "
        "not read: 1,200 (such as b.heic); 5 errors, 6 warnings"
    )


def test_images_without_label_files_and_without_boxes_are_counted_apart(tmp_path: Path) -> None:
    labels = {
        "a": CAT + "1 0.5 0.5 0.2 0.2\n",
        "b": "",
        "c": None,
        "d": None,
        "e": CAT + "9 0 0 1 1\n",
    }
    lines = open_dataset(write_yolo(tmp_path, labels)).account()
    assert lines[0] == (
        "val: 5 images, 3 boxes, 2 classes; 2 images without a label file, 1 without a box; 1 error"
    )
    assert lines[1].startswith(f"error: {tmp_path}/labels/val/e.txt:2: class 9")
    (line,) = open_dataset(write_yolo(tmp_path / "empty", {"a": ""})).account()
    assert line == "val: 1 image, 0 boxes, 2 classes; 1 image without a box"


def test_the_first_errors_are_listed_and_the_others_counted(tmp_path: Path) -> None:
    dataset = open_dataset(write_yolo(tmp_path, {"a": CAT + "7 0.5 0.5 0.1 0.1\n" * 25 + "1 0.5 0.5 0 0\n"}))
    with pytest.raises(DataError) as refused:
        dataset.require_sound()
    lines = str(refused.value).splitlines()
    assert lines[0] == f"{tmp_path}/data.yaml: 25 errors in the split 'val'"
    assert lines[1].startswith(f"  {tmp_path}/labels/val/a.txt:2: class 7")
    assert lines[11] == "  and 15 more, which `yolov7 doctor` lists"
    assert lines[-1].endswith("1 sound image with 1 box")
    assert dataset.account()[11] == "and 16 more, which `yolov7 doctor` lists"


def test_a_split_name_stands_for_its_variants() -> None:
    assert choose_split("val", ["train", "valid"], "x") == "valid"
    assert choose_split("validation", ["train", "val"], "x") == "val"
    assert choose_split("val", ["all"], "x") == "all"
    with pytest.raises(DataError, match=r"x: no split 'train'\s+expected: one of all"):
        choose_split("train", ["all"], "x")
    with pytest.raises(DataError, match=r"could be any of several\s+expected: one of val2014, val2017$"):
        choose_split("val", ["train2017", "val2014", "val2017"], "x")


def test_images_are_read_on_access(tmp_path: Path) -> None:
    dataset = open_dataset(write_yolo(tmp_path, {"a": CAT}))
    path = tmp_path / "images/val/a.png"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(SourceError, match=rf"^{path}: "):
        dataset[0]
    with pytest.raises(IndexError):
        dataset[1]


def test_classes_without_boxes_can_be_dropped(tmp_path: Path) -> None:
    yaml = "val: images/val\nnames: [cat, dog, cow]\n"
    dataset = open_dataset(write_yolo(tmp_path, {"a": "2 0.5 0.5 0.2 0.2\n0 0.2 0.2 0.1 0.1"}, yaml=yaml))
    assert dataset.has_boxes() == (True, False, True)
    less = dataset.of_classes([2, 0])
    assert (less.names, less.category_ids) == (("cow", "cat"), (2, 0))
    assert less.images[0].labels.tolist() == [0, 1]


def test_images_with_the_lowest_hashes_are_held_out(tmp_path: Path) -> None:
    dataset = open_dataset(write_yolo(tmp_path, {str(number): CAT for number in range(20)}))
    order = [image.image_id for image in dataset.images]
    lowest = sorted(range(20), key=lambda number: zlib.crc32(str(number).encode()))[:2]
    rest, held_out = dataset.hold_out(0.1)
    assert (rest.split, held_out.split) == ("train", "val")
    assert [image.image_id for image in held_out.images] == [number for number in order if number in lowest]
    assert [image.image_id for image in rest.images] == [number for number in order if number not in lowest]
    one = open_dataset(write_yolo(tmp_path / "one", {"a": CAT}))
    with pytest.raises(DataError, match="a single image cannot be divided"):
        one.hold_out(0.1)
