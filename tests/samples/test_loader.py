"""Training batches: independent of who prepares them; bad files, lost workers and Ctrl-C."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.formats.small_sets import write_yolo
from tests.samples.drawn_images import Drawn, disc_image
from yolov7.data.cache import open_cache
from yolov7.data.dataset import Dataset
from yolov7.errors import DataError, SourceError, TrainingError, UsageError
from yolov7.formats.opening import open_dataset
from yolov7.samples.augment import training_sample
from yolov7.samples.augmentation import Augmentation
from yolov7.samples.loader import TrainingLoader, _ReadableSource, collate, explaining_lost_workers
from yolov7.samples.sampling import EpochSampler, scales
from yolov7.types import Batch, Image

NAMES = "abcdefghij"
PLAIN, MOSAICS = Augmentation(mosaic=0, mixup=0, paste_in=0), Augmentation()


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Ten images of 80 x 60 with one or two objects each, the last without."""
    labels: dict[str, str | bytes | None] = {
        name: f"{number % 2} 0.5 0.5 0.{number + 1} 0.5\n" + "1 0.2 0.2 0.3 0.3\n" * (number % 3 == 0)
        for number, name in enumerate(NAMES[:9])
    }
    return open_dataset(write_yolo(tmp_path / "data", {**labels, "j": ""}))


def make(source: Any, augmentation: Augmentation = MOSAICS, **changes: Any) -> TrainingLoader:
    options = {name: changes.pop(name) for name in ("workers", "close_mosaic_from") if name in changes}
    sampler = EpochSampler(len(source), **{"batch_size": 4, "sizes": [64], "seed": 5, **changes})
    return TrainingLoader(source, sampler, augmentation, **options)


def content(batch: Batch) -> tuple[bytes, ...]:
    assert batch.targets is not None
    parts = (batch.images.contiguous(), batch.targets.image_index, batch.targets.boxes, batch.targets.labels)
    return tuple(part.numpy().tobytes() for part in parts)


def contents(loader: TrainingLoader, epoch: int) -> list[tuple[bytes, ...]]:
    return [content(batch) for batch in loader.epoch(epoch)]


def test_shapes_and_dtypes_of_batches(dataset: Dataset) -> None:
    loader = make(dataset)
    first, second, last = loader.epoch(0)
    assert len(loader) == 3
    for batch, count in ((first, 4), (second, 4), (last, 2)):
        assert batch.images.shape == (count, 3, 64, 64)
        assert batch.images.dtype == torch.uint8
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert len(batch.image_ids) == count
        targets = batch.targets
        assert targets is not None
        assert (targets.image_index.dtype, targets.boxes.dtype, targets.labels.dtype) == (
            torch.int64,
            torch.float32,
            torch.int64,
        )
        assert len(targets.image_index) == len(targets.boxes) == len(targets.labels)
        assert (targets.image_index.diff() >= 0).all()
        assert (targets.boxes[:, 2:] > targets.boxes[:, :2]).all()
        assert ((targets.boxes >= 0) & (targets.boxes <= 64)).all()


def test_images_keep_their_own_targets(dataset: Dataset) -> None:
    samples = [dataset[i] for i in (3, 9, 0)]  # two objects, none, two
    batch = collate(samples)
    assert batch.targets is not None
    assert batch.image_ids == ("d", "j", "a")
    for number, sample in enumerate(samples):
        np.testing.assert_array_equal(batch.images[number].permute(1, 2, 0), sample.image)
        own = batch.targets.image_index == number
        np.testing.assert_array_equal(batch.targets.boxes[own], sample.boxes)
        np.testing.assert_array_equal(batch.targets.labels[own], sample.labels)


def test_batches_do_not_depend_on_the_number_of_workers(dataset: Dataset, tmp_path: Path) -> None:
    source = open_cache(dataset, 64, tmp_path / "cache")
    before = torch.get_rng_state()
    expected: list[list[tuple[bytes, ...]]] = []
    for workers in (0, 1, 2):
        loader = make(source, workers=workers)
        found = [contents(loader, epoch) for epoch in (0, 1)]
        assert contents(loader, 0) == found[0], "an epoch can be repeated"
        loader.close()
        expected = expected or found
        assert found == expected
    assert expected[0] != expected[1]
    assert torch.equal(torch.get_rng_state(), before), "the network's randomness is its own"
    assert not multiprocessing.active_children()


def test_samples_depend_only_on_seed_epoch_and_position(dataset: Dataset) -> None:
    def images(**changes: Any) -> torch.Tensor:
        return torch.cat([batch.images for batch in make(dataset, **changes).epoch(3)])

    reference = images()
    assert torch.equal(images(batch_size=3), reference)
    assert not torch.equal(images(seed=6), reference)
    assert not torch.equal(torch.cat([b.images for b in make(dataset).epoch(4)]), reference)


def test_each_epoch_is_another_permutation_of_the_images(dataset: Dataset) -> None:
    loader = make(dataset)
    orders = [[name for batch in loader.epoch(epoch) for name in batch.image_ids] for epoch in range(4)]
    assert all(sorted(order) == list(NAMES) for order in orders)
    assert len(set(map(tuple, orders))) == 4


def test_abandoned_epoch_does_not_affect_the_next(dataset: Dataset) -> None:
    for workers in (0, 1):
        loader = make(dataset, workers=workers, batch_size=1)
        whole = contents(loader, 1)
        for _ in loader.epoch(0):
            break
        unused = loader.epoch(7)
        assert contents(loader, 1) == whole
        assert content(next(unused)) == contents(loader, 7)[0]
        loader.close()


@given(
    length=st.integers(1, 60),
    batch_size=st.integers(1, 9),
    world=st.integers(1, 8),
    seed=st.integers(0, 99),
    epoch=st.integers(0, 9),
)
def test_distributed_batches_equal_those_of_one_process(
    length: int, batch_size: int, world: int, seed: int, epoch: int
) -> None:
    def batches(rank: int, world: int, batch_size: int) -> list[list[tuple[int, int, int]]]:
        sampler = EpochSampler(
            length, batch_size=batch_size, sizes=scales(64, 32), seed=seed, rank=rank, world=world
        )
        sampler.epoch = epoch
        found = [[(draw.position, draw.index, draw.size) for draw in batch] for batch in sampler]
        assert len(found) == len(sampler)
        return found

    one = batches(0, 1, batch_size * world)
    parts = [batches(rank, world, batch_size) for rank in range(world)]
    for number, expected in enumerate(one):
        of_ranks = [part[number] for part in parts]
        assert len({len(batch) for batch in of_ranks}) == 1
        together = [draw for batch in of_ranks for draw in batch]
        assert together[: len(expected)] == expected
        assert 0 <= len(together) - len(expected) < world
    assert Counter(index for batch in one for _, index, _ in batch) == Counter(range(length))


def test_multi_scale_sides(dataset: Dataset) -> None:
    assert scales(640, 32) == tuple(range(320, 961, 32))
    assert scales(100, 32) == (64, 96, 128)
    loader = make(dataset, sizes=scales(64, 32), batch_size=2)
    shapes = Counter(tuple(batch.images.shape[2:]) for epoch in range(6) for batch in loader.epoch(epoch))
    assert set(shapes) == {(side, side) for side in (32, 64, 96)}


def test_close_mosaic_disables_mosaic_and_mixup(dataset: Dataset) -> None:
    augmentation = Augmentation(mosaic=1, mixup=1, paste_in=0)
    closing, plain = (
        make(dataset, augmentation=augmentation, close_mosaic_from=2),
        make(dataset, augmentation=replace(augmentation, mosaic=0, mixup=0)),
    )
    assert contents(closing, 1) == contents(make(dataset, augmentation=augmentation), 1)
    for epoch in (2, 3):
        assert contents(closing, epoch) == contents(plain, epoch)


def test_batches_hold_training_samples(dataset: Dataset) -> None:
    rng = np.random.default_rng((2, 5, 0, 0))  # purpose, seed, epoch, position
    batch = next(make(dataset).epoch(0))
    index = NAMES.index(str(batch.image_ids[0]))
    expected = training_sample(dataset, index, 64, Augmentation(), rng)
    np.testing.assert_array_equal(batch.images[0].permute(1, 2, 0), expected.image)


@pytest.mark.parametrize("augmentation", [PLAIN, Augmentation(mixup=1)])
@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_images_are_replaced_and_reported_once(
    augmentation: Augmentation, workers: int, dataset: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    for name in "dej":
        dataset.images[NAMES.index(name)].path.write_bytes(b"")
    loader = make(dataset, augmentation=augmentation, workers=workers)
    names = [name for epoch in range(3) for batch in loader.epoch(epoch) for name in batch.image_ids]
    loader.close()
    assert len(names) == 30
    assert Counter(names) == dict.fromkeys("bcghi", 3) | {"f": 9, "a": 6}
    for name in "dej":
        assert caplog.text.count(f"{name}.png: the file is empty") == 1
    assert len(caplog.records) == 3
    expected = make(dataset, augmentation=augmentation)
    assert contents(make(dataset, augmentation=augmentation, workers=0), 1) == contents(expected, 1)


def test_an_unreadable_image_is_never_a_replacement(dataset: Dataset) -> None:
    for name in "de":
        dataset.images[NAMES.index(name)].path.unlink()
    source = _ReadableSource(dataset)
    for index in (4, 3):
        with pytest.raises(SourceError):
            source.pixels(index)
    assert [image.image_id for image in source.images] == list("abcfffghij")
    np.testing.assert_array_equal(source.pixels(3), dataset.pixels(5))


@pytest.mark.parametrize("workers", [0, 1])
def test_error_if_no_image_is_readable(workers: int, dataset: Dataset) -> None:
    for image in dataset.images:
        image.path.unlink()
    loader = make(dataset, workers=workers)
    with pytest.raises(DataError, match=r"^10 images cannot be read any more\s+found: .*no such file$"):
        next(loader.epoch(0))
    loader.close()


class Deadly(Drawn):
    """Source whose reader is killed, as by a system that is out of memory."""

    def pixels(self, index: int) -> Image:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def test_lost_worker_is_a_training_error() -> None:
    def train() -> None:
        # PyTorch's signal handler may raise between the loader's own lines, as it may in training.
        with explaining_lost_workers():
            next(loader.epoch(0))
            time.sleep(10)

    loader = make(Deadly([disc_image(0, (64, 64), [])]), workers=1)
    with pytest.raises(
        TrainingError, match=r"was lost\s+expected: fewer workers.*\s+found:.*(Killed|exited)"
    ):
        train()
    loader.close()


def test_other_runtime_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shapes"), explaining_lost_workers():
        raise RuntimeError("shapes do not fit")
    with pytest.raises(TrainingError, match="--shm-size"), explaining_lost_workers():
        raise RuntimeError(
            "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that ..."
        )


INTERRUPTED = """
import sys, time
from yolov7.samples.augmentation import Augmentation
from yolov7.formats.opening import open_dataset
from yolov7.samples.loader import TrainingLoader
from yolov7.samples.sampling import EpochSampler
source = open_dataset(sys.argv[1])
sampler = EpochSampler(len(source), batch_size=1, sizes=[64], seed=0)
loader = TrainingLoader(source, sampler, Augmentation(), workers=2)
try:
    for batch in loader.epoch(0):
        print("ready", flush=True)
        time.sleep(20)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_stops_the_workers_silently(dataset: Dataset) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, dataset.path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the parent and its workers
    out, err = process.communicate(timeout=30)
    assert (out, err, process.returncode) == ("interrupted\n", "", 0)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_batches_can_be_pickled(dataset: Dataset, tmp_path: Path) -> None:
    """Workers that are not forked receive the batches by pickle."""
    loader = make(open_cache(dataset, 64, tmp_path / "cache"))
    draws = next(iter(loader.sampler))
    sent = pickle.loads(pickle.dumps((loader._batches, draws)))
    assert content(sent[0][sent[1]].batch) == content(loader._batches[draws].batch)


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 0},
        {"rank": 2, "world": 2},
        {"rank": -1},
        {"world": 0},
        {"seed": -1},
        {"source": Drawn([])},
    ],
)
def test_invalid_arguments_are_refused(changes: dict[str, Any], dataset: Dataset) -> None:
    with pytest.raises(UsageError, match=r"expected: length and batch_size >= 1.*\s+found: "):
        make(**{"source": dataset, **changes})
