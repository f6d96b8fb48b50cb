"""Training batches, prepared ahead by processes or by a thread.

All randomness of a sample is a function of (seed, epoch, position in the epoch): no generator state is
shared by samples, workers or runs. So batches do not depend on the number of workers, N training processes
together see the same samples as one with N times the batch size, and an interrupted epoch can be repeated.
"""

from __future__ import annotations

import gc
import logging
import signal
import sys
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from yolov7.data.labels import LabelledImage
from yolov7.errors import DataError, SourceError, TrainingError, Yolov7Error
from yolov7.images.letterbox import to_tensor
from yolov7.prefetch import prefetch
from yolov7.samples.augment import training_sample
from yolov7.samples.augmentation import Augmentation
from yolov7.samples.sampling import Draw, EpochSampler
from yolov7.samples.source import Source
from yolov7.text import plural
from yolov7.types import Batch, Image, Sample, Targets

_LOG = logging.getLogger(__name__)
_AHEAD = 2
"""Number of batches that each worker prepares ahead."""
_MAX_UNREADABLE = 100
"""Number of unreadable images at which a worker stops: the disk is probably failing."""


class TrainingLoader:
    """Loader of training batches.

    A batch has uint8 images (B, 3, H, W), channels last in memory, pinned if there is CUDA; the
    targets; and the id of each sample's first image. An image that has become unreadable is reported once and
    replaced by the next one of the source.

    Args:
        source: training images.
        sampler: division of an epoch of these images into batches.
        augmentation: settings of the augmentation.
        workers: processes that prepare batches. With 0, a thread of this process does: best for CPU
            training, where processes would compete with the network for the cores.
        close_mosaic_from: first epoch without mosaic and mixup.
    """

    def __init__(
        self,
        source: Source,
        sampler: EpochSampler,
        augmentation: Augmentation,
        *,
        workers: int = 0,
        close_mosaic_from: int | None = None,
    ) -> None:
        self.sampler = sampler
        self.workers = workers
        self._batches = _Batches(source, augmentation, sampler.seed, close_mosaic_from)
        self._loader: DataLoader[_Result | Yolov7Error] | None = None
        self._reported: set[str] = set()

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of an epoch."""
        self.sampler.epoch = number
        with explaining_lost_workers(), closing(self._results()) as results:
            for result in results:
                if isinstance(result, Yolov7Error):
                    raise result
                for problem in result.problems:
                    if problem not in self._reported:
                        self._reported.add(problem)
                        _LOG.warning("%s; another image takes its place", problem)
                yield result.batch

    def __len__(self) -> int:
        return len(self.sampler)

    def close(self) -> None:
        """Stop the workers; another epoch starts new ones."""
        self._loader = None

    def _results(self) -> Generator[_Result | Yolov7Error, None, None]:
        if self.workers == 0:
            yield from prefetch(self.sampler, _AHEAD, prepare=self._prepare)
            return
        with warnings.catch_warnings():
            # More workers than cores can be useful: images may lie on a slow disk.
            warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
            # Python 3.12 warns of locks that threads may hold during the fork; workers use none of them.
            warnings.filterwarnings("ignore", r".*use of fork\(\)", DeprecationWarning)
            if self._loader is None:
                self._loader = self._with_processes()
            results = iter(self._loader)
        yield from results

    def _with_processes(self) -> DataLoader[_Result | Yolov7Error]:
        return DataLoader(
            self._batches,
            batch_size=None,  # the sampler's items are batches already
            sampler=self.sampler,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_prepare_worker,
            multiprocessing_context="fork" if sys.platform == "linux" else None,
            persistent_workers=True,
            prefetch_factor=_AHEAD,
            generator=torch.Generator(),  # by default it would use the network's
        )

    def _prepare(self, draws: list[Draw]) -> _Result | Yolov7Error:
        result = self._batches[draws]
        return result.pin_memory() if isinstance(result, _Result) and torch.cuda.is_available() else result


@contextmanager
def explaining_lost_workers() -> Iterator[None]:
    """Turn PyTorch's error about a dead worker, raised anywhere in the training, into a TrainingError."""
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
class _Result:
    """Batch, and the errors of unreadable images."""

    batch: Batch
    problems: tuple[str, ...]

    def pin_memory(self) -> _Result:
        targets = self.batch.targets
        assert targets is not None
        pinned = Targets(
            *(part.pin_memory() for part in (targets.image_index, targets.boxes, targets.labels))
        )
        return replace(self, batch=replace(self.batch, images=self.batch.images.pin_memory(), targets=pinned))


class _Batches(Dataset["_Result | Yolov7Error"]):
    """Data set for PyTorch's loader: batches, indexed by their draws."""

    def __init__(
        self, source: Source, augmentation: Augmentation, seed: int, close_mosaic_from: int | None
    ) -> None:
        self.source = _ReadableSource(source)
        self.augmentation = augmentation
        self.seed = seed
        self.close_mosaic_from = close_mosaic_from

    def __getitem__(self, draws: list[Draw]) -> _Result | Yolov7Error:
        try:
            return _Result(collate([self._sample(draw) for draw in draws]), tuple(self.source.problems))
        except Yolov7Error as error:  # raised later by the loader: PyTorch would add the worker's traceback
            return error

    def _sample(self, draw: Draw) -> Sample:
        augmentation = self.augmentation
        if self.close_mosaic_from is not None and draw.epoch >= self.close_mosaic_from:
            augmentation = replace(augmentation, mosaic=0.0, mixup=0.0)
        while True:
            with suppress(SourceError):  # the unreadable image has been replaced: try again
                rng = draw.generator(self.seed)
                return training_sample(self.source, draw.index, draw.size, augmentation, rng)


class _ReadableSource:
    """Source in which the next readable image takes the place of an unreadable one."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._numbers = list(range(len(source.images)))  # number in the source of the image at each index
        self.images: Sequence[LabelledImage] = source.images
        self.problems: list[str] = []  # errors of the images that were replaced

    def pixels(self, index: int) -> Image:
        """Read an image.

        Raises:
            SourceError: the image is unreadable; another takes its place from now on.
            DataError: too many images are unreadable.
        """
        number = self._numbers[index]
        try:
            return self._source.pixels(number)
        except SourceError as error:
            self._replace(number, error)
            raise

    def _replace(self, number: int, error: SourceError) -> None:
        self.problems.append(str(error))
        count, length = len(self.problems), len(self._numbers)
        if count >= min(_MAX_UNREADABLE, length):
            raise DataError(f"{plural(count, 'image')} cannot be read any more", found=error)
        following = self._numbers[(number + 1) % length]
        self._numbers = [following if each == number else each for each in self._numbers]
        self.images = [self._source.images[each] for each in self._numbers]


def collate(samples: Sequence[Sample]) -> Batch:
    """Join samples of one size into a batch; images are uint8 (B, 3, H, W), channels last in memory."""
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the parent stops its workers
    cv2.setNumThreads(0)  # one core per worker; and threads do not survive a fork
    gc.freeze()  # a collection would write to, and so copy, memory shared with the parent
