"""What a benchmark found, as plain numbers that JSON can hold."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

BASELINE = "torch-default"
"""What the others are held against: torch, float32, in its default memory format, the network alone."""
VERSION = 1
"""Of the JSON's form."""


@dataclass(frozen=True)
class Timing:
    """One way of using a runtime.

    Attributes:
        images_per_second: median of the rounds.
        ratio: images per second over those of the baseline's network in the same round, median of the rounds.
        rounds: images per second in each round.
        median_ms, p95_ms: of single calls over all rounds; None where calls overlap.
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
        """Timing out of what was seen.

        Args:
            rounds: of each round the seconds of its calls.
            images: of a call.
            baseline: images per second of the baseline, in the same rounds.
            calls: whether a call is a thing of its own, with a latency.
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
    """A process of its own.

    Attributes:
        start_s: seconds from its start to the first boxes.
        first_start_s: the same, the first time, when the network had to be converted; None where it had been.
        memory_mb: the most that was in memory at once; None where the system does not tell.
    """

    start_s: float
    first_start_s: float | None = None
    memory_mb: float | None = None


@dataclass(frozen=True)
class Line:
    """A runtime at one size and batch.

    Attributes:
        runtime: as it was asked for.
        runs_on: what that came to, in words.
        precision: of its convolutions.
        network: calls on images that are ready, with the choice of rows (the baseline: without); None where
            no round was completed.
        single: a file, or a batch of files, to its boxes, with nothing beside it; None for the baseline.
        stream: files to boxes, one after the other, as fast as the runtime can; None for the baseline.
        reached: the share of the floor's speed that the network reaches; None where no floor is known.
        fresh: a process of its own; None for the baseline.
        error: why there is nothing, or no more.
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
    """All runtimes at one size and batch.

    Attributes:
        size: longest side of the images, pixels.
        batch: images that go through together.
        parallel: images that a stream works on at the same time, where the runtime can.
        rounds: that were completed.
        gflop: operations of the convolutions for an image, billions, mean of the photos.
        peaks: by precision, the fastest product of large matrices that was seen, GFLOP/s.
        lines: the baseline first.
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
        classes: their number.
        images: what it looked at, in words.
        machine: processor, cores, GPU and system.
        threads: of torch.
        libraries: versions.
        settings: what was measured.
        interrupted: whether someone ended it early.
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
        """JSON types."""
        return {"version": VERSION, **asdict(self)}
