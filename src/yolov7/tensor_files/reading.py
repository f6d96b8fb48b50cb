"""Contents of any file of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from io import BufferedReader
from typing import Any, NamedTuple

from yolov7.errors import DamagedCheckpointError
from yolov7.tensor_files.safe_tensors import read_safetensors
from yolov7.tensor_files.sniff import Kind, sniff
from yolov7.tensor_files.torch_files import read_legacy, read_zip
from yolov7.tensor_files.tree import Foreign, describe


class Contents(NamedTuple):
    """Contents of a file.

    Attributes:
        kind: kind of file.
        tree: plain data and tensors; for safetensors, tensors by name.
        metadata: texts by name in a safetensors file; None for a file of torch.
    """

    kind: Kind
    tree: dict[Any, Any] | Foreign
    metadata: Mapping[str, str] | None = None


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
    tree = read_legacy(file) if archive is None else read_zip(archive)
    if not isinstance(tree, dict | Foreign):
        raise DamagedCheckpointError(
            "holds no weights", expected="a dict or a model at the top", found=describe(tree)
        )
    return Contents(kind, tree)
