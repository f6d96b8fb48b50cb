"""Colour shifts, compared with look-up tables."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolov7.samples.colour import shift_colours
from yolov7.types import Image


def by_table(image: Image, gains: tuple[float, float, float]) -> Image:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    levels = np.arange(256)
    tables = (
        np.round(levels * gains[0]) % 180,
        np.round(levels * gains[1]).clip(0, 255),
        np.round(levels * gains[2]).clip(0, 255),
    )
    for channel, table in enumerate(tables):
        hsv[..., channel] = table.astype(np.uint8)[hsv[..., channel]]
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


@given(
    st.integers(0, 1000),
    st.tuples(st.integers(1, 150), st.integers(1, 150)),
    st.tuples(st.floats(0.6, 1.4), st.floats(0, 2), st.floats(0, 2)),
)
def test_gains_match_lookup_tables(
    seed: int, shape: tuple[int, int], gains: tuple[float, float, float]
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
    expected = by_table(image, gains)
    shift_colours(image, np.array(gains))
    # A level of hue is worth a sixth of 255 / 30; ties round either way.
    difference = np.abs(image.astype(int) - expected)
    assert difference.max() <= 12
    assert difference.sum() < 0.2 * difference.size + 30


def test_hue_wraps_around() -> None:
    nearly_red = np.array([[[255, 0, 5]]], np.uint8)  # hue 179 of 180
    shift_colours(nearly_red, np.array((1.015, 1, 1)))  # 182, which is 2
    assert nearly_red.tolist() == [[[255, 17, 0]]]


@pytest.mark.parametrize("level", [0, 114, 255])
def test_grey_changes_only_its_brightness(level: int) -> None:
    image = np.full((70, 3, 3), level, np.uint8)
    shift_colours(image, np.array((1.4, 2, 0.5)))
    assert (image == round(level * 0.5)).all() or (image == level // 2).all()
