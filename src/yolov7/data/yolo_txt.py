"""YOLO's data.yaml and label files -> labelled images.

data.yaml     train, val, test: a folder, a list of images (.txt), a glob, or a list of these; names; nc
images/...    labels/...: for each image a .txt of the same name, a line an object:
              class centre-x centre-y width height         in fractions of the image
              class x1 y1 x2 y2 x3 y3 ...                  or its outline
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from yolov7.data.images import IMAGE_SUFFIXES
from yolov7.data.labels import Defect, LabelCollector, image_ids, image_sizes, is_file, polygon_box, read_text
from yolov7.data.layout import Dataset
from yolov7.errors import DataError

_SPLITS = ("train", "val", "valid", "validation", "test")
_TOLERANCE = 1e-3  # of a fraction beyond 0..1: tools round


@dataclass(frozen=True)
class YoloLayout:
    """A data.yaml."""

    path: Path
    file: Path

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of the usual names that the file gives."""
        return tuple(split for split in _SPLITS if self.content.get(split))

    @cached_property
    def content(self) -> dict[str, Any]:
        """What the file says.

        Raises:
            DataError: it is no yaml, or no mapping.
        """
        text = read_text(self.file, [])
        try:
            content = yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or str(error)
            raise DataError(f"not yaml: {problem}", file=self.file, line=mark and mark.line + 1) from error
        if not isinstance(content, dict):
            raise DataError("not a data.yaml", file=self.file, expected="a mapping with names, train, val")
        return content

    def line_of(self, key: str) -> int | None:
        """The line at which a key stands."""
        for number, line in enumerate(read_text(self.file, []).splitlines(), 1):
            if re.match(rf"[\"']?{key}[\"']?\s*:", line):
                return number
        return None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Class names by label.

        Raises:
            DataError: there are none, or they do not agree with nc.
        """
        names, count = self.content.get("names"), self.content.get("nc")
        if isinstance(names, dict):
            if sorted(names, key=str) != sorted(range(len(names)), key=str):
                raise DataError(
                    "the names are not numbered 0, 1, 2, ...",
                    file=self.file,
                    line=self.line_of("names"),
                    found=", ".join(map(str, names)),
                )
            names = [names[label] for label in range(len(names))]
        if names is None and isinstance(count, int) and count > 0:
            names = range(count)
        if not isinstance(names, (list, range)) or not names:
            raise DataError("no class names", file=self.file, expected="names: a list, or a mapping from 0")
        if count is not None and count != len(names):
            raise DataError(
                "the number of classes is not that of the names",
                file=self.file,
                line=self.line_of("nc"),
                expected=f"nc: {len(names)}, for the names {', '.join(map(str, names))[:200]}",
                found=f"nc: {count}",
            )
        return tuple(map(str, names))

    def read(self, split: str) -> Dataset:
        """Read the split's label files and the headers of its images."""
        return _Reader(self, split).dataset()


def find_layout(path: Path) -> YoloLayout | None:
    """A yaml file, or the one of a folder."""
    if path.is_file():
        return YoloLayout(path, path) if path.suffix.lower() in (".yaml", ".yml") else None
    for name in ("data.yaml", "data.yml", "dataset.yaml"):
        if (path / name).is_file():
            return YoloLayout(path, path / name)
    found = [*path.glob("*.yaml"), *path.glob("*.yml")]
    return YoloLayout(path, found[0]) if len(found) == 1 else None


class _Reader:
    """Reads one split."""

    def __init__(self, layout: YoloLayout, split: str) -> None:
        self.layout = layout
        self.split = split
        self.names = layout.names
        self.defects: list[Defect] = []

    def dataset(self) -> Dataset:
        paths = self._images()
        images, missing = [], []
        for path, number, size in zip(paths, image_ids(paths), image_sizes(paths), strict=True):
            if isinstance(size, str):
                self.defects.append(Defect(str(path), None, f"{size}: left out", "error"))
                continue
            file = label_file(path)
            collector = LabelCollector(file, size, self.defects)
            if file.is_file():
                self._read_labels(file, collector)
            else:
                missing.append(path)
            images.append(collector.labelled_image(path, number))
        if images and len(missing) == len(images):
            raise DataError(
                f"none of the {len(images)} images of {self.split!r} has a label file",
                file=self.layout.file,
                line=self.layout.line_of(self.split),
                expected=f"for {missing[0]} the file {label_file(missing[0])}",
            )
        self._report_strays(paths)
        return Dataset(
            path=self.layout.path,
            kind="yolo",
            split=self.split,
            names=self.names,
            category_ids=tuple(range(len(self.names))),
            images=tuple(images),
            defects=tuple(self.defects),
            unlabelled=len(missing),
        )

    def _images(self) -> list[Path]:
        """The images that the yaml names, each once."""
        entries = self.layout.content[self.split]
        paths: list[Path] = []
        for entry in entries if isinstance(entries, list) else [entries]:
            if not isinstance(entry, str):
                raise self._error("a split is a path, or a list of paths", found=repr(entry))
            paths += self._expand(entry)
        unique = list(dict.fromkeys(paths))
        if len(unique) < len(paths):
            message = (
                f"{len(paths) - len(unique)} images of {self.split!r} are named more than once: taken once"
            )
            self.defects.append(
                Defect(str(self.layout.file), self.layout.line_of(self.split), message, "warning")
            )
        if not unique:
            raise self._error("no images", found=f"none with a known ending in {entries}")
        return unique

    def _expand(self, entry: str) -> list[Path]:
        candidates = [base / name for base in self._bases() for name in (entry, entry.removeprefix("../"))]
        if any(sign in entry for sign in "*?["):
            for candidate in candidates:
                root = Path(candidate.anchor)
                found = sorted(root.glob(str(candidate.relative_to(root))))
                if images := [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES]:
                    return images
        for candidate in candidates:
            if candidate.is_dir():
                return sorted(path for path in candidate.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
            if candidate.is_file():
                if candidate.suffix.lower() in IMAGE_SUFFIXES:
                    return [candidate]
                return self._read_list(candidate)
        raise self._error(
            f"{self.split}: {entry} does not exist",
            expected="one of " + ", ".join(dict.fromkeys(str(candidate) for candidate in candidates)),
        )

    def _bases(self) -> list[Path]:
        """Where relative paths may begin: the yaml's `path`, its own folder, the working folder."""
        here = self.layout.file.parent
        root = self.layout.content.get("path")
        return [*([here / root] if isinstance(root, str) else []), here, Path()]

    def _read_list(self, file: Path) -> list[Path]:
        paths = []
        for number, line in enumerate(read_text(file, self.defects).splitlines(), 1):
            name = line.strip().replace("\\", "/")
            if not name:
                continue
            candidates = [base / name for base in (file.parent, *self._bases())]
            found = next((candidate for candidate in candidates if is_file(candidate)), None)
            if found is None:
                self.defects.append(Defect(str(file), number, f"no such image: {name}: left out", "error"))
            else:
                paths.append(found)
        return paths

    def _read_labels(self, file: Path, collector: LabelCollector) -> None:
        for number, line in enumerate(read_text(file, self.defects).splitlines(), 1):
            fields = line.split()
            if not fields:
                continue
            try:
                values = [float(field) for field in fields]
            except ValueError:
                collector.error(f"not numbers: {line.strip()[:60]!r}: dropped", number)
                continue
            self._read_label(values, number, collector)

    def _read_label(self, values: list[float], line: int, collector: LabelCollector) -> None:
        label, *fractions = values
        is_box = len(fractions) == 4
        if not is_box and (len(fractions) < 6 or len(fractions) % 2):
            collector.error(
                f"{len(values)} columns, where a box has 5 and an outline 7, 9, 11, ...: dropped", line
            )
        elif label not in range(len(self.names)):
            collector.error(f"class {label:g} is not one of 0..{len(self.names) - 1}: dropped", line)
        elif not np.isfinite(fractions).all():
            collector.error("a number that is not finite: dropped", line)
        elif is_box and (min(fractions) < 0 or max(fractions) > 1 + _TOLERANCE):
            shown = " ".join(f"{value:g}" for value in fractions)
            collector.error(f"box {shown} is not in fractions of the image, 0..1: dropped", line)
        elif max(map(abs, fractions)) > 2:
            collector.error("outline is not in fractions of the image, 0..1: dropped", line)
        else:
            height, width = collector.size
            if is_box:
                x, y, w, h = fractions
                box = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
                collector.add(int(label), box, place=line)
            else:
                polygon = (np.array(fractions).reshape(-1, 2) * (width, height)).astype(np.float32)
                collector.add(
                    int(label), polygon_box(polygon), place=line, subject="outline's box", polygon=polygon
                )

    def _report_strays(self, paths: list[Path]) -> None:
        """Label files without an image: the image is missing, or called otherwise."""
        folders = {label_file(path).parent: path.parent for path in paths}
        for labels, images in sorted(folders.items()):
            if labels == images:
                continue  # where all is in one folder, a text file may be anything
            stems = {path.stem for path in images.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES}
            for file in sorted(labels.glob("*.txt")):
                if file.stem not in stems and file.stem != "classes":
                    self.defects.append(
                        Defect(str(file), None, f"labels without an image in {images}", "error")
                    )

    def _error(self, message: str, *, expected: object = None, found: object = None) -> DataError:
        line = self.layout.line_of(self.split)
        return DataError(message, file=self.layout.file, line=line, expected=expected, found=found)


def label_file(image: Path) -> Path:
    """Where an image's labels are: in labels/ for the last images/ of its path, or else beside it."""
    parts = image.parts
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        file = Path(*parts[:last], "labels", *parts[last + 1 :]).with_suffix(".txt")
        if file.is_file() or not image.with_suffix(".txt").is_file():
            return file
    return image.with_suffix(".txt")
