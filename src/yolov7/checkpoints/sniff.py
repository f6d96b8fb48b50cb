"""What kind of file this is, by its first bytes; and for what is no checkpoint, what to do about it."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Literal

from yolov7.checkpoints.archive import Archive
from yolov7.checkpoints.tree import describe
from yolov7.checkpoints.unpickle import MAX_PICKLE, Unpickler
from yolov7.errors import CheckpointError, DamagedCheckpointError
from yolov7.text import printable

Kind = Literal["zip", "legacy", "safetensors"]

WANTED = "a checkpoint of torch (.pt, .pth) or a .safetensors file"
_HEAD = 512
_MAX_SAFETENSORS_HEADER = 100_000_000  # the format's own limit

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""What torch wrote first, before version 1.6."""
_LEGACY = (MAGIC_NUMBER.to_bytes(10, "little"), str(MAGIC_NUMBER).encode())

# First bytes of what people mistake for a checkpoint -> what it is and what to do.
_KNOWN: tuple[tuple[int, bytes, str], ...] = (
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself: run 'git lfs pull'"),
    (257, b"ustar", "a tar archive: unpack it; if a very early torch wrote it, save it with a later one"),
    (0, b"\x1f\x8b", "compressed by gzip: unpack it"),
    (0, b"BZh", "compressed by bzip2: unpack it"),
    (0, b"\xfd7zXZ", "compressed by xz: unpack it"),
    (0, b"7z\xbc\xaf", "a 7z archive: unpack it"),
    (0, b"Rar!", "a rar archive: unpack it"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it"),
    (0, b"\x89HDF", "an HDF5 file, such as Keras writes"),
    (0, b"GGUF", "a GGUF file"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (0, b"\x00\x00\x00\x00\x02\x00\x00\x00", "weights of Darknet"),
    (0, b"\x89PNG", "a picture"),
    (0, b"\xff\xd8\xff", "a picture"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
)
_ONNX = tuple(bytes((8, version, tag)) for version in range(1, 32) for tag in (0x12, 0x1A, 0x3A, 0x42))


def sniff(path: str | os.PathLike[str]) -> Kind:
    """What kind of checkpoint a file is, judged by its content and never by its name.

    Returns:
        "zip" and "legacy": what ``torch.save`` writes since and before version 1.6. "safetensors".

    Raises:
        DamagedCheckpointError: it is none, and the message says what it is instead.
        UnsafeCheckpointError: it is a bare pickle, and asks for what no checkpoint needs.
        CheckpointError: it cannot be opened.
    """
    with open_file(path) as file:
        return sniff_open(file, os.fspath(path))


def open_file(path: str | os.PathLike[str]) -> BufferedReader:
    """The file, open for reading. Raises: CheckpointError where that cannot be."""
    try:
        # Before opening it: to open a pipe waits until somebody writes.
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise CheckpointError("is not a file", file=path, expected=WANTED)
        return Path(path).open("rb")
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise CheckpointError(f"cannot be opened: {reason}", file=path) from error


def sniff_open(file: BufferedReader, path: str) -> Kind:
    """`sniff` of an open file."""
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(_HEAD)
    if not head:
        raise _none_of(path, "an empty file: the download or the copy failed")
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        _check_zip(Archive(file, path), path)
        return "zip"
    if any(magic in head[:64] for magic in _LEGACY):
        return "legacy"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _MAX_SAFETENSORS_HEADER:
        return "safetensors"
    for offset, magic, what in _KNOWN:
        if head[offset:].startswith(magic):
            raise _none_of(path, what)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:1] == b"<" and (b"<html" in text.lower() or text.lower().startswith(b"<!doctype html")):
        raise _none_of(
            path, "a web page, not the file behind it: open the address in a browser and download again"
        )
    if head[:1] == b"\x80" and head[1:2] <= b"\5":
        raise _about_pickle(file, path)
    if head.startswith(_ONNX):
        raise _none_of(path, "an ONNX model: it is run, not loaded; name the checkpoint that it was made of")
    if not head.strip(b"\0"):
        raise _none_of(path, "zeros: the download or the copy failed")
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        file.seek(size - 1)
        if text[:1] in (b"(", b"c") and file.read(1) == b".":  # protocol 0 is text
            raise _about_pickle(file, path)
        kind = "a JSON file" if text[:1] in (b"{", b"[") else "a text file"
        raise _none_of(path, f"{kind} that begins with '{printable(text.decode('ascii'), 60)}'")
    raise _none_of(path, f"unknown data that begins with the bytes {head[:8].hex(' ')}")


def _check_zip(archive: Archive, path: str) -> None:
    """Tell torch's zip files from others."""
    inside = {name.partition("/")[2] for name in archive.records}
    if any(name.startswith("code/") for name in inside) and "constants.pkl" in inside:
        raise _none_of(
            path, "a TorchScript archive: it is run, not loaded; name the checkpoint that it was made of"
        )
    if "data.pkl" in inside:
        return
    if any(name.endswith(".npy") for name in archive.records):
        raise _none_of(path, "a file of numpy arrays (.npz)")
    if any(name.endswith("archive_format") for name in inside):
        raise _none_of(path, "a program exported by torch.export (.pt2)")
    examples = ", ".join(printable(name, 40) for name in sorted(archive.records)[:4])
    raise _none_of(path, f"a zip file of something else ({examples}, ...): unpack it")


def _about_pickle(file: BufferedReader, path: str) -> CheckpointError:
    """What is wrong with a pickle that ``torch.save`` did not write."""
    file.seek(0)
    try:
        tree = Unpickler(file.read(MAX_PICKLE), file=path).load()
    except CheckpointError as error:
        return error
    return _none_of(
        path, f"a plain pickle of {describe(tree)}: load it where it was made, and use torch.save"
    )


def _none_of(path: str, what: str) -> DamagedCheckpointError:
    return DamagedCheckpointError("is not a checkpoint", file=path, expected=WANTED, found=what)
