"""What all artefacts have in common as backends."""

from __future__ import annotations

import pytest
import torch

from tests.runtimes.lively import lively
from yolov7.errors import UsageError
from yolov7.inference.backend import TorchBackend
from yolov7.runtimes.description import Description, ExportOptions
from yolov7.runtimes.runtime import ArtefactBackend, precision_of


class Counting(ArtefactBackend):
    """Rows that say which image they are of; it remembers how many it was given at once."""

    def __init__(self, options: ExportOptions) -> None:
        super().__init__(Description.of(lively(), "counting", options))
        self.batches: list[int] = []

    def infer(self, images: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(images))
        return images[:, 0, 0, :1, None].expand(-1, 2, 8)


def numbered(count: int) -> torch.Tensor:
    images = torch.zeros(count, 3, 128, 128)
    images[:, 0, 0, 0] = torch.arange(1, count + 1)
    return images


@pytest.mark.parametrize(
    ("options", "largest", "batches"),
    [
        (ExportOptions(dynamic=True), None, [7]),
        (ExportOptions(dynamic=True), 3, [3, 3, 1]),
        (ExportOptions(batch=3), None, [3, 3, 3]),
        (ExportOptions(), None, [1] * 7),
    ],
    ids=["any", "at most three", "three", "one"],
)
def test_portions_are_what_the_artefact_takes(options, largest, batches):
    backend = Counting(options)
    backend.largest_batch = largest
    found = backend(numbered(7), 0.5)
    assert backend.batches == batches
    assert [rows[0, 4].item() for rows in found] == list(range(1, 8))


def test_sides_that_it_does_not_take():
    with pytest.raises(UsageError, match=r"one size\n  expected: 128 x 128\n  found:    96 x 128"):
        Counting(ExportOptions())(torch.zeros(1, 3, 96, 128), 0)
    with pytest.raises(UsageError, match=r"multiples of 32\n  found:    100 x 128"):
        Counting(ExportOptions(dynamic=True))(torch.zeros(1, 3, 100, 128), 0)


def test_precision_is_that_of_the_convolutions():
    model = lively().model
    assert precision_of(TorchBackend(model)) == "float32"
    assert precision_of(TorchBackend(model, half=True)) == "bfloat16"
    assert precision_of(Counting(ExportOptions(half=True))) == "float16"
