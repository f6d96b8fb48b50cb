"""From whatever a user has to boxes in its pixels: read ahead, letterbox, network, NMS, and back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from yolov7.errors import UsageError
from yolov7.images.letterbox import long_side_size, whole_strides
from yolov7.inference.augment import augmented
from yolov7.inference.backend import Backend, TorchBackend
from yolov7.inference.pipeline import View, infer, prepare, select
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
"""Threads that decode images ahead of the network: one large photo then does not hold up the next."""


class Predictor:
    """A network, ready for images.

    Args:
        backend: what runs the network.
        names: class names.
        size: longest side that images are scaled to, pixels.
        thresholds: for all calls that are not given others.
        centred: pad images on all sides, as the released tool does, not on the right and below only.
        augment: test-time augmentation: each image three times, mirrored and scaled.
        parallel: images that are worked on at the same time, each from file to boxes by one thread: more
            images a second, though each takes longer. The backend must allow as many calls at once.

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
        thresholds.labels(self.names)  # a class that does not exist is known now, not at the first image
        self.centred = centred
        self.augment = augment
        self.parallel = parallel

    @property
    def model(self) -> Detector:
        """The fused network.

        Raises:
            UsageError: it runs on something other than torch.
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
            image: one image. Arrays are RGB; OpenCV's are BGR and want ``image[..., ::-1]``.
            thresholds, changes: as in :meth:`predict`.

        Raises:
            SourceError: it cannot be read.
            UsageError: it is not one image, or an invalid threshold.
        """
        results = self.predict(image, thresholds=thresholds, on_error=_raise, **changes)
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
        """Find objects in each image of a source, one after the other, in constant memory.

        Args:
            source: path, list, glob, folder, video, webcam index, URL, RTSP, numpy (H, W, 3) RGB, PIL,
                tensor, or an open :class:`~yolov7.sources.opening.Source`. Arrays are RGB; OpenCV's are BGR
                and want ``image[..., ::-1]``.
            batch_size: images that go through the network together.
            on_error: called with each frame that cannot be read (``frame.error``), of which there is then no
                result. Where not given, its result has an ``error`` and no detections, and a warning is
                logged: each image has its result, in order.
            thresholds: for this call; the predictor's own where not given.
            changes: any of conf, iou, classes, agnostic, max_detections, for this call.

        Raises:
            SourceError: nothing is there to be read.
            UsageError: an invalid threshold or batch size.
        """
        check_whole("batch size", batch_size)
        limits = (thresholds or self.thresholds).but(**changes)
        limits.labels(self.names)
        # Opened here, not when the first result is asked for: a wrong path is known at once.
        return Results(self._results(open_source(source), limits, batch_size, on_error))

    def _results(
        self,
        source: Source,
        limits: Thresholds,
        batch_size: int,
        on_error: Callable[[Frame], None] | None,
    ) -> Iterator[Result]:
        if self.parallel > 1 and batch_size == 1:
            yield from self._results_in_parallel(source, limits, on_error)
            return
        frames = source.read_ahead(self._prepare, depth=batch_size + 3, workers=READERS)
        while batch := list(islice(frames, batch_size)):
            prepared = [frame for frame in batch if isinstance(frame, _Prepared)]
            results = self._detect(prepared, limits) if prepared else iter(())
            for frame in batch:
                if isinstance(frame, _Prepared):
                    yield next(results)
                else:
                    yield from self._failed(frame, on_error)

    def _results_in_parallel(
        self, source: Source, limits: Thresholds, on_error: Callable[[Frame], None] | None
    ) -> Iterator[Result]:
        """Each image by one thread, from file to boxes."""

        def detect(frame: Frame) -> Result | Frame:
            prepared = self._prepare(frame)
            return next(self._detect([prepared], limits)) if isinstance(prepared, _Prepared) else prepared

        for found in source.read_ahead(detect, depth=2 * self.parallel, workers=self.parallel):
            if isinstance(found, Result):
                yield found
            else:
                yield from self._failed(found, on_error)

    def _failed(self, frame: Frame, on_error: Callable[[Frame], None] | None) -> Iterator[Result]:
        """The result of an image that cannot be read, unless somebody is told of it otherwise."""
        if on_error is not None:
            on_error(frame)
            return
        _LOG.warning("cannot be read: %s", frame.error)
        timings = Timings(frame.read_ms, 0, 0, 0)
        nothing = np.zeros((0, 0, 3), np.uint8)
        yield Result(Detections.empty(self.names), nothing, frame.source, frame.index, timings, frame)

    def _prepare(self, frame: Frame) -> _Prepared | Frame:
        """Letterbox a frame, in the background; one that could not be read stays what it is."""
        if frame.image is None:
            return frame
        start = time.perf_counter()
        backend = self.backend
        with self._enough_memory(frame.image):
            view = prepare(frame.image, self.size, backend.stride, backend.shape, centred=self.centred)
            view = View(view.canvas, view.letterbox.of_source(frame.size))
            views = augmented(view, backend.stride) if self.augment else [view]
        return _Prepared(frame, views, 1000 * (time.perf_counter() - start))

    def _enough_memory(self, *images: Image) -> AbstractContextManager[None]:
        """Explain a size that memory does not suffice for."""
        height, width = self.backend.shape or long_side_size(images[0].shape[:2], self.size)
        return enough_for_images(height, width, len(images))

    def _detect(self, batch: Sequence[_Prepared], limits: Thresholds) -> Iterator[Result]:
        start = time.perf_counter()
        images = [one.views for one in batch]
        with self._enough_memory(*(views[0].canvas for views in images)):
            rows = infer(self.backend, images, limits.conf, centred=self.centred)
        network = time.perf_counter()
        found = select(rows, limits, self.names, self.backend.layout)
        end = time.perf_counter()
        for one, detections in zip(batch, found, strict=True):
            timings = Timings(
                read=one.frame.read_ms,
                prepare=one.milliseconds,
                network=1000 * (network - start) / len(batch),
                nms=1000 * (end - network) / len(batch),
            )
            image = one.frame.image
            assert image is not None
            yield Result(detections, image, one.frame.source, one.frame.index, timings, one.frame)


@dataclass(frozen=True)
class _Prepared:
    """A frame on its way to the network."""

    frame: Frame
    views: Sequence[View]
    milliseconds: float


def _raise(frame: Frame) -> None:
    assert frame.error is not None
    raise frame.error
