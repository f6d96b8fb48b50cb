"""Evaluation of a network on a data set. Images are read and prepared while the network computes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields, replace

import numpy as np

from yolov7.data.classes import match_classes
from yolov7.data.dataset import Dataset
from yolov7.data.findings import Defect
from yolov7.data.labels import LabelledImage
from yolov7.errors import SourceError
from yolov7.evaluation.coco import Metrics, coco_metrics
from yolov7.evaluation.confusion import ConfusionMatrix, confusion_matrix
from yolov7.evaluation.curves import PrecisionRecall
from yolov7.evaluation.matching import Judgement, judge
from yolov7.images.letterbox import letterbox_evaluation, released_way_back
from yolov7.images.reading import read_image
from yolov7.images.rectangular import RectangularBatch, rectangular_batches
from yolov7.inference.backend import Backend
from yolov7.inference.pipeline import View, augmented, infer, select
from yolov7.prefetch import prefetch
from yolov7.thresholds import COCO, Thresholds
from yolov7.types import Detections

PIXELS = 32 * 640 * 640
"""Default number of pixels per batch."""
_BATCHES_AHEAD = 3


@dataclass(frozen=True)
class Evaluation(Metrics):
    """COCO metrics of the images that could be read, and the detections that they were computed from.

    Attributes:
        by_image: detections by image id, in pixels of the image, with labels of the data set.
        defects: images that could not be decoded. They and their objects are left out of the metrics.
        precision_recall: curves whose means are the metrics.
        dataset: ground truth.
    """

    by_image: dict[int | str, Detections] = field(repr=False, compare=False)
    defects: tuple[Defect, ...]
    precision_recall: PrecisionRecall = field(repr=False, compare=False)
    dataset: Dataset = field(repr=False, compare=False)
    _judgements: dict[float, list[Judgement]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def metrics(self) -> Metrics:
        """Metrics alone."""
        return Metrics(**{one.name: getattr(self, one.name) for one in fields(Metrics)})

    def judgements(self, conf: float) -> list[Judgement]:
        """Judge each image by its detections above a confidence, matched to objects by an IoU of 0.5."""
        if conf not in self._judgements:
            self._judgements[conf] = judge(self.dataset.images, self.by_image, conf=conf)
        return self._judgements[conf]

    def confusion(self, conf: float) -> ConfusionMatrix:
        """Count true against predicted classes of detections above a confidence, matched by an IoU of 0.5."""
        return confusion_matrix(self.judgements(conf), self.dataset.names)


def evaluate_network(
    backend: Backend,
    dataset: Dataset,
    *,
    names: Sequence[str],
    size: int,
    thresholds: Thresholds = COCO,
    batch_size: int | None = None,
    shape: tuple[int, int] | None = None,
    augment: bool = False,
    released_mapping: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Detect objects in every image of a data set, and measure by the COCO protocol.

    Images of similar shape share a rectangle. A box may have several classes. An image that cannot be decoded
    is reported and left out with its objects: its score would say nothing about the network.

    Args:
        backend, names, size: network, its class names by label, and the scaled images' long side, pixels.
        dataset: ground truth; its classes are matched to the network's by name.
        thresholds: settings of NMS.
        batch_size: images per batch; by default as many as have the pixels of 32 at 640.
        shape: (height, width) that all images are padded to; the backend's own by default.
        augment, released_mapping: test-time augmentation; boxes mapped back by `released_way_back`.
        progress: called with the number of images done and of all images.

    Raises:
        DataError: the data set has boxes of classes that the network does not know.
    """
    label_of = np.array(match_classes(dataset.names, names, dataset.has_boxes()), np.int64)
    if (label_of < 0).any():
        thresholds = thresholds.but(classes=np.flatnonzero(label_of >= 0).tolist())
    batches = _batches(dataset, size, backend.stride, batch_size, shape or backend.shape)

    def views(image: LabelledImage, shape: tuple[int, int]) -> list[View]:
        canvas, box = letterbox_evaluation(read_image(image.path), size, shape)
        view = View(canvas, released_way_back(box) if released_mapping else box)
        return augmented(view, backend.stride) if augment else [view]

    by_image: dict[int | str, Detections] = {}
    defects: list[Defect] = []
    for batch in _prepare_ahead(dataset.images, batches, views):
        defects += [defect for _, defect in batch if isinstance(defect, Defect)]
        sound = [(image, views) for image, views in batch if not isinstance(views, Defect)]
        rows = infer(backend, [views for _, views in sound], thresholds.conf)
        found = select(rows, thresholds, names, backend.layout, multi_label=True)
        del rows  # free their memory before the next batch
        for (image, _), mine in zip(sound, found, strict=True):
            by_image[image.image_id] = replace(mine, labels=label_of[mine.labels], names=dataset.names)
        if progress is not None:
            progress(len(by_image) + len(defects), len(dataset))
    metrics, precision_recall = coco_metrics(dataset.images, by_image, dataset.names)
    return Evaluation(
        **vars(metrics),
        by_image=by_image,
        defects=tuple(defects),
        precision_recall=precision_recall,
        dataset=dataset,
    )


def _batches(
    dataset: Dataset, size: int, stride: int, batch_size: int | None, shape: tuple[int, int] | None
) -> list[RectangularBatch]:
    """Batches of images of similar shape, all padded to `shape` (height, width) if it is given."""
    sizes = [image.size for image in dataset.images]
    batches = rectangular_batches(sizes, size, stride, batch_size or max(1, round(PIXELS / size**2)))
    return [RectangularBatch(batch.indices, shape) for batch in batches] if shape else batches


def _prepare_ahead(
    images: Sequence[LabelledImage],
    batches: Sequence[RectangularBatch],
    views: Callable[[LabelledImage, tuple[int, int]], list[View]],
) -> Iterator[list[tuple[LabelledImage, list[View] | Defect]]]:
    """Yield the images of each batch with their views, or with a defect; threads read batches ahead."""

    def prepare(item: tuple[int, tuple[int, int]]) -> tuple[LabelledImage, list[View] | Defect]:
        image = images[item[0]]
        try:
            return image, views(image, item[1])
        except SourceError as error:
            return image, Defect(str(image.path), None, f"{error.message}: left out", "error")

    items = [(index, batch.shape) for batch in batches for index in batch.indices]
    ahead = _BATCHES_AHEAD * max((len(batch.indices) for batch in batches), default=1)
    threads = min(4, os.cpu_count() or 1)
    with closing(prefetch(items, ahead, prepare=prepare, workers=threads)) as prepared:
        for batch in batches:
            yield [next(prepared) for _ in batch.indices]
