"""Cache of decoded and scaled images: a memory-mapped file shared by all workers and by later runs.

A pack is named by a digest of the images' contents, the long side and the format. So a changed image makes a
new pack, and a data set that was merely moved or touched finds its old one. A record per data set and size
lists the pack's images: only new content is decoded, and only changed files are read (`data.contents`).

    <directory>/<digest of the images>.pack
    <directory>/<digest of path, split, size>.json       record; names the pack
    <directory>/<digest of path, split>.files            state of the files when they were last read
    <directory>/lock                                     held by the process that builds

Packs that no record names are removed, as are records that no run has used for 30 days. The directory may be
deleted at any time.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from yolov7.data.contents import RECORDS, digest_of, image_digests
from yolov7.data.dataset import Dataset
from yolov7.data.findings import Defect
from yolov7.data.pack import Pack, write_pack
from yolov7.data.scaled import REPLACED, ScaledDataset, scaled, scaled_size, shrunk
from yolov7.errors import DataError, OutputError, SourceError
from yolov7.files import PARTIAL, replacing, write_file
from yolov7.images.reading import read_image
from yolov7.lock import locked
from yolov7.prefetch import prefetch
from yolov7.types import Image

_LOG = logging.getLogger(__name__)
_FORMAT = 1  # raise it when the scaling of images changes
_KEPT_S = 30 * 24 * 3600
_THREADS = os.cpu_count() or 1

Progress = Callable[[int, int], None]
"""Callback with the number of finished images and the total number."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CachedDataset(ScaledDataset):
    """Data set whose scaled images are read-only views of a pack, without a copy."""

    pack: Pack
    numbers: tuple[int, ...]  # (N,) number of each image in the pack

    def pixels(self, index: int) -> Image:
        """Look up a scaled image. -> uint8 (H, W, 3) RGB.

        Raises:
            SourceError: the pack is damaged, and the image file cannot be decoded either.
        """
        try:
            return self.pack[self.numbers[index]]
        except DataError as error:
            _LOG.warning("%s; decoding the files instead, the next run packs them again", error)
            with suppress(OSError):
                self.pack.path.unlink()
            return super().pixels(index)


def open_cache(
    dataset: Dataset, size: int, directory: str | os.PathLike[str], progress: Progress | None = None
) -> ScaledDataset:
    """Limit the long side of a data set's images to `size`, and decode each only once.

    Several processes may call it at once: one builds the cache, the others wait and share it. On a full disk
    or an unwritable directory there is a warning, and images are decoded on every access.

    Args:
        dataset: data set to cache. Images that cannot be decoded are left out, and become its defects.
        size: long side, pixels; larger images are shrunk by area interpolation, smaller ones are kept.
        directory: directory of the packs, made if it is missing.
        progress: callback for each finished image.
    """
    cache = _Cache(dataset, size, Path(directory))
    try:
        pack = cache.open(progress)
    except (OSError, OutputError) as error:
        _LOG.warning("no cache: %s; the images are decoded anew in every epoch", error)
        return scaled(dataset, size)
    sound = tuple(number for number in range(len(pack)) if number not in pack.problems)
    defects = [
        Defect(str(dataset.images[number].path), None, f"{problem}: left out", "error")
        for number, problem in pack.problems.items()
    ]
    decodable = replace(
        dataset,
        images=tuple(dataset.images[number] for number in sound),
        defects=(*dataset.defects, *defects),
    )
    return CachedDataset(**vars(scaled(decodable, size)), pack=pack, numbers=sound)


class _Record(NamedTuple):
    """Name of a pack, and the digests of its image files, in the pack's order."""

    pack: str = ""
    files: tuple[str, ...] = ()


class _Cache:
    """Packs of one data set."""

    def __init__(self, dataset: Dataset, size: int, directory: Path) -> None:
        self.dataset = dataset
        self.size = size
        self.directory = directory
        key = json.dumps([str(dataset.path.resolve()), dataset.split, size])
        self.record = directory / f"{digest_of(key.encode())}.json"

    def open(self, progress: Progress | None) -> Pack:
        """Find the pack of the data set, or build it.

        Raises:
            OSError, OutputError: the pack cannot be written.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with locked(self.directory / "lock"):
            previous = self._read_record()
            files = image_digests(self.dataset, self.directory)
            record = _Record(self._name(files), tuple(files))
            path = self.directory / f"{record.pack}.pack"
            try:
                pack = Pack(path)
            except DataError:
                self._build(path, files, previous, progress)
                pack = Pack(path)
            if record == previous:
                self.record.touch()
            else:
                write_file(self.record, json.dumps(record._asdict()).encode())
            self._remove_unused()
            return pack

    def _name(self, files: list[str]) -> str:
        sizes = [image.size for image in self.dataset.images]
        content = [_FORMAT, self.size, files, sizes]
        return digest_of(json.dumps(content).encode())

    def _build(self, path: Path, files: list[str], previous: _Record, progress: Progress | None) -> None:
        """Write a pack; only images that the previous one lacks are decoded."""
        needed = sum(3 * math.prod(scaled_size(image.size, self.size)) for image in self.dataset.images)
        free = shutil.disk_usage(self.directory).free
        if needed > free:
            raise OSError(
                errno.ENOSPC,
                f"the decoded images take {needed:,} bytes, and {free:,} are free",
                str(self.directory),
            )
        for leftover in self.directory.glob(f".*.pack.*{PARTIAL}"):  # of a killed process
            leftover.unlink()
        with (
            replacing(path) as partial,
            closing(self._images(files, self._packed(previous), progress)) as images,
        ):
            write_pack(partial, images)

    def _packed(self, previous: _Record) -> dict[str, Image]:
        """Images of the previous pack, by file digest."""
        try:
            pack = Pack(self.directory / f"{previous.pack}.pack")
            numbers = [number for number in range(len(pack)) if number not in pack.problems]
            return {previous.files[number]: pack[number] for number in numbers}
        except (DataError, IndexError):
            return {}

    def _images(
        self, files: list[str], packed: dict[str, Image], progress: Progress | None
    ) -> Generator[Image | str, None, None]:
        """Yield the scaled images in order, or the reason why one is missing; threads decode ahead."""

        def image(number: int) -> Image | str:
            digest, labelled = files[number], self.dataset.images[number]
            if digest in packed:
                return packed[digest]
            if not digest:
                return "cannot be read"
            data = labelled.path.read_bytes()
            if digest_of(data) != digest:
                raise OSError(errno.EBUSY, "the file changes while it is read", str(labelled.path))
            try:
                pixels = read_image(data)
            except SourceError as error:
                return error.brief()
            if pixels.shape[:2] != labelled.size:
                return REPLACED
            return shrunk(pixels, self.size)

        indices = range(len(files))
        with closing(prefetch(indices, 4 * _THREADS, prepare=image, workers=_THREADS)) as images:
            for done, result in enumerate(images, 1):
                yield result
                if progress:
                    progress(done, len(files))

    def _read_record(self) -> _Record:
        """Read the record of the last run; an empty one if there is no valid record."""
        try:
            record: dict[str, Any] = json.loads(self.record.read_bytes())
            return _Record(str(record["pack"]), tuple(map(str, record["files"])))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return _Record()

    def _remove_unused(self) -> None:
        """Remove records that no run has used for 30 days, and packs that no record names."""
        named = set()
        for record in (*self.directory.glob("*.json"), *self.directory.glob(RECORDS)):
            if time.time() - record.stat().st_mtime > _KEPT_S:
                record.unlink()
            elif record.suffix == ".json":
                with suppress(ValueError, KeyError, TypeError, RecursionError):
                    named.add(json.loads(record.read_bytes())["pack"])
        for pack in self.directory.glob("*.pack"):
            if pack.stem not in named:
                with suppress(OSError):  # Windows refuses to delete a file that another process has mapped
                    pack.unlink()
