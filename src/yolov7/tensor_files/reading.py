"""Contents of any file of tensors: opened, identified by its first bytes, and read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal, NamedTuple

from yolov7.errors import CheckpointError, DamagedCheckpointError
from yolov7.tensor_files.archive import Archive
from yolov7.tensor_files.safe_tensors import read_safetensors
from yolov7.tensor_files.strangers import HEAD, RUN_NOT_LOADED, as_text, what_is, what_is_folder
from yolov7.tensor_files.torch_files import MAGIC_NUMBER, read_legacy, read_pickle
from yolov7.tensor_files.tree import Foreign, describe
from yolov7.tensor_files.unpickle import MAX_PICKLE, Unpickler
from yolov7.text import printable

Kind = Literal["torch", "torch before 1.6", "safetensors"]

WANTED = "a checkpoint of torch (.pt, .pth) or a .safetensors file"
_MAX_SAFETENSORS_HEADER = 100_000_000  # the format's own limit
_LEGACY = (MAGIC_NUMBER.to_bytes(10, "little"), str(MAGIC_NUMBER).encode())


class Contents(NamedTuple):
    """Contents of a file."""

    kind: Kind
    tree: dict[Any, Any] | Foreign  # plain data and tensors; for safetensors, tensors by name
    metadata: Mapping[str, str] | None = None  # texts by name in a safetensors file; None for a file of torch


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
            reason = getattr(error, "strerror", None) or error
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


def read_file(file: BufferedReader) -> Contents:
    """Read an open file without running or importing anything of it.

    Weights are CPU tensors in their stored dtype, without gradients, tied where they were tied.
    Models are `Foreign` objects; `state_dict_of` finds their tensors. Values are not checked: NaN passes.

    Args:
        file: written by ``torch.save``, in any version since 0.2, or a safetensors file.

    Raises:
        UnsafeCheckpointError: it asks to run or import something.
        DamagedCheckpointError: it is truncated or altered, or no checkpoint at all.
    """
    kind, archive = sniff(file)
    if kind == "safetensors":
        tensors, metadata = read_safetensors(file)
        return Contents(kind, tensors, metadata)
    if archive is None:
        tree = read_legacy(file)
    else:
        archive.check()
        tree = read_pickle(archive)
    if not isinstance(tree, dict | Foreign):
        raise DamagedCheckpointError(
            "holds no weights", expected="a dict or a model at the top", found=describe(tree)
        )
    return Contents(kind, tree)


def sniff(file: BufferedReader) -> tuple[Kind, Archive | None]:
    """Find the kind of an open checkpoint by its content, never by its name; also returns its zip directory.

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
        return "torch", archive
    if any(magic in head[:64] for magic in _LEGACY):
        return "torch before 1.6", None
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _MAX_SAFETENSORS_HEADER:
        return "safetensors", None
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
        raise _no_checkpoint(f"a TorchScript archive: {RUN_NOT_LOADED}")
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
