"""Reader of YOLO label files.

images/...    labels/...: a .txt file per image, one line per object, in fractions of the image:
              class centre-x centre-y width height                     box
              class x1 y1 x2 y2 x3 y3 ...                              polygon
              class centre-x centre-y width height x1 y1 [v1] ...      box and keypoints, with kpt_shape
"""

from __future__ import annotations

import math
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import numpy as np

from yolov7.data.dataset import Dataset, Layout
from yolov7.data.findings import Findings
from yolov7.data.folders import subfolders
from yolov7.data.labels import LabelCollector, polygon_box, readable_images
from yolov7.data.lists import lines_of
from yolov7.data.text_files import read_text
from yolov7.formats.keypoints import SURE, KeypointSuspicion, has_visibilities
from yolov7.formats.label_files import NOT_LABELS, LabelFiles, counterparts, expected_label_file, plain_stem
from yolov7.formats.yolo_description import Description
from yolov7.formats.yolo_images import ImageFinder
from yolov7.images.kinds import FOREIGN_SUFFIXES

MAX_LABEL_BYTES = 100_000_000
"""Maximum size of one label file."""
_TOLERANCE = 1e-3  # amount by which fractions may exceed 0..1: tools round


def layout_of(path: Path, description: Description) -> Layout:
    """Layout of a YOLO data set; `Layout.read` reads label files and image headers."""
    return Layout(tuple(description.splits), lambda split: _Reader(path, description, split).dataset())


class _Reader:
    def __init__(self, path: Path, description: Description, split: str) -> None:
        self.path = path
        self.description = description
        self.split = split
        self.classes = range(len(description.names))
        self.findings = Findings(description.defects)
        self.files = LabelFiles()
        self.suspicion = KeypointSuspicion()
        self.first_polygon: tuple[Path, int] | None = None
        self.keypoint_rows = 0

    def dataset(self) -> Dataset:
        finder = ImageFinder(self.description, self.split, self.findings)
        paths = finder.images()
        images, missing = [], []
        users: dict[Path, list[Path]] = defaultdict(list)
        for path, image_id, size in readable_images(paths, self.findings):
            file = self.files.of(path)
            collector = LabelCollector(path, image_id, size, file or path, self.findings)
            if file is None:
                missing.append(path)
            else:
                users[file].append(path)
                self._read_labels(file, collector)
            images.append(collector.labelled_image())
        if images and len(missing) == len(images):
            raise finder.error(
                f"none of the {len(images):,} images of {self.split!r} has a label file",
                expected=f"for {missing[0]} the file {expected_label_file(missing[0])}",
            )
        self._report_shared(users)
        self._report_strays(paths, finder.folders)
        self._report_keypoints()
        return Dataset(
            path=self.path,
            kind="yolo",
            split=self.split,
            names=self.description.names,
            category_ids=tuple(self.classes),
            images=tuple(images),
            defects=self.findings.defects,
            unlabelled=len(missing),
            left_out=self.findings.left_out,
        )

    def _read_labels(self, file: Path, collector: LabelCollector) -> None:
        for number, line in lines_of(read_text(file, self.findings, most=MAX_LABEL_BYTES)):
            try:
                values = [float(field) for field in line.split()]
                if "_" in line:  # Python allows it between digits
                    raise ValueError
            except ValueError:
                collector.report("error", number, "not numbers: {!r}: dropped", line[:60])
                continue
            self._read_label(values, number, collector)

    def _read_label(self, values: list[float], line: int, collector: LabelCollector) -> None:
        problem = self._problem(values)
        if problem is not None:
            return collector.report("error", line, "{}: dropped", problem)
        label, fractions = int(values[0]), values[1:]
        if self.description.keypoints is not None and len(fractions) > 4:
            self.keypoint_rows += 1
            del fractions[4:]
        read = self._read_box if len(fractions) == 4 else self._read_polygon
        return read(label, fractions, line, collector)

    def _problem(self, values: list[float]) -> str | None:
        """Explain why a row is invalid; None if it is valid."""
        (label, *fractions), count, shape = values, len(values), self.description.keypoints
        if shape is not None:
            wanted = 5 + shape[0] * shape[1]
            if count not in (5, wanted):
                return f"{count} columns, where kpt_shape {list(shape)} has {wanted}, a box 5"
        elif count != 5 and (count < 7 or not count % 2):
            hint = "; keypoints need kpt_shape in data.yaml" if has_visibilities(fractions) else ""
            return f"{count} columns, where a box has 5 and a polygon 7, 9, 11, ...{hint}"
        elif 2 in fractions and has_visibilities(fractions):
            return "box with keypoints and visibilities, which needs kpt_shape in data.yaml"
        if label not in self.classes:
            return f"class {label:g} is not one of 0..{len(self.classes) - 1}"
        return None if all(map(math.isfinite, fractions)) else "value is not finite"

    def _read_box(self, label: int, fractions: list[float], line: int, collector: LabelCollector) -> None:
        if min(fractions) < -_TOLERANCE or max(fractions) > 1 + _TOLERANCE:
            problem = "box {:g} {:g} {:g} {:g} is not in fractions of the image, 0..1: dropped"
            return collector.report("error", line, problem, *fractions)
        height, width = collector.size
        x, y, w, h = (min(max(value, 0.0), 1.0) for value in fractions)
        box = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
        return collector.add(label, box, place=line)

    def _read_polygon(self, label: int, fractions: list[float], line: int, collector: LabelCollector) -> None:
        if max(map(abs, fractions)) > 2:
            return collector.report("error", line, "polygon is not in fractions of the image, 0..1: dropped")
        self.first_polygon = self.first_polygon or (collector.file, line)
        self.suspicion.add(fractions)
        height, width = collector.size
        polygon = (np.array(fractions).reshape(-1, 2) * (width, height)).astype(np.float32)
        box = polygon_box(polygon)
        return collector.add(label, box, place=line, subject="polygon's box", polygon=polygon)

    def _report_keypoints(self) -> None:
        """Count ignored keypoints; report polygons that look like keypoints."""
        if self.keypoint_rows:
            reason = "rows with keypoints, which are ignored (the boxes are read)"
            self.findings.leave_out(reason, self.path, self.keypoint_rows)
        if self.first_polygon is None or not self.suspicion.alive:
            return
        file, line = self.first_polygon
        rows = self.suspicion.rows
        report = self.findings.error if rows >= SURE else self.findings.warning
        report(
            file,
            f"all {rows:,} rows with more than 5 columns look like boxes with keypoints but are read as "
            f"polygons: if they are keypoints, data.yaml needs kpt_shape: {self.suspicion.shape}",
            line,
        )

    def _report_shared(self, users: dict[Path, list[Path]]) -> None:
        """Warn of images that share a label file, such as a.jpg and a.png: all get its labels."""
        for file, images in users.items():
            if len(images) > 1:
                names = ", ".join(path.name for path in images[:5])
                message = f"is the label file of {len(images):,} images: {names}"
                self.findings.warning(file, message, kind="label files of several images")

    def _report_strays(self, paths: list[Path], named: list[Path]) -> None:
        """Report label files without an image: it is missing or has another name."""
        pairs = {
            labels: images
            for images in dict.fromkeys(path.parent for path in paths)
            for labels in counterparts(images)
        }
        for images in named:
            for labels in counterparts(images):
                for folder in _folders_below(labels):
                    pairs.setdefault(folder, images / folder.relative_to(labels))
        for labels, images in sorted(pairs.items()):
            stems, foreign = _stems(images)
            if not any(folder in (images, *images.parents) for folder in named):
                stems |= foreign  # a list need not name every image
            missing = f"without an image in {images}"
            for stem, file in sorted(self.files.inside(labels).items()):
                if stem not in stems and stem.lower() not in NOT_LABELS:
                    why = "whose image has an unsupported format" if stem in foreign else missing
                    self.findings.error(file, f"labels {why}", kind=f"label files {missing}")


def _folders_below(folder: Path, depth: int = 3) -> list[Path]:
    """List a folder and its subfolders, except hidden and linked ones."""
    below = [path for path in subfolders(folder) if not path.is_symlink()] if depth else []
    return [folder, *(path for sub in below for path in _folders_below(sub, depth - 1))]


def _stems(folder: Path) -> tuple[set[str], set[str]]:
    """Stems of the files in a folder. -> (all but text files, images in unsupported formats)."""
    stems: tuple[set[str], set[str]] = set(), set()
    with suppress(OSError):
        for path in folder.iterdir():
            if path.suffix.lower() != ".txt":
                stems[path.suffix.lower() in FOREIGN_SUFFIXES].add(plain_stem(path.name))
    return stems
