"""Division of an epoch into batches, a function of the seed and the epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from yolov7.errors import UsageError

# Uses of randomness; each seed begins with one of these, so that no two uses share a stream.
_ORDER, _SIZE, _SAMPLE = range(3)


@dataclass(frozen=True)
class Draw:
    """Sample to be made."""

    epoch: int
    position: int  # number of the sample in the epoch
    index: int  # first image of the sample
    size: int  # side of the sample, pixels

    def generator(self, seed: int) -> np.random.Generator:
        """Random generator of this sample, in a run with this seed."""
        return np.random.default_rng((_SAMPLE, seed, self.epoch, self.position))


class EpochSampler(Sampler[list[Draw]]):
    """Batches of an epoch: a permutation of the images, cut into batches.

    A global batch has `batch_size` x `world` positions; each process takes a contiguous part. The last
    batch may be smaller. All processes get equally many samples: positions beyond the end wrap around to the
    first image of the epoch.

    Args:
        length: number of images.
        batch_size: samples per batch of this process.
        sizes: sides, pixels, from which one is drawn per batch, the same for all processes.
        seed: seed of the run.
        rank: number of this process.
        world: number of processes.

    Raises:
        UsageError: an argument is out of range.

    >>> sampler = EpochSampler(5, batch_size=2, sizes=[64], seed=0)
    >>> [len(batch) for batch in sampler]
    [2, 2, 1]
    """

    def __init__(
        self, length: int, *, batch_size: int, sizes: Sequence[int], seed: int, rank: int = 0, world: int = 1
    ) -> None:
        if min(length, batch_size) < 1 or seed < 0 or not 0 <= rank < world:
            raise UsageError(
                "invalid division of an epoch into batches",
                expected="length and batch_size >= 1, seed >= 0, 0 <= rank < world",
                found=f"{length=}, {batch_size=}, {seed=}, {rank=}, {world=}",
            )
        self.length = length
        self.batch_size = batch_size
        self.sizes = tuple(sizes)
        self.seed = seed
        self.rank = rank
        self.world = world
        self.epoch = 0  # the one that the next iteration yields

    def __len__(self) -> int:
        return math.ceil(self.length / (self.batch_size * self.world))

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch = self.epoch
        order = np.random.default_rng((_ORDER, self.seed, epoch)).permutation(self.length).tolist()
        sizes = np.random.default_rng((_SIZE, self.seed, epoch)).choice(self.sizes, len(self)).tolist()
        for number, size in enumerate(sizes):
            first = number * self.batch_size * self.world
            share = min(self.batch_size, math.ceil((self.length - first) / self.world))
            start = first + self.rank * share
            yield [
                Draw(epoch, position, order[position % self.length], size)
                for position in range(start, start + share)
            ]


def scales(size: int, stride: int) -> tuple[int, ...]:
    """Sides of multi-scale batches: multiples of the stride from 0.5 to 1.5 x `size`.

    >>> scales(100, 32)
    (64, 96, 128)
    """
    return tuple(range(math.ceil(size / 2 / stride) * stride, size * 3 // 2 + 1, stride))
