"""The TensorRT artefact, up to where TensorRT takes over: it runs on NVIDIA's GPUs only."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.runtimes.lively import NAMES, lively, noise
from yolov7.boxes import cxcywh_to_xyxy
from yolov7.errors import CheckpointError, MissingDependencyError, UsageError
from yolov7.images.letterbox import to_tensor
from yolov7.inference.backend import TorchBackend
from yolov7.nms import non_max_suppression, suppress
from yolov7.runtimes import runtime, tensorrt
from yolov7.runtimes.description import Description, ExportOptions
from yolov7.runtimes.tensorrt import BUILD, LOWEST, OUTPUTS, README, TensorRt, with_plugin
from yolov7.runtimes.tensorrt_build import DESCRIPTION, ENGINE, NETWORK, shapes
from yolov7.thresholds import PREDICTION


@pytest.fixture(scope="module")
def checkpoint():
    return lively()


@pytest.fixture(scope="module")
def written(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("tensorrt") / "network.tensorrt"
    TensorRt().write(checkpoint, path, ExportOptions(dynamic=True))
    return path


def plugin_of(model: onnx.ModelProto) -> onnx.NodeProto:
    [node] = [node for node in model.graph.node if node.domain]
    return node


def test_the_plugin_is_as_its_documentation_has_it(written):
    model = onnx.load(written / NETWORK)
    onnx.checker.check_model(model, full_check=True)
    node = plugin_of(model)
    assert (node.domain, node.op_type, list(node.output)) == (
        "trt.plugins",
        "EfficientNMS_TRT",
        list(OUTPUTS),
    )
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    assert attributes == {
        "plugin_version": b"1",
        "background_class": -1,
        "max_output_boxes": PREDICTION.max_detections,
        "score_threshold": pytest.approx(LOWEST),
        "iou_threshold": pytest.approx(PREDICTION.iou),
        "score_activation": 0,  # they are probabilities already
        "box_coding": 1,  # centre and size
    }
    assert {opset.domain: opset.version for opset in model.opset_import} == {"": 20, "trt.plugins": 1}
    assert len(model.opset_import) == 2


def test_inputs_and_outputs(checkpoint, written, tmp_path):
    assert _ends(onnx.load(written / NETWORK)) == {
        "images": ("FLOAT", ["batch", 3, "height", "width"]),
        "num_dets": ("INT32", ["batch", 1]),
        "det_boxes": ("FLOAT", ["batch", 300, 4]),
        "det_scores": ("FLOAT", ["batch", 300]),
        "det_classes": ("INT32", ["batch", 300]),
    }
    TensorRt().write(checkpoint, tmp_path / "n", ExportOptions(batch=2, size=64, half=True))
    ends = _ends(onnx.load(tmp_path / "n" / NETWORK))
    assert ends["images"] == ("FLOAT", [2, 3, 64, 64])
    assert ends["det_boxes"] == ("FLOAT", [2, 300, 4])
    assert TensorRt().describe(tmp_path / "n").precision == "float16"


@pytest.mark.parametrize("classes", [3, 1])
def test_what_the_plugin_is_given_leads_to_the_detections_of_torch(checkpoint, written, tmp_path, classes):
    """The graph cut off before it, and what it does, done here."""
    network = onnx.load(written / NETWORK) if classes == 3 else _of_one_class()
    node = plugin_of(network)
    network.graph.node.remove(node)
    del network.graph.output[:]
    for name, channels in zip(node.input, (4, classes), strict=True):
        value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, None, channels])
        network.graph.output.append(value)
    del network.opset_import[1]
    session = onnxruntime.InferenceSession(network.SerializeToString())
    if classes == 3:
        images = to_tensor([noise(96, 128, i) for i in range(2)])
        boxes, scores = session.run(None, {"images": images.float().div(255).numpy()})
        expected = non_max_suppression(TorchBackend(checkpoint.model)(images, LOWEST), LOWEST, PREDICTION.iou)
    else:
        rows = torch.rand(2, 50, 6) * torch.tensor([100.0, 100, 30, 30, 1, 1])
        boxes, scores = session.run(None, {"given": rows.numpy()})
        expected = non_max_suppression(rows, LOWEST, PREDICTION.iou)
    assert ((scores > 0).sum(axis=2) <= 1).all()  # one class to a row
    for image, wanted in enumerate(expected):
        row, label = np.nonzero(scores[image] > LOWEST)
        candidates = cxcywh_to_xyxy(torch.from_numpy(boxes[image, row]))
        confident = torch.from_numpy(scores[image, row, label])
        kept = suppress(candidates, confident, torch.from_numpy(label), PREDICTION.iou)
        assert len(kept) == len(wanted.boxes) > 10
        torch.testing.assert_close(confident[kept], wanted.scores, atol=1e-4, rtol=0)
        if classes == 1:  # nothing was rounded on the way
            torch.testing.assert_close(candidates[kept], wanted.boxes, atol=0, rtol=0)


def test_the_description_comes_back(checkpoint, written):
    description = TensorRt().describe(written)
    assert description == Description.of(checkpoint, "tensorrt", ExportOptions(dynamic=True))
    assert description.names == NAMES
    with pytest.raises(CheckpointError, match="a part of this artefact is missing"):
        TensorRt().describe(written.parent)


def test_it_says_how_to_go_on(written):
    assert {path.name for path in written.iterdir()} == {NETWORK, BUILD, README, DESCRIPTION}
    readme = (written / README).read_text()
    assert "$" not in readme
    for word in ("python build.py", "pip install tensorrt", "yolov7-tiny", "float32", "det_boxes"):
        assert word in readme


def test_the_builder_without_tensorrt(written):
    run = [sys.executable, "-I", "-S", "-W", "error", str(written / BUILD)]  # Python alone, nothing installed
    helped = subprocess.run([*run, "--help"], capture_output=True, text=True, check=True)
    for option in ("--batch", "--side", "--fp16", "--tf32", "--workspace", "--verbose"):
        assert option in helped.stdout
    failed = subprocess.run(run, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr == "tensorrt is not installed; run: pip install tensorrt\n"
    assert not (written / ENGINE).exists()


def test_sizes_that_an_engine_takes(written):
    description = json.loads((written / DESCRIPTION).read_text())
    # Evaluation's rectangles reach one stride beyond the size.
    assert shapes(description, 8, None) == [(1, 3, 32, 32), (1, 3, 128, 128), (8, 3, 160, 160)]
    assert shapes(description, 1, 96) == [(1, 3, 32, 32), (1, 3, 96, 96), (1, 3, 96, 96)]


def test_what_is_missing_is_one_clear_line(written, monkeypatch, tmp_path):
    with pytest.raises(
        CheckpointError, match=r"no model\.engine yet: .*yolov7 export WEIGHTS --format tensorrt"
    ):
        TensorRt().open(written)
    (tmp_path / DESCRIPTION).write_bytes((written / DESCRIPTION).read_bytes())
    (tmp_path / ENGINE).write_bytes(b"engine")
    monkeypatch.setattr(tensorrt.torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="needs an NVIDIA GPU"):
        TensorRt().open(tmp_path)
    assert TensorRt().why_not_here() == "TensorRT needs an NVIDIA GPU, and there is none here"
    monkeypatch.setattr(tensorrt.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(runtime, "is_installed", lambda _module: False)
    assert TensorRt().why_not_here() is None
    with pytest.raises(MissingDependencyError, match=r"pip install 'tensorrt'"):
        TensorRt().open(tmp_path, trust=True)


def _ends(model: onnx.ModelProto) -> dict[str, tuple[str, list[int | str]]]:
    """Type and shape of what goes in and comes out."""
    ends = {}
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.tensor_type
        shape = [side.dim_param or side.dim_value for side in kind.shape.dim]
        ends[value.name] = (onnx.TensorProto.DataType.Name(kind.elem_type), shape)
    return ends


def _of_one_class() -> onnx.ModelProto:
    """The plugin behind a network that gives what it is given."""
    text = """<ir_version: 9, opset_import: ["": 20]>
    network (float[batch, n, 6] given) => (float[batch, n, 6] rows) {rows = Identity (given)}"""
    description = Description.of(lively(), "tensorrt", ExportOptions(dynamic=True))
    return with_plugin(onnx.parser.parse_model(text), replace(description, names=("thing",)))
