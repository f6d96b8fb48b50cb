"""Our own format: what is written is what is read, and a file can say nothing that is not on the list."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.examples import examples
from tests.own_parts import Gated, gated
from yolov7 import plugins
from yolov7.checkpoints import native
from yolov7.checkpoints.checkpoint import load_checkpoint
from yolov7.checkpoints.description import architecture_from, describe
from yolov7.errors import CheckpointError, DamagedCheckpointError, MismatchedCheckpointError, OutputError
from yolov7.models.ablations import CSP_REP_RCSP, X_REP_UNPLANNED
from yolov7.models.architecture import YOLOV7_TINY, YOLOV7_W6, scale
from yolov7.models.baselines import YOLOR_CSP, YOLOR_E6, YOLOV4_CSP
from yolov7.models.detector import Detector, create, fuse
from yolov7.models.zoo import NETWORKS, find_architecture
from yolov7.tensor_files.safe_tensors import read_safetensors

DOCUMENT = {"names": ["a", "b"], "size": 320}


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return create("yolov7-tiny", classes=2).eval()


def read(path):
    with path.open("rb") as file:
        return read_safetensors(file)


def rewritten(tmp_path, model, change):
    """A file of ours whose description was changed by hand."""
    path = tmp_path / "changed.safetensors"
    native.write(path, model, DOCUMENT)
    tensors, metadata = read(path)
    document = json.loads(metadata["checkpoint"])
    change(document)
    save_file(tensors, path, metadata | {"checkpoint": json.dumps(document)})
    return path


@pytest.mark.parametrize("architecture", NETWORKS, ids=lambda a: a.name)
@pytest.mark.parametrize("width", [1, 0.25])
def test_an_architecture_survives_as_plain_data(architecture, width):
    architecture = scale(architecture, width=width, branch=width)
    described = json.loads(json.dumps(describe(architecture)))
    assert architecture_from(described) == architecture


@pytest.mark.parametrize("deploy", [False, True], ids=["training", "deployed"])
def test_round_trip_is_exact(tmp_path, tiny, deploy):
    model = fuse(tiny) if deploy else tiny
    path = tmp_path / "x.safetensors"
    native.write(path, model, DOCUMENT)
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
    again, document = native.rebuild(*read(path))
    assert document["names"] == ["a", "b"]
    assert again.architecture == model.architecture
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(t, again.state_dict()[n]) for n, t in model.state_dict().items())
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again.decode(again(image)), model.decode(model(image)))


@pytest.mark.parametrize(
    "network",
    [
        scale(network, width=0.25, branch=0.25)
        for network in (YOLOV7_W6, YOLOR_CSP, YOLOV4_CSP, YOLOR_E6, X_REP_UNPLANNED, CSP_REP_RCSP)
    ],
    ids=lambda network: network.name,
)
@pytest.mark.parametrize("deploy", [False, True], ids=["training", "deployed"])
def test_round_trip_of_scaled_networks_baselines_and_ablations(tmp_path, network, deploy):
    model = create(network, classes=2).eval()
    model = fuse(model) if deploy else model
    path = tmp_path / "x.safetensors"
    native.write(path, model, DOCUMENT)
    again, _ = native.rebuild(*read(path))
    assert again.architecture == model.architecture
    assert again.deployed == deploy
    image = torch.rand(1, 3, 64, 128)
    with torch.no_grad():
        assert torch.equal(again.decode(again(image)), model.decode(model(image)))


def test_counters_of_batch_norm_may_be_floats_or_missing(tmp_path, tiny):
    """Some released files have such counters, and a file of ours keeps what it was made of."""
    native.write(tmp_path / "x.safetensors", tiny, DOCUMENT)
    tensors, metadata = read(tmp_path / "x.safetensors")
    counters = [name for name in tensors if name.endswith("num_batches_tracked")]
    tensors[counters[0]] = tensors[counters[0]].half()
    del tensors[counters[1]]
    again, _ = native.rebuild(tensors, metadata)
    assert again.state_dict()[counters[1]] == 0
    weights = {name: t for name, t in tiny.state_dict().items() if name not in counters}
    assert all(torch.equal(t, again.state_dict()[name]) for name, t in weights.items())
    with pytest.raises(MismatchedCheckpointError, match=r"1 missing tensor: "):
        native.rebuild(tensors | {counters[2]: torch.zeros(3)}, metadata)


def test_half_keeps_anchors(tmp_path, tiny):
    model = create(replace(YOLOV7_TINY, anchors=tuple(((100.3, 7.7),) for _ in range(3))), classes=2).eval()
    native.write(tmp_path / "h.safetensors", model, DOCUMENT, half=True)
    again, _ = native.rebuild(*read(tmp_path / "h.safetensors"))
    assert {p.dtype for p in again.parameters()} == {torch.float16}
    assert torch.equal(again.anchors, model.anchors)


def test_a_part_that_is_not_on_the_list_is_refused(tmp_path, tiny):
    path = rewritten(tmp_path, tiny, lambda d: d["architecture"].update(pool="os.system"))
    with pytest.raises(DamagedCheckpointError, match=r"os\.system"):
        native.rebuild(*read(path))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["architecture"]["neck"][0].update(depth=10**9),
        lambda d: d["architecture"].update(cardinality=10**6),
        lambda d: d["architecture"].update(cardinality=True),
        lambda d: d["architecture"].update(outputs=[8] * 1000),
        lambda d: d.update(classes=10**9),
        lambda d: d["architecture"]["stages"][0]["block"].update(kind="Residual", width=72),
        lambda d: d["architecture"]["neck"][0].update(kind="CSPA", depth=65),
        lambda d: d.pop("architecture"),
        lambda d: d["architecture"].update(unheard_of=1),
    ],
    ids=["depth", "cardinality", "bool", "list", "classes", "residual", "csp", "none", "field"],
)
def test_numbers_beyond_sense_are_refused(tmp_path, tiny, change):
    path = rewritten(tmp_path, tiny, change)
    with pytest.raises(CheckpointError):
        native.rebuild(*read(path))


def test_tensors_of_another_architecture_are_listed(tmp_path, tiny):
    path = rewritten(tmp_path, tiny, lambda d: d.update(classes=3))
    with pytest.raises(MismatchedCheckpointError, match=r"lead\.convs\.0\.weight \(24, 128, 1, 1\)"):
        native.rebuild(*read(path))


def test_a_later_version_is_refused(tmp_path, tiny):
    path = tmp_path / "x.safetensors"
    native.write(path, tiny, DOCUMENT)
    tensors, metadata = read(path)
    with pytest.raises(CheckpointError, match="version 2"):
        native.rebuild(tensors, metadata | {"version": "2"})


def test_a_damaged_file_is_one(tmp_path, tiny):
    path = tmp_path / "x.safetensors"
    native.write(path, tiny, DOCUMENT)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DamagedCheckpointError, match="not a whole safetensors file"):
        read(path)


def test_a_part_of_ones_own_cannot_be_written(tmp_path):
    """Unless it stands at the top of a module: then by its import path, which loading wants registered."""
    model = create(replace(YOLOV7_TINY, activation=lambda: torch.nn.ReLU()), classes=1)
    with pytest.raises(CheckpointError, match="top of a module"):
        native.write(tmp_path / "x.safetensors", model, DOCUMENT)
    assert list(tmp_path.iterdir()) == []
    network = replace(gated(), activation=torch.nn.ReLU)
    described = json.loads(json.dumps(describe(network)))
    assert described["neck"][0]["kind"] == "tests.own_parts:Gated"
    plugins.register(Gated)
    assert architecture_from(described) == network


@pytest.mark.parametrize("name", ["os:system", "antigravity:x", "tests.own_parts:gated.__globals__"])
def test_a_file_cannot_name_what_nobody_registered(tmp_path, tiny, name):
    path = rewritten(tmp_path, tiny, lambda d: d["architecture"]["neck"][0].update(kind=name))
    with pytest.raises(CheckpointError, match="never imported at a file's request"):
        native.rebuild(*read(path))
    assert "antigravity" not in sys.modules


def test_nothing_is_left_where_it_cannot_be_written(tmp_path, tiny):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot be written"):
        native.write(tmp_path / "file" / "x.safetensors", tiny, DOCUMENT)
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        native.write(tmp_path / "folder.safetensors", tiny, DOCUMENT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.safetensors"]


@pytest.fixture(scope="module")
def described(tiny, tmp_path_factory):
    """What a file of ours says beside its tensors."""
    path = tmp_path_factory.mktemp("described") / "x.safetensors"
    native.write(path, tiny, DOCUMENT)
    return read(path)[1]


@settings(max_examples=examples(60))
@given(data=st.data())
def test_whatever_tensors_a_file_has_the_answer_is_a_network_or_an_error_of_ours(tiny, described, data):
    state = dict(tiny.state_dict())
    name = data.draw(st.sampled_from(["anchors", "lead.convs.0.bias", "backbone.stem.0.conv.weight", "x"]))
    shape = data.draw(
        st.sampled_from([(), (0,), (3, 3, 2), (3, 0, 2), (2, 3, 2), (3, 3, 3), (24,), (32, 3, 3, 3)])
    )
    dtype = data.draw(st.sampled_from([torch.float32, torch.int64, torch.bool]))
    state[name] = torch.ones(shape).to(dtype)
    with contextlib.suppress(CheckpointError):
        native.recover(state).model.float()
    with contextlib.suppress(CheckpointError):
        native.rebuild(state, described)[0].float()


@pytest.mark.parametrize(
    ("stem", "size"),
    [(((8192, 1), (8, 2), (8, 1)), 640), (((16, 1), (8, 2), (8, 1)), 4096)],
    ids=["wide", "large"],
)
def test_a_network_out_of_all_proportion_to_its_weights_is_refused(stem, size, tmp_path):
    narrow = scale(find_architecture("yolov7"), width=0.0625, branch=0.0625)
    model = Detector(replace(narrow, stem=stem, size=size), 1)
    native.write(tmp_path / "a.safetensors", model, {"names": ["a"]})
    with pytest.raises(CheckpointError, match="out of all proportion"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_own_names_without_metadata(tiny):
    again, _, notes = native.recover(tiny.state_dict())
    assert again.architecture == tiny.architecture
    assert notes == ()
    again, _, notes = native.recover(fuse(tiny).state_dict())
    assert again.deployed
    assert again.architecture.name == "yolov7-tiny"
    assert "taken as yolov7-tiny" in notes[0]
    with pytest.raises(MismatchedCheckpointError, match="extra"):
        native.recover(tiny.state_dict() | {"backbone.extra": torch.zeros(1)})
    with pytest.raises(MismatchedCheckpointError, match="anchors"):
        native.recover({"backbone.stem.0.conv.weight": torch.zeros(1)})


@pytest.mark.parametrize(("name", "width"), [("yolov7", 0.6), ("yolov7-w6", 0.25)])
def test_own_names_of_another_width(name, width):
    network = scale(find_architecture(name), width=width, branch=width)
    again, _, notes = native.recover(create(network, classes=2).state_dict())
    assert again.architecture == network
    assert notes == (f"its channels are {width} times those of {name}",)


@pytest.mark.parametrize(
    "name", ["yolov7-tiny-silu", "yolor-csp", "yolov4-csp", "yolor-p6", "yolor-w6", "yolor-e6"]
)
def test_own_names_of_baselines_and_of_networks_that_never_had_implicit_vectors(name):
    with torch.device("meta"):
        state = create(name, classes=2).state_dict()
    state["anchors"] = torch.tensor(find_architecture(name).anchors, dtype=torch.float32)
    again, _, notes = native.recover(state)
    assert again.architecture == find_architecture(name)
    assert len(notes) == (name in ("yolov7-tiny-silu", "yolov4-csp"))


def test_own_names_with_a_number_of_levels_that_no_network_has(tiny):
    with pytest.raises(MismatchedCheckpointError, match="so many levels") as error:
        native.recover(tiny.state_dict() | {"anchors": torch.ones(2, 3, 2)})
    assert "3 or 4" in str(error.value)


def test_levels_without_end_are_refused_before_their_anchors_become_numbers_of_python(tiny):
    with pytest.raises(MismatchedCheckpointError, match="anchors make no sense") as error:
        native.recover(tiny.state_dict() | {"anchors": torch.ones(65, 3, 2)})
    assert "up to 64 levels" in str(error.value)
