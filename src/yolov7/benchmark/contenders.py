"""What takes part: runtimes as users name them, and each of them ready to be timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yolov7.benchmark.files import Photos
from yolov7.benchmark.floor import precision_of
from yolov7.benchmark.result import BASELINE, Fresh, Line, Timing
from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.errors import UsageError
from yolov7.inference.backend import TorchBackend
from yolov7.inference.predictor import Predictor
from yolov7.inference.speed import call_seconds, inputs_for
from yolov7.loading import find_artefact, load
from yolov7.models.detector import fuse
from yolov7.runtimes.formats import FORMATS
from yolov7.runtimes.runtime import Runtime
from yolov7.sources.frames import Frame

HALF = "+half"
"""Behind a runtime's name: in 16 bits, as ``--half`` does."""
CONF = 0.25
STREAM = 4
"""Images of a stream for each that is worked on at the same time, at least: so that its ends weigh little."""


@dataclass(frozen=True)
class Wanted:
    """A runtime by its name, or an artefact by its path.

    Attributes:
        label: what it is called in results.
        runtime: its name; None of an artefact.
        artefact: its path; None of a runtime.
        half: in 16 bits.
        trust: an artefact may run whatever is in it.
    """

    label: str
    runtime: str | None
    artefact: str | None
    half: bool
    trust: bool = False

    @classmethod
    def named(cls, text: str, *, trust: bool = False) -> Wanted:
        """From what users type: ``openvino``, ``openvino+half``, ``runs/export/best.int8.openvino``.

        Raises:
            UsageError: no such runtime or file.
            CheckpointError: an artefact that is not there, or damaged.
        """
        name = text.removesuffix(HALF)
        half = name != text
        if name not in FORMATS and find_artefact(Path(name)) is not None:
            return cls(Path(text).name, None, name, half, trust)
        known = ("auto", "torch", *FORMATS)
        if name not in known or (name == "auto" and half):
            raise UsageError(
                "no such runtime",
                expected=f"{', '.join(known)}, each but auto also with {HALF}; or an artefact's path",
                found=text,
            )
        return cls(text, name, None, half)

    @property
    def format(self) -> Runtime | None:
        """What it is in; None of torch itself, and of auto."""
        if self.artefact is None:
            return FORMATS.get(self.runtime or "")
        return find_artefact(Path(self.artefact))

    def check(self) -> None:
        """Say early what cannot run here.

        Raises:
            MissingDependencyError: something is not installed.
            UsageError: this machine cannot run it.
        """
        if (found := self.format) is None:
            return
        found.require(*(() if self.artefact else found.writes_with), *found.runs_with)
        if reason := found.why_not_here():
            raise UsageError(reason)

    def options(self, size: int, device: torch.device) -> dict[str, Any]:
        """For :func:`yolov7.loading.load`, as JSON types."""
        return {
            "runtime": self.runtime,
            "half": self.half,
            "size": size,
            "device": str(device),
            "conf": CONF,
            "trust": self.trust,
        }


class Contender:
    """Something that can be timed, and what was seen so far.

    Args:
        line: what is known of it beforehand.
        call: the network.
        inputs: for it, ready.
        device: where it runs.
        single: predictor that is given one image, or batch, at a time.
        stream: predictor that is given all at once.
    """

    def __init__(
        self,
        line: Line,
        call: Callable[[Tensor], object],
        inputs: Sequence[Tensor],
        device: torch.device,
        single: Predictor | None = None,
        stream: Predictor | None = None,
    ) -> None:
        self.line = line
        self.call, self.inputs, self.device = call, inputs, device
        self.single, self.stream = single, stream
        self.network_rounds: list[list[float]] = []
        self.single_rounds: list[list[float]] = []
        self.stream_rounds: list[list[float]] = []

    @classmethod
    def baseline(
        cls, checkpoint: Checkpoint, photos: Photos, size: int, batch: int, device: torch.device
    ) -> Contender:
        """torch in float32, in its default memory format: the fused network alone, on ready float images."""
        backend = TorchBackend(checkpoint.model, device)
        ready = inputs_for(backend, photos.images, size, batch)
        inputs = [backend.to_input(images).contiguous() for images in ready]
        model = fuse(checkpoint.model).to(device)
        # torch's stubs do not know the argument.
        model = model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

        @torch.inference_mode()
        def call(images: Tensor) -> object:
            return model(images)

        line = Line(BASELINE, f"{backend.runtime}, default memory format, network alone", "float32")
        return cls(line, call, inputs, backend.device)

    @classmethod
    def opened(
        cls,
        wanted: Wanted,
        weights: Path,
        photos: Photos,
        *,
        size: int,
        batch: int,
        device: torch.device,
        parallel: int,
        fresh: Fresh,
    ) -> Contender:
        """A runtime, ready.

        Args:
            wanted: which.
            weights: the checkpoint's file.
            photos: to measure on.
            size: longest side of the images, pixels.
            batch: images that go through together.
            device: of torch.
            parallel: images that a stream works on at the same time.
            fresh: what is known of a process of its own.

        Raises:
            Yolov7Error: it cannot be had.
        """
        options = wanted.options(size, device)
        single = load(wanted.artefact or weights, **options)
        backend = single.backend
        stream = single
        if parallel > 1 and batch == 1 and not isinstance(backend, TorchBackend):
            stream = load(wanted.artefact or weights, parallel=parallel, **options)
        where = backend.device if isinstance(backend, TorchBackend) else torch.device("cpu")
        line = Line(wanted.label, backend.runtime, precision_of(backend), fresh=fresh)
        inputs = inputs_for(backend, photos.images, size, batch)
        return cls(line, lambda images: backend(images, CONF), inputs, where, single, stream)

    @property
    def pixels(self) -> int:
        """Of all inputs, padding included."""
        return sum(images.shape[0] * images.shape[2] * images.shape[3] for images in self.inputs)

    def turn(self, paths: Sequence[str], batch: int, *, counts: bool) -> None:
        """One round of it: the network, single images, a stream.

        Args:
            paths: image files; whole batches of them.
            batch: images that go through together.
            counts: whether it is more than a warm-up.
        """
        self.call(self.inputs[0])  # the caches hold the last one's things, and its threads may still spin
        network = call_seconds(self.call, self.inputs, self.device)
        single, stream = [], 0.0
        if self.single is not None and self.stream is not None:
            for start in range(0, len(paths), batch):
                single.append(_seconds(self.single, paths[start : start + batch], batch))
            many = [*paths] * -(-STREAM * self.stream.parallel // len(paths))
            stream = _seconds(self.stream, many, batch) / (len(many) / len(paths))
        if counts:
            self.network_rounds.append(network)
            self.single_rounds.append(single)
            self.stream_rounds.append([stream])

    def result(
        self, rounds: int, images: int, batch: int, baseline: Sequence[float], floor: float | None
    ) -> Line:
        """What is known of it.

        Args:
            rounds: that all have completed.
            images: of a round.
            batch: of them, as many in each call.
            baseline: images per second of the baseline, by round.
            floor: seconds for the images of a round that no network can beat; None where not known.
        """
        if rounds == 0:
            return self.line
        network = Timing.of(self.network_rounds[:rounds], batch, baseline)
        line = replace(
            self.line,
            network=network,
            reached=None if floor is None else floor * network.images_per_second / images,
        )
        if self.single is None:
            return line
        return replace(
            line,
            single=Timing.of(self.single_rounds[:rounds], batch, baseline),
            stream=Timing.of(self.stream_rounds[:rounds], images, baseline, calls=False),
        )


def _seconds(predictor: Predictor, paths: Sequence[str], batch: int) -> float:
    """From files to boxes."""
    begun = time.perf_counter()
    for _ in predictor.predict(list(paths), batch_size=batch, on_error=_raise):
        pass
    return time.perf_counter() - begun


def _raise(frame: Frame) -> None:
    assert frame.error is not None
    raise frame.error
