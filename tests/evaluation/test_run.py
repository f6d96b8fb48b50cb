"""The whole way: files, letterbox, network, suppression, source pixels, metrics.

The network is a small one that really sees: it boxes what is purely red, and what is purely green.
"""

from __future__ import annotations

import math
import threading
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import Tensor

from yolov7.data.dataset import Dataset
from yolov7.errors import DataError
from yolov7.evaluation.run import evaluate_network
from yolov7.formats.opening import open_dataset
from yolov7.images.rectangular import rectangular_batches
from yolov7.layout import RowLayout
from yolov7.thresholds import COCO

SIZES = [(300, 400), (400, 300), (200, 640), (150, 150), (1000, 700), (333, 500), (90, 120)]
RED, GREEN = (230, 0, 0), (0, 230, 0)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """In each image a red thing and a green one, their classes in the order green, red."""
    rng = np.random.default_rng(5)
    for number, (height, width) in enumerate(SIZES):
        pixels = rng.integers(0, 60, (height, width, 3), np.uint8)
        lines = []
        for label, colour, offset in ((1, RED, 0.05), (0, GREEN, 0.55)):
            x1, y1 = int((offset + 0.05) * width), int((0.1 + offset / 4) * height)
            x2, y2 = x1 + int(0.3 * width), y1 + int(0.6 * height)
            pixels[y1:y2, x1:x2] = colour
            centre = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height
            lines.append(f"{label} {centre[0]} {centre[1]} {(x2 - x1) / width} {(y2 - y1) / height}\n")
        Pillow.fromarray(pixels).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.txt").write_text("".join(lines))
    (tmp_path / "data.yaml").write_text("val: .\nnames: [green, red]\n")
    return open_dataset(tmp_path)


class Network:
    """A backend of two classes that gives the same rows for each image, and remembers what it was given."""

    stride, shape, variant, runtime = 32, None, "drawn by hand", "python"
    layout = RowLayout(2)

    def __init__(self, *rows: list[float]) -> None:
        self.found = torch.tensor(rows).reshape(len(rows), self.layout.size)
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
        self.shapes.append(tuple(images.shape))
        return (self.found,) * len(images)


class ColourDetector(Network):
    """Rows for classes red, blue, green: every box twice (the second a little off), and noise below 0.001."""

    names = ("red", "blue", "green")
    layout = RowLayout(3)

    def __call__(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
        assert objectness == COCO.conf
        if images.dtype != torch.uint8:  # a scaled view of test-time augmentation
            images = (255 * images).round().to(torch.uint8)
        assert images.is_contiguous(memory_format=torch.channels_last)
        self.shapes.append(tuple(images.shape))
        return tuple(self.rows(image.int()) for image in images)

    def rows(self, image: Tensor) -> Tensor:
        rows = [torch.tensor([40.0, 40, 30, 30, 0.0009, 1, 1, 1])]
        for label, channel in ((0, 0), (2, 1)):
            others = image.sum(dim=0) - image[channel]
            ys, xs = torch.nonzero((image[channel] > 140) & (others < 80), as_tuple=True)
            x1, y1, x2, y2 = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
            for shift, objectness in ((0, 0.9), (2, 0.8)):
                row = torch.zeros(8)
                row[:4] = torch.tensor([(x1 + x2) / 2 + shift, (y1 + y2) / 2, x2 - x1, y2 - y1])
                row[4], row[5 + label], row[6] = objectness, 0.95, 0.4
                rows.append(row)
        return torch.stack(rows)


def test_rows_of_a_batch_are_let_go_before_the_next(dataset: Dataset) -> None:
    given: list[weakref.ref[Tensor]] = []

    class Watched(ColourDetector):
        def __call__(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
            assert not any(row() is not None for row in given)
            rows = super().__call__(images, objectness)
            given.extend(map(weakref.ref, rows))
            return rows

    evaluate_network(Watched(), dataset, names=ColourDetector.names, size=320, batch_size=3)
    assert len(given) == len(SIZES)


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_the_whole_way(dataset: Dataset, batch_size: int) -> None:
    network = ColourDetector()
    seen: list[tuple[int, int]] = []
    result = evaluate_network(
        network,
        dataset,
        names=network.names,
        size=320,
        batch_size=batch_size,
        progress=lambda *counts: seen.append(counts),
    )
    assert result.AP > 0.95
    assert math.isclose(result.AP50, 1)
    assert result.images == len(SIZES)
    assert result.boxes == 2 * len(SIZES)
    assert not result.defects
    batches = rectangular_batches([image.size for image in dataset.images], 320, 32, batch_size)
    assert network.shapes == [(len(batch.indices), 3, *batch.shape) for batch in batches]
    assert seen[-1] == (len(SIZES), len(SIZES))
    assert len(seen) == len(batches)
    for image in dataset.images:
        found = result.by_image[image.image_id]
        assert found.names == ("green", "red"), "the data set's classes"
        # The doubled box is suppressed, and what the data set does not know (blue) is no detection.
        assert sorted(found.labels.tolist()) == [0, 1]
        order = np.argsort(found.labels)
        expected = image.boxes[np.argsort(image.labels)]
        np.testing.assert_allclose(found.boxes[order], expected, atol=2 * max(image.size) / 320)
        np.testing.assert_allclose(found.scores, 0.9 * 0.95, rtol=1e-6)


def test_augmented_evaluation_merges_three_views_of_each_batch(dataset: Dataset) -> None:
    plain, network = ColourDetector(), ColourDetector()
    run = {"names": network.names, "size": 320, "batch_size": 3, "released_mapping": True}
    expected = evaluate_network(plain, dataset, **run)
    result = evaluate_network(network, dataset, **run, augment=True)
    assert network.shapes[::3] == plain.shapes
    for first, mirrored, small in zip(*(network.shapes[view::3] for view in range(3)), strict=True):
        for shape, scale in ((mirrored, 0.83), (small, 0.67)):
            assert shape == (first[0], 3, *(math.ceil(side * scale / 32) * 32 for side in first[2:]))
    assert result.detections == expected.detections == 2 * len(SIZES)
    for image_id, found in expected.by_image.items():
        np.testing.assert_allclose(result.by_image[image_id].scores, found.scores)
        np.testing.assert_allclose(result.by_image[image_id].boxes, found.boxes)


def test_a_box_may_keep_several_classes(dataset: Dataset) -> None:
    both = Network([100.0, 100, 50, 50, 0.9, 0.8, 0.7])
    result = evaluate_network(both, dataset, names=["green", "red"], size=320)
    assert {tuple(found.labels.tolist()) for found in result.by_image.values()} == {(0, 1)}
    assert result.detections == 2 * len(SIZES)


def test_an_image_that_cannot_be_decoded_is_reported_and_left_out(dataset: Dataset) -> None:
    for number in (2, 5):
        path = dataset.images[number].path
        path.write_bytes(path.read_bytes()[:-5000])
    network = ColourDetector()
    result = evaluate_network(network, dataset, names=network.names, size=320, batch_size=1)
    assert {defect.file for defect in result.defects} == {
        str(dataset.images[number].path) for number in (2, 5)
    }
    assert all("left out" in defect.message for defect in result.defects)
    assert result.images == len(SIZES) - 2
    assert result.boxes == 2 * (len(SIZES) - 2)
    assert math.isclose(result.AP50, 1), "their objects do not count as missed"


def test_thresholds_are_used(dataset: Dataset) -> None:
    network = ColourDetector()
    run = {"names": network.names, "size": 320}
    for changes, expected in (({"iou": 1.0}, 4), ({"max_detections": 1}, 1), ({}, 2)):
        evaluation = evaluate_network(network, dataset, thresholds=COCO.but(**changes), **run)
        assert evaluation.detections == expected * len(SIZES)
    sure = Network([100.0, 100, 50, 50, 0.9, 0.8, 0.7])
    run["names"] = ["green", "red"]
    assert evaluate_network(sure, dataset, thresholds=COCO.but(conf=0.7), **run).detections == len(SIZES)


def test_classes_that_the_network_does_not_know(dataset: Dataset) -> None:
    with pytest.raises(DataError, match=r"1 of the data set's 2 classes.*\s.*red, blue\s.*only: green"):
        evaluate_network(ColourDetector(), dataset, names=["red", "blue"], size=320)


def test_classes_without_a_box_need_not_be_known(dataset: Dataset) -> None:
    more = replace(dataset, names=(*dataset.names, "shapes"), category_ids=(0, 1, 2))
    network = ColourDetector()
    run = {"names": network.names, "size": 320}
    ours, plain = evaluate_network(network, more, **run), evaluate_network(network, dataset, **run)
    assert (ours.AP, ours.AR100) == (plain.AP, plain.AR100)
    assert [(one.name, one.boxes) for one in ours.per_class] == [("green", 7), ("red", 7), ("shapes", 0)]


def test_a_batch_has_the_pixels_of_32_images_at_640(dataset: Dataset) -> None:
    images = dataset.images * 2
    many = replace(
        dataset, images=tuple(replace(image, image_id=number) for number, image in enumerate(images[:9]))
    )
    for size, expected in ((1280, [8, 1]), (2560, [2, 2, 2, 2, 1]), (320, [9])):
        blind = Network()
        evaluate_network(blind, many, names=["green", "red"], size=size)
        assert [shape[0] for shape in blind.shapes] == expected


def test_the_released_mapping_is_half_a_pixel_off_where_padding_is_odd(dataset: Dataset) -> None:
    network = ColourDetector()
    run = {"names": network.names, "size": 320, "batch_size": 1}
    exact = evaluate_network(network, dataset, **run).by_image
    released = evaluate_network(network, dataset, **run, released_mapping=True).by_image
    for image in dataset.images:
        (height, width), scale = image.size, 320 / max(image.size)
        short = min(height, width) * 320 // max(height, width)
        odd = (rectangular_batches([image.size], 320, 32, 1)[0].shape[height > width] - short) % 2
        moved = np.abs(exact[image.image_id].boxes - released[image.image_id].boxes).max() * scale
        assert moved > 0.45 if odd else moved < 1.5, (image.size, moved)


def test_a_failing_network_leaves_no_thread_behind(dataset: Dataset) -> None:
    class Failing(Network):
        def __call__(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
            assert [thread for thread in threading.enumerate() if thread.name.startswith("yolov7-")]
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        evaluate_network(Failing(), dataset, names=["green", "red"], size=320, batch_size=1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("yolov7-")]


def test_a_network_of_one_shape_is_given_that_shape(dataset: Dataset) -> None:
    network = Network()
    network.shape = (320, 320)
    evaluate_network(network, dataset, names=["green", "red"], size=320)
    assert network.shapes == [(len(SIZES), 3, 320, 320)]


def test_a_validation_set_without_boxes_of_other_classes_gives_no_detections(dataset: Dataset) -> None:
    nothing = {name: getattr(dataset.images[0], name)[:0] for name in ("boxes", "labels", "crowds", "areas")}
    images = tuple(replace(image, **nothing) for image in dataset.images)
    empty = replace(dataset, names=("cow",), category_ids=(0,), images=images)
    network = ColourDetector()
    result = evaluate_network(network, empty, names=network.names, size=320)
    assert (result.images, result.detections, math.isnan(result.AP)) == (len(SIZES), 0, True)
