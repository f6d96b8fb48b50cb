"""Reading the remains of a pickle: state dicts and attributes of modules, however they are twisted."""

from __future__ import annotations

import pytest
import torch

from yolov7.errors import DamagedCheckpointError
from yolov7.tensor_files.tree import (
    Foreign,
    Symbol,
    attributes_of,
    check_finite,
    describe,
    state_dict_of,
    walk,
)


def module(parameters: object = None, modules: object = None, **more: object) -> Foreign:
    foreign = Foreign(Symbol("models.common", "Conv"))
    foreign.state = {
        "_parameters": {} if parameters is None else parameters,
        "_buffers": {},
        "_modules": {} if modules is None else modules,
        **more,
    }
    return foreign


def test_names_and_order() -> None:
    one, two, three = torch.ones(1), torch.ones(2), torch.ones(3)
    inner = module({"weight": one, "bias": None})
    root = module({"scale": two}, {"0": inner, "gone": None, "1": module({"weight": three})})
    found = state_dict_of(root)
    assert found is not None
    assert list(found) == ["scale", "0.weight", "1.weight"]
    assert found["1.weight"] is three


def test_a_state_dict_is_one_already() -> None:
    assert state_dict_of({"w": torch.ones(1)}) is not None
    assert state_dict_of({"w": torch.ones(1), "epoch": 3}) is None
    assert state_dict_of({}) is None
    assert state_dict_of([torch.ones(1)]) is None
    assert state_dict_of(Foreign(Symbol("models", "Thing"))) is None


def test_a_module_in_itself() -> None:
    root = module()
    root.state["_modules"]["c"] = root
    with pytest.raises(DamagedCheckpointError, match="contains itself"):
        state_dict_of(root)


def test_modules_that_double() -> None:
    node = module({"weight": torch.ones(1)})
    for _ in range(60):
        node = module({}, {"a": node, "b": node})
    with pytest.raises(DamagedCheckpointError, match="more tensors than any network"):
        state_dict_of(node)


@pytest.mark.parametrize(
    "root",
    [
        module({"weight": "text"}),
        module({7: torch.ones(1)}),
        module({"w" * 1000: torch.ones(1)}),
        module({}, {"0": "text"}),
        module({}, {"0": Foreign(Symbol("models", "Thing"))}),
    ],
)
def test_parts_that_are_none(root: Foreign) -> None:
    with pytest.raises(DamagedCheckpointError):
        state_dict_of(root)


def test_attributes() -> None:
    root = module(names=["cat"], training=False, _hooks=1)
    assert attributes_of(root) == {"names": ["cat"], "training": False}
    slotted = Foreign(Symbol("models", "Thing"))
    assert attributes_of(slotted) == {}
    slotted.state = (None, {"nc": 80})
    assert attributes_of(slotted) == {"nc": 80}
    slotted.state = "text"
    assert attributes_of(slotted) == {}


def test_walk_meets_everything_once() -> None:
    root = module({"weight": torch.ones(1)})
    root.state["again"] = [root, root, root.state]
    nodes = list(walk(root))
    assert sum(node is root for node in nodes) == 1
    assert sum(isinstance(node, torch.Tensor) for node in nodes) == 1


def test_finite_trees() -> None:
    shared = ["x"] * 10
    check_finite({"a": [shared, (shared, {"b": shared})]})
    circle = module()
    circle.state["me"] = [circle]
    check_finite(circle)


def nested(depth: int) -> object:
    node: object = 1
    for _ in range(depth):
        node = [node]
    return node


def chained(length: int) -> object:
    node: object = None
    for _ in range(length):
        foreign = Foreign(Symbol("models", "Thing"))
        foreign.state = node
        node = foreign
    return node


def doubled(times: int, node: object = 1) -> object:
    for _ in range(times):
        node = (node, node)
    return node


@pytest.mark.parametrize(
    ("root", "word"),
    [
        (nested(101), "too deep"),
        ([nested(60), [nested(60)] * 3, nested(101)], "too deep"),
        (chained(200), "without end"),
        (doubled(40), "stands for a huge one"),
        (doubled(40, ()), "stands for a huge one"),
        ([doubled(20)] * 5, "stands for a huge one"),
    ],
)
def test_trees_without_end(root: object, word: str) -> None:
    with pytest.raises(DamagedCheckpointError, match=word):
        check_finite(root)


def test_depth_adds_up_through_what_is_shared() -> None:
    """A deep list that was met before, at a shallow place, counts again where it is met below others."""
    deep = nested(60)
    lower: object = deep
    for _ in range(60):
        lower = (lower,)
    with pytest.raises(DamagedCheckpointError, match="too deep"):
        check_finite([deep, lower])
    check_finite([deep, nested(90)])


def test_words_for_messages() -> None:
    assert describe("a\x1b[2J" + "x" * 10**6) == "text 'a\\x1b[2J" + "x" * 29 + "...'"
    assert describe(doubled(60)) == "a tuple of length 2"
    assert describe(torch.ones(2, 3)) == "a tensor of shape (2, 3)"
    assert describe(module()) == "an object of models.common.Conv"
    assert describe(None) == "None"
