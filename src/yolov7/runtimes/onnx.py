"""ONNX: the network as a graph that nearly every runtime reads; run here by ONNX Runtime.

images float32 (B, 3, H, W) in [0, 1]  ─>  rows float32 (B, N, 5 + C)
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.quiet import no_warnings
from yolov7.runtimes.description import KEY, Description, ExportOptions
from yolov7.runtimes.network import INPUT, OUTPUT, RowNetwork, traced
from yolov7.runtimes.runtime import ArtefactBackend, Runtime, library_errors, threads, to_float_array
from yolov7.tensor_files.strangers import ONNX_HEADS
from yolov7.untrusted.demand import Demand
from yolov7.untrusted.onnx import metadata_of
from yolov7.untrusted.values import begins_with

OPSET = 20
"""Newest opset to which torch converts a trace."""
_SMALL = 1_000
"""Largest constant that may hold shapes, bytes."""


class SessionBackend(ArtefactBackend):
    """An ``onnxruntime.InferenceSession`` with a share of the cores. Several threads may call it at once."""

    def __init__(self, description: Description, path: Path, parallel: int) -> None:
        super().__init__(description)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads(parallel)
        options.log_severity_level = 3  # errors: warnings are about its own optimisations
        self.path = path
        with library_errors(path, "ONNX Runtime cannot read this file"):
            devices = onnxruntime.get_available_providers()
            self.session = onnxruntime.InferenceSession(os.fspath(path), options, providers=devices)

    def outputs(self, names: Sequence[str], inputs: Mapping[str, Any]) -> Sequence[Any]:
        with library_errors(self.path, "ONNX Runtime cannot run this graph"):
            return self.session.run(names, inputs)


class OnnxBackend(SessionBackend):
    """The network without NMS."""

    def infer(self, images: Tensor) -> Tensor:
        (rows,) = self.outputs([OUTPUT], {INPUT: to_float_array(images)})
        return torch.from_numpy(rows)


class Onnx(Runtime):
    """The network with decoding, without NMS."""

    name, suffix, extra = "onnx", ".onnx", "onnx"
    writes_with = ("onnx",)
    runs_with = ("onnx", "onnxruntime")
    backend: ClassVar[type[SessionBackend]] = OnnxBackend
    """Class of the backends."""

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        description = self.new_description(checkpoint, options)
        save(network_graph(checkpoint, description), description, path)

    def recognises(self, path: Path) -> bool:
        return begins_with(path, *ONNX_HEADS)

    def describe(self, path: Path) -> Description:
        return Description.from_json(metadata_of(path).get(KEY), path)

    def open(
        self, path: Path, *, parallel: int = 1, exact: bool = False, trust: bool = False
    ) -> ArtefactBackend:
        description = self.describe(path)
        _check_demand(path, description)
        return self.backend(description, path, parallel)


def network_graph(checkpoint: Checkpoint, description: Description) -> Any:
    """A checkpoint's network as an ``onnx.ModelProto``."""
    import onnx

    network = RowNetwork(checkpoint.model, half=description.precision == "float16")
    stride = description.strides[-1]
    # A small image: in float16, a large one takes minutes on a processor. The trace takes any size.
    images = torch.zeros(1, 3, 2 * stride, 3 * stride)
    # Deprecated; its successor takes minutes for dynamic shapes.
    with no_warnings(), tempfile.TemporaryDirectory() as folder:
        torch.onnx.export(
            traced(network, images),
            (images,),
            Path(folder, "network.onnx"),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch", 2: "height", 3: "width"}, OUTPUT: {0: "batch", 1: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(Path(folder, "network.onnx"))
    channels = description.layout.size
    if description.shape is None:
        _set_shape(model.graph.output[0], ("batch", "n", channels))
    else:
        batch, height, width = description.shape
        cells = sum((height // stride) * (width // stride) for stride in description.strides)
        _set_shape(model.graph.input[0], (batch, 3, height, width))
        _set_shape(model.graph.output[0], (batch, cells * len(description.anchors[0]), channels))
    return model


def save(model: Any, description: Description, path: Path) -> None:
    """Write a graph and its description to a file."""
    import onnx

    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {KEY: description.to_json()})
    model.producer_name, model.producer_version = KEY, description.made_by[KEY]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _check_demand(path: Path, description: Description) -> None:
    """Make sure that the memory and time of a graph are in proportion to its images, as far as shapes say.

    Sizes that depend on the detections, as after NMS, are unknown and not counted.

    Raises:
        CheckpointError: they are not, or ONNX cannot read the graph.
    """
    import onnx

    batch, height, width = description.shape or (1, description.size, description.size)
    demand = Demand(batch * height * width)
    with library_errors(path, "ONNX cannot read this file"):
        model = onnx.load(path, load_external_data=False)
        graph = model.graph
        for tensor in graph.initializer:
            if len(tensor.raw_data) > _SMALL:
                tensor.ClearField("raw_data")
        sides = graph.input[0].type.tensor_type.shape.dim
        channels_first = len(sides) == 4 and sides[1].dim_value == 3
        _set_shape(graph.input[0], (batch, 3, height, width) if channels_first else (batch, height, width, 3))
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        numbers = {
            value.name: math.prod(side.dim_value for side in value.type.tensor_type.shape.dim)
            for value in (*inferred.value_info, *inferred.output)
        }
        weights = {tensor.name: math.prod(tensor.dims[1:2]) for tensor in graph.initializer}  # channels
        for node in graph.node:
            each = sum(math.prod(one.ints) for one in node.attribute if one.name == "kernel_shape")
            each *= weights.get(node.input[1], 0) if node.op_type == "Conv" else 1
            demand.add(sum(numbers.get(name, 0) for name in node.output), each)


def _set_shape(value: Any, shape: tuple[int | str, ...]) -> None:
    for dimension, side in zip(value.type.tensor_type.shape.dim, shape, strict=True):
        if isinstance(side, int):
            dimension.dim_value = side
        else:
            dimension.dim_param = side
