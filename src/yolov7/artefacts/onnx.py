"""ONNX: the network as a graph that nearly every runtime reads; run here by ONNX Runtime.

images float32 (B, 3, H, W) in [0, 1]  ─>  rows float32 (B, N, 5 + C)
"""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from yolov7.artefacts.artefact import (
    KEY,
    ArtefactBackend,
    Description,
    ExportOptions,
    Runtime,
    to_float_array,
)
from yolov7.artefacts.network import RowNetwork, traced
from yolov7.artefacts.onnx_border import is_onnx, metadata_of
from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.errors import CheckpointError

INPUT, OUTPUT = "images", "rows"
OPSET = 20
"""The newest that torch converts a trace to."""


class SessionBackend(ArtefactBackend):
    """A graph in ONNX Runtime; it may be called by several threads at once.

    Args:
        description: of the artefact.
        session: an ``onnxruntime.InferenceSession`` of it.
    """

    def __init__(self, description: Description, session: Any) -> None:
        super().__init__(description)
        self.session = session


class OnnxBackend(SessionBackend):
    """The network without suppression."""

    def infer(self, images: Tensor) -> Tensor:
        (rows,) = self.session.run([OUTPUT], {INPUT: to_float_array(images)})
        return torch.from_numpy(rows)


class Onnx(Runtime):
    """The network, decoding included, without suppression."""

    name, suffix, extra = "onnx", ".onnx", "onnx"
    writes_with = ("onnx",)
    runs_with = ("onnxruntime",)
    backend: ClassVar[type[SessionBackend]] = OnnxBackend
    """What runs its graph."""

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        description = Description.of(checkpoint, self.name, options)
        save(network_graph(checkpoint, description), description, path)

    def recognises(self, path: Path) -> bool:
        return is_onnx(path)

    def describe(self, path: Path) -> Description:
        return Description.from_json(metadata_of(path).get(KEY), path)

    def open(
        self, path: Path, *, parallel: int = 1, exact: bool = False, trust: bool = False
    ) -> ArtefactBackend:
        description = self.describe(path)
        return self.backend(description, open_session(path, parallel))


def network_graph(checkpoint: Checkpoint, description: Description) -> Any:
    """The network as an ``onnx.ModelProto``."""
    import onnx

    network = RowNetwork(checkpoint.model, half=description.precision == "float16")
    stride = description.strides[-1]
    # A small image: half precision on a processor takes minutes for a large one. The trace takes any.
    images = torch.zeros(1, 3, 2 * stride, 3 * stride)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        # Deprecated; its successor takes minutes where shapes are dynamic.
        warnings.simplefilter("ignore")
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
    """Write a graph with its description."""
    import onnx

    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {KEY: description.to_json()})
    model.producer_name, model.producer_version = KEY, description.made_by[KEY]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def open_session(path: Path, parallel: int = 1) -> Any:
    """An ``onnxruntime.InferenceSession``, with its share of the cores where several calls run at once.

    Raises:
        CheckpointError: this is no ONNX graph, or not one that ONNX Runtime can run.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, (os.cpu_count() or 1) // parallel)
    options.log_severity_level = 3  # errors: what it says below is about its own optimisations
    try:
        return onnxruntime.InferenceSession(
            os.fspath(path), options, providers=onnxruntime.get_available_providers()
        )
    except Exception as error:  # its exceptions have no common base
        raise CheckpointError(
            f"ONNX Runtime cannot read this file: {str(error).splitlines()[0]}", file=path
        ) from None


def _set_shape(value: Any, shape: tuple[int | str, ...]) -> None:
    for dimension, side in zip(value.type.tensor_type.shape.dim, shape, strict=True):
        if isinstance(side, int):
            dimension.dim_value = side
        else:
            dimension.dim_param = side
