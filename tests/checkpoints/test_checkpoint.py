"""Weight files as people have them, from the outside: one call, any file."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.golden.keyed import golden_network, keyed_state_dict
from yolov7.checkpoints import checkpoint, native
from yolov7.checkpoints.checkpoint import load_checkpoint
from yolov7.checkpoints.coco_names import COCO_NAMES
from yolov7.errors import CheckpointError, MismatchedCheckpointError, UnsafeCheckpointError
from yolov7.models.detector import create
from yolov7.models.zoo import find_architecture
from yolov7.tensor_files.reading import open_file


@pytest.fixture(scope="module")
def state():
    description, _ = golden_network("yolov7-tiny")
    return keyed_state_dict(description, find_architecture("yolov7-tiny").anchors)


def network_of(state, **attributes) -> nn.Module:
    """A pickled network with these tensors, of torch's own modules: what released files hold."""
    root = nn.Module()
    for name, tensor in state.items():
        *path, last = name.split(".")
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, nn.Module())
            module = module._modules[part]
        if "anchor" in last or "running" in last or "num_batches" in last:
            module.register_buffer(last, tensor.clone())
        else:
            module.register_parameter(last, nn.Parameter(tensor.clone()))
    root.add_module("act", nn.LeakyReLU(0.1))
    for name, value in attributes.items():
        setattr(root, name, value)
    return root


def same_weights(checkpoint, state) -> bool:
    first = checkpoint.model.state_dict()["backbone.stem.0.conv.weight"]
    return torch.equal(first, state["model.0.conv.weight"].float())


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_released_file(tmp_path, state, legacy):
    names = [f"thing {i}" for i in range(80)]
    network = network_of(state, names=names, nc=80).half()
    saved = {"epoch": -1, "model": network, "optimizer": None, "best_fitness": 0.5}
    torch.save(saved, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    checkpoint = load_checkpoint(tmp_path / "a.pt")
    described = checkpoint.describe()
    assert described["variant"] == "yolov7-tiny"
    assert described["form"] == "training"
    assert described["precision"] == "float16"
    assert described["container"] == ("torch before 1.6" if legacy else "torch")
    assert described["training"] == {"epoch": -1, "best_fitness": 0.5, "optimizer": False}
    assert checkpoint.names == tuple(names)
    assert next(checkpoint.model.parameters()).dtype == torch.float32
    assert not checkpoint.model.training
    half = {n: t.half() for n, t in state.items() if t.is_floating_point()}
    assert same_weights(checkpoint, half)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_file_that_is_exchanged_once_it_is_open_changes_nothing(kind, tmp_path, state, monkeypatch):
    path, other = tmp_path / "a", tmp_path / "b"
    if kind == "safetensors":
        save_file({name: tensor.half() for name, tensor in state.items()}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    other.write_bytes(b"another file")
    opened = []

    @contextlib.contextmanager
    def open_and_exchange(name):
        with open_file(name) as file:
            opened.append(file)
            other.replace(path)
            yield file

    monkeypatch.setattr(checkpoint, "open_file", open_and_exchange)
    assert load_checkpoint(path).container
    assert len(opened) == 1
    assert path.read_bytes() == b"another file"


def test_averaged_weights_are_preferred(tmp_path, state):
    other = {name: tensor + 1 for name, tensor in state.items()}
    saved = {"model": network_of(other), "ema": network_of(state), "optimizer": {"state": {}}, "epoch": 7}
    torch.save(saved, tmp_path / "last.pt")
    checkpoint = load_checkpoint(tmp_path / "last.pt")
    assert same_weights(checkpoint, state)
    assert any("averaged" in note for note in checkpoint.notes)
    assert checkpoint.training == {"epoch": 7, "optimizer": True}


@pytest.mark.parametrize("key", [None, "state_dict", "model", "ema"])
def test_plain_state_dicts(tmp_path, state, key):
    tensors = OrderedDict(state)
    torch.save(tensors if key is None else {key: tensors, "epoch": 3}, tmp_path / "a.pth")
    checkpoint = load_checkpoint(tmp_path / "a.pth")
    assert same_weights(checkpoint, state)
    assert checkpoint.names == COCO_NAMES


def test_names_by_label_and_trained_size(tmp_path, state):
    options = SimpleNamespace(img_size=[416, 416])
    network = network_of(state, names={i: f"n{i}" for i in range(80)})
    torch.save({"model": network, "opt": vars(options)}, tmp_path / "a.pt")
    checkpoint = load_checkpoint(tmp_path / "a.pt")
    assert checkpoint.names[79] == "n79"
    assert checkpoint.size == 416


def test_safetensors_with_released_names(tmp_path, state):
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "a.safetensors")
    checkpoint = load_checkpoint(tmp_path / "a.safetensors")
    assert checkpoint.container == "safetensors"
    assert checkpoint.naming == "released"
    assert same_weights(checkpoint, state)


def test_our_own_format_remembers_everything(tmp_path, state):
    torch.save(state, tmp_path / "a.pt")
    first = load_checkpoint(tmp_path / "a.pt")
    first.save(tmp_path / "b.safetensors")
    again = load_checkpoint(tmp_path / "b.safetensors")
    assert again.naming == "open-yolov7"
    assert again.describe() == first.describe() | {"naming": "open-yolov7", "container": "safetensors"}
    deployed = first.deployed()
    assert (first.form, deployed.form) == ("training", "deployed")
    deployed.save(tmp_path / "c.safetensors", half=True)
    assert load_checkpoint(tmp_path / "c.safetensors").describe()["precision"] == "float16"


def test_our_own_names_in_a_pt_file(tmp_path):
    model = create("yolov7-tiny", classes=4)
    torch.save(model.state_dict(), tmp_path / "mine.pt")
    checkpoint = load_checkpoint(tmp_path / "mine.pt")
    assert checkpoint.naming == "open-yolov7"
    assert checkpoint.names == ("class 0", "class 1", "class 2", "class 3")


@pytest.mark.parametrize("name", ["yolov7-tiny-silu", "yolov4-csp"])
def test_networks_without_implicit_vectors_are_in_training_form_until_folded(tmp_path, name):
    model = create(name, classes=2)
    torch.save(model.state_dict(), tmp_path / "a.pt")
    checkpoint = load_checkpoint(tmp_path / "a.pt")
    assert checkpoint.model.architecture == model.architecture
    assert any(f"taken as {name}" in note for note in checkpoint.notes)
    assert (checkpoint.form, checkpoint.deployed().form) == ("training", "deployed")


def test_a_slope_that_is_not_tinys_is_refused(tmp_path, state):
    network = network_of(state)
    network.act = nn.LeakyReLU(0.2)
    torch.save({"model": network}, tmp_path / "a.pt")
    with pytest.raises(MismatchedCheckpointError, match=r"LeakyReLU\(0\.2\)"):
        load_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("kind", [nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Mish, nn.LeakyReLU])
def test_another_activation_is_taken_from_the_pickled_network(tmp_path, state, kind):
    network = network_of(state)
    network.act = kind()
    torch.save({"model": network}, tmp_path / "a.pt")
    load_checkpoint(tmp_path / "a.pt").save(tmp_path / "b.safetensors")
    for name in ("a.pt", "b.safetensors"):
        checkpoint = load_checkpoint(tmp_path / name)
        assert checkpoint.model.architecture.name == "yolov7-tiny"
        assert {type(m) for m in checkpoint.model.modules() if hasattr(m, "inplace")} == {kind}
        assert any("unlike the paper's" in note for note in checkpoint.notes)


def test_names_cannot_steer_a_terminal(tmp_path, state):
    network = network_of(state, names=["\x1b[2Jcat\n"] + ["狗"] * 79)
    torch.save({"model": network}, tmp_path / "a.pt")
    assert load_checkpoint(tmp_path / "a.pt").names[:2] == ("\\x1b[2Jcat\\n", "狗")


@pytest.mark.parametrize("value", [5, "text", [1], None, {"a": 1}])
def test_a_description_of_odd_types_is_no_danger(tmp_path, value):
    model = create("yolov7-tiny", classes=2)
    document = dict.fromkeys(("names", "size", "training", "about", "notes"), value)
    native.write(tmp_path / "x.safetensors", model, document)
    checkpoint = load_checkpoint(tmp_path / "x.safetensors")
    assert checkpoint.names == ("class 0", "class 1")
    assert checkpoint.describe()["size"] == 640


def test_weights_that_are_not_numbers_are_noted(tmp_path, state):
    broken = state | {"model.5.conv.weight": torch.full_like(state["model.5.conv.weight"], torch.nan)}
    torch.save(broken, tmp_path / "a.pt")
    checkpoint = load_checkpoint(tmp_path / "a.pt")
    assert any("NaN" in note for note in checkpoint.notes)


def test_errors_name_the_file(tmp_path):
    torch.save({"weights": torch.zeros(3), "note": "x"}, tmp_path / "a.pt")
    with pytest.raises(MismatchedCheckpointError, match=r"a\.pt: there is no network.*\n.*\n.*weights, note"):
        load_checkpoint(tmp_path / "a.pt")
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "b.pt")
    with pytest.raises(MismatchedCheckpointError, match=r"b\.pt: these are not the tensors"):
        load_checkpoint(tmp_path / "b.pt")
    with pytest.raises(CheckpointError, match=r"c\.pt: cannot be opened"):
        load_checkpoint(tmp_path / "c.pt")


class _Evil:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_a_hostile_file_runs_nothing(tmp_path, capsys):
    torch.save({"model": _Evil()}, tmp_path / "evil.pt")
    with pytest.raises(UnsafeCheckpointError, match=r"evil\.pt"):
        load_checkpoint(tmp_path / "evil.pt")
    assert "never" not in capsys.readouterr().out
