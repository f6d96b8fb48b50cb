"""Pasted objects: their places, pixels and labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.samples.drawn_images import Drawn, disc_image, random_discs
from yolov7.samples import paste
from yolov7.samples.paste import copy_paste, paste_in
from yolov7.samples.render import Picture
from yolov7.samples.source import Reader
from yolov7.types import FloatArray, Sample

SIZE = 160
SEEDS = st.integers(0, 2**32 - 1)


def picture(boxes: object = (), *, level: int = 30) -> Picture:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    image = np.full((SIZE, SIZE, 3), level, np.uint8)
    return Picture(image, array, np.full(len(array), 90), (None,) * len(array))


def covered_share(cover: FloatArray, boxes: FloatArray) -> FloatArray:
    shared = np.minimum(cover[2:], boxes[:, 2:]) - np.maximum(cover[:2], boxes[:, :2])
    return np.asarray(shared.clip(0).prod(axis=1) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1))


@settings(max_examples=30)
@given(SEEDS)
def test_pasted_objects_fill_their_boxes_and_cover_little(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = random_discs(rng, 5)
    before = picture([(20, 20, 60, 50), (100, 90, 159, 160)])
    after = paste_in(before, Reader(source), rng)
    assert len(after.boxes) == len(after.labels) == len(after.polygons)
    assert (after.labels.dtype, after.boxes.dtype) == (np.int64, np.float32)
    assert after.boxes[:2].tolist() == before.boxes.tolist()
    pasted = after.boxes[2:]
    assert ((pasted >= 0) & (pasted <= SIZE)).all()
    for number, box in enumerate(pasted, 2):
        assert (covered_share(box, after.boxes[:number]) < 0.3).all()
        polygon = after.polygons[number]
        assert polygon is not None
        x, y = polygon.mean(axis=0).astype(int)
        later = after.boxes[number + 1 :]
        if not ((later[:, :2] <= (x + 1, y + 1)) & (later[:, 2:] >= (x, y))).all(axis=1).any():
            assert after.image[y, x].min() > 150, "the middle of a disc, or of a part of one, is white"
    left_alone = np.ones((SIZE, SIZE), np.bool_)
    for x1, y1, x2, y2 in pasted:
        left_alone[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = False
    assert (after.image[left_alone] == 30).all()
    # Of the box around a disc, the corners are not the disc's.
    white = (after.image > 128).all(axis=2).sum()
    if len(pasted):
        assert white < 0.95 * (~left_alone).sum() + 20


def squares(number: int, side: float, image_side: int = 640) -> Drawn:
    """Images with six squares each near their middle, which few mosaics clip."""
    corners = np.array(((0, 0), (1, 0), (1, 1), (0, 1)), np.float32) * side
    places = [(300 + 3 * side * column, 300 + 3 * side * row) for row in (0, 1) for column in (0, 1, 2)]
    polygons = tuple(corners + place for place in np.array(places, np.float32))
    boxes = np.array([(*polygon.min(axis=0), *polygon.max(axis=0)) for polygon in polygons], np.float32)
    image = np.full((image_side, image_side, 3), 200, np.uint8)
    sample = Sample(image, boxes, np.arange(6), 0, polygons)
    return Drawn([replace(sample, image_id=index) for index in range(number)])


def published_places(size: int, rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
    """Places of pasted squares by the published rule, in plain loops."""
    pasted: list[tuple[int, int, int, int]] = []
    for share in (3 / 4, 3 / 4, *(1 / 2,) * 4, *(1 / 4,) * 4, *(1 / 8,) * 4, *(1 / 16,) * 6):
        if rng.random() < 0.2:
            continue
        width, height = (int(rng.integers(1, int(share * size) + 1)) for _ in range(2))
        x, y = (max(0, int(rng.integers(size + 1)) - side // 2) for side in (width, height))
        width, height = min(width, size - x), min(height, size - y)
        free = True
        for x1, y1, x2, y2 in pasted:
            across = max(0, min(x + width, x2) - max(x, x1))
            down = max(0, min(y + height, y2) - max(y, y1))
            free = free and across * down < 0.3 * (x2 - x1) * (y2 - y1)
        side = min(width, height)
        if free and side > 20:
            pasted.append((x, y, x + side, y + side))
    return pasted


@pytest.mark.parametrize("size", [320, 640])
def test_number_and_size_of_pasted_objects_match_the_published_rule(
    size: int, rng: np.random.Generator
) -> None:
    source, runs = squares(5, 6), 120
    blank = np.full((size, size, 3), 30, np.uint8)
    empty = Picture(blank, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), ())
    ours = [paste_in(empty, Reader(source), rng).boxes for _ in range(runs)]
    published = [np.reshape(published_places(size, rng), (-1, 4)) for _ in range(4 * runs)]

    def figures(images: list[FloatArray]) -> np.ndarray:
        """Objects per image: all, by size, and at an edge."""
        boxes = np.concatenate(images)
        sides, at_edge = boxes[:, 2] - boxes[:, 0], (boxes == 0).any(axis=1) | (boxes == size).any(axis=1)
        by_size = np.histogram(sides, (20.5, 30, 40, 80, 160, 640))[0]
        return np.array((len(boxes), at_edge.sum(), *by_size)) / len(images)

    expected = figures(published)
    # Twice the root of twice the largest mean over the runs: at least two standard errors of each number.
    assert figures(ours) == pytest.approx(expected, abs=float(4 * np.sqrt(2 * expected.max() / runs)) / 2)
    assert (figures(ours) > 0.5 * expected).all()


def test_small_places_and_objects_are_skipped(rng: np.random.Generator) -> None:
    upright = np.array(((310, 200), (320, 200), (320, 440), (310, 440)), np.float32)
    image, box = np.full((640, 640, 3), 200, np.uint8), np.array([(310, 200, 320, 440)], np.float32)
    thin = Drawn([Sample(image, box, np.zeros(1, np.int64), 0, (upright,))])
    big = Picture(np.zeros((640, 640, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64), ())
    boxes = np.concatenate([paste_in(big, Reader(thin), rng).boxes for _ in range(60)])
    assert 0 < len(boxes) < 120, "24 times as high as wide: only the highest places give more than 10 pixels"
    assert (boxes[:, 2:] - boxes[:, :2]).min() > 10


def test_pool_takes_half_of_the_objects_of_each_mosaic(rng: np.random.Generator) -> None:
    for _ in range(20):  # four images of six objects, 12 of 24 per mosaic, or fewer where one cuts the middle
        pool = paste._pool(Reader(squares(8, 2)), 640, rng)
        assert 30 <= len(pool) <= 41
        assert len({(one.image, one.number) for one in pool}) > 18


def test_objects_are_clipped_by_the_mosaic(rng: np.random.Generator) -> None:
    """An object that fills its image is clipped to the visible part of each mosaic tile."""
    image = np.full((640, 640, 3), 200, np.uint8)
    whole = np.array(((0, 0), (640, 0), (640, 640), (0, 640)), np.float32)
    sample = Sample(image, np.array([(0, 0, 640, 640)], np.float32), np.zeros(1, np.int64), 0, (whole,))
    pool = [one for _ in range(30) for one in paste._pool(Reader(Drawn([sample])), 640, rng)]
    widths = np.array([one.window[2] - one.window[0] for one in pool])
    # Uniform centres: half of the tiles are whole across, the others between a half and all of it.
    assert np.mean(widths > 639) == pytest.approx(0.5, abs=0.06)
    cut = np.histogram(widths[widths < 639], 4, (320, 640))[0]
    assert cut / len(widths) == pytest.approx(0.125, abs=0.04)


def test_nothing_is_pasted_without_polygons(rng: np.random.Generator) -> None:
    source = random_discs(rng, 5, with_polygons=False)
    before = picture([(20, 20, 60, 50)])
    assert paste_in(before, Reader(source), rng) is before
    assert not source.read


def test_crowds_are_not_pasted(rng: np.random.Generator) -> None:
    samples = random_discs(rng, 5).samples
    crowded = Drawn([replace(sample, crowds=np.ones(len(sample.boxes), np.bool_)) for sample in samples])
    assert len(paste_in(picture(), Reader(crowded), rng).boxes) == 0


def test_only_images_with_pasted_objects_are_read(rng: np.random.Generator) -> None:
    source = random_discs(rng, 200)
    pasted = paste_in(picture(), Reader(source), rng)
    assert 0 < len(source.read) <= len(pasted.boxes)


def test_polygons_beyond_their_image_are_clipped(rng: np.random.Generator) -> None:
    sample = disc_image(0, (50, 50), [(0, 0, 20)])
    (polygon,) = sample.polygons
    assert polygon is not None
    partly, wholly = Drawn([sample]), Drawn([replace(sample, polygons=(polygon - 100,))])
    boxes = paste_in(picture(), Reader(partly), rng).boxes
    assert len(boxes)
    assert ((boxes >= 0) & (boxes <= SIZE)).all()
    assert len(paste_in(picture(), Reader(wholly), rng).boxes) == 0


def picture_with_polygons() -> Picture:
    sample = disc_image(0, (SIZE, SIZE), [(30, 40, 20), (120, 100, 15), (-2, 130, 25)])
    boxes = sample.boxes.clip(0, SIZE)
    polygons = tuple(polygon.astype(np.float64) for polygon in sample.polygons if polygon is not None)
    return Picture(sample.image.copy(), boxes, sample.labels, polygons)


def test_copy_paste_mirrors_objects(rng: np.random.Generator) -> None:
    before = picture_with_polygons()
    pixels = before.image.copy()
    after = copy_paste(before, 1.0, rng)
    mirrored = before.boxes[:, [2, 1, 0, 3]] * (-1, 1, -1, 1) + (SIZE, 0, SIZE, 0)
    assert after.boxes == pytest.approx(np.concatenate((before.boxes, mirrored)))
    assert after.labels.tolist() == [0, 1, 2, 0, 1, 2]
    both = np.maximum(pixels, pixels[:, ::-1])
    assert np.abs(after.image.astype(int) - both).mean() < 1
    shapes = [shape for shape in after.polygons if shape is not None]
    assert len(shapes) == 6
    assert shapes[3][:, 0] == pytest.approx(SIZE - shapes[0][:, 0])


def test_copy_paste_does_not_cover_other_objects(rng: np.random.Generator) -> None:
    sample = disc_image(0, (SIZE, SIZE), [(60, 60, 30)])  # its mirror image would lie on itself
    polygons = tuple(polygon.astype(np.float64) for polygon in sample.polygons if polygon is not None)
    before = Picture(sample.image.copy(), sample.boxes, sample.labels, polygons)
    assert len(copy_paste(before, 1.0, rng).boxes) == 1


def test_copy_paste_repeats_the_given_share(rng: np.random.Generator) -> None:
    counts = [len(copy_paste(picture_with_polygons(), 0.25, rng).boxes) - 3 for _ in range(200)]
    assert np.mean(counts) == pytest.approx(0.75, abs=0.25)
    boxes_only = replace(picture_with_polygons(), polygons=(None, None, None))
    assert copy_paste(boxes_only, 1.0, rng) is boxes_only
