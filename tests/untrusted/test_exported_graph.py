"""Archives of torch.export without torch's loader: the same rows, and no pickle or expression of theirs."""

from __future__ import annotations

import io
import json
import os

import pytest
import torch

from tests.runtimes.lively import lively, noise
from tests.untrusted.hostile import edited, exported, written
from yolov7.errors import CheckpointError, DamagedCheckpointError, UnsafeCheckpointError
from yolov7.images.letterbox import to_tensor
from yolov7.loading import load
from yolov7.runtimes.description import ExportOptions
from yolov7.runtimes.torch_programs import TorchExport

MODEL, WEIGHTS = "models/model.json", "model_weights_config.json"


@pytest.fixture(scope="module")
def archive() -> bytes:
    return exported()


@pytest.mark.slow
def test_rows_are_bit_for_bit_those_of_torch_s_own_loader(tmp_path):
    path = tmp_path / "n.pt2"
    TorchExport().write(lively(), path, ExportOptions(dynamic=True))
    ours, torchs = TorchExport().open(path), TorchExport().open(path, trust=True)
    for height, width in ((96, 160), (64, 64)):
        images = to_tensor([noise(height, width, 1)] * 2)
        torch.testing.assert_close(ours.infer(images), torchs.infer(images), rtol=0, atol=0)


class Acting:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"echo ran > '{self.marker}'",)


def test_code_in_the_example_images_does_not_run(archive, tmp_path):
    buffer = io.BytesIO()
    torch.save(Acting(tmp_path / "ran"), buffer)
    content = edited(archive, {"sample_inputs/model.pt": lambda _: buffer.getvalue()})
    with pytest.raises(UnsafeCheckpointError, match="system"):
        load(written(tmp_path, "n.pt2", content))
    assert not (tmp_path / "ran").exists()


def changed(function):
    """A json with something changed in it."""

    def change(content):
        said = json.loads(content)
        function(said)
        return json.dumps(said).encode()

    return change


def node(said):
    return said["graph_module"]["graph"]["nodes"][0]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("torch.ops.aten.from_file.default", "from_file"),
        ("torch.ops.aten.mul.nothing", "nothing"),
        ("torch.ops.higher_order.while_loop", "while_loop"),
        ("torch.ops.custom.x.default", "custom"),
        ("os.system", "os|call|sense"),
        ("builtins.eval.x", "eval"),
        ("_operator.pow", "pow|sense"),
        ("torch.ops.aten.mul.__init__", "__init__"),
    ],
)
def test_what_is_no_operation_of_a_network_is_refused(archive, target, reason, tmp_path):
    content = edited(archive, {MODEL: changed(lambda said: node(said).update(target=target))})
    with pytest.raises(CheckpointError, match=reason):
        load(written(tmp_path, "n.pt2", content))


def test_expressions_and_names_are_texts_and_nothing_more(archive, tmp_path):
    """torch's loader evaluates the former, and writes code with the latter."""
    act = f"__import__('os').system('touch {tmp_path / 'ran'}')"

    def poison(said):
        graph = said["graph_module"]["graph"]
        said["guards_code"] = [act]
        said["range_constraints"] = {act: {"min_val": 1, "max_val": 2}}
        for described in graph["tensor_values"].values():
            described["sizes"] = [{"as_expr": {"expr_str": act, "hint": None}}]
        for one in graph["nodes"]:
            one["name"] = f"x\n{act}"
            one["metadata"] = {"stack_trace": act, "nn_module_stack": act}

    path = written(tmp_path, "n.pt2", edited(archive, {MODEL: changed(poison)}))
    images = torch.rand(1, 3, 64, 64)
    wanted = (images[..., :7] * 2).reshape(1, -1, 7)
    torch.testing.assert_close(TorchExport().open(path).infer(images), wanted)
    assert not (tmp_path / "ran").exists()


def config(**values):
    return changed(lambda said: next(iter(said["config"].values())).update(values))


@pytest.mark.parametrize(
    "change",
    [
        {WEIGHTS: config(use_pickle=True)},
        {WEIGHTS: config(path_name="../../x")},
        {WEIGHTS: config(path_name=None)},
        {WEIGHTS: config(tensor_meta=None)},
        {WEIGHTS: changed(lambda said: said.clear())},
        {WEIGHTS: lambda text: text.replace(b'"as_int": 1', b'"as_int": 1000000000000')},
        {WEIGHTS: lambda text: text.replace(b'"as_int": 0', b'"as_int": -1')},
        {WEIGHTS: lambda _: b"[" * 10**5},
        {WEIGHTS: lambda _: b'{"config": ' + b"9" * 5000 + b"}"},
        {MODEL: lambda _: b"null"},
        {MODEL: lambda _: b"{}"},
        {MODEL: lambda text: text[:-20]},
        {MODEL: changed(lambda said: node(said).update(inputs=[{"arg": {"as_graph": {}}, "kind": 1}]))},
        {MODEL: changed(lambda said: node(said).update(inputs=[{"arg": {"as_operator": "os"}, "kind": 1}]))},
        {MODEL: changed(lambda said: node(said).update(inputs=7))},
        {MODEL: changed(lambda said: node(said).update(outputs=[]))},
        {MODEL: changed(lambda said: said["graph_module"]["signature"].update(input_specs=[]))},
        {MODEL: changed(lambda said: said["graph_module"]["graph"].update(outputs=[{"as_int": 1}]))},
    ],
)
def test_what_makes_no_sense_is_one_clear_error(archive, change, tmp_path):
    with pytest.raises(CheckpointError) as caught:
        load(written(tmp_path, "n.pt2", edited(archive, change)))
    assert str(tmp_path) in str(caught.value)


def test_a_truncated_archive(archive, tmp_path):
    with pytest.raises(DamagedCheckpointError, match="truncated"):
        load(written(tmp_path, "n.pt2", archive[:-100]))
