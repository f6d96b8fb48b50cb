"""Letterboxes: shapes, padding and interpolation as published, and the way back for boxes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yolov7.errors import UsageError
from yolov7.images.letterbox import (
    GREY,
    letterbox,
    letterbox_evaluation,
    long_side_size,
    released_way_back,
    share_shape,
    to_tensor,
    whole_strides,
)
from yolov7.types import FloatArray, Image, Letterbox

SIDES = st.integers(1, 700)


def from_source(box: Letterbox, boxes: FloatArray) -> FloatArray:
    """Map boxes from the source image to the letterboxed image."""
    return np.float32(boxes * (box.scale * 2) + box.padding * 2)


def inside(canvas: Image, box: Letterbox) -> Image:
    """Image part of the canvas."""
    height, width = (
        round(side * scale) for side, scale in zip(box.source_size, box.scale[::-1], strict=True)
    )
    left, top = box.padding
    return canvas[top : top + height, left : left + width]


@pytest.mark.parametrize(
    ("source", "stride", "shape", "padding"),
    [
        ((480, 640), 32, (480, 640), (0, 0)),
        ((427, 640), 32, (448, 640), (0, 10)),  # 21 rows of padding: 10 above, 11 below
        ((1080, 1920), 32, (384, 640), (0, 12)),
        ((1080, 1920), 64, (384, 640), (0, 12)),
        ((1080, 1920), None, (640, 640), (0, 140)),
        ((300, 200), 32, (640, 448), (10, 0)),  # enlarged: 427 columns
    ],
)
def test_letterbox_for_prediction(
    source: tuple[int, int], stride: int | None, shape: tuple[int, int], padding: tuple[int, int]
) -> None:
    canvas, box = letterbox(np.zeros((*source, 3), np.uint8), 640, stride=stride)
    assert canvas.shape == (*shape, 3)
    assert (box.size, box.source_size, box.padding) == (shape, source, padding)
    assert not inside(canvas, box).any()
    assert (canvas == GREY).sum() == canvas.size - inside(canvas, box).size


@pytest.mark.parametrize(
    ("source", "shape", "inner"),
    [
        ((427, 640), (448, 672), (427, 640)),  # long side is right already: not touched
        ((375, 500), (512, 672), (480, 640)),
        ((333, 500), (448, 672), (426, 640)),  # 426.24 truncated
        ((1281, 1920), (448, 672), (427, 640)),
        ((640, 427), None, (640, 427)),
    ],
)
def test_letterbox_for_evaluation(
    source: tuple[int, int], shape: tuple[int, int] | None, inner: tuple[int, int]
) -> None:
    canvas, box = letterbox_evaluation(np.zeros((*source, 3), np.uint8), 640, shape)
    assert canvas.shape == (*(shape or (640, 640)), 3)
    assert inside(canvas, box).shape[:2] == inner
    assert not inside(canvas, box).any()
    assert (canvas == GREY).sum() == canvas.size - 3 * inner[0] * inner[1]


def test_interpolation_methods(rng: np.random.Generator) -> None:
    large, small = (rng.integers(0, 256, (*size, 3), np.uint8) for size in ((300, 200), (30, 20)))
    for image, method in ((large, cv2.INTER_AREA), (small, cv2.INTER_LINEAR)):
        canvas, box = letterbox_evaluation(image, 96)
        np.testing.assert_array_equal(inside(canvas, box), cv2.resize(image, (64, 96), interpolation=method))
        canvas, box = letterbox(image, 96)
        np.testing.assert_array_equal(inside(canvas, box), cv2.resize(image, (64, 96)))


def test_image_too_large_for_its_batch_is_shrunk() -> None:
    canvas, box = letterbox_evaluation(np.zeros((400, 200, 3), np.uint8), 128, (64, 160))
    assert canvas.shape == (64, 160, 3)
    assert inside(canvas, box).shape == (64, 32, 3)


def test_source_is_neither_modified_nor_shared(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (64, 64, 3), np.uint8)
    before = image.copy()
    canvas, _ = letterbox(image, 64, stride=32)
    canvas[:] = 0
    np.testing.assert_array_equal(image, before)


def test_mirrored_and_read_only_arrays(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (50, 30, 3), np.uint8)
    mirrored = image[:, ::-1, ::-1]
    mirrored.flags.writeable = False
    np.testing.assert_array_equal(letterbox(mirrored, 64)[0], letterbox(mirrored.copy(), 64)[0])


@settings(deadline=None)
@given(
    height=SIDES,
    width=SIDES,
    size=st.sampled_from([32, 64, 320, 640]),
    stride=st.sampled_from([None, 32, 64]),
    evaluation=st.booleans(),
    corners=st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4), max_size=5),
)
def test_boxes_map_back_to_the_source(
    height: int,
    width: int,
    size: int,
    stride: int | None,
    evaluation: bool,
    corners: list[tuple[float, float, float, float]],
) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    canvas, box = letterbox_evaluation(image, size) if evaluation else letterbox(image, size, stride=stride)
    assert canvas.shape[:2] == box.size
    if stride is not None and not evaluation:
        assert all(side % stride == 0 for side in box.size)
        assert box.size[0] < size + stride
        assert box.size[1] < size + stride
    left, top = box.padding
    assert 0 <= left <= box.size[1] // 2
    assert 0 <= top <= box.size[0] // 2
    boxes = np.array(corners, np.float32).reshape(-1, 4)
    boxes = np.concatenate(
        (np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])), 1
    )
    boxes *= np.array((width, height, width, height), np.float32)
    there = from_source(box, boxes)
    assert (there >= -1e-3).all()
    assert (there[:, 0::2] <= box.size[1] + 1e-3).all()
    assert (there[:, 1::2] <= box.size[0] + 1e-3).all()
    # The padding's offset costs float32 digits: a pixel of the canvas may be several of the source.
    tolerance = 1e-4 * max(1, *(1 / scale for scale in box.scale))
    np.testing.assert_allclose(box.to_source(there), boxes, atol=tolerance, rtol=1e-5)


def test_long_side_of_a_size() -> None:
    assert long_side_size((480, 640), 640) == (480, 640)
    assert long_side_size((333, 500), 640) == (426, 640)
    assert long_side_size((1, 5000), 640) == (1, 640)


def test_tensor_is_channels_last_and_one_image_is_not_copied(rng: np.random.Generator) -> None:
    images = [rng.integers(0, 256, (32, 64, 3), np.uint8) for _ in range(3)]
    tensor = to_tensor(images)
    assert tensor.shape == (3, 3, 32, 64)
    assert tensor.dtype == torch.uint8
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    for image, one in zip(images, tensor, strict=True):
        np.testing.assert_array_equal(one.permute(1, 2, 0).numpy(), image)
    single = to_tensor(images[:1])
    images[0][3, 4, 1] ^= 255
    assert single[0, 1, 3, 4] == images[0][3, 4, 1]


def test_images_of_several_shapes_share_the_smallest_rectangle(rng: np.random.Generator) -> None:
    sources = [rng.integers(0, 256, (*size, 3), np.uint8) for size in ((60, 128), (128, 60), (128, 60))]
    prepared = [letterbox(source, 128, stride=32) for source in sources]
    images, boxes = share_shape(prepared)
    assert {image.shape for image in images} == {(128, 128, 3)}
    assert to_tensor(images).shape == (3, 3, 128, 128)
    corners = np.array([[10, 20, 50, 55]], np.float32)
    for source, image, box in zip(sources, images, boxes, strict=True):
        np.testing.assert_array_equal(inside(image, box), source)
        assert (image == GREY).sum() >= image.size - source.size
        np.testing.assert_allclose(box.to_source(from_source(box, corners)), corners)


def test_invalid_input_is_refused() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(UsageError, match="one shape"):
        to_tensor([image, np.zeros((8, 9, 3), np.uint8)])
    with pytest.raises(UsageError, match="one shape"):
        to_tensor([])
    with pytest.raises(UsageError, match=r"expected: uint8 \(H, W, 3\)\s+found:    float64 \(8, 8, 3\)"):
        letterbox(np.zeros((8, 8, 3)), 64)
    with pytest.raises(UsageError, match="not an image"):
        letterbox(np.zeros((0, 8, 3), np.uint8), 64)
    with pytest.raises(UsageError, match="positive"):
        letterbox(image, 0)


def test_released_mapping_has_unrounded_padding_and_one_scale() -> None:
    """Exactly x = (u - (W - w) / 2) / (h / h0) with the resized w x h, and the same for y."""
    image = np.zeros((301, 433, 3), np.uint8)
    _, box = letterbox_evaluation(image, 416, (320, 448))
    height, width = 301 * 416 // 433, 416  # the short side truncated
    assert box.padding == ((448 - width) // 2, (320 - height) // 2)
    boxes = np.float32([[40, 50, 90, 120], [16, 15.5, 432, 304.5]])
    gain = height / 301
    expected = (boxes - np.float32([(448 - width) / 2, (320 - height) / 2] * 2)) / gain
    expected = np.clip(expected, 0, [433, 301, 433, 301])
    np.testing.assert_allclose(released_way_back(box).to_source(boxes), expected, atol=1e-4)
    apart = np.abs(box.to_source(boxes) - expected).max() * gain
    assert 0.5 <= apart < 1, "half a pixel of the network, for 31 rows of padding are odd"


def test_image_size_is_rounded_up_to_the_stride_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert [whole_strides(size, 64) for size in (64, 416, 449, 640)] == [64, 448, 512, 640]
    assert [record.getMessage() for record in caplog.records] == [
        "image size 416 is not a multiple of 64: rounded up to 448",
        "image size 449 is not a multiple of 64: rounded up to 512",
    ]
    with pytest.raises(UsageError, match=r"invalid image size.*\n.*at least 64\n  found:    63"):
        whole_strides(63, 64)
