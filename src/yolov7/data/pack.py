"""Pack: images of any sizes in one memory-mapped file.

    pixels of image 0 | pixels of image 1 | ... | index (json) | trailer: length, digest of the index; magic

The trailer is written last, so that an incomplete file is recognised. An image's checksum is checked on
first access, because a pack can be larger than the memory.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from yolov7.errors import DataError
from yolov7.types import Image

_TRAILER = struct.Struct("<Q16s8s")
_MAGIC = b"y7pack01"


class Pack:
    """Pack of images, which are read-only views of the mapped file.

    Pickled without its pixels: each process maps the file itself.

    Attributes:
        path: file.
        shapes: int64 (N, 2), height and width of each image; 0, 0 for a missing one.
        problems: by number of a missing image, the reason.

    Raises:
        DataError: the file does not exist, or is incomplete.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        index = _read_index(path)
        self.shapes = np.array(index["shapes"], np.int64).reshape(-1, 2)
        self.problems = {int(number): str(problem) for number, problem in index["problems"].items()}
        self._checksums = np.array(index["checksums"], np.uint32)
        self._ends = np.cumsum(self.shapes.prod(axis=1) * 3)
        self._map: npt.NDArray[np.uint8] | None = None
        self._checked = np.zeros(len(self), np.bool_)

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, number: int) -> Image:
        """Look up an image. -> uint8 (H, W, 3) RGB, read-only.

        Raises:
            DataError: its pixels are damaged, or the file is gone.
        """
        if self._map is None:
            try:
                self._map = np.memmap(self.path, np.uint8, mode="r")
            except (OSError, ValueError) as error:
                raise DataError(f"cannot be mapped into memory: {error}", file=self.path) from error
        height, width = self.shapes[number].tolist()
        end = int(self._ends[number])
        pixels = self._map[end - height * width * 3 : end]
        if not self._checked[number]:
            if zlib.crc32(pixels.data) != self._checksums[number]:
                raise DataError(f"damaged pack: image {number} is not what was written", file=self.path)
            self._checked[number] = True
        return np.asarray(pixels).reshape(height, width, 3)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_map": None, "_checked": np.zeros(len(self), np.bool_)}


def write_pack(path: Path, images: Iterable[Image | str]) -> None:
    """Write a pack; for a missing image, give the reason as text in its place.

    Raises:
        OSError: the file cannot be written.
    """
    shapes: list[tuple[int, int]] = []
    checksums: list[int] = []
    problems: dict[int, str] = {}
    with path.open("wb") as file:
        for number, image in enumerate(images):
            if isinstance(image, str):
                problems[number] = image
                image = np.empty((0, 0, 3), np.uint8)
            pixels = np.ascontiguousarray(image).reshape(-1)
            file.write(pixels.data)
            shapes.append((image.shape[0], image.shape[1]))
            checksums.append(zlib.crc32(pixels.data))
        index = json.dumps({"shapes": shapes, "checksums": checksums, "problems": problems}).encode()
        file.write(index)
        file.write(_TRAILER.pack(len(index), _digest(index), _MAGIC))


def _read_index(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            length = file.seek(0, 2)
            file.seek(max(0, length - _TRAILER.size))
            trailer = file.read()
            size, digest, magic = _TRAILER.unpack(trailer) if len(trailer) == _TRAILER.size else (0, b"", b"")
            if magic != _MAGIC or size > length - _TRAILER.size:
                raise DataError("not a whole pack of images", file=path)
            file.seek(length - _TRAILER.size - size)
            text = file.read(size)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", file=path) from error
    if _digest(text) != digest:
        raise DataError("damaged pack: its index is not what was written", file=path)
    index: dict[str, Any] = json.loads(text)
    pixels = 3 * sum(height * width for height, width in index["shapes"])
    if pixels + size + _TRAILER.size != length:
        raise DataError("damaged pack: its length is not what its index says", file=path)
    return index


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
