"""Cache of decoded images: pixels, needless work, crashes and full disks."""

from __future__ import annotations

import logging
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.formats.small_sets import HEIGHT, WIDTH, coco_content, write_coco, write_image, write_yolo
from yolov7.data.cache import CachedDataset, open_cache
from yolov7.data.dataset import Dataset
from yolov7.data.scaled import scaled
from yolov7.errors import SourceError
from yolov7.formats.opening import open_dataset
from yolov7.samples.augment import training_sample
from yolov7.samples.augmentation import Augmentation

LABEL = "1 0.5 0.5 0.25 0.5\n0 0.1 0.1 0.6 0.2 0.3 0.9\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """YOLO data set of six images of 80 x 60, one hour old."""
    path = write_yolo(tmp_path / "data", dict.fromkeys("abcdef", LABEL))
    for image in path.parent.rglob("*.png"):
        os.utime(image, (image.stat().st_mtime - 3600,) * 2)
    return path


def cached(data: Path, size: int = 40, directory: str = "cache") -> CachedDataset:
    dataset = open_cache(open_dataset(data), size, data.parent.parent / directory)
    assert isinstance(dataset, CachedDataset)
    return dataset


def packs(data: Path) -> list[Path]:
    return sorted((data.parent.parent / "cache").glob("*.pack"))


def image_of(data: Path, name: str) -> Path:
    return data.parent / f"images/val/{name}.png"


def spoil(path: Path) -> None:
    """Change the pixels, but not the header, the length or the modification time."""
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:100] + bytes(len(content) - 200) + content[-100:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def assert_same_samples(one: Dataset, other: Dataset) -> None:
    """Pixels, sizes and labels are equal."""
    assert len(one) == len(other)
    for index in range(len(one)):
        np.testing.assert_array_equal(one[index].image, other[index].image)
        assert one.images[index].size == other.images[index].size
        np.testing.assert_array_equal(one.images[index].boxes, other.images[index].boxes)
        for a, b in zip(one.images[index].polygons, other.images[index].polygons, strict=True):
            np.testing.assert_array_equal(a, b)


def test_samples_are_equal_with_and_without_cache(data: Path) -> None:
    write_image(image_of(data, "c"), size=(50, 77))
    write_image(image_of(data, "d"), size=(20, 31))
    plain = scaled(open_dataset(data), 40)
    assert_same_samples(plain, cached(data))
    recipe = Augmentation(mosaic=0.5)
    for seed in range(6):
        one, other = (
            training_sample(source, seed % 6, 40, recipe, np.random.default_rng(seed))
            for source in (plain, cached(data))
        )
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.boxes, other.boxes)
    write_image(image_of(data, "a"), size=(40, 40))
    with pytest.raises(SourceError, match="another size"):
        plain[0]


def test_images_and_labels_are_scaled(data: Path) -> None:
    plain, small = open_dataset(data), cached(data)
    assert len(small) == len(plain) == 6
    for index in range(6):
        expected = cv2.resize(plain[index].image, (40, 30), interpolation=cv2.INTER_AREA)
        sample = small[index]
        np.testing.assert_array_equal(sample.image, expected)
        assert (plain.images[index].size, small.images[index].size) == ((HEIGHT, WIDTH), (30, 40))
        assert small.images[index].boxes is sample.boxes
        np.testing.assert_allclose(small.images[index].areas, plain.images[index].areas / 4)
        assert sample.image_id == plain[index].image_id
        np.testing.assert_allclose(sample.boxes, plain[index].boxes / 2)
        np.testing.assert_allclose(sample.polygons[1], plain[index].polygons[1] / 2)
        assert sample.polygons[0] is None
        assert sample.boxes.dtype == sample.polygons[1].dtype == np.float32


def test_boxes_follow_the_truncated_short_side(tmp_path: Path) -> None:
    """Truncating the short side gives its boxes another factor."""
    data = write_yolo(tmp_path / "data", {"a": "1 0.5 0.5 1 1\n"})
    write_image(image_of(data, "a"), size=(50, 77))
    sample = cached(data)[0]
    assert sample.image.shape == (25, 40, 3)
    np.testing.assert_allclose(sample.boxes, [[0, 0, 40, 25]], atol=1e-5)


def test_small_images_are_neither_scaled_nor_copied(data: Path) -> None:
    plain, large = open_dataset(data), cached(data, 80)
    for index in range(6):
        np.testing.assert_array_equal(large[index].image, plain[index].image)
        np.testing.assert_array_equal(large[index].boxes, plain[index].boxes)
    assert np.shares_memory(large[0].image, large[0].image)
    assert not large[0].image.flags.writeable


def test_second_opening_decodes_nothing(data: Path) -> None:
    before = [sample.image.copy() for sample in map(cached(data).__getitem__, range(6))]
    for name in "abcdef":
        spoil(image_of(data, name))
    again = cached(data)
    for index in range(6):
        np.testing.assert_array_equal(again[index].image, before[index])


def test_only_changed_images_are_decoded_again(data: Path) -> None:
    before = [sample.image.copy() for sample in map(cached(data).__getitem__, range(6))]
    (old,) = packs(data)
    write_image(image_of(data, "c"), seed=99)
    for name in "abdef":
        spoil(image_of(data, name))
    again = cached(data)
    (new,) = packs(data)  # the old one is gone
    assert new != old
    changed = [not np.array_equal(again[index].image, before[index]) for index in range(6)]
    assert changed == [name == "c" for name in "abcdef"]


def test_added_and_removed_images(data: Path) -> None:
    cached(data)
    write_yolo(data.parent, {"bb": LABEL})
    image_of(data, "e").unlink()
    (data.parent / "labels/val/e.txt").unlink()
    again, plain = cached(data, 80), open_dataset(data)
    assert [image.image_id for image in again.images] == ["a", "b", "bb", "c", "d", "f"]
    for index in range(6):
        np.testing.assert_array_equal(again[index].image, plain[index].image)


def test_touched_or_moved_data_set_keeps_its_pack(data: Path) -> None:
    cached(data)
    (pack,) = packs(data)
    before = pack.stat()
    for name in "abcdef":
        os.utime(image_of(data, name))
    cached(data)
    shutil.move(data.parent, data.parent.parent / "elsewhere")
    cached(data.parent.parent / "elsewhere/data.yaml")
    (same,) = packs(data)
    assert (same, same.stat().st_ino, same.stat().st_mtime_ns) == (pack, before.st_ino, before.st_mtime_ns)


def test_packs_are_per_size_and_shared_by_equal_data_sets(data: Path) -> None:
    shutil.copytree(data.parent, data.parent.parent / "copy")
    cached(data)
    cached(data.parent.parent / "copy/data.yaml")
    assert len(packs(data)) == 1
    cached(data, 60)
    assert len(packs(data)) == 2
    write_image(image_of(data, "a"), seed=99)
    cached(data)
    assert len(packs(data)) == 3, "the copy still names the first"


def test_unused_records_and_packs_are_removed(data: Path) -> None:
    cached(data)
    (record,) = packs(data)[0].parent.glob("*.json")
    cached(data, 60)
    month = 31 * 24 * 3600
    os.utime(record, (record.stat().st_atime - month, record.stat().st_mtime - month))
    cached(data, 60)
    assert not record.exists()
    assert len(packs(data)) == 1


def test_file_listed_twice(tmp_path: Path) -> None:
    content = coco_content()
    content["images"] += [{**content["images"][0], "id": 8}, {"id": 9, "file_name": "9.png"}]
    file = write_coco(tmp_path / "data", content)
    plain = open_dataset(file)
    for directory in ("cache", "cache"):  # built, then found
        again = open_cache(plain, 80, tmp_path / directory)
        for index in range(4):
            np.testing.assert_array_equal(again[index].image, plain[index].image)
    write_image(tmp_path / "data/images/5.png", seed=99)
    again = open_cache(plain, 80, tmp_path / "cache")
    for index in range(4):
        np.testing.assert_array_equal(again[index].image, plain[index].image)


def test_undecodable_image_is_a_defect(data: Path) -> None:
    expected = scaled(open_dataset(data), 40)[2].image
    broken = image_of(data, "b")
    broken.write_bytes(broken.read_bytes()[:-2000])
    for _ in ("built", "found"):
        dataset = cached(data)
        assert [image.image_id for image in dataset.images] == ["a", "c", "d", "e", "f"]
        (defect,) = dataset.defects
        assert str(defect).startswith(f"{broken}: ")
        assert "truncated" in defect.message
        assert defect.severity == "error"
        np.testing.assert_array_equal(dataset[1].image, expected)
    write_image(broken)
    assert len(cached(data)) == 6
    assert not cached(data).defects


def test_files_that_vanish_or_change_after_reading_the_labels(data: Path) -> None:
    dataset = open_dataset(data)
    image_of(data, "a").unlink()
    write_image(image_of(data, "b"), size=(40, 40))
    again = open_cache(dataset, 40, data.parent.parent / "cache")
    assert len(again) == 4
    assert [defect.message.split(":")[0] for defect in again.defects] == [
        "cannot be read",
        "it was replaced by one of another size",
    ]
    assert len(open_cache(open_dataset(data), 40, data.parent.parent / "cache")) == 5


@pytest.mark.parametrize("damage", ["truncated", "index", "trailer", "empty", "record"])
def test_damaged_pack_is_rebuilt(damage: str, data: Path) -> None:
    plain = open_dataset(data)
    cached(data, 80)
    (pack,) = packs(data)
    content = bytearray(pack.read_bytes())
    if damage == "truncated":
        del content[len(content) // 2 :]
    elif damage == "index":
        content[-60] ^= 1
    elif damage == "trailer":
        content[-1] ^= 1
    elif damage == "empty":
        content.clear()
    else:
        (record,) = pack.parent.glob("*.json")
        record.write_text(record.read_text()[:-30])
    pack.write_bytes(content)
    again = cached(data, 80)
    for index in range(6):
        np.testing.assert_array_equal(again[index].image, plain[index].image)


@pytest.mark.parametrize("damage", ["pixels", "gone"])
def test_pack_damaged_in_use_falls_back_to_the_files(
    damage: str, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    right = cached(data)[3].image.copy()
    dataset = cached(data)
    (pack,) = packs(data)
    if damage == "gone":
        pack.unlink()
    else:
        content = bytearray(pack.read_bytes())
        content[3 * 40 * 30 * 3 + 7] ^= 1
        pack.write_bytes(content)
    np.testing.assert_array_equal(dataset[3].image, right)
    assert str(pack) in caplog.text
    np.testing.assert_array_equal(cached(data)[3].image, right)
    assert Path(packs(data)[0]).stat().st_size > 6 * 40 * 30 * 3


def test_cached_dataset_can_be_pickled(data: Path) -> None:
    dataset = cached(data)
    again = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(again[2].image, dataset[2].image)


def test_concurrent_openings_build_once(data: Path) -> None:
    dataset, done = open_dataset(data), []

    def build(_: int) -> Dataset:
        return open_cache(dataset, 40, data.parent.parent / "cache", lambda *counts: done.append(counts))

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(build, range(4)))
    assert sorted(done) == [(number, 6) for number in range(1, 7)]
    for result in results:
        np.testing.assert_array_equal(result[5].image, results[0][5].image)


def test_interrupt_leaves_only_the_lock_file(data: Path) -> None:
    def interrupt(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_cache(open_dataset(data), 40, data.parent.parent / "cache", interrupt)
    left = [path.name for path in (data.parent.parent / "cache").iterdir() if path.suffix != ".files"]
    assert left == ["lock"]
    assert len(cached(data)) == 6


KILLED = """
import os, sys
from yolov7.data.cache import open_cache
from yolov7.formats.opening import open_dataset
def kill(done, total):
    if done == 3:
        os.kill(os.getpid(), 9)
open_cache(open_dataset(sys.argv[1]), 40, sys.argv[2], kill)
"""


def test_leftovers_of_a_killed_build_are_removed(data: Path) -> None:
    directory = data.parent.parent / "cache"
    killed = subprocess.run([sys.executable, "-c", KILLED, data, directory])
    assert killed.returncode == -signal.SIGKILL
    assert len(list(directory.glob("*.partial"))) == 1
    assert len(cached(data)) == 6
    assert not list(directory.glob("*.partial"))


def test_full_disk_disables_the_cache_with_a_warning(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A limit on file length, which fails a write inside the pack, stands for a full disk."""
    plain = open_dataset(data)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        dataset = open_cache(plain, 40, data.parent.parent / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((data.parent.parent / "cache").glob("*.p*"))
    assert not isinstance(dataset, CachedDataset)
    assert_same_samples(dataset, cached(data))
    assert "no cache: " in caplog.text
    assert "decoded anew" in caplog.text


def test_free_space_is_checked_before_building(
    data: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 21_599))
    plain = open_dataset(data)
    directory = data.parent.parent / "cache"
    assert not isinstance(open_cache(plain, 40, directory), CachedDataset)
    assert "the decoded images take 21,600 bytes, and 21,599 are free" in caplog.text
    assert str(directory) in caplog.text
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 21_600))
    assert isinstance(open_cache(plain, 40, directory), CachedDataset)


def test_unusable_directory_disables_the_cache(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain = open_dataset(data)
    with caplog.at_level(logging.WARNING):
        assert not isinstance(open_cache(plain, 40, data), CachedDataset)
    assert str(data) in caplog.text
