"""Runtimes under test: as users name them, and ready to be timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yolov7.benchmark.result import Line, Timing
from yolov7.errors import UsageError
from yolov7.inference.predictor import Predictor, raise_error
from yolov7.inference.speed import call_seconds
from yolov7.loading import find_artefact
from yolov7.runtimes.formats import FORMATS
from yolov7.runtimes.runtime import Runtime

HALF = "+half"
"""Suffix of a runtime's name for 16 bits."""
STREAM = 4
"""Minimum images of a stream per image in flight, so that its start and end weigh little."""


@dataclass(frozen=True)
class Wanted:
    """A runtime by its name, or an artefact by its path; the other is None."""

    label: str  # name in results
    runtime: str | None
    artefact: str | None
    half: bool  # 16-bit precision
    trust: bool = False  # let an artefact run whatever is in it

    @classmethod
    def named(cls, text: str, *, trust: bool = False) -> Wanted:
        """Parse ``openvino``, ``openvino+half`` or ``runs/export/best.int8.openvino``.

        Raises:
            UsageError: there is no such runtime.
            CheckpointError: the artefact is missing or damaged.
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
        """Format of the artefact that runs; None for torch and auto."""
        if self.artefact is None:
            return FORMATS.get(self.runtime or "")
        return find_artefact(Path(self.artefact))

    def check(self) -> None:
        """Check that it can run here.

        Raises:
            MissingDependencyError: a library is not installed.
            UsageError: this machine cannot run it.
        """
        if (found := self.format) is None:
            return
        found.require(*(() if self.artefact else found.writes_with), *found.runs_with)
        if reason := found.why_not_here():
            raise UsageError(reason)

    def options(self, size: int, device: torch.device) -> dict[str, Any]:
        """Arguments of :func:`yolov7.load`, as JSON types."""
        return {
            "runtime": self.runtime,
            "half": self.half,
            "size": size,
            "device": str(device),
            "trust": self.trust,
        }


@dataclass(eq=False)
class Contender:
    """A network on a runtime, and the seconds of its rounds so far.

    Attributes:
        line: its line in the results, without timings.
        call: the network alone.
        inputs: ready batches for `call`.
        device: device of the network.
        single: predictor for one image, or batch, at a time; None for the baseline.
        stream: predictor for all images at once; None for the baseline.
        network_rounds, single_rounds, stream_rounds: seconds of each call, by round.
    """

    line: Line
    call: Callable[[Tensor], object]
    inputs: Sequence[Tensor]
    device: torch.device
    single: Predictor | None = None
    stream: Predictor | None = None
    network_rounds: list[list[float]] = field(default_factory=list)
    single_rounds: list[list[float]] = field(default_factory=list)
    stream_rounds: list[list[float]] = field(default_factory=list)

    @property
    def pixels(self) -> int:
        """Pixels of all inputs, with padding."""
        return sum(images.shape[0] * images.shape[2] * images.shape[3] for images in self.inputs)

    def measure_round(self, paths: Sequence[str], batch: int, *, counts: bool) -> None:
        """Time the network, single batches of image files, and a stream of them.

        The number of paths is a multiple of `batch`. A round that does not count only warms up.
        """
        self.call(self.inputs[0])  # the last contender's data is in the caches, its threads may still spin
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
        """Line of the results, from the rounds that all contenders completed.

        Args:
            images, batch: images per round, and per forward pass.
            baseline: images per second of the baseline, by round.
            floor: least seconds that any network needs for the images of a round; None if unknown.
        """
        if rounds == 0:
            return self.line
        network = Timing.of(self.network_rounds[:rounds], batch, baseline)
        reached = None if floor is None else floor * network.images_per_second / images
        line = replace(self.line, network=network, reached=reached)
        if self.single is None:
            return line
        return replace(
            line,
            single=Timing.of(self.single_rounds[:rounds], batch, baseline),
            stream=Timing.of(self.stream_rounds[:rounds], images, baseline, calls=False),
        )


def _seconds(predictor: Predictor, paths: Sequence[str], batch: int) -> float:
    """Time from files to boxes."""
    begun = time.perf_counter()
    for _ in predictor.predict(list(paths), batch_size=batch, on_error=raise_error):
        pass
    return time.perf_counter() - begun
