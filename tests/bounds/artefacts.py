"""Small artefacts that ask for much, of each runtime: networks of a few layers with large numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from tests.bounds.case import Case, Ready, on_weights
from tests.untrusted.hostile import SAID, edited, torchscript
from yolov7.runtimes.network import traced


class Network(nn.Module):
    """Images -> rows, by way of something that others name."""

    def __init__(self, ask: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.ask = ask

    def forward(self, images: Tensor) -> Tensor:
        return torch.reshape(self.ask(images)[:, :, :1, :7], [1, -1, 7])


def _doubled(images: Tensor) -> Tensor:
    for _ in range(20):
        images = torch.cat([images, images], 3)
    return images


ASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "expanded": lambda images: images[:, :, :1, :1].expand(1, 3, 2**20, 2**20) * 2,
    "arange": lambda images: images * torch.arange(2**40).reshape(1, 1, -1, 1)[:, :, :1],
    "upsampled": lambda images: nn.functional.interpolate(images, scale_factor=2000),
    "outer product": lambda images: images.reshape(1, 1, -1, 1) * images.reshape(1, 1, 1, -1),
    "doubled": _doubled,
    "often": lambda images: _often(images),
}


def _often(images: Tensor) -> Tensor:
    for _ in range(2_000):
        images = nn.functional.max_pool2d(images, 31, 1, 15)
    return images


def script(name: str) -> bytes:
    """A TorchScript archive, traced without numbers."""
    with torch.device("meta"):
        program = traced(Network(ASKS[name]), torch.zeros(1, 3, 64, 64))
    return edited(torchscript(program), {".py": lambda code: code.replace(b'"meta"', b'"cpu"')})


def _script(name: str) -> Callable[[], Case]:
    def make(folder: Path, _ready: Ready) -> Path:
        (folder / "a.torchscript").write_bytes(script(name))
        return folder / "a.torchscript"

    return lambda: on_weights(make)


def net(*layers: str) -> str:
    """A list of ncnn's layers that ends as a network with one level does."""
    rows = ["Input in0 0 1 in0", *layers]
    return f"7767517\n{len(rows)} {len(rows)}\n" + "\n".join(rows) + "\n"


NCNN: dict[str, Sequence[str]] = {
    "enlarged": ["Interp a 1 1 in0 a 0=1 1=1e5 2=1e5"],
    "of a size": ["Interp a 1 1 in0 a 0=1 3=1000000 4=1000000"],
    "padded": ["Padding a 1 1 in0 a 0=1000000 1=1000000"],
    "enlarged often": [f"Interp a{i} 1 1 {f'a{i - 1}' if i else 'in0'} a{i} 0=1 1=2 2=2" for i in range(20)],
    "wide": ["Convolution a 1 1 in0 a 0=60000 1=1 6=180000"],
}


def _ncnn(name: str) -> Callable[[], Case]:
    def make(folder: Path, _ready: Ready) -> Path:
        path = folder / "a.ncnn"
        path.mkdir()
        last = NCNN[name][-1].split()[1]
        text = net(
            *(
                layer.replace(f" {last} ", " out0 ") if layer == NCNN[name][-1] else layer
                for layer in NCNN[name]
            )
        )
        (path / "model.ncnn.param").write_text(text)
        (path / "model.ncnn.bin").write_bytes(bytes(4 * 180_001 + 4 * 60_000))
        one_level = {"strides": [8], "anchors": [[[1.0, 1.0]] * 3]}
        (path / "description.json").write_text(json.dumps(SAID | one_level | {"format": "ncnn"}))
        return path

    return lambda: on_weights(make)


def onnx_bomb(name: str) -> bytes:
    """An ONNX graph that asks for much in the middle."""
    nodes = {
        "ConstantOfShape": [helper.make_node("ConstantOfShape", ["shape"], ["a"])],
        "Expand": [helper.make_node("Expand", ["one", "shape"], ["a"])],
        "Tile": [helper.make_node("Tile", ["images", "often"], ["a"])],
        "Resize": [helper.make_node("Resize", ["images", "", "scales"], ["a"], mode="nearest")],
        "Range": [helper.make_node("Range", ["zero", "huge", "step"], ["a"])],
        "outer product": [
            helper.make_node("Reshape", ["images", "column"], ["x"]),
            helper.make_node("Reshape", ["images", "row"], ["y"]),
            helper.make_node("Mul", ["x", "y"], ["a"]),
        ],
    }[name]
    values = {
        "shape": np.array([2**20, 2**20], np.int64),
        "one": np.ones((1, 1), np.float32),
        "often": np.array([1, 1, 20_000, 20_000], np.int64),
        "scales": np.array([1, 1, 20_000, 20_000], np.float32),
        "zero": np.array(0, np.int64),
        "huge": np.array(2**42, np.int64),
        "step": np.array(1, np.int64),
        "column": np.array([-1, 1], np.int64),
        "row": np.array([1, -1], np.int64),
    }
    nodes += [
        helper.make_node("ReduceMax", ["a"], ["b"], keepdims=0),
        helper.make_node("Cast", ["b"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["images", "c"], ["rows"]),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 640, 640])
    rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(array, key) for key, array in values.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [images], [rows], tensors), opset_imports=[helper.make_opsetid("", 20)]
    )
    model.ir_version = 9
    said = SAID | {"format": "onnx", "size": 640, "shape": [1, 640, 640]}
    helper.set_model_props(model, {"open-yolov7": json.dumps(said)})
    return model.SerializeToString()


def _onnx(name: str) -> Callable[[], Case]:
    def make(folder: Path, _ready: Ready) -> Path:
        (folder / "a.onnx").write_bytes(onnx_bomb(name))
        return folder / "a.onnx"

    return lambda: on_weights(make)


def openvino_bomb(name: str, folder: Path) -> Path:
    """An OpenVINO network that asks for much in the middle."""
    import openvino
    from openvino import opset8 as ops

    images = ops.parameter([1, 3, 640, 640], np.float32, name="images")
    images.output(0).set_names({"images"})
    if name == "broadcast":
        asked = ops.broadcast(
            ops.constant(np.ones((1, 1), np.float32)), ops.constant(np.array([2**20, 2**20]))
        )
    elif name == "tile":
        asked = ops.tile(images, ops.constant(np.array([1, 1, 20_000, 20_000])))
    else:
        column, row = (ops.reshape(images, np.array(shape), False) for shape in ([-1, 1], [1, -1]))
        asked = ops.multiply(column, row)
    most = ops.reduce_max(asked, np.arange(len(asked.get_output_partial_shape(0).to_shape())))
    rows = ops.add(images, most)
    rows.output(0).set_names({"rows"})
    model = openvino.Model([rows], [images])
    said = SAID | {"format": "openvino", "size": 640, "shape": [1, 640, 640]}
    model.set_rt_info(json.dumps(said), "open-yolov7")
    path = folder / "a.openvino"
    path.mkdir()
    openvino.save_model(model, path / "model.xml", compress_to_fp16=False)
    return path


def _openvino(name: str) -> Callable[[], Case]:
    return lambda: on_weights(lambda folder, _ready: openvino_bomb(name, folder))


CASES: dict[str, Callable[[], Case]] = {
    **{f"torchscript: {name}": _script(name) for name in ASKS},
    **{f"ncnn: {name}": _ncnn(name) for name in NCNN},
    **{f"openvino: {name}": _openvino(name) for name in ("broadcast", "tile", "outer product")},
    **{
        f"onnx: {name}": _onnx(name)
        for name in ("ConstantOfShape", "Expand", "Tile", "Resize", "Range", "outer product")
    },
}
