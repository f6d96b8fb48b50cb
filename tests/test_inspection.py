"""Report of `yolov7 doctor` on data sets."""

from __future__ import annotations

import json
import shutil
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
from yolov7.inspection import inspect_dataset


def test_the_report_counts_images_boxes_and_sizes(tmp_path: Path) -> None:
    annotations = [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 10, 40, 20], "area": 431.5, "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 3, "bbox": [0, 0, 60, 60], "iscrowd": 0},
        {"id": 3, "image_id": 7, "category_id": 1, "bbox": [0, 0, 60, 60], "iscrowd": 1},
    ]
    report = inspect_dataset(write_coco(tmp_path, coco_content(annotations=annotations)))
    (split,) = report.splits
    assert (report.kind, report.names, split.name) == ("coco", ("cat", "dog"), "all")
    assert (split.images, split.empty, split.unlabelled, split.boxes, split.crowds) == (2, 1, 0, 2, 1)
    assert [(entry.name, entry.boxes, entry.images) for entry in split.classes] == [
        ("cat", 0, 0),
        ("dog", 2, 1),
    ]
    assert split.image_sizes == (((60, 80), 2),)
    sizes = split.box_sizes
    assert sizes is not None
    assert (sizes.small, sizes.medium, sizes.large) == (1, 1, 0)
    assert sizes.widths[0] == 40
    assert sizes.widths[-1] == 60
    assert sizes.aspect_ratios[3] == 1.5
    assert sizes.shares[-1] == pytest.approx((3600 / 4800) ** 0.5, abs=1e-4)
    assert [(entry.variant, entry.size) for entry in split.anchors] == [
        ("yolov7-tiny", 640),
        ("yolov7", 640),
        ("yolov7-w6", 1280),
    ]
    assert json.loads(json.dumps(report.to_dict()))["splits"][0]["box_sizes"]["small"] == 1


def test_the_report_has_the_recall_of_the_anchors(tmp_path: Path) -> None:
    """The boxes have 512 x 12, 8 x 384 and 160 x 144 pixels at 640."""
    labels = "0 0.5 0.5 0.8 0.025\n0 0.5 0.5 0.0125 0.8\n1 0.5 0.5 0.25 0.3\n"
    (split,) = inspect_dataset(write_yolo(tmp_path, {"a": labels})).splits
    assert [entry.recall for entry in split.anchors] == [0.3333] * 3


def test_the_report_has_defects_of_all_splits_and_undecodable_images(tmp_path: Path) -> None:
    write_yolo(tmp_path, {"a": "7 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1 0.1"}, split="train")
    yaml = "train: images/train\nval: images/val\ntest: images/gone\nnames: [cat, dog]\n"
    file = write_yolo(tmp_path, {"b": "0 0.5 0.5 0.1 0.1", "c": "0 0.5 0.5 0.1 0.1"}, yaml=yaml)
    broken = tmp_path / "images/val/c.png"
    broken.write_bytes(broken.read_bytes()[:-2000])
    report = inspect_dataset(file)
    assert [split.name for split in report.splits] == ["train", "val"]
    places = [str(defect).split(": ")[0] for defect in report.defects]
    assert places == [f"{tmp_path}/labels/train/a.txt:1", f"{file}:3", str(broken)]
    assert all(defect.severity == "error" for defect in report.defects)


def test_duplicates_within_and_leaks_between_splits_are_found(tmp_path: Path) -> None:
    for split, names in (("train", "abc"), ("val", "de"), ("test", "f")):
        write_yolo(tmp_path, dict.fromkeys(names, "0 0.5 0.5 0.1 0.1"), split=split)
    images = tmp_path / "images"
    shutil.copy(images / "train/a.png", images / "train/b.png")
    shutil.copy(images / "train/a.png", images / "val/d.png")
    yaml = "train: images/train\nval: images/val\ntest: images/test\nnames: [cat, dog]\n"
    report = inspect_dataset(write(tmp_path / "data.yaml", yaml))
    (duplicate,) = report.duplicates
    assert duplicate.places == (("train", f"{images}/train/a.png"), ("train", f"{images}/train/b.png"))
    (leak,) = report.leaks
    assert leak.places == (*duplicate.places, ("val", f"{images}/val/d.png"))


def test_a_union_of_splits_is_no_leak(tmp_path: Path) -> None:
    xmls: dict[str, str | bytes | None] = {name: voc_xml(voc_object()) for name in "abc"}
    write_voc(tmp_path, xmls, {"train": "a", "val": "b", "trainval": "a b", "test": "c"})
    assert not inspect_dataset(tmp_path).leaks
    write_voc(tmp_path, {}, {"test": "c a"})
    (leak,) = inspect_dataset(tmp_path).leaks
    assert {split for split, _ in leak.places} == {"train", "test"}


def test_a_defect_of_several_splits_is_reported_once(tmp_path: Path) -> None:
    bad = voc_xml(voc_object(), voc_object(box=(5, 5, 5, 5)))
    write_voc(tmp_path, {"a": bad, "b": voc_xml(voc_object())}, {"train": "a", "trainval": "a b"})
    assert len(inspect_dataset(tmp_path).defects) == 1


def test_a_data_set_without_readable_splits_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "data.yaml", "names: [a]\ntrain: images/gone\n")
    with pytest.raises(DataError, match=r"data.yaml:2: train: images/gone does not exist"):
        inspect_dataset(file)
    write(file, "names: [a]\n")
    with pytest.raises(DataError, match="no split"):
        inspect_dataset(file)


def test_splits_may_differ_in_their_classes(tmp_path: Path) -> None:
    """The supercategory has no box in val, where it is no class."""
    categories = [{"id": 0, "name": "things"}] + [
        {"id": number, "name": name, "supercategory": "things"} for number, name in ((1, "cat"), (3, "dog"))
    ]
    train = coco_content(categories=categories)
    train["annotations"].append({"id": 3, "image_id": 7, "category_id": 0, "bbox": [1, 2, 30, 40]})
    write_coco(tmp_path, train, file="annotations/instances_train.json")
    write_coco(tmp_path, coco_content(categories=categories), file="annotations/instances_val.json")
    report = inspect_dataset(tmp_path)
    assert report.names == ("things", "cat", "dog")
    counts = [[(one.name, one.boxes) for one in split.classes] for split in report.splits]
    assert counts == [[("things", 1), ("cat", 1), ("dog", 1)], [("things", 0), ("cat", 1), ("dog", 1)]]
