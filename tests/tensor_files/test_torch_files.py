"""Files of torch.save, old and new: what we read is what torch reads."""

from __future__ import annotations

import collections
import contextlib
import io
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.tensor_files import hostile
from tests.tensor_files.reading import read_checkpoint
from yolov7.errors import DamagedCheckpointError, UnsafeCheckpointError
from yolov7.tensor_files import storages
from yolov7.tensor_files.reading import open_file, sniff
from yolov7.tensor_files.tree import Foreign, Symbol, attributes_of, state_dict_of, walk

FORMATS: dict[str, dict[str, Any]] = {
    "zip": {},
    "zip, protocol 5": {"pickle_protocol": 5},
    "zip, protocol 1": {"pickle_protocol": 1},
    "legacy": {"_use_new_zipfile_serialization": False},
    "legacy, protocol 4": {"_use_new_zipfile_serialization": False, "pickle_protocol": 4},
}


@pytest.fixture(params=FORMATS)
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return FORMATS[request.param]


def read_back(value: object, path: Path, **options: Any) -> Any:
    torch.save(value, path, **options)
    return read_checkpoint(path)


def assert_same(found: Tensor, wanted: Tensor) -> None:
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    assert found.stride() == wanted.stride()
    assert found.device.type == "cpu"
    assert not found.requires_grad
    # Bit by bit, so that NaN is NaN.
    assert found.contiguous().numpy().tobytes() == wanted.detach().contiguous().numpy().tobytes()


DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.complex64, torch.complex128, torch.bool),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8),
)


def test_all_kinds_of_numbers(options: dict[str, Any], tmp_path: Path) -> None:
    value = {str(dtype): (torch.randn(3, 5) * 10).to(dtype) for dtype in DTYPES}
    found = read_back(value, tmp_path / "x.pt", **options)
    expected = torch.load(tmp_path / "x.pt", weights_only=True) if options == {} else value
    assert found.keys() == expected.keys()
    for name in value:
        assert_same(found[name], expected[name])


def test_brain_floats(options: dict[str, Any], tmp_path: Path) -> None:
    value = torch.randn(7).bfloat16()
    found = read_back({"w": value}, tmp_path / "x.pt", **options)["w"]
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, value)


WEIRD = sorted(
    {dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)} - set(storages.DTYPES),
    key=str,
)


def test_every_dtype_of_torch_is_read_or_refused_by_name(tmp_path: Path) -> None:
    """What is read can be converted and copied; a file that names another dtype is one clear error."""
    for dtype in storages.DTYPES:
        elements = torch.zeros(2, dtype=dtype)
        assert elements.clone().to(torch.complex64 if dtype.is_complex else torch.float32).shape == (2,)
    assert len(WEIRD) > 5
    for dtype in WEIRD:
        hostile.write_zip(
            tmp_path / "x.pt", hostile.in_dict(hostile.name("torch", str(dtype).partition(".")[2]))
        )
        with pytest.raises(DamagedCheckpointError, match=rf"dtype that no detector's[\s\S]*found: +{dtype}$"):
            read_checkpoint(tmp_path / "x.pt")


def test_unsigned_numbers_of_later_versions(tmp_path: Path) -> None:
    """They have no class of storage of their own."""
    value = torch.arange(5).to(torch.uint16)
    assert_same(read_back({"w": value}, tmp_path / "x.pt")["w"], value)


def test_views(options: dict[str, Any], tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    value = {
        "base": base,
        "transposed": base.T,
        "part": base[1:3, ::2],
        "scalar": base[2, 3],
        "empty": torch.zeros(0, 4),
        "empty part": base[4:],
        "expanded": torch.tensor([5.0]).expand(3, 4),
        "odd": torch.tensor([float("nan"), float("inf"), -0.0]),
    }
    found = read_back(value, tmp_path / "x.pt", **options)
    for name, tensor in value.items():
        assert_same(found[name], tensor)
    found["base"][2, 3] = -1
    assert found["scalar"] == -1  # tied, as it was
    assert found["transposed"][3, 2] == -1


def test_large_steps_over_nothing(tmp_path: Path) -> None:
    value = torch.zeros(0).as_strided((0, 3), (1000, 1))
    assert read_back({"w": value}, tmp_path / "x.pt")["w"].shape == (0, 3)


class Tied(nn.Module):
    """Everything that a state dict has to get right."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.SiLU())
        self.head = nn.ModuleList([nn.Linear(8, 4), nn.Linear(8, 4, bias=False)])
        self.again = self.head[0]
        self.nothing = None
        self.register_parameter("absent", None)
        self.register_buffer("anchors", torch.ones(2, 3))
        self.register_buffer("grid", torch.ones(2), persistent=False)
        self.tied = self.head[1].weight
        self.names = ["cat", "dog"]
        self.yaml = {"nc": 2, "depth_multiple": 1.0}
        self.stride = torch.tensor([8.0, 16.0])
        self.best = np.array([0.5])

    def fused(self) -> None:
        raise AssertionError("was run")


def test_a_pickled_model(options: dict[str, Any], tmp_path: Path) -> None:
    model = Tied().half()
    model.forward = model.fused  # as the released code does when it folds
    found = read_back({"model": model, "ema": None, "epoch": 7}, tmp_path / "x.pt", **options)
    assert (found["ema"], found["epoch"]) == (None, 7)
    foreign = found["model"]
    assert (foreign.module, foreign.name) == (__name__, "Tied")
    tensors = state_dict_of(foreign)
    wanted = model.state_dict()
    assert tensors is not None
    assert list(tensors) == list(wanted)
    for name in wanted:
        assert_same(tensors[name], wanted[name])
    assert tensors["tied"].data_ptr() == tensors["head.1.weight"].data_ptr()
    attributes = attributes_of(foreign)
    assert attributes["names"] == ["cat", "dog"]
    assert attributes["yaml"] == {"nc": 2, "depth_multiple": 1.0}
    assert torch.equal(attributes["stride"], torch.tensor([8.0, 16.0]))
    assert attributes["best"] == np.array([0.5])
    assert attributes["forward"] == Symbol(__name__, "Tied.fused")
    assert "training" in attributes
    assert "_modules" not in attributes


def test_a_plain_state_dict(options: dict[str, Any], tmp_path: Path) -> None:
    wanted = Tied().state_dict()  # carries versions of its modules in an attribute
    found = read_back(wanted, tmp_path / "x.pt", **options)
    assert type(found) is dict
    tensors = state_dict_of(found)
    assert tensors is not None
    assert list(tensors) == list(wanted)
    assert all(torch.equal(tensors[name], wanted[name]) for name in wanted)


def test_parameters_and_tensors_with_attributes(options: dict[str, Any], tmp_path: Path) -> None:
    plain, extra, grown = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3)), torch.ones(4)
    extra.note, grown.note = "x", "y"
    leaf = torch.ones(5, requires_grad=True)
    value = {"w": [plain, extra, grown, leaf]}
    found = read_back(value, tmp_path / "x.pt", **options)
    for tensor, wanted in zip(found["w"], value["w"], strict=True):
        assert_same(tensor, wanted)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_training_state(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    optimizer: Any = {
        "SGD": lambda: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        "Adam": lambda: torch.optim.Adam(model.parameters()),
    }[name]()
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    rng: Any = {
        "python": (3, tuple(range(600)), None),
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),
    }
    value: Any = {"optimizer": optimizer.state_dict(), "rng": rng, "best_fitness": np.array([0.5])}
    found = read_back(value, tmp_path / "x.pt", **options)
    torch.testing.assert_close(found["optimizer"]["state"], value["optimizer"]["state"], rtol=0, atol=0)
    assert found["optimizer"]["param_groups"] == value["optimizer"]["param_groups"]
    assert found["rng"]["python"] == rng["python"]
    assert torch.equal(found["rng"]["torch"], rng["torch"])
    np.testing.assert_array_equal(found["rng"]["numpy"][1], rng["numpy"][1])
    assert found["best_fitness"] == value["best_fitness"]


def test_the_folder_is_named_after_the_file(tmp_path: Path) -> None:
    for name in ("epoch=3-val:0.51 (1).pt", "größe.pt", "x"):
        assert torch.equal(read_back({"w": torch.ones(2)}, tmp_path / name)["w"], torch.ones(2))


def test_a_file_without_checksums(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        assert torch.equal(read_back({"w": torch.ones(2)}, tmp_path / "x.pt")["w"], torch.ones(2))
    finally:
        torch.serialization.set_crc32_options(True)


def test_a_file_packed_again(tmp_path: Path) -> None:
    """As by a person who looked inside: folders listed, a comment at the end."""
    packed = zipfile.ZipFile(io.BytesIO(hostile.saved({"w": torch.ones(2)})))
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as again:
        again.writestr("best/", b"")
        for name in packed.namelist():
            again.writestr(name.replace("archive/", "best/"), packed.read(name))
        again.comment = b"found on the internet"
    assert torch.equal(read_checkpoint(tmp_path / "x.pt")["w"], torch.ones(2))


def test_records_with_wide_numbers(tmp_path: Path) -> None:
    """As in files of more than 4 GB, where the 32 bits of the directory do not do."""
    name, pickled = b"archive/data.pkl", pickle.dumps({"epoch": 3}, 2)
    size, crc, wide = len(pickled), zlib.crc32(pickled), 2**32 - 1
    record = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 0, 0, 0, crc, size, size, len(name), 0)
    record += name + pickled
    extra = struct.pack("<2H4s", 0x4246, 4, b"ZZZZ") + struct.pack("<2H3Q", 1, 24, size, size, 0)
    entry = struct.pack("<4s6H3L", b"PK\1\2", 45, 45, 0, 0, 0, 0, crc, wide, wide)
    entry += struct.pack("<5H2L", len(name), len(extra), 0, 0, 0, 0, wide) + name + extra
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(entry), len(record))
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(record) + len(entry), 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, wide, wide, 0)
    (tmp_path / "x.pt").write_bytes(record + entry + end64 + locator + end)
    assert read_checkpoint(tmp_path / "x.pt") == {"epoch": 3}


def test_a_file_of_a_big_endian_machine(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    value = {
        "f": torch.randn(5),
        "h": torch.randn(4).half(),
        "c": torch.randn(3, dtype=torch.complex64),
        "l": torch.arange(3),
    }
    good = zipfile.ZipFile(io.BytesIO(hostile.saved(value)))
    kinds = {"0": "f4", "1": "f2", "2": "f4", "3": "i8"}

    def write(order: bytes) -> None:
        with zipfile.ZipFile(path, "w") as swapped:
            for name in good.namelist():
                content = good.read(name)
                if name.startswith("archive/data/"):
                    content = np.frombuffer(content, kinds[name[13:]]).byteswap().tobytes()
                swapped.writestr(name, order if name.endswith("byteorder") else content)

    write(b"big")
    found: Any = read_checkpoint(path)
    for name, wanted in value.items():
        assert_same(found[name], wanted)
    write(b"middle")
    with pytest.raises(DamagedCheckpointError, match="byte order"):
        read_checkpoint(path)


WHOLE, PART = object(), object()


class OldPickler(pickle._Pickler):
    """Writes what torch wrote: a class once with its source, and parts of storages."""

    def persistent_id(self, obj: object) -> object:
        if obj is nn.Linear and not vars(self).get("known"):
            self.known = True
            return ("module", obj, "linear.py", "class Linear:\n    import os")
        views = {id(WHOLE): None, id(PART): ("0-part", 2, 3)}
        return ("storage", torch.FloatStorage, "0", "cpu", 6, views[id(obj)]) if id(obj) in views else None


class Rebuilt:
    def __init__(self, *args: object) -> None:
        self.args = args

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return torch._utils._rebuild_tensor, self.args


def test_what_the_first_versions_of_torch_wrote(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    whole, part = Rebuilt(WHOLE, 0, (2, 3), (3, 1)), Rebuilt(PART, 1, (2,), (1,))
    OldPickler(buffer, 2).dump({"whole": whole, "part": part, "class": nn.Linear})
    hostile.write_legacy(
        tmp_path / "x.pt", buffer.getvalue(), keys=pickle.dumps(["0"], 2) + struct.pack("<q6f", 6, *range(6))
    )
    found: Any = read_checkpoint(tmp_path / "x.pt")
    assert found["whole"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["part"].tolist() == [3, 4]
    assert found["class"] == Symbol("torch.nn.modules.linear", "Linear")


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        (pickle.dumps(["0", "1"], 2), "not those"),
        (pickle.dumps([], 2), "not those"),
        (pickle.dumps("0", 2), "not those"),
        (pickle.dumps([0], 2), "not those"),
        (pickle.dumps(["0"], 2) + struct.pack("<q6f", 5, *range(6)), "size"),
        (pickle.dumps(["0"], 2) + struct.pack("<q5f", 6, *range(5)), "truncated"),
    ],
)
def test_storages_that_do_not_come(keys: bytes, word: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    OldPickler(buffer, 2).dump({"whole": Rebuilt(WHOLE, 0, (2, 3), (3, 1))})
    hostile.write_legacy(tmp_path / "x.pt", buffer.getvalue(), keys=keys)
    with pytest.raises(DamagedCheckpointError, match=word):
        read_checkpoint(tmp_path / "x.pt")


def test_sniff_tells_by_content(tmp_path: Path) -> None:
    value = {"w": torch.ones(2)}
    torch.save(value, tmp_path / "a.safetensors")
    torch.save(value, tmp_path / "b.zip", _use_new_zipfile_serialization=False)
    torch.save(value, tmp_path / "c.pt", _use_new_zipfile_serialization=False, pickle_protocol=1)
    save_file(value, tmp_path / "d.pt")
    kinds = []
    for path in sorted(tmp_path.iterdir()):
        with open_file(path) as file:
            kinds.append(sniff(file)[0])
    assert kinds == ["torch", "torch before 1.6", "torch before 1.6", "safetensors"]


def rich() -> dict[str, object]:
    """A small checkpoint with something of everything."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).half()
    return {
        "epoch": 3,
        "best_fitness": np.array([0.5]),
        "model": model,
        "names": {0: "cat"},
        "state": collections.OrderedDict(w=torch.ones(3)[::2], b=torch.tensor([True])),
        "set": {1, 2},
        "size": torch.Size([1, 2]),
        "blob": b"xyz",
    }


def packed_again(archive: bytes, edit: Any) -> bytes:
    """The zip file with its pickle edited, and all checksums right."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, edit(content) if name.endswith("data.pkl") else content)
    return buffer.getvalue()


BASES = [hostile.saved(rich(), **options) for options in FORMATS.values()]
opcodes = st.sampled_from([b"M", b"R", b"b", b"0", b"2", b"Q", b"\x81", b"\x93", b"u", b"e"])
edits = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 12), st.binary(max_size=8) | opcodes),
    min_size=1,
    max_size=4,
)


@given(start=st.sampled_from(BASES), edits=edits, inside=st.booleans(), cut=st.floats(0, 1) | st.just(1.0))
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_altered_files_give_a_tree_or_an_error(
    start: bytes, edits: list[tuple[float, int, bytes]], inside: bool, cut: float, tmp_path: Path
) -> None:
    def altered(content: bytes) -> bytes:
        for place, size, new in edits:
            at = int(place * len(content))
            content = content[:at] + new + content[at + size :]
        return content[: int(cut * len(content))]

    path = tmp_path / "x.pt"
    path.write_bytes(packed_again(start, altered) if inside and start.startswith(b"PK") else altered(start))
    with contextlib.suppress(DamagedCheckpointError, UnsafeCheckpointError):
        for node in walk(read_checkpoint(path)):
            if isinstance(node, Foreign | dict):
                state_dict_of(node)
            if isinstance(node, Tensor):
                node.clone()
