"""COCO metrics of any checkpoint on any data set, as ``yolov7 val`` prints them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from yolov7.data.classes import match_classes
from yolov7.data.dataset import Dataset
from yolov7.errors import DataError, OutputError
from yolov7.evaluation.coco import coco_results
from yolov7.evaluation.run import Evaluation, evaluate_network
from yolov7.files import exists, write_file
from yolov7.formats.opening import open_dataset
from yolov7.inference.predictor import Predictor
from yolov7.loading import load
from yolov7.memory import enough_for_images
from yolov7.reports.evaluation import evaluation_report
from yolov7.reports.plots import require_matplotlib
from yolov7.runtimes.suppressed import SuppressingBackend
from yolov7.text import plural
from yolov7.thresholds import COCO, PREDICTION, Thresholds

_LOG = logging.getLogger(__name__)

REPORT, METRICS = "report.html", "metrics.json"
"""Files in the directory of a report."""


def evaluate(
    weights: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    split: str = "val",
    images: str | os.PathLike[str] | None = None,
    size: int | None = None,
    batch_size: int | None = None,
    conf: float = COCO.conf,
    iou: float = COCO.iou,
    max_detections: int = COCO.max_detections,
    released_mapping: bool = False,
    augment: bool = False,
    half: bool = False,
    runtime: str | None = None,
    trust: bool = False,
    device: str | torch.device | None = None,
    predictions: str | os.PathLike[str] | None = None,
    report: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Evaluation:
    """Evaluate a checkpoint on labelled images by the COCO protocol.

    Args:
        weights: any YOLOv7 checkpoint, or an artefact of ``yolov7 export``.
        data, split: data.yaml, COCO json, or the folder of a data set; and which part of it.
        images: image folder of a COCO json, if the images are not beside it.
        size, augment, half, runtime, trust, device: see :func:`yolov7.load`.
        batch_size: images per batch, which share a rectangle: AP moves by some thousandths with it. Default:
            as many as have the pixels of 32 at 640.
        conf, iou, max_detections: thresholds; the protocol wants nearly all detections.
        released_mapping: map boxes back to the image as the released evaluation does, half an input pixel
            off where padding is odd: AP is lower, comparable with published numbers.
        predictions: file for the detections, in the form that the COCO server takes.
        report: directory for metrics.json and report.html (AP, curves, confusions, the worst images), one
            page that needs no internet.
        progress, say: called with images done and total images; with lines on data read and left out.

    Raises:
        CheckpointError, DataError, UsageError, OutputError: with file, line, expected and found.
        MissingDependencyError: matplotlib is not installed, for a report.

    >>> evaluation = evaluate("best.pt", "data.yaml")
    >>> evaluation.images, 0 <= evaluation.AP50 <= 1
    (2, True)
    """
    thresholds = Thresholds(conf, iou, max_detections)
    _check_report(report)
    dataset = _truth(data, split, images, predictions, say)
    predictor = load(
        weights, runtime=runtime, size=size, device=device, half=half, augment=augment, trust=trust
    )
    evaluation = _measure(predictor, dataset, thresholds, batch_size, released_mapping, progress)
    if predictions is not None:
        entries = coco_results(evaluation.by_image, evaluation.dataset)
        write_file(Path(predictions), json.dumps(entries).encode())
    if report is not None:
        _write_report(Path(report), Path(weights).name, predictor, evaluation, thresholds, released_mapping)
    return evaluation


def _check_report(directory: str | os.PathLike[str] | None) -> None:
    """Raise an error now, not after the evaluation, if a report could not be written."""
    if directory is not None:
        require_matplotlib()
        for path in (Path(directory, REPORT), Path(directory, METRICS)):
            if exists(path):
                raise OutputError("there are results already, which are not overwritten", file=path)


def _measure(
    predictor: Predictor,
    dataset: Dataset,
    thresholds: Thresholds,
    batch_size: int | None,
    released_mapping: bool,
    progress: Callable[[int, int], None] | None,
) -> Evaluation:
    dataset = _of_known_classes(dataset, predictor.names)
    if isinstance(predictor.backend, SuppressingBackend):
        _LOG.warning(
            "%s runs NMS itself, with IoU %g and one class per box: AP is lower than the network's",
            predictor.backend.runtime,
            PREDICTION.iou,
        )
    with enough_for_images(*(predictor.backend.shape or (predictor.size, predictor.size))):
        return evaluate_network(
            predictor.backend,
            dataset,
            names=predictor.names,
            size=predictor.size,
            thresholds=thresholds,
            batch_size=batch_size,
            augment=predictor.augment,
            released_mapping=released_mapping,
            progress=progress,
        )


def _write_report(
    directory: Path,
    weights: str,
    predictor: Predictor,
    evaluation: Evaluation,
    thresholds: Thresholds,
    released_mapping: bool,
) -> None:
    """Write report.html, with names of files but no paths of this machine, and metrics.json."""
    dataset = evaluation.dataset
    facts = {
        "weights": weights,
        "network": predictor.backend.variant,
        "runs on": predictor.backend.runtime,
        "classes": len(predictor.names),
        "data": dataset.path.name,
        "format": dataset.kind,
        "split": dataset.split,
        "image size": predictor.size,
        "confidence threshold": thresholds.conf,
        "NMS IoU threshold": thresholds.iou,
        "detections per image": f"at most {thresholds.max_detections}",
        "test-time augmentation": predictor.augment,
        "boxes mapped back": "as released" if released_mapping else "exactly",
    }
    page = evaluation_report(
        f"{weights} on {dataset.path.name}",
        f"{predictor.backend.variant} at {predictor.size} pixels on {plural(len(dataset), 'image')} "
        f"({dataset.split})",
        evaluation,
        facts,
    )
    write_file(directory / REPORT, page.encode())
    write_file(directory / METRICS, json.dumps(evaluation.to_dict(), indent=2).encode())


def _truth(
    data: str | os.PathLike[str],
    split: str,
    images: str | os.PathLike[str] | None,
    predictions: str | os.PathLike[str] | None,
    say: Callable[[str], None] | None,
) -> Dataset:
    """Labelled images; without any label, as in COCO's test sets, only if detections are to be written."""
    dataset = open_dataset(data, split, images=images)
    if say is not None:
        for line in dataset.account():
            say(line)
    if dataset.unlabelled == len(dataset):
        if predictions is None:
            raise DataError(
                "nothing to measure against: none of the images has labels",
                file=data,
                expected="labels; or --predictions FILE, to write the detections alone",
            )
        _LOG.warning("none of the images has labels: the detections are written, and there is no AP")
    elif not any(map(len, dataset.images)):
        _LOG.warning("no image has a box: there is no AP")
    return dataset


def _of_known_classes(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """Data set without the classes that the network does not know; a box of such a class is an error."""
    known = sorted(set(match_classes(dataset.names, names, dataset.has_boxes())) - {-1})
    if not known:
        raise DataError(
            "no class of the data set is known to the network, and no image has a box",
            file=dataset.path,
            expected=", ".join(names[:20]),
            found=", ".join(dataset.names[:20]),
        )
    if left := len(dataset.names) - len(known):
        _LOG.warning("%s without a box here, unknown to the network", plural(left, "class", "classes"))
    return dataset.of_classes(known)
