"""Crafted content that goes past the pickle reader ends at one border: an error of ours, or a safe value."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save, save_file
from torch import nn

from yolov7.checkpoints import native
from yolov7.checkpoints.checkpoint import load_checkpoint
from yolov7.checkpoints.coco_names import COCO_NAMES
from yolov7.checkpoints.description import describe
from yolov7.cli import main
from yolov7.errors import CheckpointError
from yolov7.models.architecture import YOLOV7_TINY, scale
from yolov7.models.detector import create
from yolov7.tensor_files.storages import separate

ESCAPE = "\x1b[2J"
LARGE = {"kind": "TinyELAN", "branch": 65_536, "depth": 64, "width": 65_536}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return create(scale(YOLOV7_TINY, width=0.125, branch=0.125), classes=2).eval()


@pytest.fixture
def crafted(model, tmp_path):
    """Writes a file of ours with some of its description or its tensors changed by hand."""

    def craft(change=None, tensors=None, raw=None, version="1", **document):
        whole = {"architecture": describe(model.architecture), "classes": 2, "names": ["a", "b"]}
        whole = json.loads(json.dumps(whole | document))
        if change is not None:
            change(whole)
        metadata = {"format": "open-yolov7", "version": version, "checkpoint": raw or json.dumps(whole)}
        state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        save_file(state | (tensors or {}), tmp_path / "x.safetensors", metadata)
        return tmp_path / "x.safetensors"

    return craft


def nested(depth):
    value: object = "x"
    for _ in range(depth):
        value = [value]
    return value


DESCRIPTIONS = {
    "deep document": {"raw": "[" * 100_000},
    "deep memory": {"about": {"a": nested(200)}},
    "long memory": {"training": {"a": [0] * 20_000}},
    "size is text": {"change": lambda d: d["architecture"].update(size="x")},
    "size without end": {"change": lambda d: d["architecture"].update(size=10**6)},
    "classes are text": {"classes": "2"},
    "no architecture": {"architecture": None},
    "architecture is a list": {"architecture": [1]},
    "part is a list": {"change": lambda d: d["architecture"].update(pool=[])},
    "anchors beyond floats": {"change": lambda d: d["architecture"].update(anchors=[[[10**400, 1]]])},
    "total size": {"change": lambda d: d["architecture"].update(neck=[LARGE] * 3, cardinality=16)},
    "number of thousands of digits": {"raw": '{"classes": ' + "9" * 4000 + "}"},
    "document is a number": {"raw": "7"},
    "not a number": {"tensors": {"anchors": torch.full((3, 3, 2), torch.nan)}},
    "below zero": {"tensors": {"anchors": torch.full((3, 3, 2), -1.0)}},
    "anchors of integers": {"tensors": {"anchors": torch.ones((3, 3, 2), dtype=torch.int64)}},
    "anchors without end": {"tensors": {"anchors": torch.ones(3, 10_000, 2)}},
    "tensors of another network": {"tensors": {f"t{i}": torch.zeros(1) for i in range(300)}},
}


@pytest.mark.parametrize("kind", DESCRIPTIONS)
def test_what_makes_no_sense_is_one_short_error_with_the_files_name(crafted, kind, capsys):
    path = crafted(**DESCRIPTIONS[kind])
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) <= 3
    assert len(message) < 1500
    with pytest.raises(SystemExit) as ended:
        main(["doctor", str(path)])
    assert ended.value.code == 1
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("part", ["architecture", "stage", "block"])
def test_a_field_of_a_later_version_is_told_as_such(crafted, part):
    def change(document):
        architecture = document["architecture"]
        stage = architecture["stages"][0]
        {"architecture": architecture, "stage": stage, "block": stage["block"]}[part]["masks"] = 32

    with pytest.raises(CheckpointError, match=r"later version(.|\n)*found: +masks"):
        load_checkpoint(crafted(change))


def test_what_an_older_version_did_not_write_has_its_default(crafted):
    optional = ("auxiliary", "reorg", "cardinality", "partial_auxiliary", "head")

    def change(document):
        for name in optional:
            del document["architecture"][name]

    assert load_checkpoint(crafted(change)).model.architecture.cardinality == 1


def test_texts_of_a_file_are_safe_wherever_they_are_shown(crafted, capsys):
    path = crafted(
        names=[f"{ESCAPE}cat\n", "dog" * 1000],
        about={f"lic{ESCAPE}ence": f"{ESCAPE}MIT", "deep": [f"{ESCAPE}"]},
        training={"run": f"{ESCAPE}"},
        notes=[f"{ESCAPE}note"],
        change=lambda document: document["architecture"].update(name=f"../../{ESCAPE}x"),
    )
    checkpoint = load_checkpoint(path)
    assert checkpoint.names[0] == r"\x1b[2Jcat\n"
    assert len(checkpoint.names[1]) == 200
    assert any("cut to 200" in note for note in checkpoint.notes)
    assert "/" not in checkpoint.model.architecture.name  # it becomes part of file names
    with pytest.raises(SystemExit) as ended:
        main(["doctor", str(path)])
    assert ended.value.code == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "classes", "expected", "note"),
    [
        (None, 80, COCO_NAMES[:2], None),
        (["circle", "square"], 80, ("class 0", "class 1"), "2 class names (circle, square) for 80 classes"),
        (["a", "b", "c"], 2, ("class 0", "class 1"), "3 class names"),
        ({"1": "b", "0": "a"}, 2, ("a", "b"), None),
        ({"1": "b", "7": "a"}, 2, ("class 0", "class 1"), "make no sense"),
        ([["a"], {}], 2, ("class 0", "class 1"), "make no sense"),
        ([1, 2.5], 2, ("1", "2.5"), None),
    ],
)
def test_names_fit_the_outputs_or_are_numbered_with_a_note(tmp_path, names, classes, expected, note, capsys):
    small = create(scale(YOLOV7_TINY, width=0.125, branch=0.125), classes=classes)
    native.write(tmp_path / "x.safetensors", small, {"names": names})
    checkpoint = load_checkpoint(tmp_path / "x.safetensors")
    assert checkpoint.names[:2] == expected
    assert len(checkpoint.names) == classes
    assert (note is None) == (not checkpoint.notes)
    if note is not None:
        assert note in checkpoint.notes[0]
        with pytest.raises(SystemExit):
            main(["doctor", str(tmp_path / "x.safetensors")])
        assert note in capsys.readouterr().out


def test_a_size_that_needs_far_more_than_its_weights_is_not_taken(tmp_path, model):
    native.write(tmp_path / "x.safetensors", model, {"size": 4096})
    assert load_checkpoint(tmp_path / "x.safetensors").size == 4096  # 67 million numbers: what is free
    wide = replace(model.architecture, stem=((64, 2), *model.architecture.stem[1:]), size=320)
    native.write(tmp_path / "x.safetensors", create(wide, classes=2), {"size": 4096})
    assert load_checkpoint(tmp_path / "x.safetensors").size == 320  # 268 million
    native.write(tmp_path / "x.safetensors", model, {"size": 10**6})
    checkpoint = load_checkpoint(tmp_path / "x.safetensors")
    assert checkpoint.size == 640
    assert "image size that makes no sense (1000000): 640" in checkpoint.notes[0]


def test_a_slope_that_is_a_tensor(tmp_path):
    root = nn.Module()
    root.add_module("0", nn.Linear(1, 1))
    activation = nn.LeakyReLU(0.1)
    activation.negative_slope = torch.tensor([0.1, 0.2])
    root.add_module("act", activation)
    torch.save({"model": root}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"x\.pt"):
        load_checkpoint(tmp_path / "x.pt")


def test_weights_that_share_memory_are_taken_apart():
    """Else they could be neither trained nor written."""
    twin = torch.arange(4.0)
    state = {"a": twin, "b": twin, "c": twin[:1].expand(3), "d": twin[2:], "e": torch.zeros(0)}
    found = separate(state)
    assert load(save(found)).keys() == state.keys()  # safetensors refuses what is shared
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    assert found["a"].data_ptr() == twin.data_ptr()  # what stands alone is not copied
