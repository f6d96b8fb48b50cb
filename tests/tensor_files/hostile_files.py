"""Files that are damaged, or that are no checkpoints at all, byte by byte."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import torch

from tests.tensor_files.hostile import GOOD_PICKLE, saved


def plain_zip(records: dict[str, bytes]) -> bytes:
    """A zip file of that."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _also(path: str, content: bytes = b"x", method: int = zipfile.ZIP_STORED) -> bytes:
    """A good checkpoint with one record more."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", GOOD_PICKLE)
        archive.writestr("archive/data/0", struct.pack("<4f", 1, 2, 3, 4))
        archive.writestr(path, content, method)
    return buffer.getvalue()


def _end(field: int, value: int) -> bytes:
    """A good file with one field of its end record replaced (0 to 3: two bytes; 4, 5: four)."""
    good = bytearray(_also("archive/version"))
    at = len(good) - 22 + 4
    offset, form = (at + 2 * field, "<H") if field < 4 else (at + 8 + 4 * (field - 4), "<I")
    struct.pack_into(form, good, offset, value)
    return bytes(good)


def _entry(name: bytes, offset: int, form: str, value: int) -> bytes:
    """A good file with one field of the directory's entry of `name` replaced."""
    good = bytearray(_also("archive/version"))
    at = good.rindex(name) - 46
    struct.pack_into(form, good, at + offset, value)
    return bytes(good)


def _deflated() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", GOOD_PICKLE)
        archive.writestr("archive/data/0", bytes(100_000_000))
    return buffer.getvalue()


def _duplicate() -> bytes:
    first, second = _also("archive/data/1"), b"archive/data/1"
    return first.replace(second, b"archive/data/0")


def _overlapping() -> bytes:
    """Two entries of the directory point to the same bytes."""
    good = _also("archive/data/1", struct.pack("<4f", 5, 6, 7, 8))
    start = good.index(b"PK\1\2")
    first = good.index(b"archive/data/0") - 30
    moved = bytearray(good)
    struct.pack_into("<I", moved, good.rindex(b"archive/data/1") - 46 + 42, first)
    assert start > first
    return bytes(moved)


def _entries(count: int, announced: int) -> bytes:
    """A directory of so many entries, all nonsense, announced as another number of them."""
    directory = bytes(46) * count
    end64 = struct.pack(
        "<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, announced, announced, len(directory), 4
    ) + struct.pack("<4sLQL", b"PK\6\7", 0, 4 + len(directory), 1)
    return b"PK\3\4" + directory + end64 + b"PK\5\6" + bytes(4) + b"\xff" * 12 + bytes(2)


def _flipped(good: bytes, needle: bytes) -> bytes:
    at = good.index(needle)
    return good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]


def damaged_files() -> dict[str, tuple[bytes, str]]:
    """Whole files that are no good checkpoint, and a word that the error has to have."""
    weights = torch.arange(1000, dtype=torch.float32)
    good, legacy = saved({"w": weights}), saved({"w": weights}, _use_new_zipfile_serialization=False)
    script = plain_zip(dict.fromkeys(("m/data.pkl", "m/constants.pkl", "m/code/model.py"), b"x"))
    files = {
        "empty": (b"", "empty"),
        "one byte": (b"P", "text"),
        "zeros": (bytes(10_000), "zeros"),
        "noise": (bytes(range(255, 100, -1)) * 20, "unknown data"),
        "web page": (b"\n<!DOCTYPE html>\n<html><head><title>404</title>", "web page"),
        "web page in small letters": (b"<html><body>Quota exceeded</body></html>", "web page"),
        "lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        "json": (b'{"message": "Not Found"}', "JSON"),
        "words": (b"coco names are not weights.\n", "text"),
        "onnx": (b"\x08\x07\x12\x07pytorch\x1a\x052.0.0" + bytes(600), "ONNX"),
        "torchscript": (script, "TorchScript"),
        "npz": (plain_zip({"a.npy": b"\x93NUMPY"}), "numpy"),
        "another zip": (plain_zip({"readme.txt": b"x"}), "zip file of something else"),
        "two folders": (_also("other/readme.txt"), "one folder"),
        "gzip": (b"\x1f\x8b\x08" + bytes(100), "gzip"),
        "tar": (bytes(257) + b"ustar" + bytes(500), "tar"),
        "picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "picture"),
        "darknet": (struct.pack("<iiiq", 0, 2, 5, 1) + bytes(range(200)), "Darknet"),
        "plain pickle": (pickle.dumps({"w": 1}), "torch.save"),
        "plain pickle of text": (pickle.dumps({"w": 1}, 0), "torch.save"),
        "zip without an end": (b"PK\3\4" + bytes(100), "truncated"),
        "empty zip": (b"PK\5\6" + bytes(18), "empty zip"),
        "name climbs": (_also("archive/../../../etc/evil"), "unsafe name"),
        "name absolute": (_also("/etc/evil"), "unsafe name"),
        "name of windows": (_also("archive/..\\..\\evil"), "unsafe name"),
        "name with control characters": (_also("archive/\x1b[2J"), "unsafe name"),
        "compressed bomb": (_deflated(), "compressed"),
        "one record compressed": (_also("archive/x", bytes(10**6), zipfile.ZIP_DEFLATED), "compressed"),
        "encrypted": (_entry(b"archive/data/0", 8, "<H", 1), "compressed or encrypted"),
        "repeated name": (_duplicate(), "two records of one name"),
        "overlapping records": (_overlapping(), "on top of each other"),
        "record outside": (_entry(b"archive/data/0", 42, "<I", 10**6), "outside"),
        "record elsewhere": (_entry(b"archive/data.pkl", 42, "<I", 1), "not where the directory says"),
        "record too long": (_entry(b"archive/data/0", 24, "<I", 2**31), "compressed"),
        "record reaching out": (
            _entry(b"archive/version", 20, "<Q", 2**31 | 2**31 << 32),
            "reaches out",
        ),
        "record wide without width": (_entry(b"archive/data/0", 24, "<I", 2**32 - 1), "directory"),
        "entries without end": (_entries(70_000, 70_000), "out of all proportion"),
        "entries announced only": (_entries(10, 2**40), "out of all proportion"),
        "entries hidden": (_entries(300_000, 10), "out of all proportion"),
        "entries that are none": (_entries(60_000, 60_000), "directory"),
        "entries too many": (_end(3, 9), "directory"),
        "directory elsewhere": (_end(5, 7), "directory"),
        "directory too long": (_end(4, 2**32 - 2), "directory"),
        "checksum of the pickle": (_flipped(good, b"collections"), "checksum"),
        "checksum of the weights": (_flipped(good, struct.pack("<f", 500.0)), "checksum"),
        "legacy magic only": (pickle.dumps(0x1950A86A20F9469CFC6C, 2), "truncated"),
        "legacy of another version": (
            pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1002, 2),
            "begin",
        ),
        "legacy too long": (legacy + b"x", "after its end"),
        "legacy element count": (legacy.replace(struct.pack("<q", 1000), struct.pack("<q", 2**62)), "size"),
    }
    for cut in (1, 5, 30, 100, 2000, len(good) - 100, len(good) - 22):
        files[f"truncated by {cut}"] = (good[:-cut], "")
    for cut in (1, 8, 1000, 4008, len(legacy) - 100, len(legacy) - 20):
        files[f"legacy truncated by {cut}"] = (legacy[:-cut], "")
    return files
