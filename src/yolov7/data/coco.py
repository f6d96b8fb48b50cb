"""COCO json -> labelled images. Its category ids, 1..90 with gaps, end here: labels inside are contiguous."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeGuard

import numpy as np

from yolov7.data.labels import Defect, LabelCollector, image_sizes, is_file, read_text
from yolov7.data.layout import UNDIVIDED, Dataset, plain_split
from yolov7.errors import DataError
from yolov7.types import FloatArray

_UNDIVIDED_NAMES = ("instances", "annotations", "_annotations.coco", "labels", "coco", "dataset", "result")


@dataclass(frozen=True)
class CocoLayout:
    """json files by split, and the folder of their images where the user named it."""

    path: Path
    files: dict[str, Path]
    images: Path | None = None

    @property
    def splits(self) -> tuple[str, ...]:
        """What the names of the json files say."""
        return tuple(self.files)

    def read(self, split: str) -> Dataset:
        """Read one json file and the headers of its images."""
        return _Reader(self.files[split], self.images, split).dataset(self.path)


def find_layout(path: Path, *, images: Path | None = None) -> CocoLayout | None:
    """A json file, or those of a folder, of its annotations/, or of its subfolders (one a split)."""
    if path.is_file():
        return CocoLayout(path, {UNDIVIDED: path}, images) if path.suffix.lower() == ".json" else None
    found = [file for folder in (path, path / "annotations") for file in sorted(folder.glob("*.json"))]
    found += sorted(path.glob("*/_annotations.coco.json"))
    instances = [file for file in found if file.stem.startswith("instances")]
    files: dict[str, Path] = {}
    for file in instances or filter(_looks_like_coco, found):
        files.setdefault(_split_of(file), file)
    return CocoLayout(path, files, images) if files else None


def _split_of(file: Path) -> str:
    if file.stem == "_annotations.coco" and plain_split(file.parent.name) in ("train", "val", "test"):
        return file.parent.name
    if file.stem in _UNDIVIDED_NAMES:
        return UNDIVIDED
    return re.sub(r"^(instances|annotations)_|_(annotations|coco|instances)$", "", file.stem)


def _looks_like_coco(file: Path) -> bool:
    with file.open("rb") as stream:
        start = stream.read(1 << 20)
    return any(key in start for key in (b'"annotations"', b'"images"', b'"categories"'))


class _Reader:
    """Reads one json file."""

    def __init__(self, file: Path, images: Path | None, split: str) -> None:
        self.file = file
        self.folder = images
        self.split = split
        self.defects: list[Defect] = []
        self.text = read_text(file, self.defects)
        self.lines: dict[str, list[int]] = {}

    def dataset(self, path: Path) -> Dataset:
        try:
            content = json.loads(self.text)
        except json.JSONDecodeError as error:
            raise DataError(f"not json: {error.msg}", file=self.file, line=error.lineno) from error
        except RecursionError as error:
            raise DataError("not COCO: nested too deep", file=self.file) from error
        for key in ("images", "annotations", "categories"):
            if not isinstance(content, dict) or not isinstance(content.get(key), list):
                raise DataError(
                    f"not COCO: no list of {key}",
                    file=self.file,
                    expected="an object with the lists images, annotations and categories",
                    found=", ".join(map(str, content))
                    if isinstance(content, dict)
                    else type(content).__name__,
                )
        names = self._read_categories(content["categories"])
        collectors = self._read_images(content["images"])
        self._read_annotations(content["annotations"], list(names), collectors)
        return Dataset(
            path=path,
            kind="coco",
            split=self.split,
            names=tuple(names.values()),
            category_ids=tuple(names),
            images=tuple(
                collector.labelled_image(image, number)
                for number, (image, collector) in collectors.items()
                if collector is not None
            ),
            defects=tuple(self.defects),
        )

    def _read_categories(self, categories: list[Any]) -> dict[int, str]:
        """Category id -> name, in order of the ids, which is the order of the labels."""
        names: dict[int, str] = {}
        for index, category in enumerate(categories):
            number, name = _get(category, "id"), _get(category, "name")
            if _is_int(name):
                name = str(name)
            if not _is_int(number) or not isinstance(name, str) or names.get(number, name) != name:
                raise DataError(
                    "a category needs a name and a number of its own",
                    file=self.file,
                    line=self._line_of("categories", index),
                    found=f"id {number!r}, name {name!r}",
                )
            names[number] = name
        if not names:
            raise DataError("no categories", file=self.file)
        for name, times in Counter(names.values()).items():
            if times > 1:
                self._report("warning", "categories", 0, f"{times} categories are called {name!r}")
        return dict(sorted(names.items()))

    def _read_images(self, images: list[Any]) -> dict[int | str, tuple[Path, LabelCollector | None]]:
        """Image id -> path and what will collect its labels; None for an image that cannot be read."""
        entries: dict[int | str, tuple[int, str]] = {}
        for index, image in enumerate(images):
            number, name = _get(image, "id"), _get(image, "file_name")
            if not (_is_int(number) or isinstance(number, str)) or not isinstance(name, str) or not name:
                self._report("error", "images", index, "an image without id or file_name: left out")
            elif number in entries:
                self._report("error", "images", index, f"image id {number} is given twice: {name} left out")
            else:
                entries[number] = index, name
        folder = self._find_folder([name for _, name in entries.values()])
        paths = [folder / name.replace("\\", "/") for _, name in entries.values()]

        collectors: dict[int | str, tuple[Path, LabelCollector | None]] = {}
        line_of = partial(self._line_of, "annotations")
        for (number, (index, _)), path, size in zip(entries.items(), paths, image_sizes(paths), strict=True):
            if isinstance(size, str):
                self._report("error", "images", index, f"image {number}: {path}: {size}: left out")
                collectors[number] = path, None
                continue
            claimed = _get(images[index], "height"), _get(images[index], "width")
            if claimed != size and claimed != (None, None):
                self._report(
                    "warning",
                    "images",
                    index,
                    f"image {number} is said to be {claimed[1]} x {claimed[0]}, but {path} is "
                    f"{size[1]} x {size[0]}: its boxes may not fit",
                )
            collectors[number] = path, LabelCollector(self.file, size, self.defects, line_of)
        return collectors

    def _read_annotations(
        self,
        annotations: list[Any],
        category_ids: list[int],
        collectors: dict[int | str, tuple[Path, LabelCollector | None]],
    ) -> None:
        labels = {number: label for label, number in enumerate(category_ids)}
        ids: set[Any] = set()
        for index, annotation in enumerate(annotations):
            report = partial(self._report, "error", "annotations", index)
            if not isinstance(annotation, dict):
                report("an annotation that is no object: dropped")
                continue
            number = annotation.get("id")
            subject = f"annotation {number!r}:"
            image_id, category = annotation.get("image_id"), annotation.get("category_id")
            if not isinstance(image_id, (int, str)) or image_id not in collectors:
                report(f"{subject} no image has the id {image_id!r}: dropped")
                continue
            if not _is_int(category) or category not in labels:
                report(f"{subject} no category has the id {category!r}: dropped")
                continue
            if isinstance(number, (int, str)) and number is not None:
                if number in ids:
                    self._report("warning", "annotations", index, f"{subject} another has the same id: kept")
                ids.add(number)
            box = annotation.get("bbox")
            if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
                report(f"{subject} bbox must be [x, y, width, height], not {str(box)[:60]}: dropped")
                continue
            collector = collectors[image_id][1]
            if collector is None:
                continue  # its image was reported
            x, y, width, height = map(float, box)
            area = annotation.get("area")
            crowd = annotation.get("iscrowd") in (1, "1")
            parts = None if crowd else annotation.get("segmentation")
            outline = _outline(parts)
            if outline is None and isinstance(parts, list) and parts:
                problem = (
                    "an outline with fewer than 3 points, or with what is no number: its box alone is used"
                )
                self._report("warning", "annotations", index, f"{subject} {problem}")
            collector.add(
                labels[category],
                (x, y, x + width, y + height),
                place=index,
                subject=f"{subject} box",
                polygon=outline,
                crowd=crowd,
                area=float(area) if _is_number(area) and math.isfinite(area) else width * height,
            )

    def _find_folder(self, names: list[str]) -> Path:
        """The folder in which the most of the first images are."""
        if self.folder is not None:
            return self.folder
        file, split = self.file, _split_of(self.file)
        names_of_folders = dict.fromkeys((split, plain_split(split)))
        subfolders = [*(f"images/{name}" for name in names_of_folders), "images", *names_of_folders, "."]
        folders = [base / subfolder for base in (file.parent, file.parent.parent) for subfolder in subfolders]
        sample = [name.replace("\\", "/") for name in names[:20]]
        present = [sum(is_file(folder / name) for name in sample) for folder in folders]
        if sample and not any(present):
            raise DataError(
                "its images were not found; name their folder",
                file=file,
                expected=f"{sample[0]} in one of {', '.join(map(str, folders))}",
            )
        return folders[present.index(max(present))]

    def _report(self, severity: Literal["error", "warning"], key: str, index: int, message: str) -> None:
        self.defects.append(Defect(str(self.file), self._line_of(key, index), message, severity))

    def _line_of(self, key: str, index: int) -> int:
        """The line at which the element of a list begins."""
        if key not in self.lines:
            self.lines[key] = element_lines(self.text, key)
        return self.lines[key][index]


def element_lines(text: str, key: str) -> list[int]:
    """The line at which each element of a list begins; `text` is a valid json object that holds the list."""
    decode = json.JSONDecoder().raw_decode
    blank = re.compile(r"[\s,:]*")

    def skip(position: int) -> int:
        found = blank.match(text, position)
        return found.end() if found else position

    lines: list[int] = []
    position = skip(text.index("{") + 1)
    while text[position] != "}":
        name, position = decode(text, position)
        position = skip(position)
        if name != key:
            position = skip(decode(text, position)[1])
            continue
        lines, line, counted = [], 1, 0
        position = skip(position + 1)
        while text[position] != "]":
            line += text.count("\n", counted, position)
            counted = position
            lines.append(line)
            position = skip(decode(text, position)[1])
        position = skip(position + 1)
    return lines


def _outline(segmentation: Any) -> FloatArray | None:
    """COCO's list of polygons -> one closed outline, parts joined by lines of no width; None for a mask."""
    if not isinstance(segmentation, list):
        return None
    try:
        with np.errstate(over="ignore"):
            parts = [np.array(part, np.float32).reshape(-1, 2) for part in segmentation]
    except (TypeError, ValueError, OverflowError):
        return None
    if not parts or not all(len(part) >= 3 and np.isfinite(part).all() for part in parts):
        return None
    first, *others = parts
    # From the first point to each other part, around it, and the same way back.
    detours = [row for part in others for row in (first[:1], part, part[:1])]
    return np.concatenate((first, *detours, first[:1])) if others else first


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, float) or (_is_int(value) and abs(value) < 2**53)
