"""From images to boxes, with real networks: fresh weights for the mechanics, real ones where noted."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.sources.media import picture
from yolov7.errors import CheckpointError, DownloadError, SourceError, UsageError
from yolov7.inference.backend import TorchBackend
from yolov7.inference.predictor import Predictor
from yolov7.layout import RowLayout
from yolov7.loading import load
from yolov7.models.detector import create, fuse
from yolov7.nms import non_max_suppression
from yolov7.sources.opening import open_source
from yolov7.thresholds import Thresholds
from yolov7.types import Detections

NAMES = ("red", "green", "blue")


class BrightSpot:
    """A backend that finds the bounding box of pixels that are all white: its answer is known."""

    stride, layout, shape, variant, runtime = 32, RowLayout(3), None, "bright-spot", "numpy"

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, images: Tensor, _objectness: float) -> tuple[Tensor, ...]:
        self.shapes.append(tuple(images.shape))
        found = []
        for image in images.float() / (255 if images.dtype == torch.uint8 else 1):
            y, x = (image.amin(dim=0) > 0.95).nonzero(as_tuple=True)
            if len(y) == 0:
                found.append(torch.zeros(0, 8))
                continue
            x1, y1, x2, y2 = (float(v) for v in (x.min(), y.min(), x.max() + 1, y.max() + 1))
            row = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, 0.9, 0.1, 0.8, 0.3]
            found.append(torch.tensor([row]))
        return tuple(found)


class Meeting(BrightSpot):
    """A backend in which two images have to meet."""

    def __init__(self) -> None:
        super().__init__()
        self.barrier = threading.Barrier(2)

    def __call__(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
        self.barrier.wait(timeout=20)
        return super().__call__(images, objectness)


def test_two_images_are_in_the_network_at_the_same_time():
    images = [spotted(64, 96, (8 * i, 8, 8 * i + 16, 40)) for i in range(4)]
    found = list(Predictor(Meeting(), NAMES, 96, parallel=2).predict(images))
    assert [round(float(result.detections.boxes[0, 0])) for result in found] == [0, 8, 16, 24]


def spotted(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = 255
    return image


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize(("height", "width"), [(480, 640), (640, 480), (100, 900), (320, 320), (1000, 700)])
def test_boxes_come_back_in_source_pixels(height, width, centred):
    box = (width // 4, height // 4, width // 2, height // 2)
    predictor = Predictor(BrightSpot(), NAMES, 640, centred=centred)
    detections = predictor(spotted(height, width, box))
    scale = max(height, width) / 640
    assert np.abs(detections.boxes[0] - box).max() <= max(2.0, 2 * scale)
    assert detections.class_names == ["green"]
    assert detections.scores[0] == pytest.approx(0.72)


def test_the_smallest_rectangle_goes_through_the_network():
    backend = BrightSpot()
    Predictor(backend, NAMES, 640)(spotted(300, 640, (10, 10, 20, 20)))
    assert backend.shapes == [(1, 3, 320, 640)]


def test_a_batch_of_different_shapes_finds_the_same():
    images = [spotted(300, 640, (100, 50, 200, 150)), spotted(640, 300, (50, 100, 150, 200)), picture(1)]
    backend = BrightSpot()
    predictor = Predictor(backend, NAMES, 640)
    alone = [predictor(image) for image in images]
    together = [result.detections for result in predictor.predict(images, batch_size=3)]
    assert backend.shapes[-1] == (3, 3, 640, 640)
    assert [len(d) for d in together] == [1, 1, len(alone[2])]
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)


def test_bad_images_are_reported_and_the_rest_is_done(tmp_path):
    for i in range(5):
        cv2.imwrite(str(tmp_path / f"{i}.png"), spotted(64, 96, (10, 10, 50, 40)))
    (tmp_path / "2.png").write_bytes(b"no picture")
    failed = []
    predictor = Predictor(BrightSpot(), NAMES, 96)
    results = list(predictor.predict(tmp_path, batch_size=2, on_error=failed.append))
    assert [r.index for r in results] == [0, 1, 3, 4]
    assert [f.source for f in failed] == [str(tmp_path / "2.png")]
    assert all(len(r.detections) == 1 and r.timings.network > 0 and r.timings.read > 0 for r in results)
    with pytest.raises(SourceError, match=r"2\.png"):
        predictor(tmp_path / "2.png")


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("parallel", [1, 3])
def test_each_image_has_its_result_whether_it_can_be_read_or_not(batch_size, parallel, caplog):
    good = spotted(64, 96, (10, 10, 50, 40))
    bad = np.full((64, 96, 3), np.nan, np.float32)
    predictor = Predictor(BrightSpot(), NAMES, 96, parallel=parallel)
    results = list(predictor.predict([good, bad, bad, good, bad], batch_size=batch_size))
    assert [result.index for result in results] == [0, 1, 2, 3, 4]
    assert [result.error is None for result in results] == [True, False, False, True, False]
    assert [len(result.detections) for result in results] == [1, 0, 0, 1, 0]
    failed = results[1]
    assert failed.image.shape == (0, 0, 3)
    assert "unknown meaning" in repr(failed)
    assert "unknown meaning" in failed.to_json()
    assert failed._repr_png_() is None
    with pytest.raises(UsageError, match="unknown meaning"):
        failed.plot()
    assert sum("cannot be read" in record.message for record in caplog.records) == 3


def test_a_size_beyond_all_memory_says_how_much_it_needs():
    with pytest.raises(
        UsageError, match=r"images of 9000000 x 6000000 pixels\n  expected: 810000.0 GB or more"
    ):
        Predictor(BrightSpot(), NAMES, 9_000_000)(spotted(64, 96, (10, 10, 50, 40)))


def test_an_allocation_that_fails_is_explained():
    class Greedy(BrightSpot):
        def __call__(self, images, conf):
            torch.empty(1 << 60)

    with pytest.raises(UsageError, match=r"not enough memory for images of 96 x 64 pixels\n"):
        Predictor(Greedy(), NAMES, 96)(spotted(64, 96, (10, 10, 50, 40)))


def test_one_image_is_expected_where_one_is_asked_for():
    predictor = Predictor(BrightSpot(), NAMES, 96)
    with pytest.raises(UsageError, match="one image"):
        predictor([picture(1), picture(2)])


def test_a_wrong_path_is_known_before_the_first_result(tmp_path):
    with pytest.raises(SourceError, match="missing"):
        Predictor(BrightSpot(), NAMES, 96).predict(tmp_path / "missing.jpg")


def test_classes_by_name_and_number():
    image = spotted(96, 96, (10, 10, 50, 50))
    assert len(Predictor(BrightSpot(), NAMES, 96, Thresholds(classes=["green"]))(image)) == 1
    assert len(Predictor(BrightSpot(), NAMES, 96, Thresholds(classes=["red"]))(image)) == 0


def test_thresholds_can_be_changed_for_each_call():
    predictor = Predictor(BrightSpot(), NAMES, 96)
    image = spotted(96, 96, (10, 10, 50, 50))
    assert [len(predictor(image, classes=name)) for name in ("green", "red")] == [1, 0]
    assert len(predictor(image, conf=1.0)) == 0
    assert len(predictor(image, thresholds=Thresholds(conf=1.0))) == 0
    assert len(predictor(image, thresholds=Thresholds(conf=1.0), conf=0.2)) == 1
    assert len(predictor(image)) == 1, "a call changes nothing for the next"
    with pytest.raises(UsageError, match="no such threshold; did you mean conf"):
        predictor.predict(image, confidence=0.5)
    with pytest.raises(UsageError, match="no such class"):
        predictor.predict(image, classes="pink")


def test_results_are_iterated_and_say_so():
    results = Predictor(BrightSpot(), NAMES, 96).predict(spotted(96, 96, (10, 10, 50, 50)))
    with pytest.raises(UsageError, match="list"):
        results[0]
    assert [len(result.detections) for result in results] == [1]
    assert repr(Predictor(BrightSpot(), NAMES, 96)).startswith("<Predictor ")


@pytest.mark.parametrize("size", [0, -5, 31, (96, 96), "96", 96.0, True])
def test_sizes_below_the_stride_are_refused(size):
    with pytest.raises(UsageError, match="invalid image size"):
        Predictor(BrightSpot(), NAMES, size)


@pytest.mark.parametrize("wrong", [{"conf": 25}, {"iou": -0.1}, {"max_detections": 0}], ids=str)
def test_wrong_thresholds_are_known_at_once(wrong):
    with pytest.raises(UsageError, match="invalid"):
        Predictor(BrightSpot(), NAMES, 96).predict(spotted(96, 96, (10, 10, 50, 50)), **wrong)


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(3)
    return create("yolov7-tiny", classes=3).eval()


def test_torch_backend_is_the_fused_network(tiny):
    images = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    backend = TorchBackend(tiny)
    deployed = fuse(tiny)
    with torch.no_grad():
        expected = deployed.decode(deployed(images.float() / 255))
    for image, rows in zip(expected, backend(images, 0), strict=True):
        torch.testing.assert_close(rows, image, rtol=1e-4, atol=1e-4)
    for as_bytes, as_floats in zip(backend(images, 0), backend(images.float() / 255, 0), strict=True):
        torch.testing.assert_close(as_bytes, as_floats)


def test_half_precision_on_a_cpu(tiny):
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    full, half = TorchBackend(tiny), TorchBackend(tiny, half=True)
    assert next(half.model.parameters()).dtype == torch.bfloat16
    assert half.model.anchors.dtype == torch.float32
    (expected,), (found,) = full(images, 0), half(images, 0)
    assert found.dtype == torch.float32
    assert len(found) == len(expected)
    assert ((found - expected)[:, :4].abs() / expected[:, :4].abs().clamp(min=1)).median() < 0.02


def test_unknown_device_lists_those_there_are(tiny):
    with pytest.raises(UsageError, match="expected: cpu"):
        TorchBackend(tiny, "cuda:99")
    with pytest.raises(UsageError, match="nonsense"):
        TorchBackend(tiny, "nonsense")


def test_load_by_variant_warns_of_fresh_weights(caplog):
    predictor = load("yolov7-tiny", fresh=True, size=96, device="cpu")
    assert "fresh weights" in caplog.text
    assert predictor.names[0] == "person"
    assert isinstance(predictor(picture(0)), Detections)
    assert predictor.model.deployed


def test_load_by_the_name_of_a_released_checkpoint(tmp_path, monkeypatch, tiny, caplog):
    """From the cache; where it is not there, offline says where to put it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("YOLOV7_OFFLINE", "1")
    with pytest.raises(DownloadError, match=r"cache.yolov7-tiny\.pt"):
        load("yolov7-tiny.pt")
    (tmp_path / "cache").mkdir()
    torch.save(tiny.state_dict(), tmp_path / "cache" / "yolov7-tiny.pt")
    assert load("yolov7-tiny.pt", device="cpu").backend.layout.classes == 3
    assert "GPL-3.0" in caplog.text
    with pytest.raises(CheckpointError, match=r"no such weight file"):
        load("yolov99.pt")


@pytest.mark.weights
def test_real_weights_find_what_is_there(coco_weights):
    from skimage import data

    predictor = load(coco_weights, device="cpu")
    for photo, wanted in (("chelsea", {"cat"}), ("coffee", {"cup", "spoon"}), ("astronaut", {"person"})):
        detections = predictor(np.ascontiguousarray(getattr(data, photo)()))
        scores = dict(zip(detections.class_names[::-1], detections.scores[::-1], strict=True))
        assert all(scores.get(name, 0) > 0.8 for name in wanted), scores
    augmented = load(coco_weights, device="cpu", augment=True)
    detections = augmented(np.ascontiguousarray(data.chelsea()))
    assert detections.class_names[0] == "cat"


def test_predictor_equals_doing_it_by_hand(tiny):
    """The optimised path (few rows decoded) against decode, NMS and un-letterboxing in full."""
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    found = Predictor(TorchBackend(tiny), NAMES, 128, Thresholds(conf=0.0))(image)
    deployed = fuse(tiny)
    with torch.no_grad():
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        (expected,) = non_max_suppression(deployed.decode(deployed(pixels)), 0.0, 0.45)
    assert len(found) == len(expected.boxes) > 0
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4)


def test_boxes_are_in_pixels_of_the_whole_photo_though_a_smaller_one_was_decoded(tmp_path):
    box = (400, 300, 1000, 700)
    cv2.imwrite(str(tmp_path / "large.jpg"), spotted(901, 1303, box))
    predictor = Predictor(BrightSpot(), NAMES, 320)
    (result,) = predictor.predict(open_source(tmp_path).reduced(320))
    assert result.image.shape == (226, 326, 3)
    assert np.abs(result.detections.boxes[0] - box).max() < 8  # two pixels of the network's input
