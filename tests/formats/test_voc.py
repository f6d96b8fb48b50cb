"""Pascal VOC: the devkit's folders, xml files beside images, every defect with its line, hostile xml."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.formats.small_sets import voc_object, voc_xml, write, write_image, write_voc
from yolov7.errors import DataError
from yolov7.formats.opening import open_dataset


def test_splits_of_a_devkit_are_read(tmp_path: Path) -> None:
    xmls = {
        "a": voc_xml(voc_object("dog"), voc_object("cat", (1, 2, 30.5, 40))),
        "b": voc_xml(voc_object("bird")),
        "c": voc_xml(),
        "d": None,
    }
    write_voc(tmp_path, xmls, {"train": "a c", "val": "b d", "trainval": "a b c d", "bird_train": "a -1"})
    dataset = open_dataset(tmp_path, "train")
    assert dataset.kind == "voc"
    assert dataset.names == ("bird", "cat", "dog")  # of all splits
    assert [image.image_id for image in dataset.images] == ["a", "c"]
    np.testing.assert_array_equal(dataset.images[0].boxes, np.float32([[10, 20, 30, 40], [1, 2, 30.5, 40]]))
    np.testing.assert_array_equal(dataset.images[0].labels, [2, 1])
    assert not dataset.defects
    val = open_dataset(tmp_path)
    assert val.unlabelled == 1
    assert [len(image) for image in val.images] == [1, 0]
    with pytest.raises(DataError, match=r"no split 'test'\s+expected: one of train, trainval, val"):
        open_dataset(tmp_path, "test")


def test_xml_files_beside_the_images_are_read(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("1", "2"):
            write_image(tmp_path / f"images/{split}/{name}.JPG")
            write(tmp_path / f"images/{split}/{name}.xml", voc_xml(voc_object(split)))
    dataset = open_dataset(tmp_path, "test")
    assert dataset.names == ("test", "train")
    assert [image.labels.tolist() for image in dataset.images] == [[0], [0]]
    assert [image.image_id for image in dataset.images] == [1, 2]
    alone = open_dataset(tmp_path / "images/test")
    assert alone.split == "all"
    assert alone.names == ("test",)


def test_folders_in_lower_case_are_recognised(tmp_path: Path) -> None:
    write_image(tmp_path / "images/a.png")
    write(tmp_path / "annotations/a.xml", voc_xml(voc_object()))
    assert len(open_dataset(tmp_path).images[0]) == 1


BAD_OBJECTS = [
    (voc_object(box=(10, 20, 10, 40)), "warning", "dog (10, 20, 10, 40) has no width or no height"),
    (voc_object(box=(30, 20, 10, 40)), "error", "has a negative width or height"),
    (voc_object(box=(10, "x", 30, 40)), "error", "dog: ymin 'x' is not a number"),
    (voc_object(box=(10, "nan", 30, 40)), "error", "not finite"),
    (voc_object(box=(10, "", 30, 40)), "error", "ymin '' is not a number"),
    (voc_object(box=(0.1, 0.2, 0.5, 0.9)), "error", "fractions of the image"),
    (voc_object(box=(100, 20, 300, 40)), "error", "lies outside"),
    (voc_object(box=(10, 20, 300, 40)), "warning", "reaches outside"),
    (voc_object(box=(-10, 20, 30, 40)), "warning", "reaches outside"),
    (voc_object(), "warning", "repeats"),
    (voc_object(name=" "), "error", "without name or bndbox"),
    ("<object><name>dog</name></object>\n", "error", "without name or bndbox"),
]


@pytest.mark.parametrize(("bad", "severity", "message"), BAD_OBJECTS)
def test_an_invalid_object_is_one_defect_with_its_line(
    bad: str, severity: str, message: str, tmp_path: Path, one_defect: Callable[..., None]
) -> None:
    xml = voc_xml(voc_object(), bad, voc_object("cat"))
    dataset = open_dataset(write_voc(tmp_path, {"a": xml}))
    one_defect(dataset.defects, severity, f"{tmp_path}/Annotations/a.xml:4", message)
    assert len(dataset.images[0]) == 2 + (message == "reaches outside")


def test_a_wrong_image_size_is_a_warning(tmp_path: Path, one_defect: Callable[..., None]) -> None:
    dataset = open_dataset(write_voc(tmp_path, {"a": voc_xml(voc_object(), size=(80, 60))}))
    one_defect(
        dataset.defects, "warning", f"{tmp_path}/Annotations/a.xml:2", "listed as 60 x 80, but is 80 x 60"
    )
    assert not open_dataset(write_voc(tmp_path, {"a": voc_xml(voc_object(), size=(0, 0))})).defects


BOMB = """<!DOCTYPE annotation [<!ENTITY a "dog"><!ENTITY b "&a;&a;&a;&a;">]>\n"""
FILE_ENTITY = """<!DOCTYPE annotation [<!ENTITY a SYSTEM "file:///etc/hostname">]>\n"""


@pytest.mark.parametrize(
    ("xml", "line", "message"),
    [
        (voc_xml(voc_object(), head=BOMB), ":1", "document types are not accepted"),
        (voc_xml(voc_object("&a;"), head="<!--\n-->" + FILE_ENTITY), ":2", "document types are not accepted"),
        (voc_xml(voc_object())[:-20], ":3", "not xml: unclosed token"),
        (voc_xml(voc_object("&undefined;")), ":3", "not xml: undefined entity"),
        ("", ":1", "not xml: no element found"),
        ("<annotation>\n<object></annotation>", ":2", "not xml: mismatched tag"),
        (b"\0\1\2\3", ":1", "not xml"),
        ("<annotation>\n" + "<a>" * 200, ":2", "nested deeper than 100"),
        ("<annotation>\n" + "<a/>" * 1_000_000, ":2", "more than 1,000,000 elements"),
    ],
)
def test_an_image_with_invalid_xml_is_left_out(
    xml: str | bytes, line: str, message: str, tmp_path: Path, one_defect: Callable[..., None]
) -> None:
    dataset = open_dataset(write_voc(tmp_path, {"a": xml, "b": voc_xml(voc_object())}))
    one_defect(dataset.defects, "error", f"{tmp_path}/Annotations/a.xml{line}", message)
    assert [image.image_id for image in dataset.images] == ["b"], "what is in a is not known"


def test_declared_and_undeclared_encodings_are_decoded(tmp_path: Path) -> None:
    declared = '<?xml version="1.0" encoding="{}"?>\n'
    xmls = {
        "gbk": voc_xml(voc_object("狗"), head=declared.format("gbk")).encode("gbk"),
        "latin": voc_xml(voc_object("hündin"), head=declared.format("iso-8859-1")).encode("latin-1"),
        "none": voc_xml(voc_object("kätzchen")).encode("latin-1"),
        "unknown": voc_xml(voc_object("cät"), head=declared.format("x-nonsense")).encode(),
        "hosts": voc_xml(voc_object("cät"), head=declared.format("punycode")).encode(),
        "source": voc_xml(voc_object("cät"), head=declared.format("unicode_escape")).encode(),
        "utf16": voc_xml(voc_object("dog"), head=declared.format("utf-16")).encode("utf-16"),
    }
    dataset = open_dataset(write_voc(tmp_path, xmls))
    assert dataset.names == ("cät", "dog", "hündin", "kätzchen", "狗")
    assert [Path(defect.file).stem for defect in dataset.defects] == ["hosts", "none", "source", "unknown"]
    assert "not punycode: read as utf-8" in dataset.defects[0].message


def test_missing_images_are_errors(tmp_path: Path, one_defect: Callable[..., None]) -> None:
    write_voc(tmp_path, {"a": voc_xml(voc_object())}, {"val": "a gone"})
    one_defect(
        open_dataset(tmp_path).defects, "error", f"{tmp_path}/ImageSets/Main/val.txt:2", "no image for gone"
    )
    write_image(tmp_path / "loose/a.jpg")
    write(tmp_path / "loose/a.xml", voc_xml(voc_object()))
    lonely = write(tmp_path / "loose/b.xml", voc_xml(voc_object()))
    one_defect(open_dataset(tmp_path / "loose").defects, "error", lonely, "no image for b")


def test_an_unreadable_image_is_left_out(tmp_path: Path, one_defect: Callable[..., None]) -> None:
    write_voc(tmp_path, {"a": voc_xml(voc_object()), "b": voc_xml(voc_object())})
    broken = tmp_path / "JPEGImages/b.jpg"
    broken.write_bytes(broken.read_bytes()[:50])
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 1
    one_defect(dataset.defects, "error", broken, "truncated")


def test_images_of_unsupported_formats_are_left_out(tmp_path: Path, one_defect: Callable[..., None]) -> None:
    """It is an error only if the image has labels and no readable copy."""
    write_voc(tmp_path / "devkit", {"a": voc_xml(voc_object()), "b": voc_xml(voc_object())})
    write_voc(tmp_path / "lists", {"a": voc_xml(voc_object())}, {"val": "a b", "train": "a"})
    for name in ("a.xml", "b.xml"):
        write(tmp_path / "loose" / name, voc_xml(voc_object()))
    write_image(tmp_path / "loose/a.png")
    (tmp_path / "devkit/JPEGImages/b.jpg").unlink()
    for folder in ("devkit/JPEGImages", "lists/JPEGImages", "loose"):
        for name in ("a.nef", "b.heic", "c.HEIC"):
            write(tmp_path / folder / name, "")
    for place, heic in (("devkit", 2), ("lists", 1), ("loose", 2)):
        dataset = open_dataset(tmp_path / place)
        assert [image.path.stem for image in dataset.images] == ["a"]
        assert {group.reason: group.count for group in dataset.left_out} == {
            "camera raw files, which are not supported": 1,
            "HEIF (HEIC) images, which are not supported": heic,
        }
        file = next((tmp_path / place).rglob("b.heic"))
        one_defect(dataset.defects, "error", file, "HEIF (HEIC) images, which are not supported")
    assert not open_dataset(tmp_path / "lists", "train").defects


def test_lists_may_have_spaces_paths_suffixes_and_flags(
    tmp_path: Path, one_defect: Callable[..., None]
) -> None:
    names = ("IMG 1", "IMG 2", "IMG 3", "IMG 4")
    write_voc(tmp_path, {name: voc_xml(voc_object()) for name in names})
    lines = ["IMG 1", "IMG 2  -1", "D:\\voc\\JPEGImages\\IMG 3.jpg", "IMG 4.jpg", "IMG 1"]
    file = write(tmp_path / "ImageSets/Main/val.txt", "\n".join(lines))
    dataset = open_dataset(tmp_path)
    assert [image.image_id for image in dataset.images] == list(names)
    one_defect(dataset.defects, "warning", f"{file}:5", "IMG 1 is listed again")


@pytest.mark.parametrize(("named", "taken"), [("a.png", "a.png"), ("a.jpg", "a.jpg"), ("b.bmp", "a.jpg")])
def test_the_xml_chooses_between_images_of_one_stem(
    named: str, taken: str, tmp_path: Path, one_defect: Callable[..., None]
) -> None:
    xml = voc_xml(voc_object()).replace("<annotation>", f"<annotation><filename>{named}</filename>")
    write_image(write_voc(tmp_path, {"a": xml}) / "JPEGImages/a.png")
    dataset = open_dataset(tmp_path)
    assert [image.path.name for image in dataset.images] == [taken]
    other = tmp_path / "JPEGImages" / ("a.jpg" if taken == "a.png" else "a.png")
    one_defect(dataset.defects, "error", other, f"shares its name with {tmp_path}/JPEGImages/{taken}")
    assert [(group.count, group.first) for group in dataset.left_out] == [(1, str(other))]


def test_if_no_xml_is_readable_the_error_has_the_first_reason(tmp_path: Path) -> None:
    write_voc(tmp_path, dict.fromkeys("ab", voc_xml(voc_object(), head=f"<!-- -->\n{BOMB}")))
    with pytest.raises(DataError, match=r"a\.xml:2: no object.*2 of 2 .*document types are not accepted"):
        open_dataset(tmp_path)


def test_ten_thousand_classes_and_stray_text_are_read(tmp_path: Path) -> None:
    names = [f"c{number:05}" for number in range(10_000)]
    random.Random(0).shuffle(names)
    dataset = open_dataset(write_voc(tmp_path, {"a": voc_xml(*map(voc_object, names), *["x<b/>"] * 50_000)}))
    assert [dataset.names[label] for label in dataset.images[0].labels] == names
    assert dataset.names == tuple(sorted(names))


def test_defects_beyond_a_limit_are_counted(tmp_path: Path) -> None:
    dataset = open_dataset(write_voc(tmp_path, {"a": voc_xml(voc_object(), *["<object/>\n"] * 5000)}))
    assert len(dataset.defects) == 1001
    assert dataset.defects[-1].message == f"4,000 more errors in {tmp_path}/JPEGImages/a.jpg"


def test_a_data_set_without_objects_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no object in any xml file"):
        open_dataset(write_voc(tmp_path, {"a": voc_xml()}))


def test_xml_files_may_lie_in_labels_or_in_subfolders(tmp_path: Path) -> None:
    for xml, image in (
        ("labels/a.xml", "images/a.png"),
        ("Annotations/site/a.xml", "JPEGImages/site/a.png"),
        ("Annotations/site/a.xml", "JPEGImages/a.png"),
    ):
        root = tmp_path / xml.replace("/", "-") / image.replace("/", "-")
        write(root / xml, voc_xml(voc_object()))
        write_image(root / image)
        write_image(root / image.split("/")[0] / ".ipynb_checkpoints/a-checkpoint.png")
        dataset = open_dataset(root)
        assert [len(labelled) for labelled in dataset.images] == [1]
        assert not dataset.defects


def test_missing_images_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    names = "\n".join(["a", *(f"gone{number}" for number in range(1500))])
    dataset = open_dataset(write_voc(tmp_path, {"a": voc_xml(voc_object())}, {"val": names}))
    assert len(dataset.defects) == 1001
    assert dataset.defects[-1].message == "500 more names without an image"
    assert [(entry.count, entry.reason) for entry in dataset.left_out] == [(1500, "names without an image")]
