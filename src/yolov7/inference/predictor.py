"""From whatever a user has to boxes in its pixels: read ahead, letterbox, network, NMS, and back."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from yolov7.data.letterbox import letterbox, share_shape, to_tensor
from yolov7.errors import UsageError
from yolov7.inference.backend import Backend, TorchBackend
from yolov7.inference.frames import Frame
from yolov7.inference.sources import Source, open_source
from yolov7.models.detector import Detector
from yolov7.nms import check_fraction, check_limit, non_max_suppression
from yolov7.types import Detections, Image, Letterbox

READERS = 2
"""Threads that decode images ahead of the network: one large photo then does not hold up the next."""


@dataclass(frozen=True)
class Timings:
    """Milliseconds that an image spent in each stage; of a batch, its share.

    ``read`` (decode) and ``prepare`` (letterbox) happen in the background while the network works on earlier
    images.
    """

    read: float
    prepare: float
    network: float
    nms: float


@dataclass(frozen=True)
class Result:
    """What was found in one image.

    Attributes:
        detections: in pixels of the image.
        image: uint8 (H, W, 3) RGB.
        source: where it came from.
        index: number of the image in this run, from 0; of images that could not be read there is no result.
        timings: milliseconds by stage.
        frame: the image with all that its source knows, such as its place in a video.
    """

    detections: Detections
    image: Image
    source: str
    index: int
    timings: Timings
    frame: Frame


class Predictor:
    """A network, ready for images.

    Args:
        backend: what runs the network.
        names: class names.
        size: longest side that images are scaled to, pixels.
        conf: confidence that a detection must exceed, in [0, 1].
        iou: overlap above which the lesser of two boxes goes, in [0, 1].
        classes: the only classes wanted, by name or label; all where not given.
        agnostic: boxes suppress those of other classes too.
        max_detections: of an image.
        centred: pad images on all sides, as the released tool does, not on the right and below only.
        parallel: images that are worked on at the same time, each from file to boxes by one thread: more
            images a second, though each takes longer. The backend must allow as many calls at once.
    """

    def __init__(
        self,
        backend: Backend,
        names: Sequence[str],
        size: int = 640,
        *,
        conf: float = 0.25,
        iou: float = 0.45,
        classes: Sequence[str | int] | None = None,
        agnostic: bool = False,
        max_detections: int = 300,
        centred: bool = False,
        parallel: int = 1,
    ) -> None:
        if size < backend.stride:
            raise UsageError("the image size is too small", expected=f"at least {backend.stride}", found=size)
        # Known now, not when the first image has gone through the network.
        check_fraction("confidence threshold", conf)
        check_fraction("IoU threshold", iou)
        check_limit("limit of detections", max_detections)
        self.backend = backend
        self.names = tuple(names)
        self.size = size
        self.conf, self.iou = conf, iou
        self.classes = None if classes is None else class_labels(classes, self.names)
        self.agnostic = agnostic
        self.max_detections = max_detections
        self.centred = centred
        self.parallel = parallel

    @property
    def model(self) -> Detector:
        """The fused network.

        Raises:
            UsageError: it runs on something other than torch.
        """
        backend = getattr(self.backend, "backend", self.backend)
        if not isinstance(backend, TorchBackend):
            raise UsageError("this predictor does not run on torch", found=type(backend).__name__)
        return backend.model

    def __call__(self, image: Any) -> Detections:
        """Detections in one image: a path, a URL, numpy (H, W, 3) RGB, PIL or a tensor.

        Raises:
            SourceError: it cannot be read.
            UsageError: it is not one image.
        """
        results = self.predict(image, on_error=_raise)
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
    ) -> Iterator[Result]:
        """Detections in each image of a source, one after the other, in constant memory.

        Args:
            source: path, list, glob, folder, video, webcam index, URL, RTSP, numpy (H, W, 3) RGB, PIL,
                tensor, or an open :class:`~yolov7.inference.sources.Source`.
            batch_size: images that go through the network together.
            on_error: called with each frame that cannot be read (``frame.error``); the rest goes on. Warns
                where not given.

        Raises:
            SourceError: nothing is there to be read.
        """
        if batch_size < 1:
            raise UsageError("a batch has at least one image", found=batch_size)
        # Opened here, not when the first result is asked for: a wrong path is known at once.
        return self._results(open_source(source), batch_size, on_error or _warn)

    def _results(
        self, source: Source, batch_size: int, on_error: Callable[[Frame], None]
    ) -> Iterator[Result]:
        if self.parallel > 1 and batch_size == 1:
            yield from self._results_in_parallel(source, on_error)
            return
        frames = source.read_ahead(self._prepare, depth=batch_size + 3, workers=READERS)
        while batch := list(islice(frames, batch_size)):
            for frame in batch:
                if not isinstance(frame, _Prepared):
                    on_error(frame)
            if prepared := [frame for frame in batch if isinstance(frame, _Prepared)]:
                yield from self._detect(prepared)

    def _results_in_parallel(self, source: Source, on_error: Callable[[Frame], None]) -> Iterator[Result]:
        """Each image by one thread, from file to boxes."""

        def detect(frame: Frame) -> Result | Frame:
            prepared = self._prepare(frame)
            return next(self._detect([prepared])) if isinstance(prepared, _Prepared) else prepared

        for found in source.read_ahead(detect, depth=2 * self.parallel, workers=self.parallel):
            if isinstance(found, Result):
                yield found
            else:
                on_error(found)

    def _prepare(self, frame: Frame) -> _Prepared | Frame:
        """Letterbox a frame, in the background; one that could not be read stays what it is."""
        if frame.image is None:
            return frame
        start = time.perf_counter()
        shape = self.backend.shape
        stride = self.backend.stride if shape is None else None  # one shape only: padded to all of it
        image, box = letterbox(frame.image, shape or self.size, stride=stride, centred=self.centred)
        box = box.of_source(frame.size)
        return _Prepared(frame, image, box, 1000 * (time.perf_counter() - start))

    def _detect(self, batch: Sequence[_Prepared]) -> Iterator[Result]:
        start = time.perf_counter()
        images, boxes = share_shape([(one.image, one.letterbox) for one in batch], centred=self.centred)
        rows = self.backend(to_tensor(images), self.conf)
        network = time.perf_counter()
        found = non_max_suppression(
            rows,
            self.conf,
            self.iou,
            classes=self.classes,
            agnostic=self.agnostic,
            max_detections=self.max_detections,
        )
        end = time.perf_counter()
        for one, scored, box in zip(batch, found, boxes, strict=True):
            timings = Timings(
                read=one.frame.read_ms,
                prepare=one.milliseconds,
                network=1000 * (network - start) / len(batch),
                nms=1000 * (end - network) / len(batch),
            )
            detections = Detections.from_tensors(*scored, self.names).to_source(box)
            image = one.frame.image
            assert image is not None
            yield Result(detections, image, one.frame.source, one.frame.index, timings, one.frame)


@dataclass(frozen=True)
class _Prepared:
    """A frame on its way to the network."""

    frame: Frame
    image: Image
    letterbox: Letterbox
    milliseconds: float


def class_labels(classes: Sequence[str | int], names: Sequence[str]) -> list[int]:
    """Labels of classes given by name or label.

    Raises:
        UsageError: there is no such class; lists those there are.
    """
    labels = []
    for wanted in classes:
        if isinstance(wanted, str) and wanted in names:
            labels.append(list(names).index(wanted))
        elif str(wanted).isdecimal() and int(wanted) < len(names):
            labels.append(int(wanted))
        else:
            raise UsageError("no such class", expected=", ".join(names), found=wanted)
    return labels


def _raise(frame: Frame) -> None:
    assert frame.error is not None
    raise frame.error


def _warn(frame: Frame) -> None:
    warnings.warn(f"skipped: {frame.error}", stacklevel=3)
