"""Which images make up which batch: a pure function of the seed and the epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

# What randomness is for: seeds begin with one of these, so that no two uses share a stream.
_ORDER, _SIZE, _SAMPLE = range(3)


@dataclass(frozen=True)
class Draw:
    """A sample to be made: its place in the training, which image it begins with, the side of the result."""

    epoch: int
    position: int
    index: int
    size: int

    def generator(self, seed: int) -> np.random.Generator:
        """The randomness of the sample, in a run of that seed."""
        return np.random.default_rng((_SAMPLE, seed, self.epoch, self.position))


class EpochSampler(Sampler[list[Draw]]):
    """The batches of an epoch: a permutation of the images, cut into batches.

    A batch of all processes together is `batch_size` x `world` positions; each process has a contiguous part
    of it. The last batch may be smaller; positions behind the end, which give all processes equally many
    samples, begin again at the epoch's first image.

    Args:
        length: images of the source.
        batch_size: samples in a batch of this process.
        sizes: sides of which each batch takes one, the same in all processes.
        seed: of the run.
        rank: which of the processes this is.
        world: how many there are.
    """

    def __init__(
        self, length: int, *, batch_size: int, sizes: Sequence[int], seed: int, rank: int = 0, world: int = 1
    ) -> None:
        self.length = length
        self.batch_size = batch_size
        self.sizes = tuple(sizes)
        self.seed = seed
        self.rank = rank
        self.world = world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the next iteration is."""
        self.epoch = epoch

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
    """The sides of multi-scale batches: multiples of the stride from 0.5 to 1.5 x `size`."""
    return tuple(range(math.ceil(size / 2 / stride) * stride, size * 3 // 2 + 1, stride))
