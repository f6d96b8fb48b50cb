"""Files of ``torch.save``, read as trees of plain data and tensors (``tree.py``).

    since torch 1.6                            before
    a zip file, one folder:                    pickles and bytes, one after the other:
      data.pkl    a pickle                       magic number, version, about the machine
      byteorder   little or big                  the pickle
      data/<key>  the bytes of a storage         the keys of its storages
                                                 for each: number of elements, bytes

In both the pickle refers to a storage by a persistent id: ("storage", class, key, device, elements).
"""

from __future__ import annotations

from io import BufferedReader
from typing import NamedTuple

import torch
from torch import Tensor

from yolov7.errors import DamagedCheckpointError
from yolov7.tensor_files.archive import Archive
from yolov7.tensor_files.storages import Storage, ViewAllowance, element_type, typed, whole
from yolov7.tensor_files.tree import Symbol, describe, name_of
from yolov7.tensor_files.unpickle import MAX_PICKLE, Unpickler

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""First number in a file of torch before version 1.6."""
_PROTOCOL_VERSION = 1001


class _StorageId(NamedTuple):
    """Description of a storage in a pickle that refers to it."""

    type_name: str
    dtype: torch.dtype
    key: str
    numel: int
    view: object  # before torch 0.4: the part of the storage that is meant

    @classmethod
    def parse(cls, pid: object, length: int) -> _StorageId:
        if not isinstance(pid, tuple) or len(pid) != length or pid[0] != "storage":
            raise DamagedCheckpointError("refers to something that is no storage", found=describe(pid))
        if not isinstance(pid[2], str):
            raise DamagedCheckpointError("a storage has no name", found=describe(pid[2]))
        view = pid[5] if length > 5 else None
        numel = whole(pid[4], "number of elements")
        return cls(name_of(pid[1]), element_type(pid[1]), pid[2], numel, view)

    def check_same(self, elements: Tensor) -> None:
        """Check that a mention of a storage agrees with the first."""
        if (elements.dtype, elements.numel()) != (self.dtype, self.numel):
            raise DamagedCheckpointError(
                "a storage is described in two ways",
                expected=f"{elements.numel()} x {elements.dtype}",
                found=f"{self.numel} x {self.dtype}",
            )


# Since torch 1.6.


def read_pickle(archive: Archive, part: str = "data") -> object:
    """Read PART.pkl of a checked archive as a tree (``tree.py``); its storages are in the folder PART.

    Raises:
        UnsafeCheckpointError: it asks to run or import what no checkpoint needs.
        DamagedCheckpointError: it is truncated or altered.
    """
    name = f"{part}.pkl"
    pickled = archive.read(f"{archive.folder}/{name}", MAX_PICKLE)
    return Unpickler(pickled, persistent=_ZipStorages(archive, part), part=name).load()


class _ZipStorages:
    """Storages of a zip file, each read when the pickle first refers to it."""

    def __init__(self, archive: Archive, part: str) -> None:
        self._archive = archive
        self._part = part
        self._allowance = ViewAllowance(archive.size)
        self._storages: dict[str, Storage] = {}
        order = f"{archive.folder}/byteorder"
        self._order = archive.read(order, 16) if order in archive.records else b"little"

    def __call__(self, pid: object) -> Storage:
        wanted = _StorageId.parse(pid, 5)
        if (storage := self._storages.get(wanted.key)) is None:
            storage = self._storages[wanted.key] = Storage(self._read(wanted), self._allowance)
        wanted.check_same(storage.elements)
        return storage

    def _read(self, wanted: _StorageId) -> Tensor:
        swap = self._order == b"big"
        if self._order not in (b"little", b"big") or (swap and "Untyped" in wanted.type_name):
            raise DamagedCheckpointError(
                "holds numbers in an unknown byte order", found=describe(self._order)
            )
        name = f"{self._archive.folder}/{self._part}/{wanted.key}"
        return typed(
            self._archive.read_tensor(name, wanted.numel * wanted.dtype.itemsize), wanted.dtype, swap=swap
        )


# Before torch 1.6.


def read_legacy(file: BufferedReader) -> object:
    """Read the tree of a file that torch wrote before 1.6."""
    size = file.seek(0, 2)
    file.seek(0)
    storages = _LegacyStorages(size)
    pickles = Unpickler(file.read(MAX_PICKLE), persistent=storages)
    for wanted in (MAGIC_NUMBER, _PROTOCOL_VERSION):
        found = pickles.load()
        if not isinstance(found, int) or found != wanted:
            raise DamagedCheckpointError(
                "does not begin as torch's files do", expected=str(wanted), found=describe(found)
            )
    pickles.load()  # about the machine that wrote it; the weights are little-endian whatever it says
    tree = pickles.load()
    keys = pickles.load()
    file.seek(pickles.position)
    del pickles
    storages.fill(file, keys)
    if file.read(1):
        raise DamagedCheckpointError("continues after its end")
    return tree


class _LegacyStorages:
    """Storages of a file before torch 1.6: announced by the pickle, filled from the bytes behind it."""

    def __init__(self, size: int) -> None:
        self._allowance = ViewAllowance(size)
        self._left = size
        self._storages: dict[str, Storage] = {}

    def __call__(self, pid: object) -> Storage | Symbol:
        # Old files name the class and source code of a module, for a warning about changes.
        if isinstance(pid, tuple) and pid[:1] == ("module",) and isinstance(pid[1], Symbol):
            return pid[1]
        wanted = _StorageId.parse(pid, 6)
        if (storage := self._storages.get(wanted.key)) is None:
            size = wanted.numel * wanted.dtype.itemsize
            self._left -= size
            if self._left < 0:
                raise DamagedCheckpointError(
                    "holds less than it announces", expected=f"{size} bytes for a storage"
                )
            elements = torch.empty(size, dtype=torch.uint8).view(wanted.dtype)
            storage = self._storages[wanted.key] = Storage(elements, self._allowance)
        wanted.check_same(storage.elements)
        return storage if wanted.view is None else self._part(storage, wanted.view)

    def _part(self, storage: Storage, view: object) -> Storage:
        """Part of a storage that was a storage of its own."""
        if not isinstance(view, tuple) or len(view) != 3:
            raise DamagedCheckpointError("impossible part of a storage", found=describe(view))
        offset, size = whole(view[1], "offset"), whole(view[2], "size")
        if offset + size > storage.elements.numel():
            raise DamagedCheckpointError("a part of a storage reaches outside of it")
        return Storage(storage.elements[offset : offset + size], self._allowance)

    def fill(self, file: BufferedReader, keys: object) -> None:
        """Read the bytes of all storages, which come in the order of `keys`."""
        named = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
        if not isinstance(keys, list) or not named or sorted(keys) != sorted(self._storages):
            raise DamagedCheckpointError(
                "the storages in it are not those that its pickle names",
                expected=f"{len(self._storages)} storages",
                found=describe(keys),
            )
        for key in keys:
            elements = self._storages[key].elements
            buffer = elements.view(torch.uint8)
            numel = int.from_bytes(file.read(8), "little", signed=True)
            if numel != elements.numel():
                raise DamagedCheckpointError(
                    "a storage does not have its size; download or copy it again",
                    expected=f"{elements.numel()} elements",
                    found=str(numel),
                )
            if numel and file.readinto(buffer.numpy().data) != buffer.numel():
                raise DamagedCheckpointError("is truncated; download or copy it again")
            typed(buffer, elements.dtype)
