"""Views of an image: their pixels, the way back, and rows merged before NMS."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.inference.test_predictor import NAMES, BrightSpot, spotted
from tests.runtimes.lively import lively, noise
from yolov7.errors import UsageError
from yolov7.images.letterbox import letterbox
from yolov7.inference.backend import TorchBackend
from yolov7.inference.pipeline import View, augmented, infer, prepare, select
from yolov7.inference.predictor import Predictor
from yolov7.nms import non_max_suppression
from yolov7.thresholds import Thresholds

SIZES = [(90, 120), (120, 90), (64, 128), (301, 200)]


def test_views_are_the_canvas_scaled_and_mirrored():
    """Pixels as PyTorch scales them, on grey, in multiples of the stride."""
    canvas = noise(96, 128, 4)
    first, second, third = augmented(View(canvas, letterbox(canvas, 128)[1]), 32)
    assert first.canvas is canvas
    pixels = torch.from_numpy(canvas).permute(2, 0, 1)[None] / 255
    for view, tensor, inner, outer in (
        (second, pixels.flip(3), (79, 106), (96, 128)),
        (third, pixels, (64, 85), (96, 96)),
    ):
        scaled = F.interpolate(tensor, size=inner, mode="bilinear", align_corners=False)
        expected = F.pad(scaled, (0, outer[1] - inner[1], 0, outer[0] - inner[0]), value=0.447)
        assert view.letterbox.size == outer
        assert view.canvas.dtype == np.float32
        np.testing.assert_allclose(view.canvas, expected[0].permute(1, 2, 0).numpy(), atol=1e-5)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize(("height", "width"), [(480, 640), (640, 480), (100, 900), (1000, 700)])
def test_every_view_finds_the_object_in_the_same_place(height, width, centred):
    box = np.array([width // 4, height // 4, width // 2, height // 2])
    view = prepare(spotted(height, width, tuple(box)), 320, 32, centred=centred)
    backend = BrightSpot()
    for one in augmented(view, 32):
        (found,) = infer(backend, [[one]], 0.1)
        ((x, y, w, h, *_),) = found.rows.tolist()
        (left, top), (across, down) = found.letterbox.padding, found.letterbox.scale
        sides = [(x - w / 2 - left) / across, (x + w / 2 - left) / across]
        sides += [(y - h / 2 - top) / down, (y + h / 2 - top) / down]
        found_box = np.array([*sorted(sides[:2]), *sides[2:]])[[0, 2, 1, 3]]
        assert np.abs(found_box - box).max() <= 3 / min(view.letterbox.scale), one.letterbox
    assert all(shape[2] % 32 == 0 and shape[3] % 32 == 0 for shape in backend.shapes)
    (merged,) = infer(backend, [augmented(view, 32)], 0.1)
    assert merged.letterbox == view.letterbox
    assert merged.rows.shape == (3, 8)
    assert (merged.rows[:, :4] - merged.rows[0, :4]).abs().max() <= 3.5
    predictor = Predictor(BrightSpot(), NAMES, 320, centred=centred, augment=True)
    detections = predictor(spotted(height, width, tuple(box)))
    assert len(detections) == 1, "what all views see is one object"
    assert np.abs(detections.boxes[0] - box).max() <= 3 / min(view.letterbox.scale)


def by_hand(backend: TorchBackend, image: np.ndarray, size: int, conf: float) -> tuple[torch.Tensor, ...]:
    """Test-time augmentation as the released tool does it, on the tensor of one letterboxed image."""
    canvas, box = letterbox(image, size, stride=32, centred=False)
    pixels = torch.from_numpy(canvas).permute(2, 0, 1)[None] / 255
    rows = []
    for scale, mirrored in ((1.0, False), (0.83, True), (0.67, False)):
        view = pixels.flip(3) if mirrored else pixels
        inner = [int(side * scale) for side in canvas.shape[:2]]
        outer = [math.ceil(side * scale / 32) * 32 for side in canvas.shape[:2]]
        if scale != 1:
            view = F.interpolate(view, size=inner, mode="bilinear", align_corners=False)
            view = F.pad(view, (0, outer[1] - inner[1], 0, outer[0] - inner[0]), value=0.447)
        (found,) = backend(view, conf)
        found = found.clone()
        found[:, :4] /= scale
        if mirrored:
            found[:, 0] = canvas.shape[1] - found[:, 0]
        rows.append(found)
    (found,) = non_max_suppression([torch.cat(rows)], conf, 0.45)
    return torch.from_numpy(box.to_source(found.boxes.numpy())), found.scores, found.labels


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_augmented_prediction_equals_doing_it_by_hand(size):
    checkpoint = lively()
    backend = TorchBackend(checkpoint.model)
    image = noise(*size, 7)
    expected = by_hand(backend, image, 128, 0.01)
    found = Predictor(backend, checkpoint.names, 128, Thresholds(conf=0.01), augment=True)(image)
    assert len(found) == len(expected[0]) > 3
    np.testing.assert_allclose(found.scores, expected[1], atol=1e-5)
    np.testing.assert_allclose(found.boxes, expected[0], atol=1e-3)


def test_images_of_a_batch_are_augmented_each_and_found_alike():
    images = [spotted(300, 640, (100, 50, 200, 150)), spotted(640, 300, (50, 100, 150, 200))]
    backend = BrightSpot()
    predictor = Predictor(backend, NAMES, 320, augment=True)
    alone = [predictor(image) for image in images]
    backend.shapes.clear()
    together = [result.detections for result in predictor.predict(images, batch_size=2)]
    assert [shape[0] for shape in backend.shapes] == [2, 2, 2], "the same view of both images at a time"
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)


def test_detection_of_no_image_is_nothing():
    backend = BrightSpot()
    assert select(infer(backend, [], 0.25), Thresholds(), NAMES, backend.layout) == []


def test_augmentation_needs_a_network_that_takes_all_sizes():
    backend = BrightSpot()
    backend.shape = (96, 96)
    with pytest.raises(UsageError, match="several scales"):
        Predictor(backend, NAMES, 96, augment=True)


@pytest.mark.parametrize("centred", [False, True])
def test_a_batch_is_padded_like_its_images(centred):
    class First(BrightSpot):
        def __call__(self, images, objectness):
            self.corner = images[0, 0, 0, 0].item()
            return super().__call__(images, objectness)

    backend = First()
    images = [spotted(320, 640, (100, 50, 200, 150)), spotted(640, 320, (50, 100, 150, 200))]
    list(Predictor(backend, NAMES, 640, centred=centred).predict(images, batch_size=2))
    assert backend.corner == (114 if centred else 0)
