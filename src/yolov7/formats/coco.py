"""Reader of COCO json files. Category ids (1..90 with gaps) become contiguous labels from 0."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from yolov7.data.dataset import UNDIVIDED, Dataset, Layout, plain_split
from yolov7.data.findings import Findings
from yolov7.data.labels import LabelCollector, image_sizes
from yolov7.data.text_files import first_bytes, read_text
from yolov7.errors import DataError
from yolov7.files import is_file, is_folder
from yolov7.formats import coco_values as values
from yolov7.formats.coco_annotations import AnnotationReader
from yolov7.formats.coco_files import find_images
from yolov7.formats.coco_ledger import Ledger
from yolov7.text import printable

_TEST_KEYS = {"info", "licenses", "images", "categories"}
"""Keys of COCO's image lists of test sets, which have no annotations."""
_UNDIVIDED_NAMES = ("instances", "annotations", "_annotations.coco", "labels", "coco", "dataset", "result")


def find_layout(path: Path, *, images: Path | None = None) -> Layout | None:
    """Find the json file of each split: `path` itself, or files in it, its annotations/ or its subfolders.

    `images` is the image folder given by the user; None to search for it.
    """
    files: dict[str, Path] = {}
    if is_file(path):
        if path.suffix.lower() == ".json":
            files[UNDIVIDED] = path
    else:
        found = [file for folder in (path, path / "annotations") for file in sorted(folder.glob("*.json"))]
        found += sorted(path.glob("*/_annotations.coco.json"))
        instances = [file for file in found if file.stem.startswith("instances")]
        for file in instances or filter(_looks_like_coco, found):
            files.setdefault(_split_of(file), file)
    if not files:
        return None
    return Layout(tuple(files), lambda split: _Reader(files[split], images, split).dataset(path))


def _split_of(file: Path) -> str:
    if file.stem == "_annotations.coco" and plain_split(file.parent.name) in ("train", "val", "test"):
        return file.parent.name
    if file.stem in _UNDIVIDED_NAMES:
        return UNDIVIDED
    return re.sub(r"^(instances|annotations|image_info)_|_(annotations|coco|instances)$", "", file.stem)


def _looks_like_coco(file: Path) -> bool:
    start = first_bytes(file, 1 << 20)
    return any(key in start for key in (b'"annotations"', b'"images"', b'"categories"'))


class _Reader:
    def __init__(self, file: Path, images: Path | None, split: str) -> None:
        self.file = file
        self.folder = images
        self.split = split
        self.findings = Findings()
        self.text = read_text(file, self.findings, most=values.MAX_BYTES)
        self.ledger = Ledger(file, self.text, self.findings)

    def dataset(self, path: Path) -> Dataset:
        content = self._content()
        annotations = content.get("annotations", [])
        names = self._read_categories(content["categories"], annotations)
        collectors = self._read_images(content["images"])
        labels = {number: label for label, number in enumerate(names)}
        AnnotationReader(self.ledger, collectors, labels).read(annotations)
        self.ledger.close()
        readable = filter(None, collectors.values())
        images = tuple(collector.labelled_image() for collector in readable)
        return Dataset(
            path=path,
            kind="coco",
            split=self.split,
            names=tuple(names.values()),
            category_ids=tuple(names),
            images=images,
            defects=self.findings.defects,
            unlabelled=0 if "annotations" in content else len(images),
            left_out=self.findings.left_out,
        )

    def _content(self) -> dict[str, list[Any]]:
        """Lists of images, categories and annotations; only a test set may lack annotations."""
        content = values.parse(self.text, self.file)
        is_object = isinstance(content, dict)
        for key in ("images", "annotations", "categories"):
            if is_object and key == "annotations" and content.keys() <= _TEST_KEYS:
                message = "no list of annotations: the split cannot be used for training or validation"
                self.findings.warning(self.file, message)
            elif not is_object or not isinstance(content.get(key), list):
                raise DataError(
                    f"not COCO: no list of {key}",
                    file=self.file,
                    expected="an object with the lists images, annotations and categories",
                    found=", ".join(list(content)[:20]) if is_object else type(content).__name__,
                )
            elif self.text.count(f'"{key}"') > 1 and (times := values.keys(self.text).count(key)) > 1:
                self.findings.error(self.file, f"{times} lists of {key}: only the last is read")
        return content

    def _read_categories(self, categories: list[Any], annotations: list[Any]) -> dict[int, str]:
        """Map category ids to names, sorted by id; labels have the same order."""
        names: dict[int, str] = {}
        parents: set[str] = set()
        for index, category in enumerate(categories):
            given, name, above = (_get(category, key) for key in ("id", "name", "supercategory"))
            number = values.whole(given)
            if values.is_whole(name):
                name = str(name)
            if number is None or not isinstance(name, str) or names.get(number, name) != name:
                raise DataError(
                    "each category needs a name and a unique integer id",
                    file=self.file,
                    line=self.ledger.line_of("categories", index),
                    found=f"id {values.short(given)}, name {values.short(name)}",
                )
            if number in names:
                message = f"category {number} is listed again"
                self.ledger.warn("categories", index, "categories that are listed twice", message)
            if name != printable(name):
                message = f"category name {name!r}"
                self.ledger.warn("categories", index, "names with control characters", message)
            names[number] = name
            if isinstance(above, str) and above != name:
                parents.add(above)
        if not names:
            raise DataError("no categories", file=self.file)
        for number in _empty_parents(names, parents, annotations):
            self.findings.leave_out("supercategories without annotations", names.pop(number))
        for name, times in Counter(names.values()).items():
            if times > 1:
                message = f"{times} categories are called {name!r}"
                self.ledger.warn("categories", 0, "names shared by several categories", message)
        return dict(sorted(names.items()))

    def _read_images(self, images: list[Any]) -> dict[int | str, LabelCollector | None]:
        """Map image ids to label collectors; None for unreadable images."""
        entries: dict[int | str, tuple[int, str]] = {}
        for index, image in enumerate(images):
            number = values.identity(_get(image, "id"))
            name = _get(image, "file_name") or _get(image, "coco_url")
            if number is None or not isinstance(name, str):
                message = "image without id or file_name: left out"
                self.ledger.lose("images", index, "images without id or file_name", message)
            elif number not in entries:
                entries[number] = index, name
            elif entries[number][1] == name:
                message = f"image {values.short(number)}: listed again"
                self.ledger.warn("images", index, "images that are listed twice", message)
            else:
                message = f"image id {values.short(number)} is given twice: {name} left out"
                self.ledger.lose("images", index, "images with a repeated id", message)
        return self._measure_images(images, entries)

    def _measure_images(
        self, images: list[Any], entries: dict[int | str, tuple[int, str]]
    ) -> dict[int | str, LabelCollector | None]:
        """Read the size of each image from its file header."""
        names = [name for _, name in entries.values()]
        paths, problems = find_images(names, self._folders(), self.file, self.findings)
        readable = (path for place, path in enumerate(paths) if place not in problems)
        unique = list(dict.fromkeys(readable))
        sizes = dict(zip(unique, image_sizes(unique, self.findings), strict=True))
        first: dict[Path, int | str] = {}
        read: dict[int | str, LabelCollector | None] = {}
        for place, (number, (index, _)) in enumerate(entries.items()):
            path, given = paths[place], images[index]["id"]
            size = problems.get(place) or sizes[path]
            image_id = given if isinstance(given, str) else number
            subject = f"image {values.short(given)}"
            if isinstance(size, str):
                message = f"{subject}: {path}: {size}: left out"
                self.ledger.lose("images", index, "images that cannot be read", message)
                read[number] = None
                continue
            if first.setdefault(path, number) != number:
                message = f"{subject}: {path} is also image {values.short(first[path])}: both are kept"
                self.ledger.warn("images", index, "images listed under several ids", message)
            self._compare_size(index, images[index], subject, path, size)
            line_of = partial(self.ledger.line_of, "annotations")
            read[number] = LabelCollector(path, image_id, size, self.file, self.findings, line_of)
        return read

    def _compare_size(
        self, index: int, image: dict[str, Any], subject: str, path: Path, size: tuple[int, int]
    ) -> None:
        given = image.get("height"), image.get("width")
        if given == (None, None):
            return
        if tuple(map(values.whole, given)) != size:
            listed = f"{values.short(given[1])} x {values.short(given[0])}"
            message = f"{subject} is listed as {listed}, but {path} is {size[1]} x {size[0]}: "
            message += "its boxes may not fit"
            self.ledger.warn("images", index, "images whose listed size is wrong", message)
        elif given != size:
            self.ledger.remark("image sizes written as text or as floats: read as integers", path.name)

    def _folders(self) -> list[Path]:
        """Candidate image folders, most likely first."""
        split = _split_of(self.file)
        splits = dict.fromkeys(
            (split, plain_split(split), split.replace("-dev", ""), plain_split(self.split))
        )
        subfolders = [*(f"images/{name}" for name in splits), "images", *splits, "."]
        if self.folder is None:
            bases = [self.file.parent, self.file.parent.parent]
        elif is_folder(self.folder):
            bases, subfolders = [self.folder], [".", *subfolders[:-1]]
        else:
            raise DataError("the folder of the images does not exist or is not a folder", file=self.folder)
        return [base / subfolder for base in bases for subfolder in subfolders]


def _empty_parents(names: dict[int, str], parents: set[str], annotations: list[Any]) -> set[int]:
    """Ids of categories that are supercategories of others and have no annotations: not classes."""
    empty: set[int] = {number for number, name in names.items() if name in parents}
    if empty:
        empty.difference_update(values.whole(_get(annotation, "category_id")) for annotation in annotations)
    return empty if len(empty) < len(names) else set()


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None
