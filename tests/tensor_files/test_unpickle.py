"""The stack machine: the values of a pickle, without running it."""

from __future__ import annotations

import argparse
import collections
import contextlib
import datetime
import math
import pathlib
import pickle
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tensor_files.hostile import PROTO2, call, in_dict, name, number, text, unsafe_pickles
from yolov7.errors import DamagedCheckpointError, UnsafeCheckpointError
from yolov7.tensor_files.machine import BUDGET
from yolov7.tensor_files.tree import Foreign, Symbol, attributes_of, walk
from yolov7.tensor_files.unpickle import Unpickler

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def load(pickled: bytes) -> Any:
    return Unpickler(pickled).load()


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
)
keys = (
    st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text("aö\n\\", max_size=5)
)
trees = st.recursive(
    scalars | st.binary().map(bytearray) | st.sets(keys) | st.frozensets(keys),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(keys | st.tuples(keys, keys), inner)
        | st.dictionaries(keys, inner).map(collections.OrderedDict)
    ),
    max_leaves=20,
)


@given(tree=trees)
@settings(max_examples=100, deadline=None)
def test_plain_data_comes_out_as_it_went_in(tree: object) -> None:
    for protocol in PROTOCOLS:
        found = load(pickle.dumps(tree, protocol))
        assert found == tree
        assert type(found) is (dict if isinstance(tree, dict) else type(tree))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_values_of_the_standard_library(protocol: int) -> None:
    shared = [1]
    value = {
        "counter": collections.Counter("aab"),
        "default": collections.defaultdict(list, {"a": [1]}),
        "complex": 1 - 2j,
        "slice": slice(1, None, 2),
        "path": pathlib.PurePosixPath("/data/coco.yaml"),
        "windows": pathlib.PureWindowsPath(r"C:\runs\best.pt"),
        "infinite": (math.inf, -math.inf),
        "twice": (shared, shared),
    }
    assert (found := load(pickle.dumps(value, protocol))) == {
        "counter": {"a": 2, "b": 1},
        "default": {"a": [1]},
        "complex": 1 - 2j,
        "slice": slice(1, None, 2),
        "path": "/data/coco.yaml",
        "windows": r"C:\runs\best.pt",
        "infinite": (math.inf, -math.inf),
        "twice": ([1], [1]),
    }
    assert found["twice"][0] is found["twice"][1]
    assert math.isnan(load(pickle.dumps(math.nan, protocol)))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_options_and_dates_are_recorded(protocol: int) -> None:
    options = load(pickle.dumps(argparse.Namespace(cfg="yolov7.yaml", epochs=300), protocol))
    assert repr(options) == "<Foreign argparse.Namespace>"
    assert attributes_of(options) == {"cfg": "yolov7.yaml", "epochs": 300}
    date = load(pickle.dumps(datetime.datetime(2022, 7, 6), protocol))
    assert (date.module, date.name) == ("datetime", "datetime")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "array",
    [
        np.array([0.5]),
        np.arange(12, dtype=np.int32).reshape(3, 4),
        np.asfortranarray(np.arange(12, dtype=np.float16).reshape(3, 4)),
        np.arange(3, dtype=">f8"),
        np.zeros((0, 4), np.float32),
        np.array([True, False]),
        np.array(["cat", "dög"]),
        np.array(7, np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_numpy_arrays(protocol: int, array: Any) -> None:
    found = load(pickle.dumps({"a": array, "b": [array]}, protocol))
    np.testing.assert_array_equal(found["a"], array)
    assert found["a"].dtype == array.dtype.newbyteorder("=")
    assert found["b"][0] is found["a"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpy_scalars(protocol: int) -> None:
    value = [np.float64(0.25), np.float32(0.5), np.int64(-3), np.bool_(True), np.str_("cat")]
    assert load(pickle.dumps(value, protocol)) == [0.25, 0.5, -3, True, "cat"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_torch_types(protocol: int) -> None:
    value = [torch.float16, torch.Size([1, 2]), torch.device("cuda:1")]
    found = load(pickle.dumps(value, protocol))
    assert found == [torch.float16, (1, 2), "cuda:1"]


class Plain:
    pass


class Slotted:
    __slots__ = ("nc",)


class Names(dict):
    pass


class Layers(list):
    pass


class Pair(NamedTuple):
    a: int
    b: int


@dataclass
class Settings:
    size: int

    def __setstate__(self, state: object) -> None:
        raise AssertionError("was run")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_of_other_peoples_classes_are_recorded(protocol: int) -> None:
    plain, layers = Plain(), Layers([1, 2])
    plain.anchors = [10, 13]
    layers.depth = 3
    found = load(pickle.dumps([plain, layers, Names(a=1), Settings(640), plain], protocol))
    assert all(isinstance(item, Foreign) for item in found)
    assert (found[0].module, found[0].name) == (__name__, "Plain")
    assert attributes_of(found[0]) == {"anchors": [10, 13]}
    assert attributes_of(found[1]) == {"depth": 3}
    assert attributes_of(found[3]) == {"size": 640}
    assert found[4] is found[0]
    if protocol >= 2:  # before, a list or dict went to the constructor
        assert found[1].contents == [1, 2]
        assert found[2].contents == {"a": 1}
        slotted = Slotted()
        slotted.nc = 80
        slots, pair = load(pickle.dumps([slotted, Pair(1, 2)], protocol))
        assert attributes_of(slots) == {"nc": 80}
        assert (pair.name, pair.args) == ("Pair", (1, 2))


def test_a_replaced_method_is_only_a_name() -> None:
    method = load(
        PROTO2 + call("builtins", "getattr", name("models.yolo", "IDetect"), text("forward")) + b"."
    )
    assert method == Symbol("models.yolo", "IDetect.forward")


def test_bytes_are_not_looked_into() -> None:
    inner = pickle.dumps(print, 4)
    assert load(pickle.dumps({"blob": inner}, 4)) == {"blob": inner}


def test_python_2_wrote_text_and_bytes_alike() -> None:
    assert load(b"(U\x03catU\x02\xff\xfeT\x03\0\0\0dogS'cow'\nt.") == ("cat", b"\xff\xfe", "dog", "cow")


def test_half_characters_can_be_printed() -> None:
    for protocol in PROTOCOLS:
        load(pickle.dumps("weights-\udcff.pt", protocol)).encode()


def test_pickles_follow_each_other() -> None:
    reader = Unpickler(pickle.dumps([1]) + pickle.dumps("two", 0) + b"rest")
    assert (reader.load(), reader.load()) == ([1], "two")
    assert reader.data[reader.position :] == b"rest"


def test_a_memo_is_for_one_pickle() -> None:
    reader = Unpickler(b"K\x05q\x07." + b"h\x07.")
    assert reader.load() == 5
    with pytest.raises(DamagedCheckpointError, match="KeyError: 7"):
        reader.load()


def test_the_budget_is_for_all_of_them() -> None:
    large = text("x" * (BUDGET // 7)) + b"."
    reader = Unpickler(large + large)
    reader.load()
    with pytest.raises(DamagedCheckpointError, match="far more memory"):
        reader.load()


def test_an_error_says_where() -> None:
    with pytest.raises(UnsafeCheckpointError) as caught:
        Unpickler(in_dict(name("os", "system")), part="data.pkl").load()
    assert str(caught.value).startswith("asks to call os.system")
    assert "(byte 13 of data.pkl)" in str(caught.value)


def test_legitimate_depth_is_fine() -> None:
    value: object = "leaf"
    for _ in range(40):
        value = {"layers": [value]}
    assert load(pickle.dumps(value)) == value


def test_modules_may_refer_to_each_other_in_circles() -> None:
    parent, child = Plain(), Plain()
    parent.child, child.parent = child, parent
    found = load(pickle.dumps(parent, 2))
    assert found.state["child"].state["parent"] is found


FRAGMENTS = [pickled for pickled, _ in unsafe_pickles(pathlib.Path("never")).values()]


@given(
    start=st.sampled_from(FRAGMENTS),
    edits=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 8), st.binary(max_size=8)), max_size=6),
)
@settings(max_examples=400, deadline=None)
def test_any_bytes_give_a_tree_or_an_error(start: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    for at, size, new in edits:
        start = start[:at] + new + start[at + size :]
    with contextlib.suppress(DamagedCheckpointError, UnsafeCheckpointError):
        assert len(list(walk(load(start)))) < 1000


def test_integers_up_to_512_bits() -> None:
    assert load(pickle.dumps(2**500)) == 2**500
    with pytest.raises(DamagedCheckpointError, match="integer"):
        load(pickle.dumps(2**513))
    with pytest.raises(DamagedCheckpointError, match="integer"):
        load(b"L" + b"9" * 300 + b"L\n.")
    assert load(PROTO2 + number(-(2**64)) + b".") == -(2**64)
