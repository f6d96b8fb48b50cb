"""OpenVINO: the fastest runtime on Intel's and AMD's processors, in float32, 16 bits or INT8.

    images float32 (B, 3, H, W) in [0, 1]  ─>  rows float32 (B, N, 5 + C)

An artefact is a directory with model.xml and model.bin.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, redirect_stdout, suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.errors import CheckpointError, SourceError, UsageError
from yolov7.files import is_file
from yolov7.images.kinds import IMAGE_SUFFIXES
from yolov7.images.letterbox import to_tensor
from yolov7.images.reading import read_image
from yolov7.inference.pipeline import prepare
from yolov7.models.decode import decode_levels_above
from yolov7.quiet import errors_only, no_warnings
from yolov7.runtimes.description import KEY, Description, ExportOptions
from yolov7.runtimes.network import INPUT, OUTPUT, RowNetwork, traced
from yolov7.runtimes.runtime import ArtefactBackend, Runtime, library_errors, to_float_array
from yolov7.untrusted.demand import Demand
from yolov7.untrusted.openvino import Read, read_network

MODEL, WEIGHTS = "model.xml", "model.bin"
LOGITS = "logits{}"
"""Name of the output (B, A (5 + C), H, W) of each level's head."""
CALIBRATION_IMAGES = 300
"""Most images for calibration: NNCF's own default; more change nothing."""

_THE_CORE: list[Any] = []
_ONE_AT_A_TIME = threading.Lock()


class OpenVino(Runtime):
    """The network with decoding, without NMS."""

    name, suffix, extra = "openvino", ".openvino", "openvino"
    writes_with: ClassVar[tuple[str, ...]] = ("openvino",)
    runs_with: ClassVar[tuple[str, ...]] = ("openvino",)

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        description = self.new_description(checkpoint, options)
        _save(convert(checkpoint, description), description, path)

    def recognises(self, path: Path) -> bool:
        return is_file(path / MODEL)

    def describe(self, path: Path) -> Description:
        return Description.from_json(_look(path).description, path / MODEL)

    def open(
        self, path: Path, *, parallel: int = 1, exact: bool = False, trust: bool = False
    ) -> ArtefactBackend:
        read = _look(path)
        description = Description.from_json(read.description, path / MODEL)
        with _library_errors(path):
            model = _core().read_model(read.xml, read.weights)
            _check_demand(model, description)
            return OpenVinoBackend(description, model, path, parallel, exact)


class OpenVinoInt8(OpenVino):
    """The network with INT8 convolutions, calibrated on images like those of later use."""

    name, suffix, extra = "openvino-int8", ".int8.openvino", "int8"
    writes_with = ("openvino", "nncf")

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        if options.half:
            raise UsageError(f"{self.name} has 8 bits, not 16")
        if options.calibration is None:
            raise UsageError(
                f"{self.name} needs images like those of later use", expected="a folder as calibration"
            )
        description = replace(self.new_description(checkpoint, options), precision="int8")
        model = convert(checkpoint, description)
        _save(quantized(model, description, options.calibration), description, path)

    def open(
        self, path: Path, *, parallel: int = 1, exact: bool = False, trust: bool = False
    ) -> ArtefactBackend:
        """See the base. INT8 is never exact: it always runs at full speed, as in its certificate."""
        return super().open(path, parallel=parallel)


class OpenVinoBackend(ArtefactBackend):
    """An ``openvino.Model`` on the processor. Several threads may call it at once.

    If `exact`, it runs unchanged, in float32. Otherwise convolutions are in bfloat16 if the
    processor has it, and boxes are decoded here, for cells above the threshold alone: decoding all 25,200
    takes a sixth of the time of yolov7-tiny.
    """

    def __init__(self, description: Description, model: Any, path: Path, parallel: int, exact: bool) -> None:
        super().__init__(description)
        self.path = path
        logits = [] if exact else _named_logits(model, len(description.strides))
        self._model, self._has_logits = _network_until(model, logits) if logits else model, bool(logits)
        self._anchors = torch.tensor(description.anchors)
        self._settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "THROUGHPUT" if parallel > 1 else "LATENCY",
            "NUM_STREAMS": parallel,
        }
        if exact:
            self._settings["INFERENCE_PRECISION_HINT"] = "f32"
        self._lock = threading.Lock()
        self._compiled: dict[torch.dtype, Any] = {}
        self._requests = threading.local()
        chosen = self._compile(torch.uint8).get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if self.precision != "int8":
            self.precision = {"bf16": "bfloat16", "f16": "float16"}.get(chosen, "float32")
        self.runtime = f"{self.runtime}, cpu, {self.precision}"

    def infer(self, images: Tensor) -> Tensor:
        assert not self._has_logits  # they are decoded by `infer_above` alone
        return self._run(images)[0]

    def infer_above(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
        if not self._has_logits:
            return super().infer_above(images, objectness)
        logits, size = self._run(images), self.layout.size  # (B, H, W, A (5 + C)) of each level
        self.check_logits(*(level.shape[-1] for level in logits))
        levels = [level.view(*level.shape[:3], -1, size).permute(0, 3, 1, 2, 4) for level in logits]
        return decode_levels_above(levels, self.description.strides, self._anchors, objectness)

    def _run(self, images: Tensor) -> list[Tensor]:
        bytes_ = images.dtype == torch.uint8
        kind = torch.uint8 if bytes_ else torch.float32
        requests = self._requests.__dict__  # of this thread, by dtype
        if str(kind) not in requests:
            requests[str(kind)] = self._compile(kind).create_infer_request()
        array = images.permute(0, 2, 3, 1).numpy() if bytes_ else to_float_array(images)
        with _library_errors(self.path):
            outputs = requests[str(kind)].infer({INPUT: array}, share_inputs=True, share_outputs=True)
        return [torch.from_numpy(output) for output in outputs.values()]

    def _compile(self, kind: torch.dtype) -> Any:
        """The network for images float32 (B, 3, H, W), or uint8 (B, H, W, 3) as they lie in memory."""
        with self._lock:
            if kind not in self._compiled:
                model = self._model.clone()
                if kind == torch.uint8:
                    model = _from_bytes(model)
                self._compiled[kind] = _core().compile_model(model, "CPU", self._settings)
        return self._compiled[kind]


def convert(checkpoint: Checkpoint, description: Description) -> Any:
    """A checkpoint's network as an ``openvino.Model``, with names for its input, output and logits."""
    import openvino

    network = RowNetwork(checkpoint.model)
    batch, height, width = description.shape or (-1, -1, -1)
    example = torch.zeros(1, 3, 4 * description.strides[-1], 5 * description.strides[-1])
    with no_warnings():  # about torch's own internals
        model = openvino.convert_model(
            traced(network, example), example_input=example, input=[batch, 3, height, width]
        )
    model.inputs[0].get_tensor().set_names({INPUT})
    model.outputs[0].get_tensor().set_names({OUTPUT})
    for level, logits in enumerate(_head_outputs(model)):
        logits.get_tensor().add_names({LOGITS.format(level)})
    return model


def quantized(model: Any, description: Description, calibration: Path) -> Any:
    """The same model with INT8 convolutions. Heads and decoding stay in float32.

    The heads are a small part of the time, and INT8 there costs AP: on 100 images of COCO, yolov7 loses
    0.006; with INT8 heads and square images it lost 0.012.

    Raises:
        SourceError: the folder has no readable image.
    """
    import nncf

    found = list(islice(_readable(calibration), CALIBRATION_IMAGES))
    if not found:
        raise SourceError("there is no image to calibrate with", file=calibration)
    images = nncf.Dataset(found, partial(_calibration_input, description))  # one by one: all may be gigabytes
    decoding = sorted(_down_to_convolutions(model.get_results()[0].input_value(0).get_node()))
    # NNCF logs every operation that it leaves alone, and its progress bars are no result.
    with errors_only("nncf"), redirect_stdout(sys.stderr):
        return nncf.quantize(
            model,
            images,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(found),
            ignored_scope=nncf.IgnoredScope(names=decoding),
        )


def _readable(folder: Path) -> Iterator[Path]:
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES):
        with suppress(SourceError):
            read_image(path)
            yield path


def _calibration_input(description: Description, path: Path) -> Any:
    """An image as the network's input (B, 3, H, W), repeated to fill a batch."""
    batch, shape = (description.shape[0], description.shape[1:]) if description.shape else (1, None)
    view = prepare(read_image(path), description.size, description.strides[-1], shape)
    return to_float_array(to_tensor([view.canvas] * batch))


def _head_outputs(model: Any) -> list[Any]:
    """Logits (B, A (5 + C), H, W) of each level: the sum of the head's convolution and its bias.

    Empty if a head is built otherwise, as a user-defined one may be: then the artefact always runs whole.
    """
    found = []
    joined = model.get_results()[0].input_value(0).get_node()
    for rows in joined.input_values():
        nodes = _down_to_convolutions(rows.get_node()).values()
        heads = [node for node in nodes if node.get_type_name() == "Convolution"]
        users = [user.get_node() for head in heads for user in head.output(0).get_target_inputs()]
        if len(users) != 1 or users[0].get_type_name() != "Add":
            return []
        found.append(users[0].output(0))
    return found


def _named_logits(model: Any, levels: int) -> list[Any]:
    """Logits of each level by their names; none if the artefact is older than these names."""
    outputs = [output for node in model.get_ops() for output in node.outputs()]
    named = {name: output for output in outputs for name in output.get_names()}
    names = [LOGITS.format(level) for level in range(levels)]
    return [named[name] for name in names] if named.keys() >= set(names) else []


def _down_to_convolutions(last: Any) -> dict[str, Any]:
    """A node and all that it depends on, down to the first convolution of each path, by name."""
    found: dict[str, Any] = {}
    waiting = [last]
    while waiting:
        node = waiting.pop()
        name = node.get_friendly_name()
        if name in found or node.get_type_name() == "Parameter":
            continue
        found[name] = node
        if node.get_type_name() != "Convolution":
            waiting.extend(value.get_node() for value in node.input_values())
    return found


def _network_until(model: Any, outputs: list[Any]) -> Any:
    """The part of a network that leads to outputs (B, C, H, W), given as they lie in memory: (B, H, W, C)."""
    import openvino
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(openvino.Model(outputs, model.get_parameters()))
    for level in range(len(outputs)):
        steps.output(level).model().set_layout(openvino.Layout("NCHW"))
        steps.output(level).tensor().set_layout(openvino.Layout("NHWC"))
    return steps.build()


def _from_bytes(model: Any) -> Any:
    """A network with float32 images (B, 3, H, W) as its input -> the same with uint8 (B, H, W, 3)."""
    import openvino
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(model)
    steps.input(INPUT).tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input(INPUT).model().set_layout(openvino.Layout("NCHW"))
    steps.input(INPUT).preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
    return steps.build()


def _core() -> Any:
    """The only ``openvino.Core`` of this process.

    A Core sets a signal stack for its thread, and restores the previous one in the end. If several ended in
    another order than they began, a freed stack would remain, and the next signal, such as Ctrl-C or the end
    of a child, would kill the process.
    """
    import openvino

    with _ONE_AT_A_TIME:
        if not _THE_CORE:
            _THE_CORE.append(openvino.Core())
        return _THE_CORE[0]


def _save(model: Any, description: Description, path: Path) -> None:
    import openvino

    model.set_rt_info(description.to_json(), KEY)
    path.mkdir(parents=True)
    openvino.save_model(model, path / MODEL, compress_to_fp16=description.precision == "float16")


def _look(path: Path) -> Read:
    return read_network(path / MODEL, path / WEIGHTS, KEY)


def _library_errors(path: Path) -> AbstractContextManager[None]:
    """See :func:`library_errors`. OpenVINO gives the reason in the last line, after source locations."""
    return library_errors(path / MODEL, "OpenVINO cannot read or run this", line=-1)


def _check_demand(model: Any, description: Description) -> None:
    """Make sure that all sizes in a network depend on its images alone, and are in proportion to them."""
    batch, height, width = description.shape or (1, description.size, description.size)
    sized = model.clone()
    sized.reshape({sized.input(0): [batch, 3, height, width]})
    demand = Demand(batch * height * width)
    for node in sized.get_ops():
        kind, shapes = node.get_type_name(), [output.get_partial_shape() for output in node.outputs()]
        if any(shape.is_dynamic for shape in shapes):
            raise CheckpointError("the sizes in this network depend on more than those of its images")
        each = 0
        if "Convolution" in kind:
            each = math.prod(node.input(1).get_shape()[1:])
        elif "Pool" in kind:
            each = math.prod(node.get_attributes()["kernel"])
        if kind != "Constant":  # constants are in the file
            demand.add(sum(math.prod(shape.to_shape()) for shape in shapes), each)
