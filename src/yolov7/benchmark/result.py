"""Results of a benchmark, as plain numbers that JSON can hold."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

BASELINE = "torch-default"
"""Reference of all ratios: torch, float32, default memory format, the network alone."""
VERSION = 1
"""Version of the JSON format."""


@dataclass(frozen=True)
class Timing:
    """Speed of one way to use a runtime.

    Attributes:
        images_per_second: median over the rounds.
        ratio: images per second relative to the baseline's in the same round, median over the rounds.
        rounds: images per second of each round.
        median_ms, p95_ms: latency of a call over all rounds; None if calls overlap.
    """

    images_per_second: float
    ratio: float
    rounds: tuple[float, ...]
    median_ms: float | None = None
    p95_ms: float | None = None

    @classmethod
    def of(
        cls,
        rounds: Sequence[Sequence[float]],
        images: int,
        baseline: Sequence[float],
        *,
        calls: bool = True,
    ) -> Timing:
        """Summarise seconds of each call, by round.

        Args:
            images: images per call.
            baseline: images per second of the baseline, by round.
            calls: whether calls have a latency of their own.
        """
        rates = [images * len(seconds) / sum(seconds) for seconds in rounds]
        ratios = [rate / base for rate, base in zip(rates, baseline, strict=True)]
        every = [1000 * second for seconds in rounds for second in seconds]
        return cls(
            images_per_second=statistics.median(rates),
            ratio=statistics.median(ratios),
            rounds=tuple(rates),
            median_ms=float(np.median(every)) if calls else None,
            p95_ms=float(np.percentile(every, 95)) if calls else None,
        )


@dataclass(frozen=True)
class Fresh:
    """Start and memory of a new process.

    Attributes:
        start_s: seconds from its start to the first boxes.
        first_start_s: seconds of the first start, if the network had to be converted in it.
        memory_mb: peak memory, MB; None if the system does not report it.
    """

    start_s: float
    first_start_s: float | None = None
    memory_mb: float | None = None


@dataclass(frozen=True)
class Line:
    """A runtime at one size and batch size.

    Attributes:
        runtime: name as typed.
        runs_on: runtime, device and precision in words.
        precision: precision of its convolutions.
        network: calls on prepared images, with the selection of rows (the baseline: without); None if no
            round was completed.
        single: from a file, or a batch of files, to the boxes, one at a time; None for the baseline.
        stream: from files to boxes as fast as the runtime can; None for the baseline.
        reached: speed of the network as a fraction of the floor's; None if no floor is known.
        fresh: a new process; None for the baseline.
        error: reason why it was not measured, or not completely.
    """

    runtime: str
    runs_on: str = ""
    precision: str = ""
    network: Timing | None = None
    single: Timing | None = None
    stream: Timing | None = None
    reached: float | None = None
    fresh: Fresh | None = None
    error: str | None = None


@dataclass(frozen=True)
class Setting:
    """Results of all runtimes at one size and batch size.

    Attributes:
        size: longest side of the images, pixels.
        batch: images per forward pass.
        parallel: images of a stream in flight, if the runtime can.
        rounds: completed rounds.
        gflop: operations of the convolutions per image, billions, mean over the photos.
        peaks: precision -> speed of the fastest product of large matrices, GFLOP/s.
        lines: runtimes, the baseline first.
    """

    size: int
    batch: int
    parallel: int
    rounds: int
    gflop: float
    peaks: Mapping[str, float]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Benchmark:
    """A network's speed on this machine.

    Attributes:
        weights: name of the checkpoint.
        variant: name of the network.
        classes: number of classes.
        images: number and size of the photos in words.
        machine: processor, cores, GPU and system.
        threads: threads of torch.
        libraries: versions by name.
        settings: results by size and batch size.
        interrupted: whether Ctrl-C ended it early.
    """

    weights: str
    variant: str
    classes: int
    images: str
    machine: str
    threads: int
    libraries: Mapping[str, str]
    settings: tuple[Setting, ...]
    interrupted: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The results as JSON types."""
        return {"version": VERSION, **asdict(self)}
