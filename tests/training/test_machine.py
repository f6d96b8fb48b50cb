"""Lightning's settings for the machine, and the batch size that fits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import yolov7
from yolov7.errors import UsageError
from yolov7.training.config import TrainConfig
from yolov7.training.machine import find_machine, fitting_batch, fitting_batch_on

GB = 2**30


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"accelerator": "cpu"}, ("cpu", 1, 1)),
        ({"accelerator": "cpu", "devices": "2"}, ("cpu", 2, 1)),
        ({"accelerator": "mps"}, ("mps", "auto", 1)),
        ({"accelerator": "gpu", "devices": "0,3"}, ("gpu", [0, 3], 1)),
        ({"accelerator": "gpu", "devices": "4", "nodes": 2}, ("gpu", 4, 2)),
    ],
)
def test_devices_and_nodes(options: dict[str, Any], expected: tuple[Any, ...]) -> None:
    machine = find_machine(TrainConfig(**options, precision="32"))
    assert (machine.accelerator, machine.devices, machine.num_nodes) == expected


def test_torchrun_decides_the_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setenv("WORLD_SIZE", "8")
    machine = find_machine(TrainConfig(accelerator="cpu"))
    assert (machine.devices, machine.num_nodes) == (4, 2)


@pytest.mark.parametrize("devices", ["first", "", ",", " ", "0", "-1", "1.5", "0,0", "0,x", "1;2", "0,-1"])
def test_invalid_devices_are_refused(devices: str) -> None:
    with pytest.raises(UsageError, match=r"invalid devices.*\n.*0,3"):
        find_machine(TrainConfig(accelerator="cpu", devices=devices))


def test_invalid_accelerators_and_precisions_are_refused() -> None:
    unknown: Any = "fp16"
    with pytest.raises(UsageError, match="invalid precision"):
        find_machine(TrainConfig(precision=unknown))
    with pytest.raises(UsageError, match="invalid accelerator"):
        find_machine(TrainConfig(accelerator="tpu9"))


@pytest.mark.parametrize(
    ("accelerator", "precision", "names"),
    [
        ("cpu", "32", {"32-true"}),
        ("cpu", "bf16", {"bf16-mixed"}),
        ("cpu", "16", {"16-mixed"}),
        ("cpu", "auto", {"bf16-mixed", "32-true"}),
        ("mps", "auto", {"32-true"}),
    ],
)
def test_precision(accelerator: str, precision: Any, names: set[str]) -> None:
    assert find_machine(TrainConfig(accelerator=accelerator, precision=precision)).precision in names


def test_only_gpu_is_one_gpu_on_one_machine() -> None:
    def gpu(**options: Any) -> str:
        return str(find_machine(TrainConfig(accelerator="gpu", precision="32", **options)).only_gpu)

    assert gpu(devices="1") == "cuda:0"
    assert gpu(devices="3,") == "cuda:3"
    assert gpu(devices="2") == gpu(devices="1", nodes=2) == gpu(devices="0,1") == "None"
    assert find_machine(TrainConfig(accelerator="cpu")).only_gpu is None


def test_default_number_of_workers() -> None:
    assert find_machine(TrainConfig(accelerator="cpu")).workers == 0
    assert 1 <= find_machine(TrainConfig(accelerator="gpu", precision="32")).workers <= 8


@pytest.mark.parametrize(
    ("weights", "image", "available", "batch"),
    [
        (1 * GB, GB // 2, 24 * GB, 32),  # 0.8 x 24 = 19.2: 36 images, 32 of them in eights
        (1 * GB, 3 * GB, 16 * GB, 3),
        (8 * GB, 4 * GB, 8 * GB, 1),  # does not fit at all: the step itself will say so
        (0, 1, 80 * GB, 256),
    ],
)
def test_what_fits(weights: int, image: int, available: int, batch: int) -> None:
    assert fitting_batch(lambda count: weights + count * image, available) == batch


@pytest.mark.skipif(not torch.cuda.is_available(), reason="measures a GPU's memory")
def test_on_a_gpu() -> None:
    model = yolov7.create("yolov7-tiny", classes=3)
    assert fitting_batch_on(torch.device("cuda"), model, 320, "bf16-mixed") >= 8
