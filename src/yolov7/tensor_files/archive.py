"""Zip file of ``torch.save``: records, each checked for its place, size and checksum.

torch stores weights without compression, in one folder, and so must every file read here; the code of a
TorchScript archive may be deflated. Python's ``zipfile`` is not used: it makes an object for each entry
before the entries can be counted, and lets them overlap.

Format: PKWARE's APPNOTE, sections 4.3 and 4.5.3.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from io import BufferedIOBase

import torch
from torch import Tensor

from yolov7.errors import DamagedCheckpointError
from yolov7.text import printable

MAX_RECORDS = 65_535
"""Most records: ten times the tensors of the largest network with its optimizer."""
_MAX_NAME = 512
_MAX_COMMENT = 65_535
_CHUNK = 2**20
_DEFLATED = 8

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_HEADER = struct.Struct("<4s5H3L2H")

_AGAIN = "; download or copy it again"


@dataclass(frozen=True, slots=True)
class Record:
    """One file inside the zip file."""

    size: int  # in bytes
    crc: int  # CRC-32 of the bytes
    stored: int  # number of bytes in the zip file
    method: int  # 0 if the bytes are stored as they are, 8 if they are deflated, -1 for anything else
    header: int  # position of the header, which the bytes follow


class Archive:
    """Directory of a zip file that is open for reading, and checked access to its records.

    Raises: DamagedCheckpointError: the directory is missing, outside of the file, or invalid.
    """

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self.size = file.seek(0, 2)
        self._starts: dict[str, int] = {}
        self._directory, directory_size, count = self._find_directory()
        self.records = self._read_directory(directory_size, count)
        # torch can be told to leave checksums out: then every one is 0.
        self._has_checksums = any(record.crc for record in self.records.values())

    def check(self, *, deflated: bool = False, folder: bool = True) -> None:
        """Check the layout: torch stores records as they are, in one folder, and none overlaps another.

        With `deflated`, records may be deflated; without `folder`, they may be in several folders or in none.

        Raises: DamagedCheckpointError: another layout.
        """
        for name, record in self.records.items():
            parts = name.split("/")
            if (
                any(part in ("", ".", "..") for part in parts)
                or len(name) > _MAX_NAME
                or any(c == "\\" or c < " " for c in name)
            ):
                raise DamagedCheckpointError("holds a record with an unsafe name", found=printable(name))
            if folder and (len(parts) < 2 or parts[0] != self.folder):
                raise DamagedCheckpointError(
                    "is not laid out as torch does", expected="one folder", found=printable(name)
                )
            if record.method not in ((0, 8) if deflated else (0,)):
                raise DamagedCheckpointError(
                    "is compressed, which torch never does: unpack it and pack it again with 'zip -0 -r'",
                    expected="records stored as they are",
                    found=f"{printable(name)} is compressed or encrypted",
                )
        end = 0
        before = ""
        for name, record in sorted(self.records.items(), key=lambda item: item[1].header):
            if record.header < end:
                raise DamagedCheckpointError(
                    "two records lie on top of each other", found=f"{printable(before)}, {printable(name)}"
                )
            self._starts[name] = self._check_header(name, record)
            end, before = self._starts[name] + record.stored, name
            if end > self._directory:
                raise DamagedCheckpointError(
                    "a record reaches out of the file" + _AGAIN, found=printable(name)
                )

    def check_contents(self) -> None:
        """Check every record, after `check`. Raises: DamagedCheckpointError: a checksum differs."""
        for name, record in self.records.items():
            self._file.seek(self._starts[name])
            crc, left = 0, record.size
            while left:
                chunk = self._file.read(min(left, _CHUNK))
                if not chunk:
                    raise DamagedCheckpointError("is truncated" + _AGAIN)
                crc, left = zlib.crc32(chunk, crc), left - len(chunk)
            self._compare(name, record, crc)

    @property
    def folder(self) -> str:
        """Folder of all records."""
        return next(iter(self.records)).split("/")[0]

    def read(self, name: str, limit: int) -> bytes:
        """Read the bytes of a record, after `check`.

        Raises: DamagedCheckpointError: no such record, more than `limit` bytes, or a checksum that differs.
        """
        record = self._find(name)
        if record.size > limit:
            raise DamagedCheckpointError(
                f"{printable(name)} is absurdly large",
                expected=f"at most {limit} bytes",
                found=f"{record.size}",
            )
        content = self._at(self._starts[name], record.stored)
        if record.method == _DEFLATED:
            content = self._inflated(name, record, content)
        self._compare(name, record, zlib.crc32(content))
        return content

    def read_tensor(self, name: str, size: int) -> Tensor:
        """Read the bytes of a record into a new tensor (size,) uint8, after `check`.

        Raises: DamagedCheckpointError: no such record, another size, or a checksum that differs.
        """
        record = self._find(name)
        if record.size != size or record.method == _DEFLATED:
            raise DamagedCheckpointError(
                f"{printable(name)} has the wrong size or is compressed",
                expected=f"{size} bytes",
                found=f"{record.size} bytes",
            )
        buffer = torch.empty(size, dtype=torch.uint8)
        if size:
            content = buffer.numpy().data
            self._file.seek(self._starts[name])
            if self._file.readinto(content) != size:
                raise DamagedCheckpointError("is truncated" + _AGAIN)
            self._compare(name, record, zlib.crc32(content))
        return buffer

    def _inflated(self, name: str, record: Record, content: bytes) -> bytes:
        """Inflate a record to its size and no further."""
        try:
            inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, record.size + 1)
        except zlib.error:
            inflated = b""
        if len(inflated) != record.size:
            raise DamagedCheckpointError(f"{printable(name)} is not what was saved" + _AGAIN)
        return inflated

    def _find(self, name: str) -> Record:
        if (record := self.records.get(name)) is None:
            raise DamagedCheckpointError("a record is missing", expected=printable(name))
        return record

    def _compare(self, name: str, record: Record, crc: int) -> None:
        if self._has_checksums and crc != record.crc:
            raise DamagedCheckpointError(
                f"{printable(name)} is not what was saved: its checksum differs" + _AGAIN,
                expected=f"{record.crc:08x}",
                found=f"{crc:08x}",
            )

    def _at(self, position: int, size: int) -> bytes:
        self._file.seek(position)
        content = self._file.read(size)
        if len(content) != size:
            raise DamagedCheckpointError("is truncated" + _AGAIN)
        return content

    def _find_directory(self) -> tuple[int, int, int]:
        """Position and size of the directory, and its number of entries."""
        tail_start = max(0, self.size - _END.size - _MAX_COMMENT)
        tail = self._at(tail_start, self.size - tail_start)
        at = len(tail)
        while (at := tail.rfind(b"PK\5\6", 0, at)) >= 0:
            if at + _END.size <= len(tail):
                _, disk, first, here, count, size, start, comment = _END.unpack_from(tail, at)
                if at + _END.size + comment == len(tail):
                    break
        else:
            raise DamagedCheckpointError("is truncated: the directory at its end is missing" + _AGAIN)
        end = tail_start + at
        if end >= _LOCATOR64.size:
            mark, _, end64, _ = _LOCATOR64.unpack(self._at(end - _LOCATOR64.size, _LOCATOR64.size))
            if mark == b"PK\6\7":
                if end64 + _END64.size > end:
                    raise DamagedCheckpointError("has a damaged directory" + _AGAIN)
                mark, _, _, _, disk, first, here, count, size, start = _END64.unpack(
                    self._at(end64, _END64.size)
                )
                end = end64 if mark == b"PK\6\6" else -1
        if disk or first or here != count or start + size != end:
            raise DamagedCheckpointError("has a damaged directory" + _AGAIN)
        if count > MAX_RECORDS or size < count * _ENTRY.size or size > MAX_RECORDS * _ENTRY.size * 4:
            raise DamagedCheckpointError(
                "has a directory out of all proportion",
                expected=f"at most {MAX_RECORDS} records",
                found=str(count),
            )
        return start, size, count

    def _read_directory(self, size: int, count: int) -> dict[str, Record]:
        directory = self._at(self._directory, size)
        records: dict[str, Record] = {}
        at = 0
        for _ in range(count):
            if at + _ENTRY.size > size:
                raise DamagedCheckpointError("has a damaged directory" + _AGAIN)
            (mark, _, _, flags, method, _, _, crc, stored, length) = _ENTRY.unpack_from(directory, at)[:10]
            name_size, extra_size, comment_size, _, _, _, header = _ENTRY.unpack_from(directory, at)[10:]
            extra_at = at + _ENTRY.size + name_size
            raw = directory[at + _ENTRY.size : extra_at]
            extra = memoryview(directory)[extra_at : extra_at + extra_size]
            at = extra_at + extra_size + comment_size
            if mark != b"PK\1\2" or at > size:
                raise DamagedCheckpointError("has a damaged directory" + _AGAIN)
            length, stored, header = self._wide(extra, length, stored, header)
            name = raw.decode("utf-8", "replace")
            if name in records:
                raise DamagedCheckpointError("holds two records of one name", found=printable(name))
            if name.endswith("/") and not length:  # a folder, which other programs list and torch does not
                continue
            honest = not flags & 1 and (method == _DEFLATED or (method == 0 and stored == length))
            records[name] = Record(length, crc, stored, method if honest else -1, header)
        if not records:
            raise DamagedCheckpointError("is an empty zip file", expected="a checkpoint")
        return records

    def _wide(self, extra: memoryview, *numbers: int) -> list[int]:
        """Replace numbers that did not fit into 32 bits by those in the extra field."""
        body = extra[:0]
        while len(extra) >= 4 and not body:
            kind, size = struct.unpack_from("<2H", extra)
            body = extra[4 : 4 + size] if kind == 1 else body
            extra = extra[4 + size :]  # of a view: of bytes, many fields would take quadratic time
        wide = (int.from_bytes(body[at : at + 8], "little") for at in range(0, len(body) - 7, 8))
        found = [next(wide, -1) if number == 0xFFFFFFFF else number for number in numbers]
        if any(number < 0 for number in found):
            raise DamagedCheckpointError("has a damaged directory" + _AGAIN)
        return found

    def _check_header(self, name: str, record: Record) -> int:
        """Position of the bytes of a record."""
        if record.header + _HEADER.size > self._directory:
            raise DamagedCheckpointError("a record lies outside of the file" + _AGAIN, found=printable(name))
        header = _HEADER.unpack(self._at(record.header, _HEADER.size))
        mark, method, name_size, extra_size = header[0], header[3], header[9], header[10]
        raw = self._at(record.header + _HEADER.size, name_size)
        if mark != b"PK\3\4" or method != record.method or raw.decode("utf-8", "replace") != name:
            raise DamagedCheckpointError(
                "a record is not where the directory says" + _AGAIN, found=printable(name)
            )
        return record.header + _HEADER.size + int(name_size) + int(extra_size)
