"""What training looks like, pixel by pixel where that says something."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from yolov7.drawing import class_colour
from yolov7.models.detector import create
from yolov7.reports.pictures import draw_positives, draw_samples, objectness_maps
from yolov7.types import Assignment, Batch, Predictions, Targets

STRIDES = (8, 16)


def batch(count: int = 3, *, dtype: torch.dtype = torch.float32, targets: bool = True) -> Batch:
    """Plain images (grey 51) of 64 x 96; the second has two objects, the last has one."""
    images = torch.full((count, 3, 64, 96), 51 if dtype == torch.uint8 else 0.2, dtype=dtype)
    truth = Targets(
        torch.tensor([1, 1, count - 1]),
        torch.tensor([[8.0, 8, 40, 40], [48, 8, 88, 56], [16, 16, 80, 48]]),
        torch.tensor([0, 1, 7]),
    )
    return Batch(images, truth if targets else None)


def assignment(*positives: tuple[int, int, int, int, int, int]) -> Assignment:
    """(level, image, anchor, row, column, target) each."""
    return Assignment(*torch.tensor(positives, dtype=torch.int64).reshape(-1, 6).T)


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (np.abs(picture.astype(int) - colour) < 12).all(axis=-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.uint8])
def test_samples_are_shown_as_the_network_gets_them(dtype: torch.dtype):
    sheet = draw_samples(batch(dtype=dtype), ("cat", "dog"), width=2 * 96)
    gap = 6
    assert sheet.shape == (2 * 64 + gap, 2 * 96 + gap, 3)
    assert near(sheet[:64, :96], (51, 51, 51)).all(), "no object in the first"
    second = sheet[:64, 96 + gap :]
    assert near(second, class_colour(0)).sum() > 80
    assert near(second, class_colour(1)).sum() > 80
    third = sheet[64 + gap :, :96]
    assert near(third, class_colour(7)).sum() > 80
    assert sheet[64 + gap :, 96 + gap :].max() < 51, "there is no fourth"


def test_samples_without_targets_and_fewer_than_there_are():
    assert draw_samples(batch(targets=False), (), limit=1, width=96).shape == (64, 96, 3)


def test_positives_lie_at_the_centres_of_their_cells_in_the_colour_of_their_object():
    lead = assignment((0, 1, 0, 2, 2, 0), (1, 1, 1, 1, 4, 1), (1, 1, 2, 1, 4, 1))
    aux = assignment((0, 2, 0, 3, 5, 2))
    sheet = draw_positives(batch(), {"lead": lead, "auxiliary": aux}, STRIDES, width=4 * 96, limit=2)
    assert sheet.shape == (2 * 128 + 6, 2 * 192 + 6, 3), "the two images with objects; two columns"
    scale = 2
    left, right = sheet[:128, :192], sheet[:128, 198:]
    for (x, y), number in (((20, 20), 0), ((72, 24), 1)):
        assert near(left[y * scale, x * scale], class_colour(number))
        assert not near(right[y * scale, x * scale], class_colour(number))
    # Dots grow with the stride.
    row = near(left[40], class_colour(0))[30:50].sum(), near(left[48], class_colour(1))[130:160].sum()
    assert row[0] < row[1]
    below = sheet[134:, 198:]
    assert near(below[28 * scale, 44 * scale], class_colour(0)), "the first object of its image"


def test_positives_of_an_assigner_that_found_none():
    sheet = draw_positives(batch(), {"lead": assignment()}, STRIDES, limit=1, width=96)
    assert sheet.shape == (64, 96, 3)


def test_heat_is_where_objectness_is():
    def level(stride: int, hot: tuple[int, int] | None) -> torch.Tensor:
        logits = torch.full((2, 3, 64 // stride, 96 // stride, 7), -12.0)
        if hot:
            logits[1, 2, hot[0], hot[1], 4] = 9.0
        return logits

    predictions = Predictions((level(8, (2, 9)), level(16, None)), (level(8, None), level(16, (3, 1))))
    image = np.full((64, 96, 3), 120, np.uint8)
    sheet = objectness_maps(predictions, image, index=1, width=2 * 96)
    assert sheet.shape == (2 * 64 + 6, 2 * 96 + 6, 3)
    tiles = {
        ("lead", 8): sheet[:64, :96],
        ("lead", 16): sheet[:64, 102:],
        ("auxiliary", 8): sheet[70:, :96],
        ("auxiliary", 16): sheet[70:, 102:],
    }

    def warmth(tile: np.ndarray, y: int, x: int) -> int:
        return int(tile[y, x, 0]) - int(tile[y, x, 2])

    assert warmth(tiles["lead", 8], 20, 76) > 60
    assert warmth(tiles["auxiliary", 16], 56, 24) > 60
    for name, y, x in ((("lead", 16), 20, 76), (("auxiliary", 8), 56, 24), (("lead", 8), 50, 20)):
        assert abs(warmth(tiles[name], y, x)) < 30
    cold = objectness_maps(predictions, image, index=0, width=2 * 96)
    assert warmth(cold[:64, :96], 20, 76) < 30


def test_a_network_without_auxiliary_heads_has_one_row():
    model = create("yolov7-tiny", classes=2).eval()
    with torch.no_grad():
        predictions = model(torch.rand(1, 3, 64, 96))
    sheet = objectness_maps(predictions, np.zeros((64, 96, 3), np.uint8), width=3 * 96)
    assert sheet.shape == (64, 3 * 96 + 2 * 6, 3)
