"""Descriptions of YOLO data sets: data.yaml and Darknet's .data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.formats.small_sets import write, write_yolo
from yolov7.errors import DataError
from yolov7.formats.opening import open_dataset
from yolov7.inspection import inspect_dataset

BOX = "0 0.5 0.5 0.25 0.5\n"


@pytest.mark.parametrize(
    ("yaml", "names"),
    [
        ("names: [yes, no]", ("yes", "no")),
        ("names: [null, ~, 1e3, 0o17, 1:30, 2001-99-99]", ("null", "~", "1e3", "0o17", "1:30", "2001-99-99")),
        ('names: {"0": a, "1": b}', ("a", "b")),
        ("names: {01: b, 00: a}\nnc: '2'", ("a", "b")),
        ("names: {1: b, 0: on}\nnc: 2.0", ("on", "b")),
        ("names: [Straße, кот, '犬']", ("Straße", "кот", "犬")),
        ("names: my.names", ("cat", "hot dog")),
        ("nc: 3", ("0", "1", "2")),
        ("names: [a]\nroboflow: {x: y}\nversion: 1e3\nval2: null", ("a",)),
    ],
)
def test_class_names_are_read_as_written(yaml: str, names: tuple[str, ...], tmp_path: Path) -> None:
    write(tmp_path / "my.names", "cat\n\nhot dog\n")
    file = write_yolo(tmp_path, {"a": BOX}, yaml=f"{yaml}\nval: images/val\n")
    assert open_dataset(file).names == names


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("names: {0: a, 0: b}", r"yaml:1: the key '0' is repeated"),
        ("names: {0: a, 00: b}", r"yaml:1: the names are not numbered 0, 1, 2, ...\s+expected: a name for 1"),
        (
            "names: {0: a, 2: b}",
            r"yaml:1: the names are not numbered.*\s+expected: a name for 1\s+found:    0, 2",
        ),
        ("names: {cat: 0, dog: 1}", r"yaml:1: class names without numbers\s.*\s+found:    cat: '0'"),
        ("names: {}", "yaml:1: no class names"),
        ("names: cat, dog", "yaml:1: no class names\\s.*\\s.*one text, 'cat, dog'"),
        ("names: [a, [b]]", "yaml:1: invalid class name: not text\\s+found:    a list of 1"),
        ("names: [a, {b: c}]", "yaml:1: invalid class name: not text\\s+found:    a mapping of 1"),
        ("names: [a, ]\nnc: 2", "yaml:2: the number of classes differs from the number of names"),
        ("names: [a, '']", "yaml:1: the name of class 1 is empty"),
        (f"names: [{'x' * 201}]", "yaml:1: the name of class 0 is too long"),
        ("names:\n- a\n-\n", "yaml:1: invalid class name: not text\\s+found:    nothing"),
        ("names: [" + "a," * 10_001 + "]", "yaml:1: too many classes\\s+expected: at most 10,000"),
        ("nc: 1000000000", "yaml:1: invalid number of classes\\s+expected: 1 to 10,000"),
        ("nc: 100000000000000000000", "yaml:1: invalid number of classes"),
        ("nc: -1", "yaml:1: invalid number of classes"),
        ("nc: [1]", "yaml:1: invalid number of classes"),
        ("nc: !!int foo", "yaml:1: invalid number of classes\\s.*\\s+found:    'foo'"),
        ("nc: 2\nclasses: [a, b]", "yaml:2: unknown key 'classes'; did you mean names"),
        ("Names: [a, b]", "yaml:1: unknown key 'Names'; did you mean names"),
        ("names: [a]\nTrain: images/val", "yaml:2: unknown key 'Train'; did you mean train"),
        ("names: [a]\ntran: images/val", "yaml:2: unknown key 'tran'; did you mean train"),
        ("names: [a]\nkpt_shape: 17", "yaml:2: invalid kpt_shape"),
        ("names: [a]\nkpt_shape: [17, 4]", "yaml:2: invalid kpt_shape"),
        ("names: [a]\nkpt_shape: [{}, 2]", "yaml:2: invalid kpt_shape"),
        ("names: [a]\ntest: [[a]]", "yaml:2: invalid split: not a path or a list of paths"),
        ('names: [a]\ntest: "a\\0b"', "yaml:2: invalid split"),
        ("names: [a]\npath: [a]", "yaml:2: invalid path"),
    ],
)
def test_an_invalid_data_yaml_is_refused_with_its_line(yaml: str, message: str, tmp_path: Path) -> None:
    file = write_yolo(tmp_path, {"a": BOX}, yaml=f"{yaml}\nval: images/val\n")
    with pytest.raises(DataError, match=message) as refused:
        inspect_dataset(file)
    assert len(str(refused.value)) < 1000


def test_repeated_names_and_unknown_keys_are_warnings(
    tmp_path: Path, one_defect: Callable[..., None]
) -> None:
    file = write_yolo(tmp_path, {"a": BOX})
    for names, message in (
        ("a, b, a", "1 class name is repeated: a"),
        ("a, b, b, a, b", "2 class names are repeated: a, b"),
    ):
        write(file, f"val: images/val\nnames: [{names}]\n")
        one_defect(open_dataset(file).defects, "warning", f"{file}:2", message)
    write(file, "val: images/val\nnames: [a]\nworkers: 4\n")
    one_defect(open_dataset(file).defects, "warning", f"{file}:3", "keys that are not read: workers")


def test_another_encoding_of_data_yaml_is_one_warning(
    tmp_path: Path, one_defect: Callable[..., None]
) -> None:
    file = write_yolo(tmp_path, {"a": BOX})
    file.write_bytes("train: images/val\nval: images/val\nnames: [кот, дом]\n".encode("cp1251"))
    report = inspect_dataset(file)
    one_defect(report.defects, "warning", file, "not utf-8: read as latin-1")
    file.write_bytes("val: images/val\nnames: [кот, дом]\n".encode("utf-16"))
    assert open_dataset(file).names == ("кот", "дом")
    assert not open_dataset(file).defects


def test_a_darknet_data_file_is_read(tmp_path: Path) -> None:
    write_yolo(tmp_path, {"a": BOX})
    (tmp_path / "data.yaml").unlink()
    write(tmp_path / "train.txt", "data/images/val/a.png\n")
    write(tmp_path / "obj.names", "cat\nhot dog\n")
    file = write(
        tmp_path / "obj.data", "classes = 2\n# made by hand\ntrain = data/train.txt\nnames = data/obj.names\n"
    )
    for path in (file, tmp_path):
        dataset = open_dataset(path, "train")
        assert dataset.names == ("cat", "hot dog")
        assert [len(image) for image in dataset.images] == [1]
        assert [defect.severity for defect in dataset.defects] == ["warning", "warning"]
    write(file, "classes = 3\ntrain = train.txt\nnames = obj.names\n")
    with pytest.raises(DataError, match=r"obj.data:1: the number of classes .*\s+expected: classes = 2"):
        open_dataset(tmp_path, "train")
    write(file, "train = train.txt\nnames = gone.names\n")
    with pytest.raises(DataError, match=r"obj.data:2: the file of class names gone.names does not exist"):
        open_dataset(tmp_path, "train")
    write(file, "train: train.txt\n")
    with pytest.raises(DataError, match=r"obj.data:1: not a Darknet .data file"):
        open_dataset(tmp_path, "train")
