"""The comparison of an artefact with torch on the same real images, in which all differences count.

images ─ letterbox ─┬─ torch ────────┬─ NMS ─ detections ─┬─ paired: differences of boxes and scores
                    └─ the artefact ─┘                    └─ the rest: lost, gained, on the threshold
labelled images ────────────────────── evaluation ────────── AP of both
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from yolov7.artefacts.agreement import ALL_ROWS, Agreement, ImageResult, agree
from yolov7.artefacts.tolerance import RESIZED, Tolerance
from yolov7.artefacts.verdict import Certificate, Spread
from yolov7.data.dataset import Dataset
from yolov7.evaluation.run import evaluate_network
from yolov7.inference.backend import Backend
from yolov7.inference.pipeline import View, infer, prepare
from yolov7.runtimes.onnx_detections import OnnxEndToEndBackend
from yolov7.runtimes.suppressed import Suppressed, SuppressingBackend
from yolov7.sources.opening import Source, open_source
from yolov7.thresholds import PREDICTION, Thresholds
from yolov7.types import Detections, Image

LIMIT = 100
"""Most images that are compared; AP is measured on all."""
EXAMPLES = 5
"""Number of the largest differences that are listed."""

Progress = Callable[[str, int, int | None], None]
"""Callback with the current step, the number of images done, and of all if that is known."""


def certify(
    reference: Backend,
    candidate: Backend,
    images: Any,
    *,
    names: Sequence[str],
    size: int,
    tolerance: Tolerance,
    thresholds: Thresholds = PREDICTION,
    data: Dataset | None = None,
    reference_ap: float | None = None,
    batch_size: int = 2,
    progress: Progress | None = None,
) -> Certificate:
    """Compare two networks on real images.

    Both get the same pixels, letterboxed to the candidate's shape if it has only one. An artefact with NMS
    inside is compared with its own IoU threshold, and its AP with that of the reference after the same NMS,
    which is lower than in evaluation.

    Args:
        reference, candidate: trusted backend, and the backend to compare with it.
        images: anything that prediction takes; at most `LIMIT` are compared.
        names: class names by label.
        size: long side of the letterboxed images, pixels, if the candidate takes any.
        tolerance: tolerance of the candidate's precision.
        thresholds: confidence and IoU threshold of the detections that are compared.
        data: labelled images, on all of which AP is measured.
        reference_ap: AP of the reference, if an artefact of the same kind was compared before.
        batch_size: images per batch; more than one also proves that images of a batch do not mix.

    Raises:
        SourceError, UsageError: the images cannot be found.
        DataError: the data set has classes that the network does not know.
    """
    suppresses = isinstance(candidate, SuppressingBackend)
    if suppresses:
        thresholds = thresholds.but(iou=PREDICTION.iou)
    network = _Comparison(names, tolerance, thresholds, by_rows=not suppresses)
    whole = _Comparison(names, RESIZED, thresholds)
    source = images if isinstance(images, Source) else open_source(images)
    skipped = _compare((reference, candidate), source, (network, whole), size, batch_size, progress)
    certificate = network.certificate(skipped, suppresses)
    if data is not None:

        def ap_of(what: str, backend: Backend) -> float:
            report = None if progress is None else partial(progress, what)
            return evaluate_network(
                backend, data, names=names, size=size, shape=candidate.shape, progress=report
            ).AP

        if reference_ap is None:
            reference_ap = ap_of("AP of torch", Suppressed(reference) if suppresses else reference)
        ap = reference_ap, ap_of("AP of the artefact", candidate)
        certificate = replace(certificate, labelled=len(data), ap=ap)
    if isinstance(candidate, OnnxEndToEndBackend):
        certificate = replace(certificate, whole=whole.certificate(skipped, suppresses))
    return certificate


def _compare(
    backends: tuple[Backend, Backend],
    source: Source,
    comparisons: tuple[_Comparison, _Comparison],
    size: int,
    batch_size: int,
    progress: Progress | None,
) -> list[str]:
    """Compare (reference, candidate), for the (network, whole path), and return the skipped images."""
    (reference, candidate), (network, whole) = backends, comparisons
    total = None if source.total is None else min(LIMIT, source.total)
    skipped: list[str] = []
    readable = _readable(source, skipped)
    while batch := list(islice(readable, batch_size)):
        views = [[prepare(image, size, candidate.stride, candidate.shape)] for _, image in batch]
        results = [network.results(backend, views) for backend in backends]
        for (name, image), ours, theirs in zip(batch, *results, strict=True):
            network.add(name, ours, theirs)
            if isinstance(candidate, OnnxEndToEndBackend):
                view = prepare(image, size, reference.stride, reference.shape)
                (alone,) = whole.results(reference, [[view]])
                found = candidate.detect_in(image, whole.thresholds.conf)
                whole.add(name, alone, ImageResult.at_once(found, image.shape[:2]))
        if progress is not None:
            progress("comparing", len(network.images) + len(skipped), total)
    return skipped


@dataclass(frozen=True)
class _Comparison:
    """Two networks, image by image."""

    names: Sequence[str]
    tolerance: Tolerance
    thresholds: Thresholds
    by_rows: bool = False
    images: list[tuple[str, Agreement]] = field(default_factory=list)

    def results(self, backend: Backend, images: Sequence[Sequence[View]]) -> list[ImageResult]:
        """Results of a network for images, which go through it as one batch."""
        margin, suppressed = self.tolerance.margin, isinstance(backend, SuppressingBackend)
        objectness = ALL_ROWS if self.by_rows else max(0, self.thresholds.conf - margin)
        return [
            ImageResult.of(one, self.thresholds, margin, suppressed=suppressed)
            for one in infer(backend, images, objectness)
        ]

    def add(self, name: str, reference: ImageResult, candidate: ImageResult) -> None:
        self.images.append((name, agree(reference, candidate, self.thresholds, self.tolerance)))

    def certificate(self, skipped: Sequence[str], suppresses: bool) -> Certificate:
        each = [agreement for _, agreement in self.images]
        nothing = np.zeros(0, np.float32)
        box = np.concatenate([nothing, *(one.box for one in each)])
        score = np.concatenate([nothing, *(one.score for one in each)])
        return Certificate(
            tolerance=self.tolerance,
            conf=self.thresholds.conf,
            iou=self.thresholds.iou,
            suppresses=suppresses,
            images=len(each),
            skipped=tuple(skipped),
            found=(sum(one.found[0] for one in each), sum(one.found[1] for one in each)),
            pairs=len(box),
            lost=sum(len(one.lost) for one in each),
            gained=sum(len(one.gained) for one in each),
            on_threshold=sum(one.on_threshold for one in each),
            box=Spread.of(box),
            score=Spread.of(score),
            examples=_examples(self.images, self.names, self.tolerance),
        )


def _readable(source: Source, skipped: list[str]) -> Iterator[tuple[str, Image]]:
    """Names and images. Images that cannot be read are added, with the reason, to those skipped."""
    for frame in islice(source, LIMIT):
        if frame.image is None:
            skipped.append(f"{frame.name}: {frame.error.message if frame.error else 'no image'}")
        else:
            number = "" if frame.video is None else f", frame {frame.video.number}"
            yield f"{frame.name}{number}", frame.image


def _examples(
    agreements: Sequence[tuple[str, Agreement]], names: Sequence[str], tolerance: Tolerance
) -> tuple[str, ...]:
    """Detections lost or gained, best scores first; then pairs, largest differences first."""
    unmatched = [
        (-score, f"{image}: {verb} {text}")
        for image, agreement in agreements
        for verb, detections in (("lost", agreement.lost), ("gained", agreement.gained))
        for score, text in _described(detections, names)
    ]
    box_unit, score_unit = tolerance.box or 1, tolerance.score or tolerance.margin
    pairs = [
        (
            -max(box / box_unit, score / score_unit),
            f"{image}: {text}, box {box:.3g} pixels, score {score:.2g} apart",
        )
        for image, agreement in agreements
        for (_, text), box, score in zip(
            _described(agreement.pairs, names), agreement.box.tolist(), agreement.score.tolist(), strict=True
        )
        if box > 0 or score > 0
    ]
    return tuple(text for _, text in (*sorted(unmatched), *sorted(pairs)))[:EXAMPLES]


def _described(detections: Detections, names: Sequence[str]) -> Iterator[tuple[float, str]]:
    for label, score in zip(detections.labels.tolist(), detections.scores.tolist(), strict=True):
        yield score, f"{names[label]} {score:.3f}"
