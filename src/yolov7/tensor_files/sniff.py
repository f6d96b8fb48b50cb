"""Kind of a file by its first bytes; advice on a file that is no checkpoint."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Literal, NamedTuple

from yolov7.errors import CheckpointError, DamagedCheckpointError
from yolov7.tensor_files.archive import Archive
from yolov7.tensor_files.strangers import HEAD, as_text, what_is, what_is_folder
from yolov7.tensor_files.tree import describe
from yolov7.tensor_files.unpickle import MAX_PICKLE, Unpickler
from yolov7.text import printable

Kind = Literal["torch", "torch before 1.6", "safetensors"]

WANTED = "a checkpoint of torch (.pt, .pth) or a .safetensors file"
_MAX_SAFETENSORS_HEADER = 100_000_000  # the format's own limit

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""First number in a file of torch before version 1.6."""
_LEGACY = (MAGIC_NUMBER.to_bytes(10, "little"), str(MAGIC_NUMBER).encode())


class Sniffed(NamedTuple):
    """Kind of a checkpoint, and the directory of the zip file that torch writes since 1.6."""

    kind: Kind
    archive: Archive | None = None


@contextmanager
def open_file(path: str | os.PathLike[str]) -> Iterator[BufferedReader]:
    """Open a file for reading; a CheckpointError raised inside the block gets its name.

    Raises:
        CheckpointError: not a file, or an error of the system while it is opened or read.
    """
    with ExitStack() as stack:
        try:
            _require_file(Path(path))
            file = stack.enter_context(Path(path).open("rb"))
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise CheckpointError(f"cannot be opened: {reason}", file=path) from error
        try:
            yield file
        except CheckpointError as error:
            if error.file is not None:
                raise
            named = type(error)(error.message, file=path, expected=error.expected, found=error.found)
            raise named from error.__cause__
        except OSError as error:
            raise CheckpointError(f"cannot be read: {error.strerror or error}", file=path) from error


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise CheckpointError("is not a file", file=path, expected=WANTED, found=what_is_folder(path))
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait until somebody writes
        raise CheckpointError("is not a file", file=path, expected=WANTED)


def sniff(file: BufferedReader) -> Sniffed:
    """Find the kind of an open checkpoint by its content, never by its name.

    Readers go on with the same open file, so that nobody can exchange it in between.

    Raises:
        DamagedCheckpointError: no checkpoint; the message says what the file is instead.
        UnsafeCheckpointError: a bare pickle with a name that no checkpoint needs.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(HEAD)
    if not head:
        raise _no_checkpoint("an empty file: the download or the copy failed")
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        _check_zip(archive := Archive(file))
        return Sniffed("torch", archive)
    if any(magic in head[:64] for magic in _LEGACY):
        return Sniffed("torch before 1.6")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _MAX_SAFETENSORS_HEADER:
        return Sniffed("safetensors")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if head[:1] == b"\x80" and head[1:2] <= b"\5":
        raise _about_pickle(file)
    if text[:1] in (b"(", b"c") and as_text(head) is not None:  # protocol 0 is text
        file.seek(size - 1)
        if file.read(1) == b".":
            raise _about_pickle(file)
    known = what_is(head, file.name)
    raise _no_checkpoint(known or f"unknown data that begins with the bytes {head[:8].hex(' ')}")


def _check_zip(archive: Archive) -> None:
    """Check that a zip file is one of ``torch.save``."""
    inside = {name.partition("/")[2] for name in archive.records}
    if any(name.startswith("code/") for name in inside) and "constants.pkl" in inside:
        raise _no_checkpoint(
            "a TorchScript archive: it is run, not loaded; name the checkpoint that it was made of"
        )
    if "data.pkl" in inside:
        return
    if any(name.endswith(".npy") for name in archive.records):
        raise _no_checkpoint("a file of numpy arrays (.npz)")
    if any(name.endswith("archive_format") for name in inside):
        raise _no_checkpoint("a program exported by torch.export (.pt2)")
    weights = [name for name in archive.records if name.endswith((".pt", ".pth", ".safetensors"))]
    if weights:
        raise _no_checkpoint(f"a zip file with {printable(weights[0], 80)} inside: unpack it")
    if "model.weights.h5" in archive.records:
        raise _no_checkpoint("a model of Keras")
    examples = ", ".join(printable(name, 40) for name in sorted(archive.records)[:4])
    raise _no_checkpoint(f"a zip file of something else ({examples}, ...): unpack it")


def _about_pickle(file: BufferedReader) -> CheckpointError:
    """Error for a pickle that ``torch.save`` did not write."""
    file.seek(0)
    try:
        tree = Unpickler(file.read(MAX_PICKLE)).load()
    except CheckpointError as error:
        return error
    return _no_checkpoint(
        "a model of PaddlePaddle"
        if isinstance(tree, dict) and "StructuredToParameterName@@" in tree
        else f"a plain pickle of {describe(tree)}: load it where it was made, and use torch.save",
    )


def _no_checkpoint(what: str) -> DamagedCheckpointError:
    return DamagedCheckpointError("is not a checkpoint", expected=WANTED, found=what)
