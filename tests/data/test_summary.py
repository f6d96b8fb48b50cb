"""What was read and what was left out, in one sentence."""

from __future__ import annotations

from pathlib import Path

from tests.formats.small_sets import write_yolo
from yolov7.data.summary import LeftOut, Summary, Tally
from yolov7.formats.opening import open_dataset


def test_the_sentence_names_all_that_is_left_out() -> None:
    tally = Tally()
    for path in ("a/.x.jpg", "a/.y.jpg"):
        tally.add("hidden", path)
    tally.add("of a kind that is not read", "b.heic", 1200)
    assert tuple(tally) == (
        LeftOut("hidden", 2, "a/.x.jpg"),
        LeftOut("of a kind that is not read", 1200, "b.heic"),
    )
    summary = Summary("val", 1500, 30, 2, unlabelled=3, empty=4, left_out=tuple(tally), errors=5, warnings=6)
    assert str(summary) == (
        "val: 1,500 images, 30 boxes, 2 classes; 3 images without a label file, 4 without a box; "
        "left out: hidden: 2 (such as a/.x.jpg), of a kind that is not read: 1,200 (such as b.heic); "
        "5 errors, 6 warnings"
    )
    assert str(Summary("val", 1, 0, 1, empty=1)) == "val: 1 image, 0 boxes, 1 class; 1 image without a box"


def test_images_without_label_files_and_without_boxes_are_told_apart(tmp_path: Path) -> None:
    box = "0 0.5 0.5 0.1 0.1\n"
    labels = {"a": box + "1 0.5 0.5 0.2 0.2\n", "b": "", "c": None, "d": None, "e": box + "9 0 0 1 1\n"}
    lines = open_dataset(write_yolo(tmp_path, labels)).account()
    assert lines[0] == (
        "val: 5 images, 3 boxes, 2 classes; 2 images without a label file, 1 without a box; 1 error"
    )
    assert lines[1].startswith(f"error: {tmp_path}/labels/val/e.txt:2: class 9")
