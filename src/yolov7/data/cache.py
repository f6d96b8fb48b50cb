"""Images decoded and scaled once, kept in a memory-mapped file that all workers and later runs share.

A pack is named by what is in it: a digest over the content of every image, the long side and the format. So
a changed image makes another pack, and a data set that was merely moved or touched finds its old one. Beside
the packs lies, for each data set and size, a record of its files as they were last seen (length, time of
change, digest): only files that differ from it are read again, only images with new content decoded again.

    <directory>/<digest of the images>.pack
    <directory>/<digest of path, split, size>.json       the record; it names its pack
    <directory>/lock                                     held by the process that builds

Each data set has one pack a size: a pack that no record names any more is removed, and so are records that no
run has used for 30 days. The directory may be deleted at any time.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from yolov7.data.ahead import map_ahead
from yolov7.data.images import read_image
from yolov7.data.labels import Defect, LabelledImage
from yolov7.data.layout import Dataset
from yolov7.data.letterbox import long_side_size
from yolov7.data.lock import locked
from yolov7.data.pack import Pack, write_pack
from yolov7.errors import DataError, OutputError, SourceError
from yolov7.files import PARTIAL, replacing
from yolov7.types import Image, Sample

_LOG = logging.getLogger(__name__)
_FORMAT = 1  # of the pixels: another way to scale is another number
_KEPT = 30 * 24 * 3600  # seconds
_THREADS = os.cpu_count() or 1

Progress = Callable[[int, int], None]
"""Told how many images are done, of how many."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CachedDataset(Dataset):
    """A data set whose images come out of a pack, scaled, as read-only views that cost no copy.

    What ``images`` tells, sizes and boxes and outlines, is in pixels of the scaled images too.

    Attributes:
        pack: the images.
        numbers: each image's number in the pack, (N,).
        source_sizes: (height, width) of each image's file.
    """

    pack: Pack
    numbers: tuple[int, ...]
    source_sizes: tuple[tuple[int, int], ...]

    def __getitem__(self, index: int) -> Sample:
        """The scaled image with its labels.

        Raises:
            SourceError: the pack is damaged, and the image cannot be decoded either.
        """
        labelled = self.images[index]
        try:
            image = self.pack[self.numbers[index]]
        except DataError as error:
            _LOG.warning("%s; decoding the files instead, the next run packs them again", error)
            with suppress(OSError):
                self.pack.path.unlink()
            image = shrunk(read_image(labelled.path), max(labelled.size))
        return Sample(
            image=image,
            boxes=labelled.boxes,
            labels=labelled.labels,
            image_id=labelled.image_id,
            source_size=self.source_sizes[index],
            polygons=labelled.polygons,
            crowds=labelled.crowds,
        )


def open_cache(
    dataset: Dataset, size: int, directory: str | os.PathLike[str], progress: Progress | None = None
) -> Dataset:
    """The data set with images scaled so that their long side is at most `size`, decoded once and for all.

    Several processes may call it at once: one builds, the others wait and share. Where there is no room, or
    the directory cannot be written, a warning says so and the data set is given back as it is.

    Args:
        dataset: what to cache.
        size: long side in pixels; smaller images stay as they are, larger ones are shrunk by area.
        directory: where packs are kept; it is made where missing.
        progress: told how far the building is.

    Returns:
        The same without the images that cannot be decoded, each of which is a defect of it.
    """
    cache = _Cache(dataset, size, Path(directory))
    try:
        pack = cache.open(progress)
    except (OSError, OutputError) as error:
        _LOG.warning("no cache: %s; the images are decoded anew in every epoch", error)
        return dataset
    sound = [number for number in range(len(pack)) if number not in pack.problems]
    defects = [
        Defect(str(dataset.images[number].path), None, f"{problem}: left out", "error")
        for number, problem in pack.problems.items()
    ]
    shapes = [(height, width) for height, width in pack.shapes.tolist()]
    return CachedDataset(
        path=dataset.path,
        kind=dataset.kind,
        split=dataset.split,
        names=dataset.names,
        category_ids=dataset.category_ids,
        images=tuple(_scaled(dataset.images[number], shapes[number]) for number in sound),
        defects=(*dataset.defects, *defects),
        unlabelled=dataset.unlabelled,
        left_out=dataset.left_out,
        pack=pack,
        numbers=tuple(sound),
        source_sizes=tuple(dataset.images[number].size for number in sound),
    )


def _scaled(labelled: LabelledImage, size: tuple[int, int]) -> LabelledImage:
    """What is known of an image, when its (height, width) is another."""
    if labelled.size == size:
        return labelled
    y, x = size[0] / labelled.size[0], size[1] / labelled.size[1]
    scale = np.array((x, y), np.float32)
    return replace(
        labelled,
        size=size,
        boxes=labelled.boxes * np.tile(scale, 2),
        areas=labelled.areas * (x * y),
        polygons=tuple(None if outline is None else outline * scale for outline in labelled.polygons),
    )


def shrunk(image: Image, size: int) -> Image:
    """The image with a long side of `size`, by area; as it is where that is no longer."""
    if max(image.shape[:2]) <= size:
        return image
    height, width = long_side_size(image.shape[:2], size)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True)
class _Seen:
    """A file as it was when its content had this digest."""

    path: str
    length: int
    changed: int  # nanoseconds
    digest: str


@dataclass(frozen=True)
class _Record:
    """A pack, and the files whose images are in it, in its order."""

    pack: str = ""
    files: tuple[_Seen, ...] = ()


class _Cache:
    """Finds or builds the pack of one data set."""

    def __init__(self, dataset: Dataset, size: int, directory: Path) -> None:
        self.dataset = dataset
        self.size = size
        self.directory = directory
        key = json.dumps([str(dataset.path.resolve()), dataset.split, size])
        self.record = directory / f"{_digest(key.encode())}.json"

    def open(self, progress: Progress | None) -> Pack:
        """The pack, built where there is none.

        Raises:
            OSError: it cannot be written.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with locked(self.directory / "lock"):
            previous = self._read_record()
            files = self._look({seen.path: seen for seen in previous.files})
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
                self._write_record(record)
            self._remove_unused()
            return pack

    def _name(self, files: list[_Seen]) -> str:
        sizes = [image.size for image in self.dataset.images]
        content = [_FORMAT, self.size, [file.digest for file in files], sizes]
        return _digest(json.dumps(content).encode())

    def _look(self, known: dict[str, _Seen]) -> list[_Seen]:
        """Each image file as it is now; what has not changed is not read."""

        def look(path: Path) -> _Seen:
            try:
                status = path.stat()
                seen = known.get(str(path))
                if seen and (seen.length, seen.changed) == (status.st_size, status.st_mtime_ns):
                    return seen
                return _Seen(str(path), status.st_size, status.st_mtime_ns, _digest(path.read_bytes()))
            except OSError:
                return _Seen(str(path), -1, -1, "")

        with ThreadPoolExecutor(_THREADS, thread_name_prefix="cache") as pool:
            return list(pool.map(look, [image.path for image in self.dataset.images]))

    def _build(self, path: Path, files: list[_Seen], previous: _Record, progress: Progress | None) -> None:
        """Decode what the previous pack does not have, and write the new one; it gets its name when whole."""
        needed = sum(height * width * 3 for height, width in map(self._scaled_size, range(len(files))))
        free = shutil.disk_usage(self.directory).free
        if needed > free:
            raise OSError(
                errno.ENOSPC,
                f"the decoded images take {_readable(needed)}, and {_readable(free)} are free",
                str(self.directory),
            )
        for leftover in self.directory.glob(f".*{PARTIAL}"):  # of a build that was killed: the lock is ours
            leftover.unlink()
        with (
            replacing(path) as partial,
            closing(self._images(files, self._packed(previous), progress)) as images,
        ):
            write_pack(partial, images)

    def _packed(self, previous: _Record) -> dict[str, Image]:
        """By the content's digest, the images of the previous pack."""
        try:
            pack = Pack(self.directory / f"{previous.pack}.pack")
            numbers = [number for number in range(len(pack)) if number not in pack.problems]
            return {previous.files[number].digest: pack[number] for number in numbers}
        except (DataError, IndexError):
            return {}

    def _images(
        self, files: list[_Seen], packed: dict[str, Image], progress: Progress | None
    ) -> Generator[Image | str, None, None]:
        """The scaled images in order, or why there is none; decoded by threads, a few ahead."""

        def image(number: int) -> Image | str:
            digest, labelled = files[number].digest, self.dataset.images[number]
            if digest in packed:
                return packed[digest]
            if not digest:
                return "cannot be read"
            data = labelled.path.read_bytes()
            if _digest(data) != digest:
                raise OSError(errno.EBUSY, "the file changes while it is read", str(labelled.path))
            try:
                pixels = read_image(data)
            except SourceError as error:
                return error.message if error.found is None else f"{error.message} ({error.found})"
            if pixels.shape[:2] != labelled.size:
                return "it was replaced by one of another size"
            return shrunk(pixels, self.size)

        with closing(map_ahead(image, range(len(files)), threads=_THREADS, ahead=4 * _THREADS)) as images:
            for done, result in enumerate(images, 1):
                yield result
                if progress:
                    progress(done, len(files))

    def _scaled_size(self, number: int) -> tuple[int, int]:
        size = self.dataset.images[number].size
        return size if max(size) <= self.size else long_side_size(size, self.size)

    def _read_record(self) -> _Record:
        """What the last run left; nothing where there is no record that makes sense."""
        try:
            record: dict[str, Any] = json.loads(self.record.read_bytes())
            return _Record(str(record["pack"]), tuple(_Seen(*seen) for seen in record["files"]))
        except (OSError, ValueError, KeyError, TypeError):
            return _Record()

    def _write_record(self, record: _Record) -> None:
        partial = self.record.with_suffix(".partial")
        partial.write_text(json.dumps({"pack": record.pack, "files": [astuple(s) for s in record.files]}))
        partial.replace(self.record)

    def _remove_unused(self) -> None:
        """Records that no run has used for long, and packs that no record names."""
        named = set()
        for record in self.directory.glob("*.json"):
            if time.time() - record.stat().st_mtime > _KEPT:
                record.unlink()
            else:
                with suppress(ValueError, KeyError, TypeError):
                    named.add(json.loads(record.read_bytes())["pack"])
        for pack in self.directory.glob("*.pack"):
            if pack.stem not in named:
                with suppress(OSError):  # Windows keeps what another process has mapped
                    pack.unlink()


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _readable(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
