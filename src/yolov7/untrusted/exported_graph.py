"""Archives of torch.export, read without torch's own loader: the graph, and the tensors that it names.

    models/model.json           the graph: operations in their order, and the sources of their arguments
    data/weights/, constants/   tensors as plain bytes, and JSON with their dtypes and shapes

torch's loader unpickles parts of such an archive, evaluates expressions in the JSON, and makes Python code
of its names. Here only operations, numbers and bytes are read.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from yolov7.errors import DamagedCheckpointError
from yolov7.tensor_files.archive import Archive
from yolov7.tensor_files.storages import Storage, ViewAllowance, typed
from yolov7.tensor_files.torch_files import read_pickle
from yolov7.text import printable
from yolov7.untrusted.program import Builder, Program, Register, product, size_of
from yolov7.untrusted.values import damaged, parsed_json

GRAPH = "models/model.json"
_SAMPLES = "data/sample_inputs/model.pt"
MAX_SAMPLES = 64 * 2**20
"""Largest sample images that are checked, bytes. They are never used."""
MAX_GRAPH = 32 * 2**20
"""Largest JSON, bytes; the largest network has 5 MB."""

_TYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
_CHECKS = ("torch.ops.aten._assert_tensor_metadata.default", "torch.ops.aten._assert_scalar.default")


def read_program(archive: Archive) -> Program:
    """Read the network of a checked archive of torch.export.

    Raises:
        UnsafeCheckpointError: it does what no network of this package does.
        DamagedCheckpointError: it makes no sense.
    """
    with damaged("the graph in it makes no sense"):
        return _Graph(archive).program()


class _Graph:
    """A graph that is being turned into a program."""

    def __init__(self, archive: Archive) -> None:
        self._archive, self._allowance = archive, ViewAllowance(archive.size)
        self._builder = Builder()
        self._module = self._json(GRAPH)["graph_module"]
        self._values: dict[str, Any] = {}

    def program(self) -> Program:
        graph, signature = self._module["graph"], self._module["signature"]
        weights, constants = self._tensors("weights"), self._tensors("constants")
        tensors = {"parameter": weights, "buffer": weights, "tensor_constant": constants}
        image: Register | None = None
        for described in signature["input_specs"]:
            ((kind, spec),) = described.items()
            if kind in tensors:
                self._values[spec["arg"]["name"]] = tensors[kind][spec[f"{kind}_name"]]
            elif kind == "user_input" and image is None:
                image = self._values[spec["arg"]["as_tensor"]["name"]] = self._builder.register()
            else:
                raise self._builder.refused(f"another kind of input, {printable(kind, 40)}")
        for node in graph["nodes"]:
            self._add(node)
        self._check_samples()
        (output,) = graph["outputs"]
        result = self._argument(output)
        if image is None or not isinstance(result, Register):
            raise self._builder.refused("no images, or a result that is no tensor")
        return Program(self._builder.steps, image, result)

    def _add(self, node: Mapping[str, Any]) -> None:
        target = node["target"]
        if target in _CHECKS:  # the backend checks the images before
            return
        arguments, keywords = [], {}
        for given in node["inputs"]:
            value = self._argument(given["arg"])
            if given["kind"] == 1:
                arguments.append(value)
            else:
                keywords[given["name"]] = value
        names = [name for output in node["outputs"] for name in self._names(output)]
        if target == "torch.ops.aten.sym_size.int":
            places = self._builder.add(size_of, arguments)
        elif target == "_operator.mul":
            places = self._builder.add(product, arguments)
        else:
            prefix, name, overload = str(target).rsplit(".", 2)
            if prefix != "torch.ops.aten":
                raise self._builder.refused(f"a call of {printable(target, 80)}")
            several = "as_tensors" in node["outputs"][0]
            places = self._builder.operation(name, arguments, keywords, overload=overload)
            if several:
                places = self._builder.parts(places[0], len(names))
        self._values.update(zip(names, places, strict=True))

    @staticmethod
    def _names(output: Mapping[str, Any]) -> list[str]:
        ((kind, value),) = output.items()
        if kind == "as_tensors":
            return [tensor["name"] for tensor in value]
        return [value["name"] if kind == "as_tensor" else value["as_name"]]

    def _argument(self, given: Mapping[str, Any]) -> Any:
        """Value or register of an argument."""
        ((kind, value),) = given.items()
        match kind:
            case "as_none":
                return None
            case "as_tensor":
                return self._values[value["name"]]
            case "as_tensors":
                return [self._values[tensor["name"]] for tensor in value]
            case "as_sym_int":
                return self._size(value)
            case "as_sym_ints":
                return [self._size(one) for one in value]
            case "as_int" | "as_float" | "as_bool" | "as_string" if isinstance(value, int | float | str):
                return value
            case "as_ints" | "as_floats" | "as_bools" if isinstance(value, list):
                return [one for one in value if isinstance(one, int | float)]
            case "as_scalar_type":
                return _TYPES[value]
            case "as_device":
                return torch.device("cpu")
            case "as_layout" if value == 7:
                return torch.strided
        raise self._builder.refused(f"an argument {printable(kind, 40)}")

    def _size(self, value: Mapping[str, Any]) -> Any:
        return self._values[value["as_name"]] if "as_name" in value else int(value["as_int"])

    def _check_samples(self) -> None:
        """Make sure that the sample images, which torch's loader would unpickle, are nothing else."""
        name = f"{self._archive.folder}/{_SAMPLES}"
        record = self._archive.records.get(name)
        if record is not None and record.size <= MAX_SAMPLES:
            inner = Archive(io.BytesIO(self._archive.read(name, MAX_SAMPLES)))
            inner.check()
            read_pickle(inner)

    def _tensors(self, kind: str) -> dict[str, Tensor]:
        """Tensors of a folder by their names in the network."""
        described = self._json(f"data/{kind}/model_{kind}_config.json")["config"]
        return {name: self._tensor(kind, entry) for name, entry in described.items()}

    def _tensor(self, kind: str, entry: Mapping[str, Any]) -> Tensor:
        file = f"data/{kind}/{entry['path_name']}"
        if entry["use_pickle"] or (meta := entry["tensor_meta"]) is None:
            raise self._builder.refused(f"a pickle, {printable(file, 80)},")
        record = f"{self._archive.folder}/{file}"
        dtype = _TYPES[meta["dtype"]]
        size = self._archive.records[record].size if record in self._archive.records else 0
        if size % dtype.itemsize:
            raise DamagedCheckpointError("a tensor has half a number")
        elements = typed(self._archive.read_tensor(record, size), dtype)
        sizes, strides = ([one["as_int"] for one in meta[key]] for key in ("sizes", "strides"))
        return Storage(elements, self._allowance).view(meta["storage_offset"]["as_int"], sizes, strides)

    def _json(self, name: str) -> Any:
        return parsed_json(self._archive.read(f"{self._archive.folder}/{name}", MAX_GRAPH))
