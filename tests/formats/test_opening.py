"""Recognising data sets, choosing splits, matching classes."""

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
from yolov7.data.dataset import choose_split
from yolov7.data.labels import Defect
from yolov7.errors import DataError, SourceError
from yolov7.formats.opening import match_classes, open_dataset


def test_formats_are_recognised(tmp_path: Path) -> None:
    write_yolo(tmp_path / "yolo", {"a": "0 0.5 0.5 0.1 0.1"})
    write_coco(tmp_path / "coco", coco_content())
    write_voc(tmp_path / "voc", {"a": voc_xml(voc_object())})
    for kind in ("yolo", "coco", "voc"):
        assert open_dataset(tmp_path / kind).kind == kind
        assert open_dataset(str(tmp_path / kind)).path == tmp_path / kind


def test_what_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file or folder"):
        open_dataset(tmp_path / "gone")
    with pytest.raises(DataError, match=r"no data set here\s+expected: a COCO json file"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="no data set here"):
        open_dataset(write(tmp_path / "notes.txt", "hello"))


def test_an_xml_file_of_another_kind_does_not_make_it_voc(tmp_path: Path) -> None:
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


def test_choosing_a_split() -> None:
    assert choose_split("val", ["train", "valid"], "x") == "valid"
    assert choose_split("validation", ["train", "val"], "x") == "val"
    assert choose_split("val", ["all"], "x") == "all"
    with pytest.raises(DataError, match=r"x: no split 'train'\s+expected: one of all"):
        choose_split("train", ["all"], "x")
    with pytest.raises(DataError, match=r"could be any of several\s+expected: one of val2014, val2017$"):
        choose_split("val", ["train2017", "val2014", "val2017"], "x")


def test_pixels_are_read_when_asked_for(tmp_path: Path) -> None:
    dataset = open_dataset(write_yolo(tmp_path, {"a": "0 0.5 0.5 0.1 0.1"}))
    path = tmp_path / "images/val/a.png"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(SourceError, match=rf"^{path}: "):
        dataset[0]
    with pytest.raises(IndexError):
        dataset[1]


def test_a_defect_reads_like_a_compiler_message() -> None:
    assert str(Defect("a.txt", 3, "wrong", "error")) == "a.txt:3: wrong"
    assert str(Defect("a.jpg", None, "empty", "warning")) == "a.jpg: empty"


@pytest.mark.parametrize(
    ("dataset", "model", "mapping"),
    [
        (["cat", "dog"], ["cat", "dog"], (0, 1)),
        (["cat", "dog"], ["dog", "cat"], (1, 0)),
        (["cat", "dog"], ["dog", "bird", "cat"], (1, -1, 0)),
        (["Hot Dog", "TV"], ["tv", "hot_dog"], (1, 0)),
        (["cat", "dog"], ["0", "1"], (0, 1)),
        (["a", "a"], ["a", "a"], (0, 1)),
    ],
)
def test_classes_are_matched_by_name(dataset: list[str], model: list[str], mapping: tuple[int, ...]) -> None:
    assert match_classes(dataset, model) == mapping


@pytest.mark.parametrize(
    ("dataset", "model", "message"),
    [
        (
            ["cat", "dog", "cow"],
            ["cat", "bird"],
            r"2 of the data set's 3 classes.*\s.*cat, bird\s.*only: dog, cow",
        ),
        (["cat"], [], "1 of the data set's 1 classes"),
        (["cat"], ["0", "1"], "1 of the data set's 1 classes"),
        (["a", "a"], ["a", "b"], r"stand for several classes.*\s+found:    a"),
        (["a", "b"], ["b", "a", "A"], r"stand for several classes.*\s+found:    A, a"),
    ],
)
def test_classes_that_do_not_match(dataset: list[str], model: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        match_classes(dataset, model)


def test_a_folder_of_images_is_for_coco_alone(tmp_path: Path) -> None:
    file = write_yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2"})
    with pytest.raises(DataError, match="given for COCO json only"):
        open_dataset(file, images=tmp_path / "images")


def test_classes_of_which_there_is_no_box() -> None:
    assert match_classes(["shapes", "cat"], ["cat", "dog"], [False, True]) == (1, -1)
    with pytest.raises(DataError, match=r"1 of the data set's 2 classes.*\s.*\s.*only: shapes"):
        match_classes(["shapes", "cat"], ["cat", "dog"], [True, True])


def test_a_data_set_of_fewer_classes(tmp_path: Path) -> None:
    yaml = "val: images/val\nnames: [cat, dog, cow]\n"
    dataset = open_dataset(write_yolo(tmp_path, {"a": "2 0.5 0.5 0.2 0.2\n0 0.2 0.2 0.1 0.1"}, yaml=yaml))
    assert dataset.has_boxes() == (True, False, True)
    less = dataset.of_classes([2, 0])
    assert (less.names, less.category_ids) == (("cow", "cat"), (2, 0))
    assert less.images[0].labels.tolist() == [0, 1]
