"""The file of a run's state: everything comes back, and nothing half-written is ever taken for it."""

from __future__ import annotations

import math
import resource
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from yolov7.errors import DamagedCheckpointError, OutputError
from yolov7.training.state import FORMAT, SafeState, checksum, previous


def state() -> dict[str, object]:
    return {
        "epoch": 3,
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.randn(3, 2)}, 7: {}}, "groups": (1, 2)}],
        "best": -math.inf,
        "nothing": None,
        "flag": True,
        "name": "ä",
        "bf16": torch.randn(4).bfloat16(),
        "scalar": torch.tensor(5),
        "strided": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "empty": torch.zeros(0, 4),
    }


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def test_everything_comes_back(tmp_path: Path) -> None:
    path, before = tmp_path / "run" / "state.safetensors", state()
    SafeState().save_checkpoint(before, path)
    assert same(before, SafeState().load_checkpoint(path))
    assert [file.name for file in path.parent.iterdir()] == ["state.safetensors"]


def test_tensors_that_share_memory_come_back(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    SafeState().save_checkpoint({"a": shared, "b": shared[:3]}, tmp_path / "state")
    back = SafeState().load_checkpoint(tmp_path / "state")
    assert torch.equal(back["a"], shared)
    assert torch.equal(back["b"], shared[:3])


def test_what_is_neither_tensor_nor_plain_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="plain values"):
        SafeState().save_checkpoint({"a": Path()}, tmp_path / "state")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_a_truncated_state_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "state"
    SafeState().save_checkpoint(state(), path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DamagedCheckpointError, match="whole training state"):
        SafeState().load_checkpoint(path)


@pytest.mark.parametrize("where", [0.1, 0.3, 0.6, 0.9, 0.999])
def test_an_altered_byte_is_noticed(tmp_path: Path, where: float) -> None:
    """Behind the length of the header, which alone says where the tensors are."""
    path = tmp_path / "state"
    SafeState().save_checkpoint(state() | {"weights": torch.randn(2000)}, path)
    content = bytearray(path.read_bytes())
    content[8 + int(where * (len(content) - 8))] ^= 0x11
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpointError):
        SafeState().load_checkpoint(path)


def test_the_state_before_stays(tmp_path: Path) -> None:
    path = tmp_path / "state"
    for epoch in (1, 2, 3):
        SafeState().save_checkpoint({"epoch": epoch}, path)
    assert SafeState().load_checkpoint(path) == {"epoch": 3}
    assert SafeState().load_checkpoint(previous(path)) == {"epoch": 2}
    assert sorted(tmp_path.iterdir()) == sorted([path, previous(path)])


@pytest.mark.parametrize(
    "tree",
    ["[]", '{"dict": [["a", {"tensor": "7"}]]}', '{"set": []}', '{"dict": [[[], 1]]}', "{", "[" * 99_999],
)
def test_a_made_up_tree_is_refused(tmp_path: Path, tree: str) -> None:
    path = tmp_path / "state"
    metadata = {"format": FORMAT, "tree": tree, "checksum": checksum(tree, {})}
    save_file({}, path, metadata)
    with pytest.raises(DamagedCheckpointError) as raised:
        SafeState().load_checkpoint(path)
    assert raised.value.file == str(path)


def test_another_safetensors_file_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(DamagedCheckpointError, match="not a training state"):
        SafeState().load_checkpoint(tmp_path / "a.safetensors")


def test_a_disk_without_room_keeps_the_state_before(tmp_path: Path) -> None:
    """A limit on the length of files takes the part of the disk: writing beyond it fails as on a full one."""
    path = tmp_path / "state"
    SafeState().save_checkpoint({"epoch": 1}, path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            SafeState().save_checkpoint({"epoch": 2, "weights": torch.zeros(100_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert SafeState().load_checkpoint(path) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["state"]
