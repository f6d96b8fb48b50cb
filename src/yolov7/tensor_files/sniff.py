"""What kind of file this is, by its first bytes; and for what is no checkpoint, what to do about it."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Literal, NamedTuple

from yolov7.errors import CheckpointError, DamagedCheckpointError
from yolov7.tensor_files.archive import Archive
from yolov7.tensor_files.strangers import HEAD, as_text, what_is, what_is_folder
from yolov7.tensor_files.tree import describe
from yolov7.tensor_files.unpickle import MAX_PICKLE, Unpickler
from yolov7.text import printable

Kind = Literal["zip", "legacy", "safetensors"]

WANTED = "a checkpoint of torch (.pt, .pth) or a .safetensors file"
_MAX_SAFETENSORS_HEADER = 100_000_000  # the format's own limit

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""What torch wrote first, before version 1.6."""
_LEGACY = (MAGIC_NUMBER.to_bytes(10, "little"), str(MAGIC_NUMBER).encode())


class Sniffed(NamedTuple):
    """What kind of checkpoint a file is, and the directory of its zip file where it is one."""

    kind: Kind
    archive: Archive | None = None


def open_file(path: str | os.PathLike[str]) -> BufferedReader:
    """The file, open for reading. Raises: CheckpointError where that cannot be."""
    try:
        if Path(path).is_dir():
            raise CheckpointError(
                "is not a file", file=path, expected=WANTED, found=what_is_folder(Path(path))
            )
        # Before opening it: to open a pipe waits until somebody writes.
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise CheckpointError("is not a file", file=path, expected=WANTED)
        return Path(path).open("rb")
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise CheckpointError(f"cannot be opened: {reason}", file=path) from error


def sniff_open(file: BufferedReader, path: str) -> Sniffed:
    """What kind of checkpoint a file is, judged by its content and never by its name.

    The file is open, and the readers go on with it: between the two nobody can swap it.

    Returns:
        "zip" and "legacy": what ``torch.save`` writes since and before version 1.6. "safetensors".

    Raises:
        DamagedCheckpointError: it is none, and the message says what it is instead.
        UnsafeCheckpointError: it is a bare pickle, and asks for what no checkpoint needs.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(HEAD)
    if not head:
        raise _none_of(path, "an empty file: the download or the copy failed")
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        _check_zip(archive := Archive(file, path), path)
        return Sniffed("zip", archive)
    if any(magic in head[:64] for magic in _LEGACY):
        return Sniffed("legacy")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _MAX_SAFETENSORS_HEADER:
        return Sniffed("safetensors")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if head[:1] == b"\x80" and head[1:2] <= b"\5":
        raise _about_pickle(file, path)
    if text[:1] in (b"(", b"c") and as_text(head) is not None:  # protocol 0 is text
        file.seek(size - 1)
        if file.read(1) == b".":
            raise _about_pickle(file, path)
    raise _none_of(
        path, what_is(head, path) or f"unknown data that begins with the bytes {head[:8].hex(' ')}"
    )


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
    weights = [name for name in archive.records if name.endswith((".pt", ".pth", ".safetensors"))]
    if weights:
        raise _none_of(path, f"a zip file with {printable(weights[0], 80)} inside: unpack it")
    if "model.weights.h5" in archive.records:
        raise _none_of(path, "a model of Keras")
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
        path,
        "a model of PaddlePaddle"
        if isinstance(tree, dict) and "StructuredToParameterName@@" in tree
        else f"a plain pickle of {describe(tree)}: load it where it was made, and use torch.save",
    )


def _none_of(path: str, what: str) -> DamagedCheckpointError:
    return DamagedCheckpointError("is not a checkpoint", file=path, expected=WANTED, found=what)
