"""Training batches, prepared ahead of the network by processes or by a thread.

Everything random about a sample is a pure function of (seed, epoch, position in the epoch): no generator's
state crosses samples, workers or runs. So the batches are the same with any number of workers, N processes
see together what one with N times the batch would see, and an interrupted epoch can be repeated exactly.
"""

from __future__ import annotations

import gc
import logging
import signal
import sys
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from yolov7.data.ahead import map_ahead
from yolov7.errors import DataError, SourceError, TrainingError, UsageError, Yolov7Error
from yolov7.images.letterbox import to_tensor
from yolov7.samples.augment import Augmentation, training_sample
from yolov7.samples.sampling import Draw, EpochSampler, scales
from yolov7.samples.source import LabelledSource, Source
from yolov7.text import plural
from yolov7.types import Batch, Sample, Targets

_LOG = logging.getLogger(__name__)
_AHEAD = 2
"""Batches that wait for the network, for each worker."""
_PATIENCE = 100
"""Images that may become unreadable, for each worker, before it is taken to be the disk that fails."""


class TrainingLoader:
    """Iterating gives the batches of one epoch; ``set_epoch`` says which.

    Batches have uint8 images (B, 3, H, W), channels last in memory, pinned where there is CUDA; targets;
    and the ids of the images that their samples began with. An image that has become unreadable
    is replaced by the next of the source, and reported once.

    Args:
        source: the images.
        size: side of the samples, pixels.
        batch_size: samples in a batch of this process.
        augmentation: how a sample is made.
        seed: of the run.
        workers: processes that make batches; with 0 a thread of this process does, which is best where the
            network trains on the CPU: processes would take the cores that its own threads wait for.
        stride: the network's largest; sides of multi-scale batches are multiples of it.
        multi_scale: a side of 0.5 to 1.5 x `size` for each batch.
        rank: which of the processes that train together this is.
        world: how many there are.
        close_mosaic_from: the epoch from which on there is neither mosaic nor mixup.

    Raises:
        UsageError: an argument that cannot be.
    """

    def __init__(
        self,
        source: Source,
        *,
        size: int,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        workers: int,
        stride: int = 32,
        multi_scale: bool = False,
        rank: int = 0,
        world: int = 1,
        close_mosaic_from: int | None = None,
    ) -> None:
        possible = batch_size >= 1 and size >= stride and min(workers, seed) >= 0 and 0 <= rank < world
        if not possible or len(source) == 0:
            raise UsageError(
                "no training batches can be made like this",
                expected=f"batch_size >= 1, size >= {stride}, workers and seed >= 0, rank < world, images",
                found=f"{batch_size=}, {size=}, {workers=}, {seed=}, {rank=}, {world=}, {len(source)} images",
            )
        self.sampler = EpochSampler(
            len(source),
            batch_size=batch_size,
            sizes=scales(size, stride) if multi_scale else (size,),
            seed=seed,
            rank=rank,
            world=world,
        )
        self.workers = workers
        self._batches = _Batches(source, augmentation, seed, close_mosaic_from)
        self._loader: DataLoader[_Made | Yolov7Error] | None = None
        self._reported: set[str] = set()

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the next iteration is."""
        self.sampler.set_epoch(epoch)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch."""
        self.set_epoch(number)  # when the first is asked for, whatever was iterated meanwhile
        yield from self

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        with explaining_lost_workers(), closing(self._made()) as made:
            for result in made:
                if isinstance(result, Yolov7Error):
                    raise result
                for problem in result.problems:
                    if problem not in self._reported:
                        self._reported.add(problem)
                        _LOG.warning("%s; another image takes its place", problem)
                yield result.batch

    def close(self) -> None:
        """End the workers; another iteration starts new ones."""
        self._loader = None

    def _made(self) -> Generator[_Made | Yolov7Error, None, None]:
        if self.workers == 0:
            yield from map_ahead(self._make, self.sampler, threads=1, ahead=_AHEAD)
            return
        with warnings.catch_warnings():
            # Whoever asks for more workers than there are cores may have reasons: images on a slow disk.
            warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
            # Python 3.12 warns of locks that threads may hold in the moment of the fork. Workers touch none
            # of this process's: they get their work by a pipe, decode, warp, and send.
            warnings.filterwarnings("ignore", r".*use of fork\(\)", DeprecationWarning)
            if self._loader is None:
                self._loader = self._with_processes()
            results = iter(self._loader)
        yield from results

    def _with_processes(self) -> DataLoader[_Made | Yolov7Error]:
        return DataLoader(
            self._batches,
            batch_size=None,  # the sampler's items are batches already
            sampler=self.sampler,
            num_workers=self.workers,
            collate_fn=_unchanged,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_prepare_worker,
            multiprocessing_context="fork" if sys.platform == "linux" else None,
            persistent_workers=True,
            prefetch_factor=_AHEAD,
            generator=torch.Generator(),  # else it draws from the network's
        )

    def _make(self, draws: list[Draw]) -> _Made | Yolov7Error:
        made = self._batches[draws]
        return made.pin_memory() if isinstance(made, _Made) and torch.cuda.is_available() else made


@contextmanager
def explaining_lost_workers() -> Iterator[None]:
    """Say in plain words that a worker died. PyTorch may notice it anywhere in the training, not only here.

    Raises:
        TrainingError: in place of PyTorch's RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not text.startswith("DataLoader worker"):
            raise
        if "Bus error" in text or "shared memory" in text:
            advice = "more shared memory (docker run --shm-size=8g), or fewer workers"
        else:
            advice = "fewer workers or a smaller batch, if the system was out of memory"
        raise TrainingError(
            "a process that prepares images was lost", expected=advice, found=text.splitlines()[0]
        ) from error


@dataclass(frozen=True)
class _Made:
    """A batch, and what went wrong with its images."""

    batch: Batch
    problems: tuple[str, ...]

    def pin_memory(self) -> _Made:
        targets = self.batch.targets
        assert targets is not None
        pinned = Targets(
            *(part.pin_memory() for part in (targets.image_index, targets.boxes, targets.labels))
        )
        return replace(self, batch=replace(self.batch, images=self.batch.images.pin_memory(), targets=pinned))


class _Batches(Dataset["_Made | Yolov7Error"]):
    """Makes a batch of draws, in whatever process or thread."""

    def __init__(
        self, source: Source, augmentation: Augmentation, seed: int, close_mosaic_from: int | None
    ) -> None:
        self.source = _ReadableSource(source)
        self.augmentation = augmentation
        self.seed = seed
        self.close_mosaic_from = close_mosaic_from

    def __getitem__(self, draws: list[Draw]) -> _Made | Yolov7Error:
        try:
            return _Made(collate([self._sample(draw) for draw in draws]), tuple(self.source.problems))
        except Yolov7Error as error:  # raised where it is taken: PyTorch would add the worker's traceback
            return error

    def _sample(self, draw: Draw) -> Sample:
        augmentation = self.augmentation
        if self.close_mosaic_from is not None and draw.epoch >= self.close_mosaic_from:
            augmentation = replace(augmentation, mosaic=0.0, mixup=0.0)
        while True:
            try:
                rng = draw.generator(self.seed)
                return training_sample(self.source, draw.index, draw.size, augmentation, rng)
            except SourceError as error:
                self.source.leave_out(error)


class _ReadableSource:
    """A source in which the next image takes the place of one that cannot be read, once that is known.

    Raises:
        SourceError: of an image that is tried for the first time, which `leave_out` then takes note of.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._instead: dict[int, int] = {}
        self._tried = 0
        self.problems: list[str] = []
        if isinstance(source, LabelledSource):
            self.images = source.images

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Sample:
        self._tried = self._number(index)
        return self._source[self._tried]

    def leave_out(self, error: SourceError) -> None:
        """The image that was tried last cannot be read.

        Raises:
            DataError: too many cannot.
        """
        self.problems.append(str(error))
        count = len(self._instead) + 1
        if count >= min(_PATIENCE, len(self)):
            raise DataError(f"{plural(count, 'image')} cannot be read any more", found=error)
        self._instead[self._tried] = (self._tried + 1) % len(self)
        if isinstance(self._source, LabelledSource):
            images = list(self._source.images)
            for index in self._instead:
                images[index] = self._source.images[self._number(index)]
            self.images = images

    def _number(self, index: int) -> int:
        while index in self._instead:
            index = self._instead[index]
        return index


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples of one size -> a batch; uint8 images (B, 3, H, W), channels last in memory."""
    counts = [len(sample.boxes) for sample in samples]
    return Batch(
        images=to_tensor([sample.image for sample in samples]),
        targets=Targets(
            image_index=torch.repeat_interleave(torch.arange(len(samples)), torch.tensor(counts)),
            boxes=torch.from_numpy(np.concatenate([sample.boxes for sample in samples]).astype(np.float32)),
            labels=torch.from_numpy(np.concatenate([sample.labels for sample in samples]).astype(np.int64)),
        ),
        image_ids=tuple(sample.image_id for sample in samples),
    )


def _prepare_worker(_number: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    cv2.setNumThreads(0)  # one core a worker; and threads do not survive a fork
    gc.freeze()  # a collection would write into, and so copy, the memory that a fork shares with its parent


def _unchanged(made: Any) -> Any:
    return made
