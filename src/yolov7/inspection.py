"""Report of `yolov7 doctor` on a data set: statistics and defects."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from yolov7.data.anchors import best_possible_recall, box_sizes_at
from yolov7.data.contents import digest_of_file
from yolov7.data.dataset import Dataset
from yolov7.data.findings import Defect, LeftOut
from yolov7.data.labels import LabelledImage
from yolov7.errors import DataError, SourceError
from yolov7.formats.opening import find_layout
from yolov7.images.reading import read_image
from yolov7.models.architecture import YOLOV7, YOLOV7_TINY, YOLOV7_W6

_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class ClassReport:
    """Frequency of a class in a split: boxes without crowds, and images with such a box."""

    name: str
    boxes: int
    images: int


@dataclass(frozen=True)
class BoxSizes:
    """Sizes of a split's boxes, without crowds: counts, then quantiles (0, 5, 25, 50, 75, 95 and 100 %)."""

    small: int  # number of objects below 32 x 32 pixels
    medium: int  # between
    large: int  # above 96 x 96 (COCO)
    widths: tuple[float, ...]  # pixels
    heights: tuple[float, ...]  # pixels
    aspect_ratios: tuple[float, ...]  # width / height
    shares: tuple[float, ...]  # sqrt(box area / image area)


@dataclass(frozen=True)
class AnchorReport:
    """Fraction of boxes that a network's anchors match (`data.anchors.best_possible_recall`)."""

    variant: str  # name of the network; related networks share its anchors
    size: int  # of the training images, pixels
    recall: float  # best possible recall, 0 to 1. Below 0.98, training fits new anchors


@dataclass(frozen=True)
class SplitReport:
    """Statistics of a split."""

    name: str  # "train", "val2017", ...
    images: int  # number of readable images
    unlabelled: int  # images without a label file
    empty: int  # images without a box, unlabelled ones included
    boxes: int  # number of boxes, without crowds
    crowds: int  # number of crowd boxes
    outlines: int  # number of boxes with a polygon
    image_sizes: tuple[tuple[tuple[int, int], int], ...]  # five most frequent (height, width), with counts
    classes: tuple[ClassReport, ...]  # in label order
    box_sizes: BoxSizes | None  # None without boxes
    anchors: tuple[AnchorReport, ...]  # fit of the networks' anchors; empty without boxes
    left_out: tuple[LeftOut, ...]  # counts of what was left out, by reason
    summary: str  # line that train and val print


@dataclass(frozen=True)
class Duplicate:
    """Copies of an image, identical byte for byte; each place is (split, path)."""

    places: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class DataReport:
    """Statistics and defects of a data set.

    Leaks make validation results too good. A split that is the union of others, such as trainval, has none.
    """

    path: str  # inspected file or folder
    kind: str  # coco, yolo or voc
    names: tuple[str, ...]  # class names by label
    splits: tuple[SplitReport, ...]  # report of each readable split
    defects: tuple[Defect, ...]  # of all splits, each once
    duplicates: tuple[Duplicate, ...]  # images that occur more than once within a split
    leaks: tuple[Duplicate, ...]  # images shared by several splits

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values for json."""
        return dataclasses.asdict(self)


def inspect_dataset(
    path: str | os.PathLike[str], *, images: str | os.PathLike[str] | None = None
) -> DataReport:
    """Read all splits of a data set, decode every image, and report.

    Args:
        path: COCO json file, YOLO data.yaml, or folder that holds a data set of any format.
        images: image folder of a COCO json file, if it is not found by itself.

    Raises:
        DataError: there is no data set, or none of its splits can be read.
    """
    layout = find_layout(path, images=images)
    datasets: list[Dataset] = []
    problems: list[DataError] = []
    for split in layout.splits:
        try:
            datasets.append(layout.read(split))
        except DataError as error:
            problems.append(error)
    if not datasets:
        raise problems[0] if problems else DataError("no split", file=path)
    defects = [defect for dataset in datasets for defect in dataset.defects]
    for problem in problems:
        defects.append(Defect(problem.file or os.fspath(path), problem.line, problem.brief(), "error"))

    names = max((dataset.names for dataset in datasets), key=len)
    known = set(names)
    others = [name for dataset in datasets for name in dataset.names if name not in known]
    names += tuple(dict.fromkeys(others))
    digests = _digests({image.path for dataset in datasets for image in dataset.images}, defects)
    duplicates, leaks = _repetitions(datasets, digests)
    return DataReport(
        path=os.fspath(path),
        kind=datasets[0].kind,
        names=names,
        splits=tuple(_split_report(dataset, names) for dataset in datasets),
        defects=tuple(dict.fromkeys(defects)),
        duplicates=duplicates,
        leaks=leaks,
    )


def _digests(paths: Iterable[Path], defects: list[Defect]) -> dict[Path, str]:
    """Hash each file's content; append a defect for each that cannot be decoded."""

    def examine(path: Path) -> tuple[str, str]:
        try:
            read_image(path)
            return digest_of_file(path), ""
        except SourceError as error:
            return "", error.brief()
        except OSError as error:
            return "", f"cannot be read: {error.strerror}"

    digests = {}
    ordered = sorted(paths)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="inspection") as pool:
        for path, (digest, problem) in zip(ordered, pool.map(examine, ordered), strict=True):
            if problem:
                defects.append(Defect(str(path), None, problem, "error"))
            else:
                digests[path] = digest
    return digests


def _repetitions(
    datasets: Sequence[Dataset], digests: dict[Path, str]
) -> tuple[tuple[Duplicate, ...], tuple[Duplicate, ...]]:
    """Find repeated images. -> (duplicates within a split, leaks between splits)."""
    members = {dataset.split: {image.path for image in dataset.images} for dataset in datasets}
    parts = {split: [part for part in members.values() if part < members[split]] for split in members}
    unions = {split for split in members if set().union(*parts[split]) == members[split]}
    places: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for dataset in datasets:
        for image in dataset.images:
            if image.path in digests:
                places[digests[image.path]].append((dataset.split, image.path))
    duplicates, leaks = [], []
    for group in places.values():
        splits = list(dict.fromkeys(split for split, _ in group))
        for split in splits:
            own = [(name, str(path)) for name, path in group if name == split]
            if len(own) > 1:
                duplicates.append(Duplicate(tuple(own)))
        apart = [split for split in splits if split not in unions]
        if len(apart) > 1:
            leaks.append(Duplicate(tuple((name, str(path)) for name, path in group if name in apart)))
    return tuple(duplicates), tuple(leaks)


def _split_report(dataset: Dataset, names: Sequence[str]) -> SplitReport:
    """Build the report of a split; `names` are the classes of the whole data set."""
    images = dataset.images
    crowds = np.concatenate([np.zeros(0, np.bool_), *(image.crowds for image in images)])
    labels = [image.labels[~image.crowds] for image in images]
    counts, image_counts = (
        np.bincount(np.concatenate([np.zeros(0, np.int64), *part]), minlength=len(dataset.names)).tolist()
        for part in (labels, map(np.unique, labels))
    )
    boxes = sum(counts)
    return SplitReport(
        name=dataset.split,
        images=len(images),
        unlabelled=dataset.unlabelled,
        empty=sum(len(image) == 0 for image in images),
        boxes=boxes,
        crowds=int(crowds.sum()),
        outlines=sum(polygon is not None for image in images for polygon in image.polygons),
        image_sizes=tuple(Counter(image.size for image in images).most_common(5)),
        classes=_class_reports(dataset.names, names, counts, image_counts),
        box_sizes=_box_sizes(images, crowds) if boxes else None,
        anchors=_anchors(dataset) if boxes else (),
        left_out=dataset.left_out,
        summary=dataset.summary(),
    )


def _class_reports(
    own: Sequence[str], names: Sequence[str], boxes: Sequence[int], images: Sequence[int]
) -> tuple[ClassReport, ...]:
    """Counts for the classes `names` of the whole data set; a split, with classes `own`, may lack some."""
    if list(own) == list(names):
        return tuple(map(ClassReport, names, boxes, images))
    found = {name: ClassReport(name, *counts) for name, *counts in zip(own, boxes, images, strict=True)}
    return tuple(found.get(name, ClassReport(name, 0, 0)) for name in names)


def _anchors(dataset: Dataset) -> tuple[AnchorReport, ...]:
    reports = []
    for variant in (YOLOV7_TINY, YOLOV7, YOLOV7_W6):  # the other variants share their anchors
        recall = best_possible_recall(box_sizes_at(dataset, variant.size), variant.anchors)
        reports.append(AnchorReport(variant.name, variant.size, round(recall, 4)))
    return tuple(reports)


def _box_sizes(images: Sequence[LabelledImage], crowds: npt.NDArray[np.bool_]) -> BoxSizes:
    boxes = np.concatenate([image.boxes for image in images])[~crowds].astype(np.float64)
    areas = np.concatenate([image.areas for image in images])[~crowds]
    image_areas = np.concatenate([np.full(len(image), image.size[0] * image.size[1]) for image in images])
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    small, large = int((areas < 32**2).sum()), int((areas > 96**2).sum())
    return BoxSizes(
        small=small,
        medium=len(areas) - small - large,
        large=large,
        widths=_quantiles(widths),
        heights=_quantiles(heights),
        aspect_ratios=_quantiles(widths / heights),
        shares=_quantiles(np.sqrt(widths * heights / image_areas[~crowds])),
    )


def _quantiles(values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(value, 4) for value in np.quantile(values, _QUANTILES).tolist())
