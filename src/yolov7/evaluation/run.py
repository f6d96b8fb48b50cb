"""A network and a data set -> metrics. Images are read and prepared while the network computes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields

import numpy as np
from torch import Tensor

from yolov7.data.ahead import map_ahead
from yolov7.data.classes import match_classes
from yolov7.data.dataset import Dataset
from yolov7.data.findings import Defect
from yolov7.data.labels import LabelledImage
from yolov7.errors import SourceError
from yolov7.evaluation.coco import Metrics, coco_metrics
from yolov7.evaluation.confusion import ConfusionMatrix, confusion_matrix
from yolov7.evaluation.curves import PrecisionRecall
from yolov7.evaluation.matching import judge
from yolov7.images.letterbox import letterbox_evaluation, released_way_back, to_tensor
from yolov7.images.reading import read_image
from yolov7.images.rectangular import RectangularBatch, rectangular_batches
from yolov7.nms import non_max_suppression
from yolov7.types import Detections, Image, Letterbox

_BATCHES_AHEAD = 3
PIXELS = 32 * 640 * 640
"""In a batch, where nothing else is asked for."""


@dataclass(frozen=True)
class Evaluation(Metrics):
    """The COCO metrics of the images that could be read, and what they were computed from.

    Attributes:
        by_image: image id -> detections, in pixels of the image, with labels of the data set.
        defects: images whose pixels could not be decoded; they and their objects are left out of the metrics.
        precision_recall: the curves that the metrics are means of.
        dataset: the ground truth.
    """

    by_image: dict[int | str, Detections] = field(repr=False, compare=False)
    defects: tuple[Defect, ...]
    precision_recall: PrecisionRecall = field(repr=False, compare=False)
    dataset: Dataset = field(repr=False, compare=False)

    @property
    def metrics(self) -> Metrics:
        """The numbers alone."""
        return Metrics(**{one.name: getattr(self, one.name) for one in fields(Metrics)})

    def confusion(self, conf: float) -> ConfusionMatrix:
        """Count what objects were taken for, by detections above a confidence that overlap them by half."""
        judgements = judge(self.dataset.images, self.by_image, conf=conf)
        return confusion_matrix(judgements, self.dataset.names)


def evaluate_network(
    infer: Callable[[Tensor], Tensor | Sequence[Tensor]],
    dataset: Dataset,
    *,
    names: Sequence[str],
    size: int,
    stride: int,
    shape: tuple[int, int] | None = None,
    batch_size: int | None = None,
    conf: float = 0.001,
    iou: float = 0.65,
    max_detections: int = 300,
    released_mapping: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Detect in every image of a data set, and measure by the COCO protocol.

    Images have their long side scaled to `size` and share a rectangle with others of similar shape. A box may
    keep several classes. An image that cannot be decoded is reported and left out, with its objects: what it
    would have scored says nothing about the network.

    Args:
        infer: uint8 images (B, 3, H, W) on the CPU -> for each decoded rows (N, 5 + C), on any device; those
            whose objectness is not above `conf` may be missing.
        dataset: the ground truth; its classes are matched to the network's by name.
        names: the network's class names by label.
        size: long side of the images.
        stride: the network's largest.
        shape: (height, width) that all images are padded to, for a network that takes no other.
        batch_size: images computed together; as many as have the pixels of 32 at 640 where not given.
        conf: confidence that detections must exceed.
        iou: overlap above which the lesser of two boxes of a class goes.
        max_detections: at most so many an image.
        released_mapping: map boxes back as the released evaluation does (`released_way_back`).
        progress: called with the number of images done and of all.

    Raises:
        DataError: the data set has boxes of classes that the network does not know.
    """
    label_of = np.array(match_classes(dataset.names, names, dataset.has_boxes()), np.int64)
    wanted = None if (label_of >= 0).all() else np.flatnonzero(label_of >= 0).tolist()
    by_image: dict[int | str, Detections] = {}
    defects: list[Defect] = []
    batch_size = batch_size or max(1, round(PIXELS / size**2))
    way_back = released_way_back if released_mapping else _as_it_is
    batches = rectangular_batches([image.size for image in dataset.images], size, stride, batch_size)
    if shape is not None:
        batches = [RectangularBatch(batch.indices, shape) for batch in batches]
    done = 0
    for batch, prepared in _prepare_ahead(dataset.images, batches, size):
        sound: list[tuple[LabelledImage, Image, Letterbox]] = []
        for index, result in zip(batch.indices, prepared, strict=True):
            labelled = dataset.images[index]
            if isinstance(result, SourceError):
                defects.append(Defect(str(labelled.path), None, f"{result.message}: left out", "error"))
            else:
                sound.append((labelled, *result))
        if sound:
            rows = infer(to_tensor([canvas for _, canvas, _ in sound]))
            found = non_max_suppression(
                rows, conf, iou, multi_label=True, classes=wanted, max_detections=max_detections
            )
            for (labelled, _, letterbox), boxes in zip(sound, found, strict=True):
                mine = Detections.from_tensors(*boxes, names=names).to_source(way_back(letterbox))
                by_image[labelled.image_id] = Detections(
                    mine.boxes, mine.scores, label_of[mine.labels], dataset.names
                )
        done += len(batch.indices)
        if progress is not None:
            progress(done, len(dataset))
    metrics, precision_recall = coco_metrics(dataset.images, by_image, dataset.names)
    return Evaluation(
        **vars(metrics),
        by_image=by_image,
        defects=tuple(defects),
        precision_recall=precision_recall,
        dataset=dataset,
    )


def _as_it_is(letterbox: Letterbox) -> Letterbox:
    return letterbox


_Prepared = tuple[Image, Letterbox] | SourceError


def _prepare_ahead(
    images: Sequence[LabelledImage], batches: Sequence[RectangularBatch], size: int
) -> Iterator[tuple[RectangularBatch, list[_Prepared]]]:
    """Each batch and its letterboxed images; threads read a few batches ahead, not more."""

    def prepare(item: tuple[int, tuple[int, int]]) -> _Prepared:
        index, shape = item
        try:
            return letterbox_evaluation(read_image(images[index].path), size, shape)
        except SourceError as error:
            return error

    items = [(index, batch.shape) for batch in batches for index in batch.indices]
    ahead = _BATCHES_AHEAD * max((len(batch.indices) for batch in batches), default=1)
    threads = min(4, os.cpu_count() or 1)
    with closing(map_ahead(prepare, items, threads=threads, ahead=ahead)) as prepared:
        for batch in batches:
            yield batch, [next(prepared) for _ in batch.indices]
