"""Recognition of YOLO data sets by data.yaml, Darknet's .data, or class names beside the images."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from yolov7.data.dataset import UNDIVIDED, Layout, plain_split
from yolov7.data.findings import Findings
from yolov7.data.folders import is_hidden, subfolders
from yolov7.data.text_files import first_bytes
from yolov7.errors import DataError
from yolov7.files import is_file, is_folder
from yolov7.formats.label_files import LabelFiles
from yolov7.formats.yolo_description import Description, describe_darknet, describe_yaml, read_names
from yolov7.formats.yolo_txt import layout_of
from yolov7.images.kinds import IMAGE_SUFFIXES

_DESCRIBERS = {".yaml": describe_yaml, ".yml": describe_yaml, ".data": describe_darknet}
_USUAL = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_NAME_FILES = ("classes.txt", "obj.names", "classes.names", "_darknet.labels", "predefined_classes.txt")
_MAX_TRIED = 200  # maximum number of images per folder to check for a label file
_DATA_KEYS = re.compile(
    r"^\s*[\"']?(names|train|val|valid|nc|classes)[\"']?\s*:", re.IGNORECASE | re.MULTILINE
)


def find_layout(path: Path) -> Layout | None:
    """Find the YOLO data set at a path; None if there is none.

    Raises:
        DataError: several files in the folder describe a data set, or the description is invalid.
    """
    file = path if is_file(path) else _yaml_of(path) or _darknet_of(path)
    if file is not None:
        describe = _DESCRIBERS.get(file.suffix.lower())
        return None if describe is None else layout_of(path, describe(file))
    folders = _split_folders(path)
    file = _file_of_names(path, folders.values())
    if file is None or not folders:
        return None
    findings = Findings()
    names = read_names(file, findings)
    splits = {split: (str(folder.absolute()),) for split, folder in folders.items()}
    return layout_of(path, Description(file, names, splits, (Path(),), defects=findings.defects))


def what_is_missing(path: Path) -> str | None:
    """Explain why a folder with images and YOLO labels is not a data set; None for any other folder."""
    if is_folder(path) and (folders := _split_folders(path)):
        shown = ", ".join(str(folder) for folder in folders.values())
        return f"images with YOLO labels in {shown}, but neither data.yaml nor classes.txt with class names"
    return None


def _yaml_of(folder: Path) -> Path | None:
    for name in _USUAL:
        if is_file(folder / name):
            return folder / name
    files = [file for ending in ("*.yaml", "*.yml") for file in folder.glob(ending)]
    return _only([file for file in files if not is_hidden(file.name) and _describes_data(file)], folder)


def _darknet_of(folder: Path) -> Path | None:
    files = [file for file in folder.glob("*.data") if is_file(file) and not is_hidden(file.name)]
    return _only(files, folder)


def _only(files: list[Path], folder: Path) -> Path | None:
    if len(files) > 1:
        raise DataError(
            "several files describe a data set; name one of them",
            file=folder,
            found=", ".join(sorted(file.name for file in files)[:10]),
        )
    return files[0] if files else None


def _describes_data(file: Path) -> bool:
    start = first_bytes(file, 1 << 16).replace(b"\0", b"").decode("latin-1")
    return _DATA_KEYS.search(start) is not None


def _split_folders(path: Path) -> dict[str, Path]:
    """Map splits to image folders (train/images, images/train or train), or "all" to the only one."""
    splits: dict[str, Path] = {}
    for base, inside in ((path, "images"), (path / "images", "."), (path, ".")):
        for folder in subfolders(base):
            if plain_split(folder.name) in ("train", "val", "test") and _is_labelled(folder / inside):
                splits.setdefault(folder.name, folder / inside)
        if splits:
            return splits
    whole = next((folder for folder in (path / "images", path) if _is_labelled(folder)), None)
    return {} if whole is None else {UNDIVIDED: whole}


def _is_labelled(folder: Path) -> bool:
    """True if one of the first images of a folder has a label file."""
    files = LabelFiles()
    return any(files.of(image) is not None for image in islice(_images(folder), _MAX_TRIED))


def _images(folder: Path) -> Iterator[Path]:
    """Yield the images among the first files below a folder."""
    files = (Path(here, name) for here, _, names in os.walk(folder) for name in names)
    return (path for path in islice(files, _MAX_TRIED * 100) if path.suffix.lower() in IMAGE_SUFFIXES)


def _file_of_names(path: Path, folders: Iterable[Path]) -> Path | None:
    """Find a file of class names: at the top, beside the labels or beside the images."""
    places = [path, path / "labels", path / "images"]
    places += [place for folder in folders for place in (folder, folder.parent, folder.parent / "labels")]
    usual = (place / name for place in places for name in _NAME_FILES)
    return next((file for file in usual if is_file(file)), next(iter(sorted(path.glob("*.names"))), None))
