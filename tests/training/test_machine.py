"""Lightning's settings for the machine, and the batch size that fits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import yolov7
from yolov7.errors import UsageError
from yolov7.training.config import TrainConfig
from yolov7.training.machine import devices, fitting_batch, fitting_batch_on, only_gpu, precision, workers

GB = 2**30


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"accelerator": "cpu"}, {"accelerator": "cpu", "devices": 1, "num_nodes": 1}),
        ({"accelerator": "cpu", "devices": "2"}, {"accelerator": "cpu", "devices": 2, "num_nodes": 1}),
        ({"accelerator": "gpu"}, {"accelerator": "gpu", "devices": "auto", "num_nodes": 1}),
        ({"accelerator": "gpu", "devices": "0,3"}, {"accelerator": "gpu", "devices": [0, 3], "num_nodes": 1}),
        (
            {"accelerator": "gpu", "devices": "4", "nodes": 2},
            {"accelerator": "gpu", "devices": 4, "num_nodes": 2},
        ),
    ],
)
def test_devices(asked: dict[str, Any], told: dict[str, Any]) -> None:
    assert devices(TrainConfig(**asked)) == told


def test_under_torchrun_its_numbers_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert devices(TrainConfig(accelerator="cpu")) == {"accelerator": "cpu", "devices": 4, "num_nodes": 2}


@pytest.mark.parametrize("asked", ["first", "", ",", " ", "0", "-1", "1.5", "0,0", "0,x", "1;2", "0,-1"])
def test_devices_that_are_no_numbers_are_refused(asked: str) -> None:
    with pytest.raises(UsageError, match=r"invalid devices.*\n.*0,3"):
        devices(TrainConfig(accelerator="cpu", devices=asked))


def test_accelerators_and_precisions_that_nobody_has_are_refused() -> None:
    unknown: Any = "fp16"
    with pytest.raises(UsageError, match="invalid precision"):
        precision(TrainConfig(precision=unknown), "cpu")
    with pytest.raises(UsageError, match="invalid accelerator"):
        devices(TrainConfig(accelerator="tpu9"))


@pytest.mark.parametrize(("asked", "name"), [("32", "32-true"), ("bf16", "bf16-mixed"), ("16", "16-mixed")])
def test_precision_that_is_asked_for(asked: Any, name: str) -> None:
    assert precision(TrainConfig(precision=asked), "cpu") == name


def test_precision_that_is_chosen() -> None:
    assert precision(TrainConfig(), "cpu") in ("bf16-mixed", "32-true")
    assert precision(TrainConfig(), "mps") == "32-true"


def test_one_gpu_is_one_on_one_machine() -> None:
    def gpu(**asked: Any) -> str:
        return str(only_gpu(TrainConfig(accelerator="gpu", **asked)))

    assert gpu(devices="1") == "cuda:0"
    assert gpu(devices="2") == gpu(devices="1", nodes=2) == gpu(devices="0,1") == "None"
    assert only_gpu(TrainConfig(accelerator="cpu")) is None


def test_workers() -> None:
    assert workers(TrainConfig(workers=3)) == 3
    assert workers(TrainConfig(accelerator="cpu")) == 0
    assert 1 <= workers(TrainConfig(accelerator="gpu")) <= 8


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
