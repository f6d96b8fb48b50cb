"""The predictor: images of any source, read ahead, become detections in pixels of the image."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from yolov7.errors import UsageError
from yolov7.images.letterbox import long_side_size, whole_strides
from yolov7.inference.backend import Backend, TorchBackend
from yolov7.inference.pipeline import View, augmented, infer, prepare, select
from yolov7.memory import enough_for_images
from yolov7.models.detector import Detector
from yolov7.results.result import Result, Results, Timings
from yolov7.sources.frames import Frame
from yolov7.sources.opening import Source, open_source
from yolov7.text import plural
from yolov7.thresholds import PREDICTION, ThresholdChanges, Thresholds, check_whole
from yolov7.types import Detections, Image

if TYPE_CHECKING:
    from typing_extensions import Unpack

_LOG = logging.getLogger(__name__)

READERS = 2
"""Threads that decode images ahead of the network, so that one large photo does not delay the next."""


class Predictor:
    """A network, ready for images.

    Args:
        backend: network on some runtime.
        names: class names by label.
        size: longest side that images are scaled to, pixels.
        thresholds: defaults for all calls.
        centred: pad images on all sides, as the released tool does, instead of right and below.
        augment: test-time augmentation: three views of each image, mirrored and scaled.
        parallel: number of images in progress at the same time, each from file to boxes in one thread: higher
            throughput, higher latency. The backend must allow as many calls at once.

    Raises:
        UsageError: invalid size, number or class; or augmentation on a backend that takes one shape only.

    >>> from yolov7 import load
    >>> predictor = load("best.pt")
    >>> detections = predictor("photos/0.jpg", conf=0.4, classes="green")  # of one image
    >>> for result in predictor.predict("photos/"):  # many; a video; a camera
    ...     print(result.source, set(result.detections.class_names) <= set(predictor.names))
    photos/0.jpg True
    photos/1.jpg True
    """

    def __init__(
        self,
        backend: Backend,
        names: Sequence[str],
        size: int = 640,
        thresholds: Thresholds = PREDICTION,
        *,
        centred: bool = False,
        augment: bool = False,
        parallel: int = 1,
    ) -> None:
        if augment and backend.shape is not None:
            raise UsageError("images of several scales need a network that takes images of any size")
        check_whole("image size in pixels", size, least=backend.stride)
        check_whole("number of images at a time", parallel)
        self.backend = backend
        self.names = tuple(names)
        self.size = whole_strides(size, backend.stride) if backend.shape is None else size
        self.thresholds = thresholds
        thresholds.labels(self.names)  # an unknown class is an error now, not at the first image
        self.centred = centred
        self.augment = augment
        self.parallel = parallel

    @property
    def model(self) -> Detector:
        """The fused network.

        Raises:
            UsageError: the backend is not torch.
        """
        if not isinstance(self.backend, TorchBackend):
            raise UsageError("this predictor does not run on torch", found=type(self.backend).__name__)
        return self.backend.model

    def __repr__(self) -> str:
        backend = self.backend
        kind = f"{backend.variant} on {backend.runtime}, {self.size} pixels"
        kind += f", {plural(len(self.names), 'class', 'classes')}"
        return f"<Predictor {kind}, {self.thresholds}>"

    def __call__(
        self, image: Any, *, thresholds: Thresholds | None = None, **changes: Unpack[ThresholdChanges]
    ) -> Detections:
        """Find objects in one image: a path, a URL, numpy (H, W, 3) RGB, PIL or a tensor.

        Args:
            image: one image. Arrays are RGB; convert OpenCV's BGR by ``image[..., ::-1]``.
            thresholds, changes: as in :meth:`predict`.

        Raises:
            SourceError: the image cannot be read.
            UsageError: not exactly one image, or an invalid threshold.
        """
        results = self.predict(image, thresholds=thresholds, on_error=raise_error, **changes)
        found = list(islice(results, 2))
        if len(found) != 1:
            raise UsageError("expected one image", found="none" if not found else "several")
        return found[0].detections

    def predict(
        self,
        source: Any,
        *,
        batch_size: int = 1,
        on_error: Callable[[Frame], None] | None = None,
        thresholds: Thresholds | None = None,
        **changes: Unpack[ThresholdChanges],
    ) -> Results:
        """Find objects in each image of a source, in order and in constant memory.

        Args:
            source: path, list, glob, folder, video, webcam index, URL, RTSP, numpy (H, W, 3) RGB, PIL,
                tensor, or an open :class:`~yolov7.sources.opening.Source`. Arrays are RGB; convert OpenCV's
                BGR by ``image[..., ::-1]``.
            batch_size: images that go through the network together.
            on_error: called with each frame that cannot be read (``frame.error``), which then has no result.
                By default a warning is logged, and its result has an ``error`` and no detections.
            thresholds: thresholds of this call; the predictor's own by default.
            changes: any of conf, iou, classes, agnostic, max_detections, for this call.

        Raises:
            SourceError: there is nothing to read.
            UsageError: an invalid threshold or batch size.
        """
        check_whole("batch size", batch_size)
        limits = (thresholds or self.thresholds).but(**changes)
        limits.labels(self.names)
        # Opened here, not at the first result, so that a wrong path is an error at once.
        return Results(self._results(open_source(source), limits, batch_size, on_error))

    def _results(
        self,
        source: Source,
        limits: Thresholds,
        batch_size: int,
        on_error: Callable[[Frame], None] | None,
    ) -> Iterator[Result]:
        for result in chain.from_iterable(self._batches(source, limits, batch_size)):
            if result.error is None:
                yield result
            elif on_error is not None:
                on_error(result.frame)
            else:
                _LOG.warning("cannot be read: %s", result.error)
                yield result

    def _batches(self, source: Source, limits: Thresholds, batch_size: int) -> Iterator[list[Result]]:
        if self.parallel > 1 and batch_size == 1:  # each image in one thread, from file to boxes
            yield from source.read_ahead(
                lambda frame: self._detect([self._prepare(frame)], limits),
                depth=2 * self.parallel,
                workers=self.parallel,
            )
            return
        prepared = source.read_ahead(self._prepare, depth=batch_size + 3, workers=READERS)
        while batch := list(islice(prepared, batch_size)):
            yield self._detect(batch, limits)

    def _prepare(self, frame: Frame) -> _Prepared:
        """Letterbox a frame, in the background."""
        start = time.perf_counter()
        if frame.image is None:
            return _Prepared(frame, (), 0)
        backend = self.backend
        with self._enough_memory(frame.image):
            view = prepare(frame.image, self.size, backend.stride, backend.shape, centred=self.centred)
            view = View(view.canvas, view.letterbox.of_source(frame.size))
            views = augmented(view, backend.stride) if self.augment else [view]
        return _Prepared(frame, views, 1000 * (time.perf_counter() - start))

    def _enough_memory(self, image: Image, count: int = 1) -> AbstractContextManager[None]:
        """Explain a failed allocation by the size of the images."""
        height, width = self.backend.shape or long_side_size(image.shape[:2], self.size)
        return enough_for_images(height, width, count)

    def _detect(self, batch: Sequence[_Prepared], limits: Thresholds) -> list[Result]:
        """Results of a batch; an image that cannot be read has no detections and no pixels (0, 0, 3)."""
        images = [one.views for one in batch if one.views]
        found: Iterator[Detections] = iter(())
        network_ms = nms_ms = 0.0  # per image
        if images:
            start = time.perf_counter()
            with self._enough_memory(images[0][0].canvas, len(images)):
                rows = infer(self.backend, images, limits.conf, centred=self.centred)
            network = time.perf_counter()
            found = iter(select(rows, limits, self.names, self.backend.layout))
            network_ms = 1000 * (network - start) / len(images)
            nms_ms = 1000 * (time.perf_counter() - network) / len(images)
        results = []
        for frame, views, prepare_ms in batch:
            if views:
                detections, timings = next(found), Timings(frame.read_ms, prepare_ms, network_ms, nms_ms)
            else:
                detections, timings = Detections.empty(self.names), Timings(frame.read_ms, 0, 0, 0)
            image = np.zeros((0, 0, 3), np.uint8) if frame.image is None else frame.image
            results.append(Result(detections, image, frame.source, frame.index, timings, frame))
        return results


class _Prepared(NamedTuple):
    """A frame on its way to the network; without views if it cannot be read."""

    frame: Frame
    views: Sequence[View]
    milliseconds: float


def raise_error(frame: Frame) -> None:
    """Callback for errors that are not to be passed over."""
    assert frame.error is not None
    raise frame.error
