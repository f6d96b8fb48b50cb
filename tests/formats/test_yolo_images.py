"""Images of YOLO data sets: folders, lists, globs and paths of other machines; what is left out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.formats.small_sets import write, write_image, write_yolo
from yolov7.data import folders
from yolov7.errors import DataError
from yolov7.formats import yolo_images
from yolov7.formats.opening import open_dataset
from yolov7.inspection import inspect_dataset

BOX = "0 0.5 0.5 0.25 0.5\n"


def test_hidden_and_system_files_are_left_out_and_counted(tmp_path: Path) -> None:
    file = write_yolo(tmp_path, {"a": BOX, "b": BOX})
    for name in (".ipynb_checkpoints/a-checkpoint.png", "__MACOSX/a.png", "@eaDir/a.png", "._a.png"):
        write_image(tmp_path / "images/val" / name)
    write(tmp_path / "images/val/.DS_Store", "")
    write(tmp_path / "images/val/b.heic", "")
    write(tmp_path / "images/val/film.mp4", "")
    write(tmp_path / "images/val/notes.txt", "")
    write(tmp_path / "labels/val/._a.txt", "")
    dataset = open_dataset(file)
    assert [image.image_id for image in dataset.images] == ["a", "b"]
    assert {group.reason: group.count for group in dataset.left_out} == {
        "hidden or made by the system": 4,
        "HEIF (HEIC) images, which are not supported": 1,
        "not images by their suffix": 1,
    }
    assert not dataset.defects
    assert "left out: hidden or made by the system: 4" in inspect_dataset(file).splits[0].summary


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    write_yolo(tmp_path / "other", {"b": BOX, "c": BOX})
    file = write_yolo(tmp_path / "set", {"a": BOX})
    images, labels = tmp_path / "set/images/val", tmp_path / "set/labels/val"
    (images / "site2").symlink_to(tmp_path / "other/images/val")
    (images / "again").symlink_to(images)
    (images / "d.png").symlink_to(tmp_path / "other/images/val/b.png")
    (images / "gone.png").symlink_to(tmp_path / "gone.png")
    dataset = open_dataset(file)
    found = {image.path.relative_to(images).as_posix(): len(image) for image in dataset.images}
    assert found == {
        "a.png": 1,
        "d.png": 1,
        "site2/b.png": 1,
        "site2/c.png": 1,
    }  # labels: where they really are
    assert [group.reason for group in dataset.left_out] == [
        "links to folders already searched",
        "images that cannot be read",
    ]
    (labels / "site2").symlink_to(tmp_path / "set/labels/empty")
    write(tmp_path / "set/labels/empty/b.txt", "")
    boxes = {image.path.name: len(image) for image in open_dataset(file).images}
    assert boxes == {"a.png": 1, "b.png": 0, "c.png": 1, "d.png": 1}


@pytest.mark.parametrize(
    ("yaml", "warnings"),
    [
        ("val: images\\val", 0),
        ("val: .\\images\\val\\", 0),
        ("val: images/*/*.png", 0),
        ("val: images/**/?.png", 0),
        ("val: 'images/**/**/[a-c].png'", 0),
        ("path: .\nval: images/val", 0),
        ("path: other\nval: images/val", 0),
        ("path: /content/drive/My Drive/set [v2]\nval: images/val", 1),
        ("path: D:\\data\\gone\nval: images/val", 1),
        ("path: ~nobody/x\nval: images/val", 1),
        ("val: /content/set [v2]/images/val", 1),
        ("val: C:\\data\\images\\val", 1),
        ("val: ../../gone/images/val/", 1),
        ("val: /kaggle/list.txt", 2),
        ("val: list.txt", 1),
    ],
)
def test_paths_of_other_machines_and_globs_find_the_images(yaml: str, warnings: int, tmp_path: Path) -> None:
    root = tmp_path / "set [v2]"
    file = write_yolo(root, {"a": BOX, "b": BOX}, yaml=f"{yaml}\nnames: [x]\n")
    (root / "other").mkdir()
    write(root / "list.txt", "# of May\n/kaggle/input/images/val/a.png\ndata\\images\\val\\b.png\n")
    dataset = open_dataset(file)
    assert [image.path.name for image in dataset.images] == ["a.png", "b.png"]
    assert sum(map(len, dataset.images)) == 2
    assert [defect.severity for defect in dataset.defects] == ["warning"] * warnings


def test_a_folder_name_alone_does_not_stand_for_another_split(tmp_path: Path) -> None:
    write_yolo(tmp_path, {"a": BOX}, split="train")
    file = write_yolo(tmp_path, {"b": BOX}, yaml="train: /x/images\nval: /x/images/val\nnames: [x]\n")
    with pytest.raises(DataError, match=r"data.yaml:1: train: /x/images does not exist\s+expected: one of"):
        open_dataset(file, "train")
    assert len(open_dataset(file, "val")) == 1


def test_a_list_may_mix_moved_and_missing_images(tmp_path: Path) -> None:
    file = write_yolo(tmp_path, {"a": BOX}, yaml="names: [x]\nval: list.txt\n")
    write(tmp_path / "list.txt", "/kaggle/input/images/val/a.png\nb.png\n")
    dataset = open_dataset(file)
    assert [image.path for image in dataset.images] == [tmp_path / "images/val/a.png"]
    missing, moved = dataset.defects
    assert str(missing) == f"{tmp_path}/list.txt:2: no such image: b.png: left out"
    assert moved.message.startswith("1 path from another machine: found by the end, such as /kaggle/input")


def test_a_list_need_not_name_every_image(tmp_path: Path) -> None:
    file = write_yolo(tmp_path, {"a": BOX, "b": BOX}, yaml="names: [x]\nval: [images/val/a.png]\n")
    write(tmp_path / "images/val/c.heic", "")
    write(tmp_path / "labels/val/c.txt", BOX)
    assert not open_dataset(file).defects


def test_a_list_of_missing_images_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_yolo(tmp_path, {"a": BOX}, yaml="names: [x]\nval: list.txt\n")
    write(tmp_path / "list.txt", "# x\ndata/obj/a.jpg\ndata/obj/b.jpg\n")
    with pytest.raises(
        DataError, match=r"list.txt:2: none of the 2 images .*exist\s+expected: data/obj/a.jpg in "
    ):
        open_dataset(file)
    monkeypatch.setattr(yolo_images, "MAX_MISSING", 3)
    write(tmp_path / "list.txt", "images/val/a.png\n" + "x.jpg\n" * 4)
    with pytest.raises(DataError, match=r"list.txt:2: more than 3 images in the list do not exist"):
        open_dataset(file)


def test_the_number_of_searched_folders_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yolo_images, "MAX_FOLDERS", 3)
    write(tmp_path / "list.txt", "images/val\n" * 3)
    file = write_yolo(tmp_path, {"a": BOX}, yaml="names: [x]\nval: list.txt\n")
    assert len(open_dataset(file)) == 1
    write(file, "names: [x]\nval: [list.txt, images/val]\n")
    with pytest.raises(DataError, match=r"data.yaml:2: more than 3 folders and globs"):
        open_dataset(file)


def test_lists_may_name_folders(tmp_path: Path, one_defect: Callable[..., None]) -> None:
    file = write_yolo(tmp_path, {"a": BOX, "b": BOX}, yaml="names: [x]\nval: list.txt\n")
    write_image(tmp_path / "images/val/.ipynb_checkpoints/a-checkpoint.png")
    lines = (
        "images/val/.ipynb_checkpoints/a-checkpoint.png\n'images/val/b.png'\nimages/val/b.png\nimages/val\n"
    )
    (tmp_path / "list.txt").write_bytes(lines.encode("utf-16"))
    dataset = open_dataset(file)
    assert [image.image_id for image in dataset.images] == ["b", "a"]
    assert [group.count for group in dataset.left_out] == [2]
    one_defect(dataset.defects, "warning", f"{file}:2", "1 image of 'val' named more than once")


@pytest.mark.parametrize("entry", ["/", "~/", "//", "/../", "/**/*.png"])
def test_a_whole_disk_is_not_searched(entry: str, tmp_path: Path) -> None:
    file = write_yolo(tmp_path, {"a": BOX}, yaml=f"names: [x]\nval: '{entry}'\n")
    with pytest.raises(DataError, match="a whole disk or home folder is not a folder of images"):
        open_dataset(file)


def test_a_folder_of_very_many_other_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_yolo(tmp_path, {"a": BOX}, yaml="names: [x]\nval: .\n")
    for number in range(30):
        write(tmp_path / f"many/{number}.c", "")
    assert len(open_dataset(file)) == 1
    monkeypatch.setattr(folders, "MAX_OTHERS", 20)
    with pytest.raises(
        DataError, match=r"more than 20 files and folders that are not images\s.*\s+found:    [01] images"
    ):
        open_dataset(file)


@pytest.mark.parametrize(
    "entry",
    [
        "[[[**.png",
        "**.png",
        "***",
        "[",
        "*" * 3000,
        "[!a]**/[z-a].png",
        "{a}*",
        "**/a*/" * 5000,
        "a/" * 100_000,
    ],
)
def test_pathological_globs_are_refused(entry: str, tmp_path: Path) -> None:
    file = write_yolo(tmp_path, {"a": BOX}, yaml="names: [x]\nval: x\n")
    write(file, f'names: [x]\nval: "{entry}"\n')
    with pytest.raises(DataError, match=r"data.yaml:2: (val: |no images)"):
        open_dataset(file)


def test_label_files_are_found_despite_case_and_unicode_form(
    tmp_path: Path, one_defect: Callable[..., None]
) -> None:
    file = write_yolo(tmp_path, {"a": None, "b.c": BOX})
    write(tmp_path / "labels/val/a.TXT", BOX)
    write_image(tmp_path / "images/val/cafe\u0301.png")
    write(tmp_path / "labels/val/caf\u00e9.txt", BOX)
    dataset = open_dataset(file)
    assert [len(image) for image in dataset.images] == [1, 1, 1]
    assert not dataset.defects
    shutil.copy(tmp_path / "images/val/a.png", tmp_path / "images/val/a.PNG")
    dataset = open_dataset(file)
    assert len(dataset) == 4
    one_defect(
        dataset.defects, "warning", tmp_path / "labels/val/a.TXT", "the label file of 2 images: a.PNG, a.png"
    )


def test_label_files_of_a_folder_without_images_are_errors(
    tmp_path: Path, one_defect: Callable[..., None]
) -> None:
    file = write_yolo(tmp_path, {"a": BOX})
    stray = write(tmp_path / "labels/val/site2/x.txt", BOX)
    one_defect(open_dataset(file).defects, "error", stray, "labels without an image")
    for number in range(1010):
        write(tmp_path / f"labels/val/site2/{number}.txt", BOX)
    defects = open_dataset(file).defects
    assert len(defects) == 1001
    assert "11 more label files without an image" in defects[-1].message


def test_labels_of_an_unsupported_image_are_an_error(tmp_path: Path, one_defect: Callable[..., None]) -> None:
    file = write_yolo(tmp_path, {"a": BOX})
    for name in ("b.heic", "c.dng", "a.heic"):
        write(tmp_path / "images/val" / name, "")
    labels = write(tmp_path / "labels/val/b.txt", BOX)
    dataset = open_dataset(file)
    assert [(group.reason, group.count) for group in dataset.left_out] == [
        ("HEIF (HEIC) images, which are not supported", 2),
        ("camera raw files, which are not supported", 1),
    ]
    one_defect(dataset.defects, "error", labels, "whose image has an unsupported format")


def test_a_camera_raw_file_is_not_read_as_its_preview(
    tmp_path: Path, one_defect: Callable[..., None]
) -> None:
    file = write_yolo(tmp_path, {"a": BOX})
    raw = tmp_path / "images/val/b.dng"
    Image.new("RGB", (20, 10)).save(raw, "TIFF")
    write(tmp_path / "val.txt", "images/val/a.png\nimages/val/b.dng\n")
    file.write_text(file.read_text().replace("images/val", "val.txt"))
    dataset = open_dataset(file)
    assert [image.image_id for image in dataset.images] == ["a"]
    one_defect(dataset.defects, "error", raw, "camera raw files are not supported; convert them")


def test_the_first_frame_of_an_animation_is_used_with_a_warning(tmp_path: Path) -> None:
    file = write_yolo(tmp_path, {"a": BOX})
    first, second = (Image.new("L", (40, 30), level) for level in (0, 255))
    several = [tmp_path / "images/val" / f"{name}.{name}" for name in ("gif", "png", "webp", "tiff")]
    for path in several:
        first.save(path, save_all=True, append_images=[second])
    first.save(tmp_path / "images/val/still.gif")
    cut = tmp_path / "images/val/cut.gif"
    cut.write_bytes(several[0].read_bytes()[:-20])
    dataset = open_dataset(file)
    assert len(dataset) == 7
    assert dataset[[image.path for image in dataset.images].index(several[0])].image.max() == 0
    found = [Path(defect.file) for defect in dataset.defects if "the first is used" in defect.message]
    assert sorted({*found, cut}) == sorted([*several, cut])
    assert len(found) == len(set(found))
    assert {defect.severity for defect in dataset.defects} == {"warning"}
