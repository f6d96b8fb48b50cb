"""Recognition of YOLO data sets by their files and folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats.small_sets import voc_object, voc_xml, write, write_image, write_voc, write_yolo
from yolov7.errors import DataError
from yolov7.formats.opening import find_layout, open_dataset

BOX = "0 0.5 0.5 0.25 0.5\n"


def put(root: Path, images: str, labels: str, name: str = "a") -> None:
    write_image(root / images / f"{name}.png")
    write(root / labels / f"{name}.txt", BOX)


@pytest.mark.parametrize(
    ("folders", "names", "splits"),
    [
        ({"images": "labels"}, "classes.txt", ("all",)),  # Label Studio
        ({".": "."}, "classes.txt", ("all",)),  # labelImg
        ({".": "."}, "my.names", ("all",)),
        ({"obj_train_data": "obj_train_data"}, "obj.names", ("all",)),
        ({"train/images": "train/labels", "valid/images": "valid/labels"}, "classes.txt", ("train", "valid")),
        (
            {"images/train": "labels/train", "images/val": "labels/val"},
            "labels/classes.txt",
            ("train", "val"),
        ),
        ({"train": "train", "test": "test"}, "train/_darknet.labels", ("test", "train")),
    ],
)
def test_folders_with_a_file_of_class_names_are_recognised(
    folders: dict[str, str], names: str, splits: tuple[str, ...], tmp_path: Path
) -> None:
    for images, labels in folders.items():
        put(tmp_path, images, labels, "a")
        put(tmp_path, images, labels, "b")
    write(tmp_path / names, "cat\nhot dog\n")
    write(tmp_path / "notes.json", '{"categories": [{"id": 0, "name": "cat"}], "info": {}}')
    layout = find_layout(tmp_path)
    assert tuple(sorted(layout.splits)) == splits
    for split in splits:
        dataset = layout.read(split)
        assert dataset.names == ("cat", "hot dog")
        assert [len(image) for image in dataset.images] == [1, 1]
        assert not dataset.defects


def test_missing_class_names_are_named_in_the_error(tmp_path: Path) -> None:
    put(tmp_path, "train/images", "train/labels")
    put(tmp_path, "valid/images", "valid/labels")
    message = (
        r"no data set here\s+expected: .*\s+found:    images with YOLO labels in .*train/images, .* neither"
    )
    with pytest.raises(DataError, match=message):
        find_layout(tmp_path)


def test_several_yaml_files_are_refused(tmp_path: Path) -> None:
    file = write_yolo(tmp_path, {"a": BOX})
    text = file.read_text()
    file.rename(tmp_path / "a.yaml")
    write(tmp_path / "environment.yml", "name: x\ndependencies: [python]\n")
    assert len(open_dataset(tmp_path)) == 1
    write(tmp_path / "b.yaml", text)
    with pytest.raises(
        DataError, match=r"several files describe a data set; name one of them\s.*a.yaml, b.yaml"
    ):
        open_dataset(tmp_path)


def test_a_data_set_in_a_subfolder_is_found_if_it_is_the_only_one(tmp_path: Path) -> None:
    write_voc(tmp_path / "VOCdevkit/VOC2007", {"a": voc_xml(voc_object())})
    for root in (tmp_path, tmp_path / "VOCdevkit"):
        if root == tmp_path:
            with pytest.raises(DataError, match="no data set here"):
                open_dataset(root)
        else:
            assert open_dataset(root).kind == "voc"
    write_voc(tmp_path / "VOCdevkit/VOC2012", {"a": voc_xml(voc_object())})
    with pytest.raises(
        DataError, match=r"several data sets here; name one of them\s+found:    VOC2007, VOC2012"
    ):
        open_dataset(tmp_path / "VOCdevkit")
