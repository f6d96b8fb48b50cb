"""Checkpoints in released naming, in every form that is in the wild. Values are keyed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.examples import examples
from tests.golden.keyed import golden_network, keyed_state_dict
from yolov7.checkpoints.official import recover
from yolov7.errors import MismatchedCheckpointError
from yolov7.models.architecture import VARIANTS, scale
from yolov7.models.baselines import YOLOR_CSP, YOLOR_P6, YOLOV4_CSP
from yolov7.models.detector import Detector, fuse
from yolov7.models.head import PlainHead
from yolov7.models.zoo import find_architecture

State = dict[str, Tensor]


def released(name: str) -> State:
    description, _ = golden_network(name)
    return keyed_state_dict(description, find_architecture(name).anchors)


@pytest.fixture(scope="module")
def tiny() -> State:
    return released("yolov7-tiny")


@pytest.fixture(scope="module")
def yolov7_state() -> State:
    return released("yolov7")


@torch.no_grad()
def rows(model: Detector, size: int = 64) -> Tensor:
    image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    return model.decode(model(image))


def folded(state: State, eps: float = 1e-3) -> State:
    """The same file with batch norm folded, as the released tools write it: conv.weight and conv.bias."""
    result = {}
    for name, tensor in state.items():
        prefix, _, last = name.rpartition(".conv.weight")
        if prefix and not last and f"{prefix}.bn.weight" in state:
            gain = state[f"{prefix}.bn.weight"] / (state[f"{prefix}.bn.running_var"] + eps).sqrt()
            result[name] = tensor * gain[:, None, None, None]
            result[f"{prefix}.conv.bias"] = (
                state[f"{prefix}.bn.bias"] - state[f"{prefix}.bn.running_mean"] * gain
            )
        elif ".bn." not in name:
            result[name] = tensor
    return result


def with_plain_head(state: State) -> State:
    """Implicit vectors multiplied into the convolutions, as in a deployed checkpoint."""
    result = {
        name: tensor.clone() for name, tensor in state.items() if ".ia." not in name and ".im." not in name
    }
    for name, vector in state.items():
        if ".ia." in name:
            head, _, level = name.removesuffix(".implicit").rpartition(".ia.")
            weight, bias = f"{head}.m.{level}.weight", f"{head}.m.{level}.bias"
            multiply = state[f"{head}.im.{level}.implicit"].flatten()
            result[bias] = (state[bias] + state[weight][:, :, 0, 0] @ vector.flatten()) * multiply
            result[weight] = state[weight] * multiply[:, None, None, None]
    return result


def without_auxiliary(state: State, first_row: int, last_row: int) -> State:
    dropped = tuple(f"model.{row}." for row in range(first_row, last_row + 1))
    return {n: t for n, t in state.items() if not n.startswith(dropped) and ".m2." not in n}


def prefixed(state: State, prefix: str) -> Iterator[tuple[str, Tensor]]:
    return ((prefix + name, tensor) for name, tensor in state.items())


@pytest.mark.parametrize("architecture", [*VARIANTS, YOLOR_CSP, YOLOV4_CSP, YOLOR_P6], ids=lambda a: a.name)
def test_every_tensor_of_every_network_finds_a_place(architecture):
    state = released(architecture.name)
    recovered = recover(state)
    assert recovered.naming == "released"
    model = recovered.model
    assert model.architecture.name == architecture.name
    placed = {t.data_ptr() for t in model.state_dict().values() if t.numel() > 1}
    unplaced = [n for n, t in state.items() if t.data_ptr() not in placed and t.numel() > 1]
    assert all("anchor" in name for name in unplaced)  # anchors are stored twice there, and anew here
    assert model.anchors.tolist() == [[list(map(float, p)) for p in level] for level in architecture.anchors]


@pytest.mark.parametrize("prefix", ["", "module.", "model.model.", "net.0_x."])
def test_prefixes_do_not_matter(tiny, prefix):
    bare = {name.removeprefix("model."): tensor for name, tensor in tiny.items()}
    if prefix == "net.0_x.":
        with pytest.raises(MismatchedCheckpointError, match="not the tensors"):
            recover(dict(prefixed(bare, prefix)))
    else:
        assert recover(dict(prefixed(bare, prefix))).model.architecture.name == "yolov7-tiny"


def test_folded_convolutions(tiny):
    expected = rows(recover(tiny).model)
    recovered = recover(folded(tiny))
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in recovered.model.modules())
    torch.testing.assert_close(rows(recovered.model), expected, rtol=1e-3, atol=1e-2)


def test_deployed_head_and_no_implicit_vectors(yolov7_state):
    expected = rows(recover(yolov7_state).model)
    model = recover(with_plain_head(yolov7_state)).model
    assert type(model.lead) is PlainHead
    torch.testing.assert_close(rows(model), expected, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(rows(fuse(model)), expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("name", ["rbr_reparam", "conv"])
def test_folded_repconv(yolov7_state, name):
    expected = rows(recover(yolov7_state).model)
    state = {n: t for n, t in yolov7_state.items() if ".rbr_" not in n}
    for row, output in zip((102, 103, 104), fuse(recover(yolov7_state).model).outputs, strict=True):
        state[f"model.{row}.{name}.weight"] = output.conv.weight.detach()
        state[f"model.{row}.{name}.bias"] = output.conv.bias.detach()
    torch.testing.assert_close(rows(recover(state).model), expected, rtol=1e-3, atol=1e-2)


def test_plain_output_convolutions_instead_of_repconv(yolov7_state):
    state = {n: t for n, t in yolov7_state.items() if ".rbr_1x1." not in n}
    for name in [n for n in state if ".rbr_dense." in n]:
        state[name.replace("rbr_dense.0", "conv").replace("rbr_dense.1", "bn")] = state.pop(name)
    recovered = recover(state)
    assert recovered.model.architecture.output.__name__ == "Conv3x3"
    assert any("plain 3x3" in note for note in recovered.notes)


def test_auxiliary_heads_left_out():
    state = released("yolov7-w6")
    both, lead = recover(state).model, recover(without_auxiliary(state, 118, 121)).model
    assert both.auxiliary is not None
    assert lead.auxiliary is None
    assert torch.equal(rows(both, 128), rows(lead, 128))


@pytest.mark.parametrize(("classes", "anchors"), [(1, 3), (3, 3), (7, 2)])
def test_other_classes_and_anchors(tiny, classes, anchors):
    channels = anchors * (5 + classes)
    state = dict(tiny)
    for level, width in enumerate((128, 256, 512)):
        state[f"model.77.m.{level}.weight"] = torch.randn(channels, width, 1, 1)
        state[f"model.77.m.{level}.bias"] = torch.randn(channels)
        state[f"model.77.im.{level}.implicit"] = torch.ones(1, channels, 1, 1)
    own = torch.arange(1, 1 + 6 * anchors).reshape(3, anchors, 2).float()
    state["model.77.anchors"] = own / torch.tensor([8.0, 16, 32])[:, None, None]
    state["model.77.anchor_grid"] = own.reshape(3, 1, anchors, 1, 1, 2)
    model = recover(state).model
    assert model.classes == classes
    assert torch.equal(model.anchors, own)
    del state["model.77.anchor_grid"]
    torch.testing.assert_close(recover(state).model.anchors, own)


def test_activation_decides_between_the_tinies(tiny):
    plain = with_plain_head(tiny)
    silu = recover(plain, frozenset({"SiLU"})).model.architecture
    leaky = recover(plain, frozenset({"LeakyReLU"})).model.architecture
    assert (silu.name, leaky.name) == ("yolov7-tiny-silu", "yolov7-tiny")
    assert recover(plain).notes
    assert recover(folded(plain)).model.architecture.name == "yolov7-tiny"
    for strange in ({"Softplus"}, {"SiLU", "LeakyReLU"}, {"LeakyReLU(0.2)"}):
        with pytest.raises(MismatchedCheckpointError, match="activations that no YOLOv7"):
            recover(plain, frozenset(strange))


def released_at(name: str, width: float) -> tuple[State, Detector]:
    """A file of the released code whose ``width_multiple`` was changed, and the network it was written from.

    Each row gives the published channels times the width, rounded up to a multiple of 8. The convolutions
    inside a DownC (the only rows here with cv3 but no cv4) give half of their row's channels.
    """
    description, _ = golden_network(name)
    published = {n: torch.ones(shape) for n, shape in description["state_dict"].items()}
    by_pointer = {tensor.data_ptr(): n for n, tensor in published.items() if tensor.numel() > 1}
    model = Detector(scale(find_architecture(name), width=width, branch=width), classes=2)
    state = {}
    for ours, tensor in recover(published).model.state_dict().items():
        if theirs := by_pointer.get(tensor.data_ptr()):
            row, _, rest = theirs.removeprefix("model.").partition(".")
            if rest.endswith("conv.weight"):
                in_down = rest[:3] in ("cv2", "cv3") and f"model.{row}.cv4.conv.weight" not in published
                halves = 1 + in_down
                channels = 8 * math.ceil(halves * len(tensor) * width / 8) // halves
                assert len(model.state_dict()[ours]) == channels, theirs
            state[theirs] = model.state_dict()[ours]
    return state, model


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("yolov7-tiny", 0.5),
        ("yolov7-tiny", 1.3),
        ("yolov7-tiny-silu", 0.33),
        ("yolov7", 0.25),
        ("yolov7", 0.6),
        ("yolov7-x", 0.33),
        ("yolov7-w6", 0.3),
        ("yolov7-e6", 0.15),
        ("yolor-csp", 0.25),
    ],
)
def test_home_trained_networks_of_another_width(name, width):
    state, written = released_at(name, width)
    recovered = recover(state)
    assert recovered.model.architecture == written.architecture
    factor = re.fullmatch(rf"its channels are ([\d.]+) times those of {name}", recovered.notes[-1])
    assert factor is not None
    assert abs(float(factor[1]) - width) < 0.02  # several numbers give the same channels
    found = recovered.model.state_dict()
    assert found.keys() == written.state_dict().keys()
    assert all(torch.equal(found[n], tensor) for n, tensor in written.state_dict().items())
    rows(recovered.model, 128)  # every concatenation has as many channels as its reader takes


def test_a_damaged_network_of_another_width_lists_what_is_missing():
    state, _ = released_at("yolov7-tiny", 0.5)
    del state["model.5.bn.bias"]
    with pytest.raises(MismatchedCheckpointError, match="not those of yolov7-tiny") as error:
        recover(state)
    assert "1 missing tensor: model.5.bn.bias (16,)" in str(error.value)


@pytest.fixture(scope="module")
def yolor_csp() -> State:
    return released("yolor-csp")


def test_baselines_have_their_outputs_between_the_levels(yolor_csp):
    """Rows 22 and 23 are of the same shape: O3's output, then the way down to O4."""
    model = recover(yolor_csp).model
    assert torch.equal(model.outputs[0].conv.weight, yolor_csp["model.22.conv.weight"])
    assert torch.equal(model.neck.bottom_up[0].down.conv.weight, yolor_csp["model.23.conv.weight"])
    assert yolor_csp["model.22.conv.weight"].shape == yolor_csp["model.23.conv.weight"].shape


def test_names_inside_the_blocks_of_baselines(yolor_csp):
    model = recover(yolor_csp).model
    residual, cspc = (stage.block for stage in model.backbone.stages[:2])
    cspb = model.neck.top_down[0].block
    for ours, released_name in (
        (residual.units[0].conv1, "2.cv1"),
        (residual.units[0].conv2, "2.cv2"),
        (cspc.main, "4.cv1"),
        (cspc.past, "4.cv2"),
        (cspc.after, "4.cv3"),
        (cspc.out, "4.cv4"),
        (cspc.units[1].conv2, "4.m.1.cv2"),
        (cspb.main, "16.cv1"),
        (cspb.past, "16.cv2"),
        (cspb.out, "16.cv3"),
        (cspb.units[1].conv1, "16.m.1.cv1"),
    ):
        assert torch.equal(ours.conv.weight, yolor_csp[f"model.{released_name}.conv.weight"])


def test_folded_csp_blocks(yolor_csp):
    expected = rows(recover(yolor_csp).model)
    model = recover(folded(yolor_csp)).model
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())
    torch.testing.assert_close(rows(model), expected, rtol=1e-3, atol=1e-2)


def test_implicit_vectors_or_their_folding_decide_between_the_csps(yolor_csp):
    plain = with_plain_head(yolor_csp)
    for state, activations, name in (
        (yolor_csp, frozenset(), "yolor-csp"),
        (plain, frozenset(), "yolov4-csp"),
        (plain, frozenset({"SiLU"}), "yolov4-csp"),
        (folded(plain), frozenset(), "yolor-csp"),
    ):
        recovered = recover(state, activations)
        assert recovered.model.architecture.name == name
        note = f"its tensors fit both yolor-csp and yolov4-csp: taken as {name}"
        assert recovered.notes == (() if state is yolor_csp else (note,))
    leaky = recover(plain, frozenset({"LeakyReLU"})).model
    assert {type(m) for m in leaky.modules() if "LU" in type(m).__name__} == {torch.nn.LeakyReLU}


def test_a_damaged_baseline_is_told_from_the_variants_that_begin_like_it(yolor_csp):
    state = dict(yolor_csp)
    state["model.4.m.7.cv1.conv.weight"] = state.pop("model.4.m.1.cv1.conv.weight")
    with pytest.raises(MismatchedCheckpointError, match="not those of yolor-csp") as error:
        recover(state)
    assert "1 missing tensor: " in str(error.value)
    assert "model.4.m.1.cv1.conv.weight (64, 64, 1, 1)" in str(error.value)
    assert "model.4.m.7.cv1.conv.weight (64, 64, 1, 1)" in str(error.value)


def test_mit_rewrite(yolov7_state):
    inside = {
        "cv1": "pre_conv.0",
        "cv3": "pre_conv.1",
        "cv4": "pre_conv.2",
        "cv5": "post_conv.0",
        "cv6": "post_conv.1",
        "cv2": "short_conv",
        "cv7": "merge_conv",
        "rbr_dense.0": "conv1.conv",
        "rbr_dense.1": "conv1.bn",
        "rbr_1x1.0": "conv2.conv",
        "rbr_1x1.1": "conv2.bn",
    }
    state = {}
    for name, tensor in yolov7_state.items():
        row, _, rest = name.removeprefix("model.").partition(".")
        part, _, last = rest.partition(".")
        if row == "105":
            if "anchor" in part:
                continue
            level, _, last = last.partition(".")
            part = {"m": "head_conv", "ia": "implicit_a", "im": "implicit_m"}[part]
            rest = f"heads.{level}.{part}.{last}"
        for ours, theirs in inside.items():
            if rest.startswith(ours + "."):
                rest = theirs + rest[len(ours) :]
        state[f"{row}.{rest}"] = tensor
    recovered = recover(state)
    assert recovered.naming == "MIT rewrite"
    assert torch.equal(rows(recovered.model), rows(recover(yolov7_state).model))
    assert torch.equal(rows(recover(dict(prefixed(state, "model.model."))).model), rows(recovered.model))


def test_segmentation_head_is_used_as_a_detector(yolov7_state):
    """117 = 85 + 32 channels an anchor, prototypes beside them, multiplying vectors that do not fit."""
    state = dict(yolov7_state)
    for level, width in enumerate((256, 512, 1024)):
        weight, bias = state[f"model.105.m.{level}.weight"], state[f"model.105.m.{level}.bias"]
        extra = torch.randn(3, 32, width, 1, 1)
        state[f"model.105.m.{level}.weight"] = torch.cat((weight.view(3, 85, width, 1, 1), extra), 1).flatten(
            0, 1
        )
        state[f"model.105.m.{level}.bias"] = torch.cat((bias.view(3, 85), torch.randn(3, 32)), 1).flatten()
    for name, shape in (("cv1", (256, 128)), ("cv2", (256, 256)), ("cv3", (32, 256))):
        state[f"model.105.proto.{name}.conv.weight"] = torch.randn(*shape, 1, 1)
    recovered = recover(state)
    assert recovered.model.classes == 80
    assert any("mask branch is left out" in note and "32 mask" in note for note in recovered.notes)
    state = dict(yolov7_state) | {f"model.105.im.{i}.implicit": torch.ones(1, 255, 1, 1) for i in range(3)}
    assert torch.equal(rows(recovered.model), rows(recover(state).model))


def test_missing_and_left_over_tensors_are_both_listed(tiny):
    state = dict(tiny)
    del state["model.5.bn.bias"]
    state["model.5.bn.extra"] = torch.zeros(3)
    with pytest.raises(MismatchedCheckpointError) as error:
        recover(state)
    assert "model.5.bn.bias (32,)" in str(error.value)
    assert "model.5.bn.extra (3,)" in str(error.value)
    assert "1 missing tensor: " in str(error.value)


def test_a_wrong_shape_is_a_mismatch(tiny):
    state = tiny | {"model.7.conv.weight": torch.zeros(64, 128, 3, 3)}
    with pytest.raises(MismatchedCheckpointError, match=r"model\.7\.conv\.weight \(64, 128, 1, 1\)"):
        recover(state)


def test_a_row_that_is_numbered_twice_is_refused_and_not_overwritten(tiny):
    with pytest.raises(MismatchedCheckpointError, match="not the tensors of a YOLOv7") as error:
        recover(tiny | {"model.00.conv.weight": torch.zeros_like(tiny["model.0.conv.weight"])})
    assert "model.00.conv.weight" in str(error.value)


def test_rows_of_another_network(tiny):
    trunk = {name: tensor for name, tensor in tiny.items() if not name.startswith("model.77.")}
    with pytest.raises(MismatchedCheckpointError, match="no YOLOv7 head"):
        recover(trunk)
    with pytest.raises(MismatchedCheckpointError, match="begins like") as error:
        recover(tiny | {"model.0.conv.weight": torch.zeros(48, 3, 3, 3)})
    beginnings = "3 levels and 32 or 40 channels, or 4 levels and 64 or 80 or 96 channels"
    assert f"{beginnings} in the first convolution, or all widths times one number" in str(error.value)
    assert "3 levels, 48 channels" in str(error.value)
    with pytest.raises(MismatchedCheckpointError, match="not the tensors of a YOLOv7"):
        recover({"layer1.weight": torch.zeros(3), "fc.bias": torch.zeros(3)})
    with pytest.raises(MismatchedCheckpointError, match="no tensor at all"):
        recover({})


SHAPES = (
    (),
    (0,),
    (1,),
    (3,),
    (255,),
    (2, 3),
    (3, 3, 2),
    (4, 3, 2),
    (3, 0, 2),
    (18, 128, 1, 1),
    (32, 3, 3, 3),
)
DTYPES = (torch.float32, torch.float16, torch.float64, torch.int64, torch.bool, torch.complex64)


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_tensors_a_file_has_the_answer_is_a_network_or_an_error_of_ours(tiny, data):
    """Tensors replaced by others of odd shapes and types, left out, and added under odd names."""
    state = dict(tiny)
    names = [n for n in tiny if n.startswith(("model.77.", "model.0.", "model.76."))] + [
        "model.40.conv.weight"
    ]
    odd = [
        "model.77.proto.cv3.conv.weight",
        "model.77.m2.0.weight",
        "model.9999.m.0.weight",
        "model.0.x",
        "7",
        "",
    ]
    for _ in range(data.draw(st.integers(1, 4))):
        name = data.draw(st.sampled_from(names + odd))
        if data.draw(st.booleans()):
            shape, dtype = data.draw(st.sampled_from(SHAPES)), data.draw(st.sampled_from(DTYPES))
            keeps = name in tiny and data.draw(st.booleans())
            state[name] = tiny[name].to(dtype) if keeps else torch.ones(shape).to(dtype)
        else:
            state.pop(name, None)
    try:
        model = recover(state).model.float()
    except MismatchedCheckpointError:
        return
    rows(model)
