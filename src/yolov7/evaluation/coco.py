"""COCO metrics of detections.

101 recall points, IoU 0.50 to 0.95 in steps of 0.05, at most 1, 10 and 100 detections per image, crowds
ignored. faster-coco-eval computes them, with the same numbers as pycocotools.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO, COCOeval_faster

from yolov7.checkpoints.coco_names import COCO_NAMES
from yolov7.data.dataset import Dataset
from yolov7.data.labels import LabelledImage
from yolov7.evaluation.curves import PrecisionRecall
from yolov7.evaluation.matching import evaluated
from yolov7.types import Detections

COCO_CATEGORY_IDS = tuple(
    number for number in range(1, 91) if number not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
)
"""COCO's category id of each of its 80 classes, by label."""


@dataclass(frozen=True)
class ClassMetrics:
    """Average precision of one class, as a fraction; NaN without an object.

    Attributes:
        name: class name.
        AP: average precision, mean over IoU thresholds 0.50:0.95.
        AP50: average precision at IoU 0.50.
        boxes: number of objects of the class, without crowds.
    """

    name: str
    AP: float
    AP50: float
    boxes: int


@dataclass(frozen=True)
class Metrics:
    """COCO metrics as fractions; NaN if there is nothing to measure, such as no small object.

    Attributes:
        AP: average precision, mean over IoU thresholds 0.50:0.95 and classes.
        AP50, AP75: AP at one IoU threshold.
        APs, APm, APl: AP of objects smaller than 32 x 32 pixels, between, and larger than 96 x 96.
        AR1, AR10, AR100: average recall with at most 1, 10 and 100 detections per image.
        ARs, ARm, ARl: AR100 by size of the objects.
        per_class: metrics of each class, by label.
        images: number of evaluated images.
        boxes: number of objects in them, without crowds.
        detections: number of detections.
    """

    AP: float
    AP50: float
    AP75: float
    APs: float
    APm: float
    APl: float
    AR1: float
    AR10: float
    AR100: float
    ARs: float
    ARm: float
    ARl: float
    per_class: tuple[ClassMetrics, ...]
    images: int
    boxes: int
    detections: int

    def to_dict(self) -> dict[str, Any]:
        """Metrics as values for JSON, with None instead of NaN."""
        plain: dict[str, Any] = {one.name: getattr(self, one.name) for one in dataclasses.fields(Metrics)}
        plain["per_class"] = [dataclasses.asdict(one) for one in self.per_class]
        return {key: _without_nan(value) for key, value in plain.items()}


def coco_metrics(
    images: Sequence[LabelledImage], detections: Mapping[int | str, Detections], names: Sequence[str]
) -> tuple[Metrics, PrecisionRecall]:
    """Compute the COCO metrics, and the precision-recall curves whose means they are.

    Coordinates and scores are rounded as in a results file: pycocotools gives the same numbers for that file.
    Detections are by image id, in pixels of the image; images without an entry are left out. Names of classes
    are by label.
    """
    # The protocol breaks ties of scores by the order of the image ids.
    by_id = {image.image_id: (image, found) for image, found in evaluated(images, detections)}
    ids = sorted(by_id) if all(isinstance(id, int) for id in by_id) else list(by_id)
    truth, found = _entries(by_id[id] for id in ids)
    count = len(found)
    objects = np.bincount(
        [entry["category_id"] for entry in truth if not entry["iscrowd"]], minlength=len(names)
    )
    # Time and memory grow with the number of classes; those without an object have no metrics.
    measured = np.flatnonzero(objects).tolist() or [0]
    truth, found = (
        [entry for entry in entries if objects[entry["category_id"]]] for entries in (truth, found)
    )
    for entry in found:
        entry["area"], entry["iscrowd"] = entry["bbox"][2] * entry["bbox"][3], 0

    precision, recall = _accumulated(truth, found, len(ids), {label: names[label] for label in measured})
    per_class = [ClassMetrics(name, math.nan, math.nan, 0) for name in names]
    curves = precision[:, :, :, 0, 2]  # (T, R, C)
    for place, label in enumerate(measured):
        curve = curves[:, :, place]
        per_class[label] = ClassMetrics(names[label], _mean(curve), _mean(curve[0]), int(objects[label]))
    metrics = Metrics(
        AP=_mean(curves),
        AP50=_mean(curves[0]),
        AP75=_mean(curves[5]),
        APs=_mean(precision[:, :, :, 1, 2]),
        APm=_mean(precision[:, :, :, 2, 2]),
        APl=_mean(precision[:, :, :, 3, 2]),
        AR1=_mean(recall[:, :, 0, 0]),
        AR10=_mean(recall[:, :, 0, 1]),
        AR100=_mean(recall[:, :, 0, 2]),
        ARs=_mean(recall[:, :, 1, 2]),
        ARm=_mean(recall[:, :, 2, 2]),
        ARl=_mean(recall[:, :, 3, 2]),
        per_class=tuple(per_class),
        images=len(ids),
        boxes=int(objects.sum()),
        detections=count,
    )
    known = tuple(names[label] for label in measured)
    return metrics, PrecisionRecall(known, np.where(curves > -1, curves, np.nan))


def _accumulated(
    truth: Sequence[Mapping[str, Any]],
    found: Sequence[Mapping[str, Any]],
    images: int,
    categories: Mapping[int, str],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Precision (T, R, C, A, L) and recall (T, C, A, L) by the COCO protocol; -1 if a class has no object.

    Axes: IoU threshold, recall point, class, area (all, small, medium, large) and limit (1, 10, 100
    detections per image).
    """
    common = {
        "images": [{"id": number} for number in range(1, images + 1)],
        "categories": [{"id": label, "name": name} for label, name in categories.items()],
    }
    evaluation = COCOeval_faster(
        COCO({**common, "annotations": truth}, print_function=_silent),
        COCO({**common, "annotations": found}, print_function=_silent),
        iouType="bbox",
        print_function=_silent,
    )
    evaluation.evaluate()
    evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"]), np.asarray(evaluation.eval["recall"])


def coco_results(detections: Mapping[int | str, Detections], dataset: Dataset) -> list[dict[str, Any]]:
    """Entries of a COCO results file, as the evaluation server accepts them.

    Category ids are those of the data set; for COCO's 80 classes in a format without ids, COCO's own.
    """
    is_coco = dataset.kind != "coco" and dataset.names == COCO_NAMES
    category_ids = COCO_CATEGORY_IDS if is_coco else dataset.category_ids
    return [
        entry for image_id, found in detections.items() for entry in found.to_coco(image_id, category_ids)
    ]


def _entries(
    images: Iterable[tuple[LabelledImage, Detections]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """COCO annotations of the objects and of the detections; ids of images and annotations count from 1."""
    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, (image, detections) in enumerate(images, 1):
        truth += _truth(image, number)
        found += detections.to_coco(number)
    for entries in (truth, found):
        for number, entry in enumerate(entries, 1):
            entry["id"] = number
    return truth, found


def _truth(image: LabelledImage, number: int) -> Iterable[dict[str, Any]]:
    for (x1, y1, x2, y2), label, crowd, area in zip(
        image.boxes.tolist(), image.labels.tolist(), image.crowds.tolist(), image.areas.tolist(), strict=True
    ):
        yield {
            "image_id": number,
            "category_id": label,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": area,
            "iscrowd": int(crowd),
        }


def _mean(values: npt.NDArray[np.float64]) -> float:
    """Mean of the valid values; the protocol marks the others with -1."""
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else math.nan


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _silent(*_: object) -> None:
    """Stand in for print, with which the library reports every step."""
