"""ONNX graphs in ONNX Runtime against torch."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import yolov7
from tests.runtimes.lively import NAMES, lively, noise
from yolov7.errors import CheckpointError, MissingDependencyError, UsageError
from yolov7.images.letterbox import to_tensor
from yolov7.inference.backend import TorchBackend
from yolov7.models.architecture import VARIANTS
from yolov7.runtimes import runtime
from yolov7.runtimes.description import Description, ExportOptions
from yolov7.runtimes.network import RowNetwork
from yolov7.runtimes.onnx import OPSET, Onnx, network_graph, save

EVERYTHING = -1.0


@pytest.fixture(scope="module")
def checkpoint():
    return lively()


@pytest.fixture(scope="module")
def dynamic(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "dynamic.onnx"
    Onnx().write(checkpoint, path, ExportOptions(dynamic=True))
    return path


@pytest.fixture(scope="module")
def half(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "half.onnx"
    Onnx().write(checkpoint, path, ExportOptions(dynamic=True, half=True))
    return path


def images(count: int = 2, height: int = 96, width: int = 128) -> torch.Tensor:
    return to_tensor([noise(height, width, 10 + i) for i in range(count)])


def assert_same_rows(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=5e-3, rtol=1e-4)


@pytest.mark.parametrize(
    "batch",
    [images(), images(1, 160, 64), images(3, 32, 32), images().float() / 255],
    ids=["bytes", "tall", "small", "floats"],
)
def test_rows_of_any_shape_are_those_of_torch(checkpoint, dynamic, batch):
    backend = Onnx().open(dynamic)
    assert backend.shape is None
    assert_same_rows(backend(batch, EVERYTHING), TorchBackend(checkpoint.model)(batch, EVERYTHING))


def test_rows_above_an_objectness_alone(checkpoint, dynamic):
    found = Onnx().open(dynamic)(images(), 0.3)
    expected = TorchBackend(checkpoint.model)(images(), 0.3)
    assert all(0 < len(rows) < 500 for rows in expected)
    assert_same_rows(found, expected)


def test_a_fixed_shape(checkpoint, tmp_path):
    path = tmp_path / "fixed.onnx"
    Onnx().write(checkpoint, path, ExportOptions(size=64, batch=2))
    graph = onnx.load(path).graph
    assert _shape(graph.input[0]) == [2, 3, 64, 64]
    assert _shape(graph.output[0]) == [2, 3 * (64 + 16 + 4), 5 + len(NAMES)]
    backend = Onnx().open(path)
    assert backend.shape == (64, 64)
    odd = images(3, 64, 64)  # in portions of two
    assert_same_rows(backend(odd, EVERYTHING), TorchBackend(checkpoint.model)(odd, EVERYTHING))
    with pytest.raises(UsageError, match=r"one size\n.*64 x 64\n.*96 x 128"):
        backend(images(), EVERYTHING)


def test_a_dynamic_graph_names_what_it_leaves_open(dynamic):
    model = onnx.load(dynamic)
    assert _shape(model.graph.input[0]) == ["batch", 3, "height", "width"]
    assert _shape(model.graph.output[0]) == ["batch", "n", 5 + len(NAMES)]
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]


def test_half_precision_is_in_the_convolutions_alone(checkpoint, dynamic, half):
    model = onnx.load(half)
    weights = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 4]
    assert weights
    assert {tensor.data_type for tensor in weights} == {onnx.TensorProto.FLOAT16}
    ends = (*model.graph.input, *model.graph.output)
    assert {end.type.tensor_type.elem_type for end in ends} == {onnx.TensorProto.FLOAT}
    assert half.stat().st_size < 0.6 * dynamic.stat().st_size
    assert Onnx().describe(half).precision == "float16"


@torch.no_grad()
def test_half_precision_stays_near(checkpoint, half):
    (rows,) = Onnx().open(half)(images(1), EVERYTHING)
    (exact,) = TorchBackend(checkpoint.model)(images(1), EVERYTHING)
    (expected,) = RowNetwork(checkpoint.model, half=True)(images(1) / 255)
    # Rounding grows from layer to layer: as far from float32 as torch's own half precision is, no further.
    error, usual = (rows - exact).abs().mean(dim=0), (expected - exact).abs().mean(dim=0)
    assert (error > 0).all()
    assert (error < 1.5 * usual).all()
    assert (error[4:] < 0.01).all()
    # Boxes are decoded in float32: above 64 pixels, 16 bits have steps of a sixteenth.
    far = rows[:, :2][rows[:, :2] > 64] * 16
    assert (far != far.round()).float().mean() > 0.9


def test_the_description_comes_back(checkpoint, dynamic):
    description = Onnx().describe(dynamic)
    expected = Description.of(checkpoint, "onnx", ExportOptions(dynamic=True))
    assert description == expected
    assert description.names == NAMES
    assert description.anchors[0][0] == tuple(checkpoint.model.anchors[0, 0].tolist())
    model = onnx.load(dynamic)
    assert (model.producer_name, model.producer_version) == ("open-yolov7", version("open-yolov7"))


def test_nothing_of_this_machine_is_in_the_file(dynamic):
    content = dynamic.read_bytes()
    for path in (Path(yolov7.__file__).parent, Path(torch.__file__).parent, Path.home()):
        assert str(path).encode() not in content


def test_what_cannot_be_is_said(checkpoint, tmp_path):
    with pytest.raises(UsageError, match=r"multiples of 32\n.*100"):
        Onnx().write(checkpoint, tmp_path / "n.onnx", ExportOptions(size=100))
    with pytest.raises(UsageError, match="at least one image"):
        Onnx().write(checkpoint, tmp_path / "n.onnx", ExportOptions(batch=0))
    (tmp_path / "damaged.onnx").write_bytes(b"\x08\x0a nothing")
    with pytest.raises(CheckpointError, match=r"ONNX|does not say what it is"):
        Onnx().open(tmp_path / "damaged.onnx")
    with pytest.raises(CheckpointError, match="cannot be opened"):
        Onnx().open(tmp_path / "missing.onnx")


def test_somebody_else_s_graph_is_refused(tmp_path):
    text = (
        '<ir_version: 9, opset_import: ["": 20]> g (float[1] images) => (float[1] rows) {rows = Abs (images)}'
    )
    onnx.save(onnx.parser.parse_model(text), tmp_path / "n.onnx")
    with pytest.raises(CheckpointError, match="does not say what it is"):
        Onnx().describe(tmp_path / "n.onnx")


def test_a_missing_library_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(runtime, "is_installed", lambda module: module != "onnxruntime")
    Onnx().require(*Onnx.writes_with)
    with pytest.raises(MissingDependencyError, match=r"pip install 'open-yolov7\[onnx\]'"):
        Onnx().require(*Onnx.runs_with)


@pytest.mark.slow
@pytest.mark.parametrize("variant", [variant.name for variant in VARIANTS])
def test_every_variant(variant, tmp_path):
    checkpoint = lively(variant, width=0.125)
    description = Description.of(checkpoint, "onnx", ExportOptions(dynamic=True))
    save(network_graph(checkpoint, description), description, tmp_path / "n.onnx")
    backend, stride = Onnx().open(tmp_path / "n.onnx"), checkpoint.model.strides[-1]
    batch = images(2, 2 * stride, 3 * stride)
    expected = TorchBackend(checkpoint.model)(batch, EVERYTHING)
    for rows, wanted in zip(backend(batch, EVERYTHING), expected, strict=True):
        torch.testing.assert_close(rows[:, 4:], wanted[:, 4:], atol=1e-4, rtol=0)
        torch.testing.assert_close(rows[:, :4], wanted[:, :4], atol=1e-2, rtol=1e-3)


def _shape(value) -> list[int | str]:
    return [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]


def test_numbers_as_numpy_has_them(dynamic):
    """Without this package: what the docstring promises to others."""
    import onnxruntime

    session = onnxruntime.InferenceSession(dynamic)
    (rows,) = session.run(None, {"images": np.zeros((1, 3, 64, 96), np.float32)})
    assert rows.shape == (1, 3 * (8 * 12 + 4 * 6 + 2 * 3), 5 + len(NAMES))
    assert rows.dtype == np.float32
