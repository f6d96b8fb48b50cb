"""TensorRT: the network with its EfficientNMS plugin as ONNX, and the script that builds the engine.

    images float32 (B, 3, H, W) in [0, 1]
    -> num_dets int32 (B, 1)
       det_boxes float32 (B, 300, 4) xyxy in pixels of the images
       det_scores float32 (B, 300), best first
       det_classes int32 (B, 300)

An engine belongs to one kind of GPU and one version of TensorRT. So the artefact is a directory with all
that building one needs, and the engine once it is built: during export, if there are a GPU and TensorRT.

Building and running follow NVIDIA's documentation of TensorRT 8.6 to 11, and were not tried on a GPU; the
graph is checked against ONNX Runtime, up to the plugin.
"""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from string import Template
from typing import Any

import torch
from torch import Tensor

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.errors import CheckpointError, UnsafeCheckpointError, UsageError
from yolov7.files import is_file
from yolov7.runtimes.description import Description, ExportOptions
from yolov7.runtimes.network import OUTPUT
from yolov7.runtimes.onnx import network_graph, save
from yolov7.runtimes.onnx_graphs import detection_names, joined, parsed
from yolov7.runtimes.runtime import ArtefactBackend, Runtime, is_installed, to_unit_range
from yolov7.runtimes.suppressed import SuppressingBackend
from yolov7.runtimes.tensorrt_build import DESCRIPTION, ENGINE, INPUT, NETWORK, build
from yolov7.thresholds import PREDICTION
from yolov7.untrusted.values import read_bounded

BUILD, README = "build.py", "README.txt"
# Not by the artefact's own build.py: whoever made the artefact may have put anything into it.
_EXPORT_HERE = (
    "export the checkpoint on this machine, which builds one: yolov7 export WEIGHTS --format tensorrt"
)
OUTPUTS = ("num_dets", "det_boxes", "det_scores", "det_classes")
LOWEST = 0.01
"""Lowest score of a detection: the plugin's threshold is fixed. A higher threshold afterwards gives the same
as one inside, since only better boxes suppress a box. With a lower one the plugin gets slow."""

# The domain is that of TensorRT's plugins in ONNX Runtime; TensorRT itself looks at the name alone.
_EFFICIENT_NMS = Template("""
efficient_nms (float[$batch, n, $channels] rows)
  => (int32[$batch, 1] num_dets, float[$batch, $limit, 4] det_boxes, float[$batch, $limit] det_scores,
      int32[$batch, $limit] det_classes)
  <int64[3] parts = {4, 1, $classes}, int64[$classes] classes = {$labels}, float zero = {0}>
{
  boxes, objectness, probabilities = Split <axis = 2> (rows, parts)
  products = $products

  # Every class of a row is a candidate for the plugin: all but the best get 0.
  best = ArgMax <axis = 2> (products)
  is_best = Equal (best, classes)
  best_scores = Where (is_best, products, zero)
  num_dets, det_boxes, det_scores, det_classes = trt.plugins.EfficientNMS_TRT <
    plugin_version = "1", background_class = -1, max_output_boxes = $limit, score_threshold = $lowest,
    iou_threshold = $iou, score_activation = 0, box_coding = 1
  > (boxes, best_scores)
}
""")

_README = Template("""\
$variant for TensorRT

  $network      the network, with TensorRT's EfficientNMS plugin at its end
  $build          makes $engine, for the GPU of the machine that it runs on
  $description  class names, sizes, anchors, where the weights are from

On a machine with an NVIDIA GPU:

  pip install tensorrt
  python $build        (python $build --help says what can be chosen)

An engine runs only on GPUs of the kind, and with the version of TensorRT, that it was built with.

In:   images       float32 (batch, 3, height, width), RGB from 0 to 1
Out:  num_dets     int32 (batch, 1): how many of the $limit there are
      det_boxes    float32 (batch, $limit, 4): x1, y1, x2, y2 in pixels of the images
      det_scores   float32 (batch, $limit), best first, down to $lowest: drop those below your threshold
      det_classes  int32 (batch, $limit): numbers of the names in $description

Precision is that of the network, $precision. For 16 bits export it in half precision, or, up to TensorRT 10,
build with --fp16, which may round boxes too. For 8 bits TensorRT wants a network that was quantised before:
NVIDIA's Model Optimizer does that to $network.
""")


class TensorRt(Runtime):
    """A directory with network, builder, description, and the engine once it is built."""

    name, suffix, extra = "tensorrt", ".tensorrt", ""  # NVIDIA's own package, no dependency of ours
    writes_with = ("onnx",)
    runs_with = ("tensorrt",)
    needs_trust = True

    def why_not_here(self) -> str | None:
        return None if torch.cuda.is_available() else "TensorRT needs an NVIDIA GPU, and there is none here"

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        description = self.new_description(checkpoint, options)
        network = network_graph(checkpoint, description)
        path.mkdir(parents=True)
        save(with_plugin(network, description), description, path / NETWORK)
        (path / DESCRIPTION).write_text(description.to_json())
        (path / README).write_text(_readme(description))
        shutil.copy(Path(__file__).with_name("tensorrt_build.py"), path / BUILD)
        if self.why_not_here() is None and is_installed("tensorrt"):
            build(path, batch=max(8, options.batch))

    def recognises(self, path: Path) -> bool:
        return is_file(path / DESCRIPTION) and (is_file(path / NETWORK) or is_file(path / ENGINE))

    def describe(self, path: Path) -> Description:
        return Description.from_json(read_bounded(path / DESCRIPTION), path / DESCRIPTION)

    def open(
        self, path: Path, *, parallel: int = 1, exact: bool = False, trust: bool = False
    ) -> ArtefactBackend:
        description = self.describe(path)
        if not is_file(path / ENGINE):
            raise CheckpointError(f"there is no {ENGINE} yet: {_EXPORT_HERE}", file=path)
        if (reason := self.why_not_here()) is not None:
            raise UsageError(reason)
        if not trust:
            raise UnsafeCheckpointError(
                f"{ENGINE} is a program for the GPU, which nobody can inspect before it runs; if you "
                "built it, or know who did, say so: --trust-artefact, or load(..., trust=True)",
                file=path,
            )
        self.require(*self.runs_with)
        return TensorRtBackend(description, path / ENGINE)


class TensorRtBackend(SuppressingBackend):
    """An engine on the GPU. Several threads may call it, one after the other."""

    def __init__(self, description: Description, path: Path) -> None:
        super().__init__(description)
        import tensorrt as trt

        logger = trt.Logger(trt.Logger.ERROR)
        trt.init_libnvinfer_plugins(logger, "")
        self._engine = trt.Runtime(logger).deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise CheckpointError(
                f"TensorRT {trt.__version__} cannot run this engine on this GPU: {_EXPORT_HERE}", file=path
            )
        _, _, largest = self._engine.get_tensor_profile_shape(INPUT, 0)
        self.largest_batch = int(largest[0])
        self._context = self._engine.create_execution_context()
        self._lock = threading.Lock()

    @torch.inference_mode()
    def detect(self, images: Tensor, conf: float) -> tuple[Tensor, Tensor, Tensor]:
        # The engine's own threshold is lower; the caller leaves out the rest.
        pixels = to_unit_range(images.to("cuda"))
        with self._lock:
            if not self._context.set_input_shape(INPUT, tuple(pixels.shape)):
                smallest, _, largest = self._engine.get_tensor_profile_shape(INPUT, 0)
                raise UsageError(
                    "the engine was not built for images of this shape",
                    expected=f"from {tuple(smallest)} to {tuple(largest)}",
                    found=tuple(pixels.shape),
                )
            found = {
                name: torch.empty(
                    tuple(self._context.get_tensor_shape(name)),
                    dtype=torch.float32 if name in ("det_boxes", "det_scores") else torch.int32,
                    device="cuda",
                )
                for name in OUTPUTS
            }
            for name, tensor in {INPUT: pixels, **found}.items():
                self._context.set_tensor_address(name, tensor.data_ptr())
            if not self._context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
                raise RuntimeError("TensorRT could not run the engine")
            counts, boxes, scores, labels = (found[name].cpu() for name in OUTPUTS)
        there = torch.arange(scores.shape[1]) < counts  # the rest is uninitialised
        return boxes.where(there.unsqueeze(-1), 0), scores.where(there, 0), labels.where(there, 0).long()


def with_plugin(network: Any, description: Description) -> Any:
    """Append the plugin to a network's graph."""
    import onnx

    network.opset_import.append(onnx.helper.make_opsetid("trt.plugins", 1))
    batch = "batch" if description.shape is None else description.shape[0]
    names = detection_names(description.layout)
    plugin = parsed(_EFFICIENT_NMS, network, **names, batch=batch, lowest=LOWEST)
    return joined(network, plugin, {OUTPUT: "rows"}, OUTPUTS)


def _readme(description: Description) -> str:
    return _README.substitute(
        variant=description.variant,
        network=NETWORK,
        build=BUILD,
        engine=ENGINE,
        description=DESCRIPTION,
        limit=PREDICTION.max_detections,
        lowest=LOWEST,
        precision=description.precision,
    )
