"""Defects that data sets have in practice: each is reported with file and line, and the rest is read.

Each is opened as training opens it: the labels are read, the images decoded into the cache.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from yolov7.data.cache import open_cache
from yolov7.errors import DataError
from yolov7.formats.opening import open_dataset
from yolov7.inspection import inspect_dataset

CAT, DOG = "0 0.2 0.2 0.1 0.1\n", "1 0.5 0.5 0.25 0.5\n"
BOX = {"image_id": 7, "category_id": 3, "bbox": [1, 2, 30, 40]}


def yolo(label: str | bytes) -> Callable[[Path], Path]:
    """Data set of three images; the second has a cat, the label and a dog."""
    middle = label if isinstance(label, bytes) else f"{CAT}{label}\n{DOG}"
    return lambda root: write_yolo(root, {"a": CAT, "b": middle, "c": DOG})


def yolo_images(change: Callable[[Path], object]) -> Callable[[Path], Path]:
    """Data set of three images with a cat each, the second of which is changed."""

    def make(root: Path) -> Path:
        file = write_yolo(root, dict.fromkeys("abc", CAT))
        change(root / "images/val/b.png")
        return file

    return make


def yolo_list(root: Path) -> Path:
    write(root / "val.txt", "images/val/a.png\nimages/val/gone.png\nimages/val/b.png\n")
    return write_yolo(root, {"a": CAT, "b": CAT}, yaml="names: [cat, dog]\nval: val.txt\n")


def coco(**annotation: Any) -> Callable[[Path], Path]:
    """Data set of two images with a box each, and an annotation more, in line 6."""

    def make(root: Path) -> Path:
        content = coco_content()
        content["annotations"].insert(0, {"id": 9, **BOX, **annotation})
        return coco_by_lines(root, content)

    return make


def coco_images(*images: dict[str, Any]) -> Callable[[Path], Path]:
    """Data set of two images with a box each, and entries for more images."""

    def make(root: Path) -> Path:
        content = coco_content()
        content["images"] += images
        return coco_by_lines(root, content)

    return make


def coco_by_lines(root: Path, content: dict[str, Any]) -> Path:
    write_coco(root, content)
    lists = [
        f'"{key}": [\n' + ",\n".join(map(json.dumps, content[key])) + "\n]"
        for key in ("images", "annotations", "categories")
    ]
    return write(root / "instances.json", "{" + ",\n".join(lists) + "}")


def voc(bad: str) -> Callable[[Path], Path]:
    """Data set of two images with a dog each; the first has a second object, in line 4."""
    xmls = {"a": voc_xml(voc_object(), bad), "b": voc_xml(voc_object())}
    return lambda root: write_voc(root, xmls)


def voc_text(text: str | bytes) -> Callable[[Path], Path]:
    return lambda root: write_voc(root, {"a": text, "b": voc_xml(voc_object())})


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


@dataclass(frozen=True)
class Broken:
    """Data set with a defect: how to make it, the expected report, and what is left."""

    make: Callable[[Path], Path]
    severity: str
    place: str
    message: str
    images: int
    boxes: int


B = "labels/val/b.txt"
YOLO = {
    "NaN": Broken(yolo("1 nan 0.5 0.2 0.2"), "error", f"{B}:2", "not finite", 3, 4),
    "infinite": Broken(yolo("1 0.5 inf 0.2 0.2"), "error", f"{B}:2", "not finite", 3, 4),
    "negative centre": Broken(yolo("1 -0.5 0.5 0.2 0.2"), "error", f"{B}:2", "not in fractions", 3, 4),
    "negative width": Broken(yolo("1 0.5 0.5 -0.2 0.2"), "error", f"{B}:2", "not in fractions", 3, 4),
    "pixels": Broken(yolo("1 40 30 20 10"), "error", f"{B}:2", "not in fractions", 3, 4),
    "no such class": Broken(yolo("2 0.5 0.5 0.2 0.2"), "error", f"{B}:2", "class 2 is not one of 0..1", 3, 4),
    "negative class": Broken(yolo("-1 0.5 0.5 0.2 0.2"), "error", f"{B}:2", "class -1 is not", 3, 4),
    "a missing column": Broken(yolo("1 0.5 0.5 0.2"), "error", f"{B}:2", "4 columns", 3, 4),
    "an extra column": Broken(yolo("1 0.5 0.5 0.2 0.2 0.9"), "error", f"{B}:2", "6 columns", 3, 4),
    "text": Broken(yolo("dog 0.5 0.5 0.2 0.2"), "error", f"{B}:2", "not numbers: 'dog 0.5", 3, 4),
    "commas": Broken(yolo("1,0.5,0.5,0.2,0.2"), "error", f"{B}:2", "not numbers", 3, 4),
    "decimal commas": Broken(yolo("1 0,5 0,5 0,2 0,2"), "error", f"{B}:2", "not numbers", 3, 4),
    "zero size": Broken(yolo("1 0.5 0.5 0 0.2"), "warning", f"{B}:2", "no width or no height", 3, 4),
    "zero when rounded": Broken(
        yolo("1 0.5 0.5 1e-12 0.2"), "warning", f"{B}:2", "no width or no height", 3, 4
    ),
    "partly outside": Broken(yolo("1 0.95 0.5 0.2 0.2"), "warning", f"{B}:2", "clipped", 3, 5),
    "a repeated box": Broken(yolo(DOG.strip()), "warning", f"{B}:3", "repeats another", 3, 4),
    "a polygon without area": Broken(
        yolo("1 0.1 0.1 0.5 0.1 0.9 0.1"), "warning", f"{B}:2", "no height", 3, 4
    ),
    "latin-1": Broken(
        yolo((CAT + "# Käfig\n" + DOG).encode("latin-1")), "error", f"{B}:2", "not numbers", 3, 4
    ),
    "utf-16 without byte order mark": Broken(
        yolo((CAT + DOG).encode("utf-16-le")), "warning", B, "read as utf-16-le", 3, 4
    ),
    "no image for a label": Broken(
        yolo_images(lambda path: path.unlink()), "error", B, "labels without an image", 2, 2
    ),
    "empty image": Broken(
        yolo_images(lambda path: path.write_bytes(b"")), "error", "images/val/b.png", "empty", 2, 2
    ),
    "a web page as image": Broken(
        yolo_images(lambda path: path.write_text("<html>404</html>")),
        *("error", "images/val/b.png", "not an image in a known format", 2, 2),
    ),
    "truncated image": Broken(yolo_images(cut), "error", "images/val/b.png", "truncated", 2, 2),
    "an image in the list is missing": Broken(yolo_list, "error", "val.txt:2", "no such image", 2, 2),
}
COCO = {
    "unknown image": Broken(coco(image_id=99), "error", "instances.json:6", "no image has the id 99", 2, 2),
    "unknown category": Broken(coco(category_id=2), "error", "instances.json:6", "has the id 2", 2, 2),
    "no box": Broken(coco(bbox=None), "error", "instances.json:6", "bbox must be", 2, 2),
    "text in a box": Broken(coco(bbox=[1, 2, "x", 4]), "error", "instances.json:6", "bbox must be", 2, 2),
    "NaN": Broken(coco(bbox=[1, 2, float("nan"), 4]), "error", "instances.json:6", "not finite", 2, 2),
    "outside": Broken(coco(bbox=[90, 2, 3, 4]), "error", "instances.json:6", "lies outside", 2, 2),
    "negative height": Broken(coco(bbox=[9, 2, 3, -4]), "error", "instances.json:6", "negative", 2, 2),
    "no width": Broken(coco(bbox=[9, 2, 0, 4]), "warning", "instances.json:6", "no width", 2, 2),
    "a repeated id": Broken(
        coco(id=1), "warning", "instances.json:7", "another annotation has the same id", 2, 3
    ),
    "the same box again": Broken(
        coco(bbox=[10, 10, 20, 30]), "warning", "instances.json:7", "repeats another", 2, 2
    ),
    "a polygon with two points": Broken(
        coco(segmentation=[[1, 2, 30, 40]]), "warning", "instances.json:6", "fewer than 3 points", 2, 3
    ),
    "a polygon with half a point": Broken(
        coco(segmentation=[[1, 2, 30, 40, 5]]), "warning", "instances.json:6", "polygon", 2, 3
    ),
    "an id for two images": Broken(
        coco_images({"id": 7, "file_name": "5.png"}), "error", "instances.json:4", "given twice", 2, 2
    ),
    "an image without a name": Broken(
        coco_images({"id": 8}), "error", "instances.json:4", "without id or file_name", 2, 2
    ),
    "another size": Broken(
        coco_images({"id": 8, "file_name": "8.png", "height": 80, "width": 60}),
        *("warning", "instances.json:4", "listed as 60 x 80", 3, 2),
    ),
}
VOC = {
    "corners exchanged": Broken(
        voc(voc_object(box=(30, 20, 10, 40))), "error", "Annotations/a.xml:4", "negative width", 2, 2
    ),
    "no corner": Broken(
        voc("<object><name>dog</name></object>\n"), "error", "Annotations/a.xml:4", "without name", 2, 2
    ),
    "words for numbers": Broken(
        voc(voc_object(box=(10, "x", 30, 40))), "error", "Annotations/a.xml:4", "is not a number", 2, 2
    ),
    "xml cut off": Broken(
        voc_text(voc_xml(voc_object())[:-20]), "error", "Annotations/a.xml:3", "not xml", 1, 1
    ),
    "an empty xml": Broken(voc_text(""), "error", "Annotations/a.xml:1", "not xml", 1, 1),
    "undeclared latin-1": Broken(
        voc_text(voc_xml(voc_object("Kätzchen")).encode("latin-1")),
        *("warning", "Annotations/a.xml", "read as latin-1", 2, 2),
    ),
    "a listed image is missing": Broken(
        lambda root: write_voc(root, {"a": voc_xml(voc_object())}, {"val": "a gone"}),
        *("error", "ImageSets/Main/val.txt:2", "no image for gone", 1, 1),
    ),
}


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(broken, id=f"{kind}-{name}")
        for kind, cases in (("yolo", YOLO), ("coco", COCO), ("voc", VOC))
        for name, broken in cases.items()
    ],
)
def test_a_defect_is_reported_with_its_place_and_the_rest_is_read(broken: Broken, tmp_path: Path) -> None:
    root = tmp_path / "data"
    dataset = open_cache(open_dataset(broken.make(root)), 64, tmp_path / "cache")
    (defect,) = [defect for defect in dataset.defects if broken.message in defect.message]
    assert str(defect).startswith(f"{root}/{broken.place}: ")
    assert defect.severity == broken.severity
    assert len(dataset) == broken.images
    assert sum(len(image) for image in dataset.images) == broken.boxes
    assert [len(dataset[index].boxes) for index in range(len(dataset))] == list(map(len, dataset.images))
    if broken.severity == "warning":
        dataset.require_sound()
    else:
        with pytest.raises(DataError, match="--ignore-defects goes on") as refused:
            dataset.require_sound()
        assert str(defect) in str(refused.value)
    dataset.require_sound(ignore=True)


def without(folder: str) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        file = write_yolo(root, dict.fromkeys("abc", CAT))
        shutil.rmtree(root / folder)
        return file

    return make


def yaml(text: str) -> Callable[[Path], Path]:
    return lambda root: write_yolo(root, {"a": CAT}, yaml=text)


def coco_text(change: Callable[[str], str]) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        file = coco_by_lines(root, coco_content())
        return write(file, change(file.read_text()))

    return make


@pytest.mark.parametrize(
    ("make", "place", "message"),
    [
        pytest.param(*case, id=name)
        for name, case in {
            "no label folder": (
                without("labels"),
                "data.yaml:1",
                "none of the 3 images of 'val' has a label",
            ),
            "no image folder": (without("images"), "data.yaml:1", "images/val does not exist"),
            "no image": (without("images/val"), "data.yaml:1", "images/val does not exist"),
            "a missing folder": (
                yaml("names: [cat]\nval: elsewhere\n"),
                *("data.yaml:2", "elsewhere does not exist"),
            ),
            "more names than nc": (
                yaml("val: images/val\nnc: 1\nnames: [cat, dog]\n"),
                *("data.yaml:2", "number of classes differs from the number of names"),
            ),
            "invalid yaml": (yaml("val: images/val\nnames: [cat\n"), "data.yaml:3", "not yaml"),
            "yaml with tabs": (yaml("names:\n\t- cat\nval: images/val\n"), "data.yaml:2", "not yaml"),
            "json cut off": (coco_text(lambda text: text[:-40]), "instances.json:10", "not json"),
            "json with a comma too many": (
                coco_text(lambda text: text.replace("}\n]", "},\n]", 1)),
                *("instances.json:4", "not json"),
            ),
            "json without annotations": (
                coco_text(lambda text: text.replace("annotations", "labels")),
                *("instances.json", "no list of annotations"),
            ),
            "a repeated category id": (
                coco_text(lambda text: text.replace('"id": 3,', '"id": 1,')),
                *("instances.json:11", "a unique integer id"),
            ),
        }.items()
    ],
)
def test_an_unusable_data_set_is_an_error_with_its_place(
    make: Callable[[Path], Path], place: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as refused:
        open_dataset(make(tmp_path))
    first, *_ = str(refused.value).splitlines()
    assert first.startswith(f"{tmp_path}/{place}: "), first
    assert message in first


def test_empty_label_files_are_images_without_objects(tmp_path: Path) -> None:
    dataset = open_dataset(write_yolo(tmp_path, {"a": "", "b": "\n \n", "c": CAT, "d": None}))
    dataset.require_sound()
    assert [len(image) for image in dataset.images] == [0, 0, 1, 0]
    assert dataset.unlabelled == 1


def test_an_image_in_train_and_val_is_a_leak(tmp_path: Path) -> None:
    write_yolo(tmp_path, {"a": CAT, "b": CAT}, split="train")
    yaml = "train: images/train\nval: images/val\nnames: [cat]\n"
    file = write_yolo(tmp_path, {"c": CAT}, yaml=yaml)
    shutil.copy(tmp_path / "images/train/b.png", tmp_path / "images/val/c.png")
    (leak,) = inspect_dataset(file).leaks
    assert [path for _, path in leak.places] == [
        f"{tmp_path}/images/train/b.png",
        f"{tmp_path}/images/val/c.png",
    ]
