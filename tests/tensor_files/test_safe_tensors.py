"""The reader of safetensors: equal to the format's own library on sound files, bounded on others."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from yolov7.errors import DamagedCheckpointError
from yolov7.tensor_files.safe_tensors import MAX_HEADER, read_safetensors
from yolov7.tensor_files.tree import MAX_TENSORS


def read(path, content):
    path.write_bytes(content)
    with path.open("rb") as file:
        return read_safetensors(file)


def packed(header, data=b""):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def test_what_the_library_writes_is_read(tmp_path):
    dtypes = (
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.float8_e4m3fn,
        torch.float8_e5m2,
    )
    integers = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
    tensors = {str(dtype): torch.arange(6).reshape(2, 3).float().to(dtype) for dtype in dtypes}
    tensors |= {str(dtype): torch.tensor([[1, 0]]).to(dtype) for dtype in integers}
    tensors |= {"scalar": torch.tensor(3.5), "empty": torch.zeros(0, 3)}
    found, metadata = read(tmp_path / "x", save(tensors, {"a": "b"}))
    assert metadata == {"a": "b"}
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name].double(), tensor.double())


def entry(begin=0, end=8, shape=(2,), dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "content",
    [
        b"\x08",
        packed(b"{"),
        packed(b"[" * 100_000),
        packed(b"[]"),
        packed(b'{"a": 1, "a": 1}'),
        packed({"a": 7}),
        packed({"a": entry(dtype="F4")}, bytes(8)),
        packed({"a": entry(dtype=["F32"])}, bytes(8)),
        packed({"a": entry(shape=[3])}, bytes(8)),
        packed({"a": entry(shape=[-2])}, bytes(8)),
        packed({"a": entry(shape="2")}, bytes(8)),
        packed({"a": entry(0, 0, [0, 2**62, 2**62])}),
        packed({"a": entry(8, 0, [0])}, bytes(8)),
        packed({"a": entry(4, 12)}, bytes(12)),
        packed({"a": entry(), "b": entry()}, bytes(8)),
        packed({"a": entry()}, bytes(7)),
        packed({"a": entry()}, bytes(9)),
        packed({"a": entry(0, 2, [2], "BOOL")}, b"\x01\x02"),
        packed({"n" * 600: entry()}, bytes(8)),
        packed({"__metadata__": {"a": 1}}),
        packed({"__metadata__": []}),
        packed({f"t{i}": entry(0, 0, [0]) for i in range(MAX_TENSORS + 1)}),
        packed(b" " * (MAX_HEADER + 1)),
        struct.pack("<Q", 2**62) + b"{}",
    ],
)
def test_what_is_not_whole_is_one_error(tmp_path, content):
    with pytest.raises(DamagedCheckpointError) as caught:
        read(tmp_path / "x", content)
    assert len(str(caught.value)) < 600


GOOD = save({"a": torch.arange(4.0), "b": torch.zeros(2, 2)}, {"format": "pt"})


@given(at=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255), cut=st.integers(0, 40))
def test_damage_is_read_or_told(tmp_path_factory, at, byte, cut):
    damaged = GOOD[:at] + bytes([byte]) + GOOD[at + 1 : len(GOOD) - cut]
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    try:
        tensors, _ = read(path, damaged)
    except DamagedCheckpointError:
        return
    assert sum(tensor.numel() for tensor in tensors.values()) <= 8 * 4
