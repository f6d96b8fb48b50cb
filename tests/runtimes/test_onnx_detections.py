"""Suppression and letterbox as ONNX graphs, against those of prediction; whole artefacts, elsewhere too."""

from __future__ import annotations

import functools
import json
import math
import subprocess
import sys
import textwrap
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import yolov7
from tests.golden.compare import keyed_rows
from tests.runtimes.lively import NAMES, lively, noise
from yolov7.errors import CheckpointError, UsageError
from yolov7.images.letterbox import letterbox, to_tensor
from yolov7.inference.backend import TorchBackend
from yolov7.inference.predictor import Predictor
from yolov7.layout import RowLayout
from yolov7.nms import ScoredBoxes, non_max_suppression
from yolov7.runtimes.description import ExportOptions
from yolov7.runtimes.onnx_detections import OUTPUTS, OnnxEndToEnd, OnnxNms
from yolov7.runtimes.onnx_graphs import joined, letterbox_graph, suppression_graph, way_back_graph
from yolov7.thresholds import Thresholds
from yolov7.types import Detections, Image

CONF = 0.3
LIKE = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []), ir_version=9)
del LIKE.opset_import[:]
LIKE.opset_import.append(onnx.helper.make_opsetid("", 20))


def session_of(model: onnx.ModelProto) -> Any:
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


@functools.cache
def suppression(classes: int) -> Any:
    return session_of(suppression_graph(RowLayout(classes), LIKE))


@functools.cache
def letterboxing(size: int, stride: int) -> Any:
    return session_of(letterbox_graph(size, stride, LIKE))


def scalar(value: float) -> np.ndarray[Any, Any]:
    return np.array(value, np.float32)


def suppressed(rows: Tensor, conf: float, iou: float) -> list[ScoredBoxes]:
    """What the graph finds in each image; what is behind the count must be zero."""
    session = suppression(rows.shape[2] - 5)
    found = session.run(None, {"rows": rows.numpy(), "conf": scalar(conf), "iou": scalar(iou)})
    boxes, scores, labels, counts = map(torch.from_numpy, found)
    assert boxes.shape == (len(rows), 300, 4)
    assert (scores.shape, labels.shape, counts.shape) == ((len(rows), 300), (len(rows), 300), (len(rows),))
    assert (labels.dtype, counts.dtype) == (torch.int64, torch.int64)
    images = []
    for i, count in enumerate(counts.tolist()):
        assert not boxes[i, count:].any()
        assert not scores[i, count:].any()
        assert not labels[i, count:].any()
        images.append(ScoredBoxes(boxes[i, :count], scores[i, :count], labels[i, :count]))
    return images


def assert_equal(found: list[ScoredBoxes], expected: list[ScoredBoxes]) -> None:
    for one, other in zip(found, expected, strict=True):
        for values, wanted in zip(one, other, strict=True):
            torch.testing.assert_close(values, wanted, atol=0, rtol=0)


# --- Suppression --------------------------------------------------------------------------------------------

# Few different numbers: many ties, duplicates, touching and empty boxes, overlaps right on a threshold.
probabilities = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
fractions = st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 0.6, 1.0])
odd_numbers = st.sampled_from([math.nan, math.inf, -math.inf, 3e38])


@st.composite
def batches(draw: st.DrawFn) -> Tensor:
    """(B, N, 5 + C), of which some numbers are what no network should give."""
    classes, count = draw(st.integers(1, 3)), draw(st.integers(1, 14))
    numbers = [st.integers(0, 3), st.integers(0, 3), st.integers(0, 4), st.integers(0, 4)]
    row = st.tuples(*[number.map(float) for number in numbers], *[probabilities] * (1 + classes)).map(list)
    images = draw(st.lists(st.lists(row, min_size=count, max_size=count), min_size=1, max_size=3))
    places = st.tuples(*[st.integers(0, n - 1) for n in (len(images), count, 5 + classes)])
    for image, i, j in draw(st.lists(places, max_size=4)):
        images[image][i][j] = draw(odd_numbers)
    return torch.tensor(images)


@settings(max_examples=150)
@given(rows=batches(), conf=fractions, iou=fractions)
def test_suppression_is_that_of_prediction(rows: Tensor, conf: float, iou: float):
    assert_equal(suppressed(rows, conf, iou), non_max_suppression(rows, conf, iou))


@pytest.mark.parametrize("classes", [1, 3, 80])
@pytest.mark.parametrize(("conf", "iou"), [(0.25, 0.45), (0.001, 0.65)])
def test_crowds(classes: int, conf: float, iou: float):
    """Thousands of candidates, more than 300 detections; each image for itself."""
    names = [f"onnx crowd {i}" for i in range(3)]
    rows = torch.stack([keyed_rows(name, n=6000, nc=classes, size=640, clusters=500) for name in names])
    rows[1, 50:, 4] = 0  # one that is nearly empty
    rows[2, ::7] = rows[2, 0].clone()  # and one with many equal rows
    expected = non_max_suppression(rows, conf, iou)
    assert len(expected[0].boxes) == 300
    assert 0 < len(expected[1].boxes) < 300
    assert_equal(suppressed(rows, conf, iou), expected)


def test_equal_scores_are_in_the_order_of_their_rows():
    rows = torch.tensor([[10.0, 10, 5, 5, 0.5, 0.5, 0.5]]).repeat(400, 1)
    rows[:, 0] += 10 * torch.arange(400)
    rows[7, 6] = 0.75
    [found] = suppressed(rows[None], 0.1, 0.45)
    assert found.boxes[:4, 0].tolist() == [77.5, 7.5, 17.5, 27.5]
    assert found.labels[:3].tolist() == [1, 0, 0]
    assert_equal([found], non_max_suppression(rows[None], 0.1, 0.45))


@pytest.mark.parametrize("classes", [1, 80])
def test_nothing_found(classes: int):
    nothing = torch.zeros(2, 100, 5 + classes)
    assert [len(image.boxes) for image in suppressed(nothing, 0.25, 0.45)] == [0, 0]
    assert [len(image.boxes) for image in suppressed(nothing, 0, 0)] == [0, 0]


def test_thresholds_have_defaults():
    rows = keyed_rows("onnx defaults", n=2000, nc=4, size=640, clusters=30)[None]
    boxes, scores, _, counts = suppression(4).run(None, {"rows": rows.numpy()})
    [expected] = non_max_suppression(rows, 0.25, 0.45)
    np.testing.assert_array_equal(boxes[0, : counts[0]], expected.boxes)
    np.testing.assert_array_equal(scores[0, : counts[0]], expected.scores)
    assert 0 < counts[0] < 300


# --- Letterbox ----------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    size=st.sampled_from([64, 128]),
    stride=st.sampled_from([32, 64]),
    seed=st.integers(0, 9),
)
def test_letterbox_is_that_of_prediction(height: int, width: int, size: int, stride: int, seed: int):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    levels, scale, limit = _letterboxed(image, size, stride)
    expected, box = letterbox(image, size, stride=stride, centred=False)
    assert levels.shape == expected.shape
    apart = np.abs(levels.astype(int) - expected)
    assert apart.max() <= 1
    # 0.003 in the mean; scales such as 2/5 put many pixels half way between two levels: rounded either way.
    assert (apart > 0).mean() <= 0.05
    np.testing.assert_array_equal(scale, np.array((*box.scale, *box.scale), np.float32))
    assert limit.tolist() == [width, height, width, height]


@pytest.mark.parametrize("shape", [(128, 128), (96, 128), (128, 70), (1, 128)])
def test_letterbox_leaves_an_image_of_the_right_size_as_it_is(shape: tuple[int, int]):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    levels, scale, _ = _letterboxed(image, 128, 32)
    np.testing.assert_array_equal(levels[: shape[0], : shape[1]], image)
    assert (levels[shape[0] :] == 114).all()
    assert (levels[:, shape[1] :] == 114).all()
    assert scale.tolist() == [1, 1, 1, 1]


def _letterboxed(image: Image, size: int, stride: int) -> tuple[Image, Any, Any]:
    network_input, scale, limit = letterboxing(size, stride).run(None, {"images": image[None]})
    levels = network_input[0].transpose(1, 2, 0) * 255
    assert np.abs(levels - np.round(levels)).max() < 1e-4
    return np.round(levels).astype(np.uint8), scale, limit


# --- Artefacts ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint():
    return lively()


@pytest.fixture(scope="module")
def predictor(checkpoint):
    return Predictor(TorchBackend(checkpoint.model), NAMES, 128, Thresholds(conf=CONF))


@pytest.fixture(scope="module")
def artefacts(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    paths = {}
    for runtime in (OnnxNms(), OnnxEndToEnd()):
        paths[runtime.name] = folder / f"network{runtime.suffix}"
        runtime.write(checkpoint, paths[runtime.name], ExportOptions(dynamic=True))
    return paths


def assert_same(found: Detections, expected: Detections, box: float = 0.01, score: float = 1e-4) -> None:
    """The same detections; of nearly equal scores either may come first."""
    assert len(found) == len(expected) > 0
    free = list(range(len(found)))
    for i in range(len(expected)):
        apart = np.abs(found.boxes[free] - expected.boxes[i]).max(axis=1)
        apart[found.labels[free] != expected.labels[i]] = np.inf
        nearest = free.pop(int(apart.argmin()))
        assert apart.min() <= box
        assert abs(found.scores[nearest] - expected.scores[i]) <= score
    assert (np.diff(found.scores) <= 0).all()


def clipped(detections: Detections, height: int, width: int) -> Detections:
    """The same within an image."""
    limit = np.array([width, height, width, height], np.float32)
    return replace(detections, boxes=detections.boxes.clip(0, limit))


def found_in(outputs: list[Any], image: int) -> Detections:
    boxes, scores, labels, counts = outputs
    count = counts[image]
    assert not scores[image, count:].any()
    return Detections(boxes[image, :count], scores[image, :count], labels[image, :count], NAMES)


def test_suppression_behind_the_network(artefacts, predictor):
    session = onnxruntime.InferenceSession(artefacts["onnx-nms"], _silent())
    pictures = [noise(96, 128, i) for i in range(3)]
    floats = to_tensor(pictures).float().div(255).numpy()
    outputs = session.run(None, {"images": floats, "conf": scalar(CONF)})
    assert [output.name for output in session.get_outputs()] == list(OUTPUTS)
    for i, picture in enumerate(pictures):
        assert_same(clipped(found_in(outputs, i), 96, 128), predictor(picture))


def test_a_fixed_shape(checkpoint, predictor, tmp_path):
    path = tmp_path / "fixed.nms.onnx"
    OnnxNms().write(checkpoint, path, ExportOptions(batch=2))
    session = onnxruntime.InferenceSession(path, _silent())
    assert session.get_inputs()[0].shape == [2, 3, 128, 128]
    assert [output.shape for output in session.get_outputs()] == [[2, 300, 4], [2, 300], [2, 300], [2]]
    backend = OnnxNms().open(path)
    pictures = to_tensor([noise(128, 128, i) for i in range(3)])
    for rows, picture in zip(backend(pictures, CONF), pictures, strict=True):
        [found] = non_max_suppression(rows[None], CONF, 0.45)
        detections = Detections.from_tensors(*found, NAMES)
        assert_same(clipped(detections, 128, 128), predictor(picture.permute(1, 2, 0).numpy()))
    with pytest.raises(UsageError, match="one size"):
        backend(pictures[:, :, :64], CONF)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("shape", [(96, 128), (128, 77), (128, 128)])
def test_from_bytes_to_boxes(artefacts, predictor, batch: int, shape: tuple[int, int]):
    session = onnxruntime.InferenceSession(artefacts["onnx-end-to-end"], _silent())
    pictures = [noise(*shape, i) for i in range(batch)]
    outputs = session.run(None, {"images": np.stack(pictures), "conf": scalar(CONF)})
    for i, picture in enumerate(pictures):
        assert_same(found_in(outputs, i), predictor(picture))


@pytest.mark.parametrize("shape", [(300, 400), (64, 40), (517, 128)])
def test_boxes_are_in_pixels_of_the_image_and_in_it(artefacts, checkpoint, shape: tuple[int, int]):
    session = onnxruntime.InferenceSession(artefacts["onnx-end-to-end"], _silent())
    picture = noise(*shape)
    outputs = session.run(None, {"images": picture[None], "conf": scalar(CONF)})
    # A grey level more or less would show in a network that was never trained: the same pixels, then.
    levels, _, _ = _letterboxed(picture, 128, 32)
    _, box = letterbox(picture, 128, stride=32, centred=False)
    rows = TorchBackend(checkpoint.model)(to_tensor([levels]), CONF)
    [expected] = non_max_suppression(rows, CONF, 0.45)
    found = found_in(outputs, 0)
    assert_same(found, Detections.from_tensors(*expected, NAMES).to_source(box), box=0.05)
    assert (found.boxes >= 0).all()
    assert (found.boxes[:, 2] == shape[1]).any()  # some reached further
    assert (found.boxes <= np.tile(shape[::-1], 2)).all()


def test_a_margin_lets_boxes_reach_out(artefacts):
    session = onnxruntime.InferenceSession(artefacts["onnx-end-to-end"], _silent())
    inputs = {"images": noise(96, 128)[None], "conf": scalar(CONF)}
    clipped, scores, *_ = session.run(None, inputs)
    whole, same, *_ = session.run(None, inputs | {"margin": scalar(np.inf)})
    near, *_ = session.run(None, inputs | {"margin": scalar(5)})
    np.testing.assert_array_equal(scores, same)
    limit = np.array([128, 96, 128, 96], np.float32)
    assert (whole < -5).any()
    np.testing.assert_array_equal(clipped, np.clip(whole, 0, limit))
    np.testing.assert_array_equal(near, np.clip(whole, -5, limit + 5))


def test_thresholds_of_a_caller(artefacts, predictor):
    picture = noise(96, 128, 1)
    inputs = {"images": picture[None]}
    session = onnxruntime.InferenceSession(artefacts["onnx-end-to-end"], _silent())
    assert {value.name for value in session.get_overridable_initializers()} == {"conf", "iou", "margin"}
    usual = Predictor(predictor.backend, NAMES, 128)
    assert_same(found_in(session.run(None, inputs), 0), usual(picture))
    strict = Predictor(predictor.backend, NAMES, 128, Thresholds(conf=0.6, iou=0.1))
    found = found_in(session.run(None, inputs | {"conf": scalar(0.6), "iou": scalar(0.1)}), 0)
    assert_same(found, strict(picture))
    assert len(found) < len(usual(picture))


@pytest.mark.parametrize("runtime", [OnnxNms(), OnnxEndToEnd()], ids=lambda runtime: runtime.name)
def test_as_a_backend(checkpoint, artefacts, runtime):
    backend = runtime.open(artefacts[runtime.name])
    assert backend.shape == ((128, 128) if isinstance(runtime, OnnxEndToEnd) else None)
    other, reference = Predictor(backend, NAMES, 128, Thresholds(conf=CONF)), TorchBackend(checkpoint.model)
    reference.shape = backend.shape  # the same padding
    predictor = Predictor(reference, NAMES, 128, Thresholds(conf=CONF))
    pictures = [noise(96, 128, 3), noise(300, 400, 4), noise(128, 60, 5), noise(50, 60, 6)]
    for picture in pictures:  # boxes that reach out of their image are suppressed as torch's are
        assert_same(other(picture), predictor(picture), box=0.05)
    assert len(list(other.predict(pictures, batch_size=4))) == 4
    batch = to_tensor([noise(128, 128, 3), noise(128, 128, 7)])
    for bytes_, floats in zip(backend(batch, CONF), backend(batch.float() / 255, CONF), strict=True):
        torch.testing.assert_close(bytes_, floats, atol=1e-3, rtol=1e-5)
        assert (bytes_[:, 4] > CONF).all()
        assert bytes_[:, 5:].sum(dim=1).eq(1).all()
    assert [len(rows) for rows in backend(batch, 1.0)] == [0, 0]
    assert [len(rows) for rows in backend(batch, -1.0)] == [300, 300]


def test_end_to_end_letterboxes_nothing_twice(artefacts):
    """It would scale what has another size, padding included, and `val` would measure something else."""
    backend = OnnxEndToEnd().open(artefacts["onnx-end-to-end"])
    with pytest.raises(UsageError, match=r"one size\n  expected: 128 x 128\n  found:    96 x 128"):
        backend(to_tensor([noise(96, 128, 2)]), CONF)
    with pytest.raises(UsageError, match=r"one size\n  expected: 128\n  found:    192"):
        yolov7.load(artefacts["onnx-end-to-end"], size=192)


@pytest.mark.parametrize("runtime", [OnnxNms(), OnnxEndToEnd()], ids=lambda runtime: runtime.name)
def test_descriptions_and_half_precision(checkpoint, artefacts, runtime, tmp_path):
    description = runtime.describe(artefacts[runtime.name])
    assert (description.format, description.names, description.shape) == (runtime.name, NAMES, None)
    path = tmp_path / f"half{runtime.suffix}"
    runtime.write(checkpoint, path, ExportOptions(half=True))
    assert runtime.describe(path).precision == "float16"
    assert (runtime.describe(path).shape is None) == isinstance(runtime, OnnxEndToEnd)
    assert path.stat().st_size < 0.7 * artefacts[runtime.name].stat().st_size
    picture = noise(128, 128)
    (rows,) = runtime.open(path)(to_tensor([picture]), CONF)
    (exact,) = runtime.open(artefacts[runtime.name])(to_tensor([picture]), CONF)
    best = exact[:5, 4]
    assert (rows[:5, 4] - best).abs().max() < 0.05
    assert abs(len(rows) - len(exact)) < 0.2 * len(exact)


def test_what_cannot_be_is_said(checkpoint, tmp_path):
    for runtime in (OnnxNms(), OnnxEndToEnd()):
        with pytest.raises(UsageError, match="multiples of 32"):
            runtime.write(checkpoint, tmp_path / "n.onnx", ExportOptions(size=100))
        (tmp_path / "damaged.onnx").write_bytes(b"nothing")
        with pytest.raises(CheckpointError, match="ONNX"):
            runtime.open(tmp_path / "damaged.onnx")


def test_joined_graphs_have_each_operator_set_once():
    model = joined(letterbox_graph(64, 32, LIKE), way_back_graph(LIKE), {"scale": "scale", "limit": "limit"})
    assert model.opset_import == LIKE.opset_import
    assert {value.name for value in model.graph.output} == {"letterboxed", "boxes"}


def _silent() -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options


# --- Without this package -----------------------------------------------------------------------------------

ELSEWHERE = textwrap.dedent("""
    import json
    import sys
    from importlib.util import find_spec

    import numpy as np
    import onnxruntime

    assert [name for name in ("torch", "yolov7", "cv2", "onnx", "PIL") if find_spec(name)] == []

    session = onnxruntime.InferenceSession(sys.argv[1])
    about = json.loads(session.get_modelmeta().custom_metadata_map["open-yolov7"])
    found = []
    for path in sys.argv[2:]:
        images = np.load(path)  # uint8 (batch, height, width, 3), RGB
        outputs = session.run(None, {"images": images, "conf": np.array(0.3, np.float32)})
        for boxes, scores, labels, count in zip(*outputs):
            names = [about["names"][label] for label in labels[:count]]
            found.append((boxes[:count].tolist(), scores[:count].tolist(), names))
    print(json.dumps(found))
""")


@pytest.mark.slow
def test_onnxruntime_and_numpy_are_enough(artefacts, predictor, tmp_path):
    """In an environment of its own, which has neither torch nor this package."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    python = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    install = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "onnxruntime",
        "numpy",
    ]
    subprocess.run(install, check=True, cwd=tmp_path)
    (tmp_path / "elsewhere.py").write_text(ELSEWHERE)
    # Four photos twice as large as the network wants them, and a smaller one. Each pixel of the former is
    # there four times: whoever shrinks them gets the same.
    large = [noise(96, 128, i).repeat(2, axis=0).repeat(2, axis=1) for i in range(4)]
    small = [noise(128, 90, 4)]
    np.save(tmp_path / "four.npy", np.stack(large))
    np.save(tmp_path / "one.npy", np.stack(small))
    command = [python, "-I", "elsewhere.py", artefacts["onnx-end-to-end"], "four.npy", "one.npy"]
    run = subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(run.stdout)
    assert len(found) == 5
    for (boxes, scores, names), picture in zip(found, large + small, strict=True):
        labels = np.array([NAMES.index(name) for name in names])
        detections = Detections(np.array(boxes, np.float32), np.array(scores, np.float32), labels)
        assert_same(detections, predictor(picture), box=0.05)
