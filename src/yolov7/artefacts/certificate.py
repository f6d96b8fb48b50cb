"""Proof that an artefact finds what torch finds: both look at the same images, and all differences count.

images ─ letterbox ─┬─ torch ──────┬─ suppression ─ detections ─┬─ matched: differences of boxes, scores
                    └─ the artefact ┘                           └─ left over: lost, gained, by a hair
labelled images ──────────────────── evaluation ─────────────────── AP of both
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from yolov7.artefacts.agreement import Agreement, Look, agree
from yolov7.artefacts.tolerance import RESIZED, Tolerance
from yolov7.artefacts.verdict import Certificate, Spread
from yolov7.data.dataset import Dataset
from yolov7.evaluation.run import evaluate_network
from yolov7.inference.backend import Backend
from yolov7.inference.pipeline import View, infer, prepare
from yolov7.runtimes.suppressed import IOU as IOU_INSIDE
from yolov7.runtimes.suppressed import EndToEndBackend, Suppressed, SuppressingBackend
from yolov7.sources.frames import Frame
from yolov7.sources.opening import Source, open_source
from yolov7.types import Detections

LIMIT = 100
"""Images that are compared at most; AP is measured on all."""
EXAMPLES = 5
"""Of what differs most, as many are named."""

Progress = Callable[[str, int, int | None], None]
"""Told what is done, how many images of it, and of how many where that is known."""


def certify(
    reference: Backend,
    candidate: Backend,
    images: Any,
    *,
    names: Sequence[str],
    size: int,
    tolerance: Tolerance,
    conf: float = 0.25,
    iou: float = 0.45,
    data: Dataset | None = None,
    reference_ap: float | None = None,
    batch_size: int = 2,
    limit: int = LIMIT,
    progress: Progress | None = None,
) -> Certificate:
    """Compare two networks on real images.

    Both get the same pixels: letterboxed to the candidate's shape, where it has only one. Of an artefact that
    suppresses by itself the detections are compared by its own IoU threshold, and AP with that of the
    reference after the same suppression, which is lower than that of evaluation.

    Args:
        reference: what is right.
        candidate: what is to equal it.
        images: anything that prediction takes.
        names: class names by label.
        size: longest side that images are scaled to, pixels, where the candidate takes any.
        tolerance: what is allowed.
        conf, iou: thresholds of the detections that are compared.
        data: labelled images, on all of which AP is measured.
        reference_ap: that of the reference, if it was measured before for an artefact of the same kind.
        batch_size: images that go through the networks together, so that those beside each other are proven
            not to mix.
        limit: images that are compared at most.
        progress: told how far it is.

    Raises:
        SourceError, UsageError: there are no such images.
        DataError: the data set has classes that the network does not know.
    """
    suppresses = isinstance(candidate, SuppressingBackend)
    if suppresses:
        iou = IOU_INSIDE
    source = images if isinstance(images, Source) else open_source(images)
    total = None if source.total is None else min(limit, source.total)
    network = _Comparison(names, tolerance, conf, iou)
    whole = _Comparison(names, RESIZED, conf, iou)
    skipped: list[str] = []
    for batch in _batches(source, limit, batch_size, skipped):
        views = [[prepare(image, size, candidate.stride, candidate.shape)] for _, image in batch]
        looks = [network.looks(backend, views) for backend in (reference, candidate)]
        for (name, image), ours, theirs in zip(batch, *looks, strict=True):
            network.add(name, ours, theirs)
            if isinstance(candidate, EndToEndBackend):
                view = prepare(image, size, reference.stride, reference.shape)
                (alone,) = whole.looks(reference, [[view]])
                at_once = Look.at_once(candidate.detect_in(image, conf), image.shape[:2])
                whole.add(name, alone, at_once)
        if progress is not None:
            progress("comparing", len(network.images) + len(skipped), total)
    ap = None
    if data is not None:
        measure = partial(_ap, data=data, names=names, size=size, shape=candidate.shape, progress=progress)
        if reference_ap is None:
            reference_ap = measure("AP of torch", Suppressed(reference) if suppresses else reference)
        ap = reference_ap, measure("AP of the artefact", candidate)
    certificate = network.certificate(skipped, suppresses, 0 if data is None else len(data), ap)
    if isinstance(candidate, EndToEndBackend):
        certificate = replace(certificate, whole=whole.certificate(skipped, suppresses))
    return certificate


@dataclass(frozen=True)
class _Comparison:
    """Two networks, image by image."""

    names: Sequence[str]
    tolerance: Tolerance
    conf: float
    iou: float
    images: list[tuple[str, Agreement]] = field(default_factory=list)

    def looks(self, backend: Backend, images: Sequence[Sequence[View]]) -> list[Look]:
        """What a network sees in letterboxed images, which go through it together."""
        hair = self.tolerance.hair
        # What suppresses by itself is to have done so: nothing more is suppressed here.
        iou = 1.0 if isinstance(backend, SuppressingBackend) else self.iou
        return [
            Look.of(*one, conf=self.conf, iou=iou, hair=hair)
            for one in infer(backend, images, max(0, self.conf - hair))
        ]

    def add(self, name: str, reference: Look, candidate: Look) -> None:
        agreement = agree(reference, candidate, conf=self.conf, iou=self.iou, tolerance=self.tolerance)
        self.images.append((name, agreement))

    def certificate(
        self,
        skipped: Sequence[str],
        suppresses: bool,
        labelled: int = 0,
        ap: tuple[float, float] | None = None,
    ) -> Certificate:
        each = [agreement for _, agreement in self.images]
        box = np.concatenate([one.box for one in each] or [np.zeros(0, np.float32)])
        score = np.concatenate([one.score for one in each] or [np.zeros(0, np.float32)])
        return Certificate(
            tolerance=self.tolerance,
            conf=self.conf,
            iou=self.iou,
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
            labelled=labelled,
            ap=ap,
        )


def _batches(
    source: Source, limit: int, batch_size: int, skipped: list[str]
) -> Iterator[list[tuple[str, Any]]]:
    """(name, image) of what can be read; why it cannot be is added to the list of what was skipped."""

    def sound() -> Iterator[tuple[str, Any]]:
        for frame in islice(source, limit):
            if frame.image is None:
                skipped.append(f"{frame.name}: {frame.error.message if frame.error else 'no image'}")
            else:
                yield _name(frame), frame.image

    frames = sound()
    while batch := list(islice(frames, batch_size)):
        yield batch


def _name(frame: Frame) -> str:
    return frame.name if frame.video is None else f"{frame.name}, frame {frame.video.number}"


def _ap(
    what: str,
    backend: Backend,
    *,
    data: Dataset,
    names: Sequence[str],
    size: int,
    shape: tuple[int, int] | None,
    progress: Progress | None,
) -> float:
    outcome = evaluate_network(
        backend,
        data,
        names=names,
        size=size,
        shape=shape,
        progress=None if progress is None else partial(progress, what),
    )
    return outcome.AP


def _examples(
    agreements: Sequence[tuple[str, Agreement]], names: Sequence[str], tolerance: Tolerance
) -> tuple[str, ...]:
    """What was lost or gained, best scores first; then the pairs that differ most for what is allowed."""
    unmatched = [
        (-score, f"{image}: {verb} {text}")
        for image, agreement in agreements
        for verb, detections in (("lost", agreement.lost), ("gained", agreement.gained))
        for score, text in _described(detections, names)
    ]
    box_unit, score_unit = tolerance.box or 1, tolerance.score or tolerance.hair
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
