"""YOLO labels: boxes, polygons and every defect with its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.formats.small_sets import HEIGHT, WIDTH, write, write_image, write_yolo
from yolov7.errors import DataError
from yolov7.formats.opening import open_dataset

DOG = "1 0.5 0.5 0.25 0.5\n"


def test_boxes_and_polygons_are_read(tmp_path: Path) -> None:
    polygon = "0 0.1 0.1 0.6 0.2 0.3 0.9\n"
    dataset = open_dataset(write_yolo(tmp_path, {"a": DOG + "\n" + polygon, "b": "", "c": None}))
    assert dataset.kind == "yolo"
    assert dataset.names == ("cat", "dog")
    assert dataset.category_ids == (0, 1)
    assert [image.image_id for image in dataset.images] == ["a", "b", "c"]
    assert dataset.unlabelled == 1
    assert not dataset.defects
    a = dataset.images[0]
    assert a.size == (HEIGHT, WIDTH)
    np.testing.assert_allclose(a.boxes, [[30, 15, 50, 45], [8, 6, 48, 54]], rtol=1e-6)
    np.testing.assert_array_equal(a.labels, [1, 0])
    np.testing.assert_allclose(a.areas, [600, 1920], rtol=1e-5)
    assert a.polygons[0] is None
    np.testing.assert_allclose(a.polygons[1], [[8, 6], [48, 12], [24, 54]], rtol=1e-6)
    sample = dataset[0]
    assert sample.image.shape == (HEIGHT, WIDTH, 3)
    assert sample.boxes is a.boxes
    assert sample.crowds is not None
    assert not sample.crowds.any()
    assert [len(image) for image in dataset.images] == [2, 0, 0]
    assert dataset.images[1].boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("label", "severity", "message"),
    [
        ("1 0.5 0.5 nan 0.5", "error", "not finite"),
        ("1 0.5 0.5 inf 0.5", "error", "not finite"),
        ("1 -0.5 0.5 0.2 0.5", "error", "not in fractions"),
        ("1 0.5 0.5 -0.2 0.5", "error", "not in fractions"),
        ("1 40 30 20 10", "error", "not in fractions"),
        ("1 0.5 0.5 0 0.5", "warning", "no width or no height"),
        ("1 0.5 0.5 0.2", "error", "4 columns"),
        ("1 0.5 0.5 0.2 0.2 0.99", "error", "6 columns"),
        ("1", "error", "1 columns"),
        ("1 0.1 0.1 0.6 0.2 0.3 0.9 0.4", "error", "8 columns"),
        ("dog 0.5 0.5 0.2 0.2", "error", "not numbers"),
        ("1,0.5,0.5,0.2,0.2", "error", "not numbers"),
        ("2 0.5 0.5 0.2 0.2", "error", "class 2 is not one of 0..1"),
        ("-1 0.5 0.5 0.2 0.2", "error", "class -1 is not one of 0..1"),
        ("0.5 0.5 0.5 0.2 0.2", "error", "class 0.5 is not one of 0..1"),
        ("nan 0.5 0.5 0.2 0.2", "error", "class nan is not one of 0..1"),
        ("1 0.95 0.5 0.2 0.2", "warning", "reaches outside"),
        ("1 0.1 0.1 1.2 0.2 0.3 0.9", "warning", "reaches outside"),
        ("1 12 10 60 20 30 50", "error", "polygon is not in fractions"),
        (DOG.strip(), "warning", "repeats"),
    ],
)
def test_an_invalid_label_is_one_defect_with_its_line(
    label: str, severity: str, message: str, tmp_path: Path, one_defect: Callable[..., None]
) -> None:
    dataset = open_dataset(write_yolo(tmp_path, {"a": f"{DOG}\n{label}\n0 0.2 0.2 0.1 0.1\n"}))
    one_defect(dataset.defects, severity, f"{tmp_path}/labels/val/a.txt:3", message)
    image = dataset.images[0]
    clipped = message == "reaches outside"
    assert image.labels.tolist() == ([1, 1, 0] if clipped else [1, 0])
    assert (image.boxes >= 0).all()
    assert (image.boxes <= (WIDTH, HEIGHT, WIDTH, HEIGHT)).all()
    if clipped:
        assert image.boxes[1, 2] == WIDTH
        assert all(polygon is None or polygon.max() <= WIDTH for polygon in image.polygons)


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (b"\xef\xbb\xbf1 0.5 0.5 0.25 0.5\r\n0 0.2 0.2 0.1 0.1", 0),  # a byte-order mark, Windows line ends
        (b"\xff\xfe" + DOG.encode("utf-16-le"), 0),  # what PowerShell writes
        ("1 0.5 0.5 0.25 0.5\nhündin 0.5 0.5 0.2 0.2".encode("latin-1"), 2),
        (b"\0\xff\xd8 binary \x93", 2),
        (DOG.encode() + b"1 " + b"9" * 5000, 1),
        (DOG.encode() + b"1e400 0.1 0.1 0.1 0.1", 1),
    ],
)
def test_other_encodings_and_binary_data_are_defects_at_most(data: bytes, count: int, tmp_path: Path) -> None:
    dataset = open_dataset(write_yolo(tmp_path, {"a": data, "b": DOG}))
    assert len(dataset.defects) == count
    assert all(defect.file.endswith("a.txt") for defect in dataset.defects)
    assert len(dataset) == 2


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize(("beyond", "sound"), [(1e-7, True), (0.0009, True), (0.0011, False), (0.1, False)])
def test_the_tolerance_is_the_same_below_zero_and_above_one(
    number: int, beyond: float, sound: bool, tmp_path: Path
) -> None:
    """Centres and sizes of -1e-7 are as valid as those of 1.0000001."""
    for fraction in (-beyond, 1 + beyond):
        fields = ["0.5", "0.5", "0.25", "0.5"]
        fields[number] = f"{fraction:.7f}"
        dataset = open_dataset(write_yolo(tmp_path, {"a": f"{DOG}\n0 {' '.join(fields)}\n"}))
        errors = [defect.message for defect in dataset.defects if defect.severity == "error"]
        assert bool(errors) is not sound
        assert all("is not in fractions of the image, 0..1: dropped" in error for error in errors)
        box = dataset.images[0].boxes
        assert (box >= 0).all()
        assert (box <= (WIDTH, HEIGHT, WIDTH, HEIGHT)).all()


def test_values_rounded_beyond_the_edge_are_no_defect(tmp_path: Path) -> None:
    dataset = open_dataset(write_yolo(tmp_path, {"a": "0 0.5 0.5 1.0001 1.0\n1 0.90001 0.5 0.2 0.2\n"}))
    assert not dataset.defects
    assert len(dataset.images[0]) == 2


def test_an_unreadable_image_is_left_out(tmp_path: Path, one_defect: Callable[..., None]) -> None:
    file = write_yolo(tmp_path, {"a": DOG, "b": DOG})
    broken = tmp_path / "images/val/b.png"
    broken.write_bytes(b"")
    dataset = open_dataset(file)
    one_defect(dataset.defects, "error", broken, "the file is empty")
    assert [image.image_id for image in dataset.images] == ["a"]


def test_a_label_file_without_an_image_is_an_error(tmp_path: Path, one_defect: Callable[..., None]) -> None:
    file = write_yolo(tmp_path, {"a": DOG})
    stray = write(tmp_path / "labels/val/gone.txt", DOG)
    write(tmp_path / "labels/val/classes.txt", "cat\ndog\n")
    one_defect(open_dataset(file).defects, "error", stray, "without an image")


def test_without_any_label_file_the_error_names_the_expected_one(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=rf"data.yaml:1: none of the 1 images.*\s+expected: .*{tmp_path}/labels/val/a.txt"
    ):
        open_dataset(write_yolo(tmp_path, {"a": None}))


@pytest.mark.parametrize(
    "entry",
    [
        "images/val",
        "./images/val/",
        "../images/val",
        "images/**/*.png",
        "[images/val, images/more]",
        "list.txt",
        "{tmp}/images/val",
        "{tmp}/images/va?/*.png",
        "[images/val/1.png, images/val/02.png]",
    ],
)
def test_images_may_be_named_as_folder_list_or_glob(entry: str, tmp_path: Path) -> None:
    (tmp_path / "images/more").mkdir(parents=True)
    write(tmp_path / "list.txt", "./images/val/1.png\n\nimages\\val\\02.png\n")
    file = write_yolo(
        tmp_path, {"1": DOG, "02": DOG}, yaml=f"val: {entry.format(tmp=tmp_path)}\nnames: [a, b]\n"
    )
    for path in (file, tmp_path):
        dataset = open_dataset(path)
        assert sorted(image.path.resolve() for image in dataset.images) == [
            (tmp_path / f"images/val/{name}.png").resolve() for name in ("02", "1")
        ]
        assert {image.image_id for image in dataset.images} == {1, 2}
        assert not dataset.unlabelled


def test_path_is_the_base_of_relative_paths(tmp_path: Path) -> None:
    write_yolo(tmp_path / "data", {"a": DOG})
    file = write(tmp_path / "set.yaml", "path: data\nval: images/val\nnames: {0: cat, 1: dog}\nnc: 2\n")
    assert len(open_dataset(file)) == 1


def test_images_named_twice_are_taken_once(tmp_path: Path, one_defect: Callable[..., None]) -> None:
    file = write_yolo(tmp_path, {"a": DOG}, yaml="names: [a, b]\nval: [images/val, images/val]\n")
    dataset = open_dataset(file)
    assert len(dataset) == 1
    one_defect(dataset.defects, "warning", f"{file}:2", "more than once")


def test_missing_images_of_a_list_are_errors(tmp_path: Path, one_defect: Callable[..., None]) -> None:
    listed = write(tmp_path / "val.txt", f"images/val/a.png\nimages/val/gone.png\n{'x' * 5000}\n")
    dataset = open_dataset(write_yolo(tmp_path, {"a": DOG}, yaml="val: val.txt\nnames: [a, b]\n"))
    assert len(dataset) == 1
    one_defect(dataset.defects[:1], "error", f"{listed}:2", "no such image: images/val/gone.png")
    assert dataset.defects[1].line == 3


def test_label_files_may_lie_beside_the_images(tmp_path: Path) -> None:
    write_image(tmp_path / "images/a.png")
    write(tmp_path / "images/a.txt", DOG)
    dataset = open_dataset(write(tmp_path / "data.yaml", "val: images\nnames: [a, b]\n"))
    assert len(dataset.images[0]) == 1
    assert not dataset.defects


def test_image_ids_are_unique_despite_equal_stems(tmp_path: Path) -> None:
    write_yolo(tmp_path, {"1": DOG}, split="x")
    file = write_yolo(tmp_path, {"1": DOG}, split="y", yaml="val: images\nnames: [a, b]\n")
    assert len({image.image_id for image in open_dataset(file).images}) == 2


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        (
            "val: images/val\nnc: 3\nnames: [cat, dog]\n",
            r"data.yaml:2: the number of classes.*\s+expected: nc: 2",
        ),
        ("val: images/val\n", "no class names"),
        ("val: images/val\nnames: []\n", "no class names"),
        ("val: images/val\nnames: coco.names\n", "no class names"),
        ("names: {1: cat, 2: dog}\nval: images/val\n", "data.yaml:1: the names are not numbered"),
        ("val: images/val\nnames: [cat\n", r"data.yaml:\d: not yaml"),
        ("- images\n", "a mapping with names"),
        (
            "train: images/gone\nval: images/gone\nnames: [a]\n",
            r"data.yaml:2: val: images/gone does not exist",
        ),
        ("val: images\nnames: [a]\ntrain: 3\n", "no split 'test'.*\n.*one of train, val"),
        ("val: {a: b}\nnames: [a]\n", "data.yaml:1: invalid split"),
        ("val: labels\nnames: [a]\n", "data.yaml:1: no images"),
        ("names: [a]\n", "no split"),
    ],
)
def test_an_invalid_data_yaml_is_refused(yaml: str, message: str, tmp_path: Path) -> None:
    file = write_yolo(tmp_path, {"a": DOG}, yaml=yaml)
    with pytest.raises(DataError, match=message):
        open_dataset(file, "test" if "'test'" in message else "val")


def test_class_names_may_be_numbers_or_only_counted(tmp_path: Path) -> None:
    file = write_yolo(tmp_path, {"a": DOG}, yaml="val: images/val\nnc: 2\n")
    assert open_dataset(file).names == ("0", "1")
    file = write_yolo(tmp_path, {"a": DOG}, yaml="val: images/val\nnames: [7, 8]\n")
    assert open_dataset(file).names == ("7", "8")
