"""Small artefacts that ask for much: refused from their shapes alone, before anything so large is made."""

from __future__ import annotations

import pytest
import torch

from tests.bounds.artefacts import ASKS, CASES, NCNN, script
from tests.bounds.case import Ready
from tests.runtimes.lively import noise
from tests.untrusted.hostile import written
from yolov7.errors import CheckpointError
from yolov7.loading import load
from yolov7.untrusted.demand import Demand
from yolov7.untrusted.program import Builder, Program, product

PICTURE = noise(64, 80)


@pytest.mark.parametrize("name", ASKS)
def test_a_program_out_of_proportion_is_refused_and_named(name, tmp_path):
    path = written(tmp_path, "a.torchscript", script(name))
    predictor = load(path)
    with pytest.raises(CheckpointError, match="out of all proportion") as refused:
        predictor(PICTURE)
    assert refused.value.file == str(path)


@pytest.mark.parametrize(
    "name", [f"ncnn: {name}" for name in NCNN] + [n for n in CASES if n.startswith(("openvino", "onnx"))]
)
def test_a_network_of_another_runtime_is_refused_when_it_is_opened(name, tmp_path):
    ready = Ready(*[tmp_path / "none"] * 4)
    path = CASES[name]()(tmp_path, ready)[0][1]
    with pytest.raises(CheckpointError, match=r"out of all proportion|make no sense") as refused:
        load(path)
    assert refused.value.file.startswith(path)


def test_numbers_of_images_become_no_sizes():
    builder = Builder()
    image = builder.register()
    (size,) = builder.add(int, (image,))
    (result,) = builder.operation("expand", (image, [size]))
    with pytest.raises(RuntimeError, match="meta"):
        Program(builder.steps, image, result)(torch.ones(1))


def test_products_have_64_bits():
    assert product(2**31, 2**31) == 2**62
    with pytest.raises(OverflowError):
        product(2**32, 2**31)


def test_demand_grows_with_the_images():
    Demand(640 * 640).add(200 * 640 * 640, 500)
    with pytest.raises(CheckpointError):
        Demand(64 * 64).add(200 * 640 * 640)
    demand = Demand(0)
    for _ in range(10):
        demand.add(7_000_000)
    with pytest.raises(CheckpointError):
        demand.add(7_000_000, 1_000)
