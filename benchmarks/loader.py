"""Training samples a second: ours against the plain way, in turn, so that ratios hold on a drifting machine.

One process, one thread:

    floor           one image resized to the sample's size, recoloured: what no way can do without
    ours            `training_sample` of images that are decoded already
    plain, decoded  `plain_sample` of the same images (benchmarks/plain_samples.py)
    plain           the same, each JPEG decoded each time

End to end, the same number of workers on both sides, batches taken as fast as they come:

    loader          `TrainingLoader` over the memory-mapped cache
    plain loader    `torch.utils.data.DataLoader` over `plain_sample` of files

The floor in bytes, for a sample of 640 x 640 x 3 = 1.2 MB: about as much is read from decoded images, written
as grey, drawn, and carried through the two colour conversions, 64 rows at a time so that what is between them
stays in cache: 5 MB to and from memory, half a millisecond at 10 GB/s. Arithmetic takes longer: so the floor
is measured. The plain way writes and reads a canvas of 4.9 MB and as much again in resized images, and it
decodes 5.8 images a sample (4 or 9, 1.15 times for mixup), each alone as slow as the floor.
Wanted: loader / plain loader at least 3.

Usage: python benchmarks/loader.py DATASET [--split train] [--size 640] [--rounds 5] [--workers 2] [--json]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from plain_samples import plain_sample

from yolov7.data.cache import open_cache
from yolov7.data.dataset import Dataset
from yolov7.data.labels import LabelledImage
from yolov7.formats.opening import open_dataset
from yolov7.samples.augment import training_sample
from yolov7.samples.augmentation import Augmentation
from yolov7.samples.colour import shift_colours
from yolov7.samples.loader import TrainingLoader, collate
from yolov7.samples.sampling import EpochSampler
from yolov7.types import Batch, Image, Sample

# Objects are not pasted in: the plain way does not.
RECIPE = replace(Augmentation(), paste_in=0.0)
BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--split", default="train")
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--samples", type=int, default=100, help="a round of each way in one process")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    dataset = open_dataset(options.dataset, options.split)
    rates = {**one_process(dataset, options), **end_to_end(dataset, options)}
    ratios = {
        f"{way} / {other}": statistics.median(a / b for a, b in zip(rates[way], rates[other], strict=True))
        for way, other in (
            ("ours", "floor"),
            ("ours", "plain, decoded"),
            ("ours", "plain"),
            ("loader", "plain loader"),
        )
    }
    medians = {way: statistics.median(values) for way, values in rates.items()}
    if options.json:
        print(json.dumps({"samples_per_second": medians, "ratios": ratios}))
        return
    print(
        f"{platform.machine()}, {torch.get_num_threads()} cores, OpenCV {cv2.__version__}, "
        f"{len(dataset)} images, size {options.size}, {options.workers} workers"
    )
    for way, rate in medians.items():
        print(f"{way:16}{rate:8.1f} samples/s")
    for name, ratio in ratios.items():
        print(f"{name:32}{ratio:6.2f}")


@dataclass(frozen=True)
class Decoded:
    """A data set whose images are in memory."""

    dataset: Dataset
    samples: tuple[Sample, ...]

    @property
    def images(self) -> tuple[LabelledImage, ...]:
        return self.dataset.images

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def pixels(self, index: int) -> Image:
        return self.samples[index].image


def one_process(dataset: Dataset, options: argparse.Namespace) -> dict[str, list[float]]:
    """Samples per second of each way in each round, without any loader."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    decoded = Decoded(dataset, tuple(dataset[i] for i in range(len(dataset))))
    size = options.size

    def floor(index: int, _: np.random.Generator) -> None:
        image = cv2.resize(decoded[index].image, (size, size), interpolation=cv2.INTER_LINEAR)
        shift_colours(np.asarray(image, np.uint8), np.array((1.01, 1.3, 0.8)))

    def ours(index: int, rng: np.random.Generator) -> None:
        training_sample(decoded, index, size, RECIPE, rng)

    def plain_decoded(index: int, rng: np.random.Generator) -> None:
        plain_sample(decoded, index, size, RECIPE, rng)

    def plain(index: int, rng: np.random.Generator) -> None:
        plain_sample(dataset, index, size, RECIPE, rng)

    ways = {"floor": floor, "ours": ours, "plain, decoded": plain_decoded, "plain": plain}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _round in range(options.rounds):
        for name, way in ways.items():
            rates[name].append(options.samples / seconds(way, options.samples, len(dataset)))
    cv2.setNumThreads(threads)
    return rates


def seconds(way: Callable[[int, np.random.Generator], None], count: int, length: int) -> float:
    """Of so many samples, the same in every round."""
    start = time.perf_counter()
    for number in range(count):
        way(number % length, np.random.default_rng((1, number)))
    return time.perf_counter() - start


def end_to_end(dataset: Dataset, options: argparse.Namespace) -> dict[str, list[float]]:
    """Samples per second out of the loaders, in each round an epoch of each."""
    with tempfile.TemporaryDirectory() as folder:
        source = open_cache(dataset, options.size, folder)
        sampler = EpochSampler(len(source), batch_size=BATCH, sizes=[options.size], seed=1)
        ours = TrainingLoader(source, sampler, RECIPE, workers=options.workers)
        plain = torch.utils.data.DataLoader(
            PlainBatches(dataset, options.size),
            batch_size=None,
            num_workers=options.workers,
            collate_fn=unchanged,
            worker_init_fn=use_one_thread,
            persistent_workers=options.workers > 0,
        )
        rates: dict[str, list[float]] = {"loader": [], "plain loader": []}
        for number in range(options.rounds + 1):
            for name, batches in (("loader", ours.epoch(number)), ("plain loader", plain)):
                rate = throughput(batches)
                if number:  # the first epoch starts the workers and warms the cache
                    rates[name].append(rate)
        ours.close()
    return rates


def throughput(batches: Iterable[Batch]) -> float:
    start = time.perf_counter()
    count = sum(len(batch.images) for batch in batches)
    return count / (time.perf_counter() - start)


@dataclass(frozen=True)
class PlainBatches(torch.utils.data.Dataset[Batch]):
    source: Dataset
    size: int

    def __len__(self) -> int:
        return -(-len(self.source) // BATCH)

    def __getitem__(self, number: int) -> Batch:
        if number >= len(self):
            raise IndexError
        indices = range(number * BATCH, min(len(self.source), (number + 1) * BATCH))
        return collate(
            [plain_sample(self.source, i, self.size, RECIPE, np.random.default_rng((1, i))) for i in indices]
        )


def unchanged(batch: Batch) -> Batch:
    return batch


def use_one_thread(_worker: int) -> None:
    cv2.setNumThreads(0)


if __name__ == "__main__":
    main()
