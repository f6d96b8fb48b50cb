"""What artefacts of other runtimes, and descriptions, may hold: seen before a runtime sees them."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.runtimes.lively import lively
from tests.untrusted.hostile import SAID, exported, torchscript, written
from yolov7.checkpoints.checkpoint import load_checkpoint
from yolov7.errors import CheckpointError, UnsafeCheckpointError, Yolov7Error
from yolov7.loading import load
from yolov7.runtimes.description import KEY, Description, ExportOptions
from yolov7.runtimes.formats import FORMATS, artefact_at
from yolov7.untrusted.ncnn import checked_layers
from yolov7.untrusted.onnx import metadata_of
from yolov7.untrusted.openvino import read_network
from yolov7.untrusted.values import read_bounded


@pytest.mark.parametrize(
    "change",
    [
        {"size": 10**9},
        {"size": "64"},
        {"size": True},
        {"shape": [1, 64]},
        {"shape": [10**6, 64, 64]},
        {"strides": []},
        {"strides": [0, 16, 32]},
        {"strides": [8, 16]},
        {"strides": 8},
        {"anchors": [[[float("nan"), 1]] * 3] * 3},
        {"anchors": [[[float("inf"), 1]] * 3] * 3},
        {"anchors": [[[-1, 1]] * 3] * 3},
        {"anchors": [[[1, 1]] * 3, [[1, 1]] * 2, [[1, 1]] * 3]},
        {"anchors": [[[1]] * 3] * 3},
        {"names": []},
        {"names": [None]},
        {"names": ["x" * 10**5]},
        {"names": ["x"] * 10**5},
        {"names": "ab"},
        {"precision": "float8"},
        {"precision": ["float32"]},
        {"about": []},
        {"made_by": {"torch": 2}},
        {"variant": ["x"]},
        {"version": 0},
        {"version": "1"},
    ],
    ids=lambda change: str(change)[:40],
)
def test_a_description_out_of_bounds_is_refused(change, tmp_path):
    with pytest.raises(CheckpointError, match="does not say what it is"):
        Description.from_json(json.dumps(SAID | change), tmp_path)


@pytest.mark.parametrize(
    "said",
    [b"", b"null", b"[" * 10**6, b"{" * 10**5, b"\xff\xfe", b'{"size": ' + b"9" * 10**5 + b"}", b" " * 10**7],
    ids=["empty", "null", "lists", "objects", "no text", "digits", "long"],
)
def test_what_is_no_description_is_one_clear_error(said, tmp_path):
    with pytest.raises(CheckpointError, match="does not say what it is"):
        Description.from_json(said, tmp_path)


def test_later_fields_are_ignored_and_later_versions_refused(tmp_path):
    later = SAID | {"version": 1, "keypoints": 17, "about": {"later": [1]}}
    assert Description.from_json(json.dumps(later), tmp_path).names == ("a", "b")
    assert Description.from_json(json.dumps(SAID), tmp_path).version == 1
    assert json.loads(Description.of(lively(), "onnx", ExportOptions()).to_json())["version"] == 1
    with pytest.raises(CheckpointError, match="later version of open-yolov7"):
        Description.from_json(json.dumps(SAID | {"version": 2}), tmp_path)


def test_names_cannot_steer_a_terminal(tmp_path):
    said = Description.from_json(json.dumps(SAID | {"names": ["a\x1b[2J", "b\u202e"]}), tmp_path)
    assert said.names == ("a\\x1b[2J", "b\\u202e")


def graph(*nodes, initializers=(), opsets=("",), functions=(), said=SAID | {"format": "onnx"}):
    """An ONNX model from images to rows."""
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["b", 3, "h", "w"])
    rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, None)
    model = helper.make_model(
        helper.make_graph(list(nodes), "g", [images], [rows], list(initializers)),
        opset_imports=[helper.make_opsetid(domain, 20 if not domain else 1) for domain in opsets],
        functions=list(functions),
    )
    helper.set_model_props(model, {"open-yolov7": json.dumps(said)})
    return model.SerializeToString()


def identity(**changed):
    return helper.make_node("Identity", ["images"], ["rows"], **changed)


def elsewhere(location):
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def outside():
    inner = helper.make_graph([identity()], "inner", [], [])
    return {
        "a tensor in /etc/passwd": graph(identity(), initializers=[elsewhere("/etc/passwd")]),
        "a tensor above": graph(identity(), initializers=[elsewhere("../../x")]),
        "a tensor beside": graph(identity(), initializers=[elsewhere("x.bin")]),
        "a constant elsewhere": graph(
            helper.make_node("Constant", [], ["c"], value=elsewhere("x")), identity()
        ),
        "a library's operator": graph(identity(domain="com.example")),
        "a library": graph(identity(), opsets=("", "com.example")),
        "a loop": graph(identity(body=inner)),
        "a function": graph(
            identity(),
            functions=[helper.make_function("f", "f", ["x"], ["y"], [], [helper.make_opsetid("", 20)])],
            opsets=("", "f"),
        ),
    }


@pytest.mark.parametrize("case", outside())
def test_a_graph_that_reaches_out_is_refused(case, tmp_path):
    path = written(tmp_path, "n.onnx", outside()[case])
    with pytest.raises(UnsafeCheckpointError, match="nothing of it was run"):
        load(path)


@pytest.mark.parametrize("cut", range(1, 400, 7))
def test_a_damaged_graph_is_one_clear_error(cut, tmp_path):
    content = graph(identity(), initializers=[helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])])
    for damaged in (content[:-cut], content[:cut] + b"\xff" * 11 + content[cut:]):
        try:
            found = metadata_of(written(tmp_path, "n.onnx", damaged))
        except CheckpointError:
            continue
        assert set(found) <= {"open-yolov7"}


def test_the_reader_of_graphs_sees_what_onnx_sees(tmp_path):
    FORMATS["onnx-nms"].write(lively(), tmp_path / "n.nms.onnx", ExportOptions(size=64))
    props = onnx.load(tmp_path / "n.nms.onnx").metadata_props
    assert metadata_of(tmp_path / "n.nms.onnx") == {prop.key: prop.value.encode() for prop in props}


NET = """<?xml version="1.0"?>{doctype}<net name="n" version="11"><layers>
<layer id="0" name="i" type="Parameter" version="{version}"><data shape="1" element_type="f32"/></layer>
<layer id="1" name="c" type="Const" version="opset1"><data offset="{offset}" size="4"/></layer>{more}
</layers><rt_info><open-yolov7 value="it"/></rt_info></net>"""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"version": "extension"}, "operator of extension"),
        ({"offset": "1"}, "cannot read"),
        ({"offset": "-1"}, "cannot read"),
        ({"offset": "9" * 5000}, "cannot read"),
        ({"doctype": '<!DOCTYPE x [<!ENTITY a "b">]>'}, "document type"),
        ({"doctype": '<!DOCTYPE x SYSTEM "/etc/passwd">'}, "document type"),
        ({"more": "<layer id='2' type='TensorIterator' version='opset1'><body/></layer>"}, "loop"),
        ({"more": "<a>" * 100 + "</a>" * 100}, "cannot read"),
        ({"more": "<layer"}, "cannot read"),
    ],
)
def test_a_network_of_openvino(change, reason, tmp_path):
    content = NET.format(**{"doctype": "", "version": "opset1", "offset": "0", "more": ""} | change)
    xml = written(tmp_path, "model.xml", content.encode())
    weights = written(tmp_path, "model.bin", bytes(4))
    if reason is None:
        assert read_network(xml, weights, KEY).description == "it"
        weights.unlink()
        weights.symlink_to("/dev/zero")
        reason = "not a link"
    with pytest.raises(CheckpointError, match=reason):
        read_network(xml, weights, KEY)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("7767517", "7767518"),
        ("2 2", "3 2"),
        ("2 2", "2 1"),
        ("2 2", "99999999 2"),
        ("Convolution", "MemoryData"),
        ("1 1 in0 out0", "99999 1 in0 out0"),
        ("1 1 in0 out0", "1 1 other out0"),
        ("1 1 in0 out0", "1 1 in0 in0"),
        ("6=4", "6=-4"),
        ("6=4", "6=4000000"),
        ("6=4", "7=4"),
        ("0=1", "0=%n"),
    ],
)
def test_layers_of_ncnn(old, new, tmp_path):
    layers = "7767517\n2 2\nInput in0 0 1 in0\nConvolution c 1 1 in0 out0 0=1 1=1 6=4\n"
    weights = written(tmp_path, "w", bytes(20))
    checked_layers(written(tmp_path, "p", layers.encode()), weights)
    assert old in layers
    with pytest.raises(CheckpointError):
        checked_layers(written(tmp_path, "p", layers.replace(old, new).encode()), weights)


@pytest.fixture(scope="module")
def kinds():
    return {"torchscript": torchscript(), "torch-export": exported(), "onnx": graph(identity())}


@pytest.mark.parametrize("suffix", [".pt2", ".torchscript", ".safetensors", ""])
def test_content_decides_and_not_the_name(kinds, suffix, tmp_path):
    for name, content in kinds.items():
        path = written(tmp_path, f"n{suffix}", content)
        found = artefact_at(path)
        assert found is not None
        assert found.name == name
        with pytest.raises(CheckpointError, match="is not a checkpoint"):
            load_checkpoint(path)
    path = tmp_path / f"n{suffix}"
    checkpoint = lively()
    checkpoint.save(tmp_path / "saved.safetensors")
    (tmp_path / "saved.safetensors").replace(path)
    assert artefact_at(path) is None
    assert load_checkpoint(path).names == checkpoint.names


def test_an_artefact_that_says_it_is_another(tmp_path):
    path = written(tmp_path, "n.pt2", torchscript(format="tensorrt"))
    with pytest.raises(CheckpointError, match="not of the format that it says"):
        load(path)


def test_an_engine_needs_trust(tmp_path, monkeypatch):
    folder = tmp_path / "n.tensorrt"
    folder.mkdir()
    (folder / "description.json").write_text(json.dumps(SAID | {"format": "tensorrt"}))
    (folder / "model.engine").write_bytes(b"ftrt")
    (folder / "network.onnx").write_bytes(b"")
    runtime = artefact_at(folder)
    assert runtime is FORMATS["tensorrt"]
    monkeypatch.setattr(type(runtime), "why_not_here", lambda _: None)
    with pytest.raises(Yolov7Error, match="trust"):
        runtime.open(folder)


def test_a_small_part_takes_little_memory_however_large_it_may_be(tmp_path: Path) -> None:
    (part := tmp_path / "model.bin").write_bytes(b"small")
    tracemalloc.start()
    try:
        assert read_bounded(part, 2**31) == b"small"
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
