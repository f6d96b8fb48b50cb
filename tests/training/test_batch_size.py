"""The batch that fits, for memory that grows as a network's does."""

from __future__ import annotations

import pytest
import torch

import yolov7
from yolov7.training.batch_size import fitting_batch, fitting_batch_on

GB = 2**30


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
