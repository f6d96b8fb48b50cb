"""Training samples: labels agree with pixels, and both with a plain implementation."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.samples.drawn_images import Drawn, disc_image, random_discs
from yolov7.errors import UsageError
from yolov7.images.letterbox import GREY
from yolov7.samples.augment import training_sample
from yolov7.samples.augmentation import Augmentation
from yolov7.types import Image, Sample

SIZE = 160
SEEDS = st.integers(0, 2**32 - 1)
TURNED = {"degrees": 30.0, "shear": 10.0}
TILTED = {"perspective": 0.0008}
UNCOLOURED = {"hue": 0.0, "saturation": 0.0, "value": 0.0}
ONLY_PLACED = Augmentation(mixup=0.0, paste_in=0.0, flip_horizontal=0.0, **UNCOLOURED)
ALL_THERE_IS = Augmentation(
    mosaic=0.7, mixup=0.5, paste_in=0.5, copy_paste=0.5,
    degrees=45, shear=20, perspective=0.001, flip_vertical=0.5,
)  # fmt: skip


def sample_of(
    source: Drawn, seed: int, augmentation: Augmentation, size: int = SIZE, index: int = 0
) -> Sample:
    return training_sample(source, index, size, augmentation, np.random.default_rng(seed))


def load_plain() -> Callable[..., Sample]:
    """Load the plain implementation, which the benchmark uses as well."""
    file = Path(__file__).parents[2] / "benchmarks" / "plain_samples.py"
    specification = importlib.util.spec_from_file_location("plain_samples", file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    plain: Callable[..., Sample] = module.plain_sample
    return plain


plain_sample = load_plain()


def test_defaults_are_the_p5_recipe() -> None:
    recipe = Augmentation()
    assert (recipe.mosaic, recipe.mosaic9_share, recipe.mixup, recipe.paste_in) == (1.0, 0.2, 0.15, 0.15)
    assert (recipe.translate, recipe.scale, recipe.flip_horizontal) == (0.2, 0.9, 0.5)
    assert (recipe.hue, recipe.saturation, recipe.value) == (0.015, 0.7, 0.4)
    off = recipe.copy_paste, recipe.degrees, recipe.shear, recipe.perspective, recipe.flip_vertical
    assert off == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "wrong", [{"mixup": 1.1}, {"scale": 1.0}, {"hue": 0.5}, {"shear": -1}, {"value": float("nan")}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Augmentation(**wrong)


@st.composite
def sources(draw: st.DrawFn) -> Drawn:
    """Images of any size, from 1 x 1, with any labels, or none."""
    rng = np.random.default_rng(draw(SEEDS))
    samples = []
    for index in range(draw(st.integers(1, 4))):
        height, width = draw(st.tuples(st.integers(1, 60), st.integers(1, 60)))
        count = draw(st.integers(0, 4))
        corners = np.sort(rng.uniform(0, 1, (count, 2, 2)), axis=1) * (width, height)
        polygons = [
            rng.uniform(0, 1, (int(rng.integers(3, 9)), 2)) * (high - low) + low for low, high in corners
        ]
        grey = draw(st.booleans())
        shape = (height, width, 1 if grey else 3)
        image = np.broadcast_to(rng.integers(0, 256, shape, np.uint8), (height, width, 3))
        samples.append(
            Sample(
                image=image,  # read-only, and of a grey image all channels are one piece of memory
                boxes=corners.reshape(-1, 4).astype(np.float32),
                labels=rng.integers(0, 80, count),
                image_id=index,
                polygons=tuple(p.astype(np.float32) for p in polygons) if draw(st.booleans()) else (),
                crowds=rng.random(count) < 0.2 if draw(st.booleans()) else None,
            )
        )
    return Drawn(samples)


@settings(max_examples=120)
@given(sources(), SEEDS, st.integers(1, 70), st.sampled_from((Augmentation(), ALL_THERE_IS)))
def test_samples_of_any_source_are_valid(
    source: Drawn, seed: int, size: int, augmentation: Augmentation
) -> None:
    sample = sample_of(source, seed, augmentation, size)
    assert sample.image.shape == (size, size, 3)
    assert sample.image.dtype == np.uint8
    assert sample.image.flags.c_contiguous
    assert sample.image.flags.writeable
    assert sample.boxes.shape == (len(sample.labels), 4)
    assert (sample.boxes.dtype, sample.labels.dtype) == (np.float32, np.int64)
    assert ((sample.boxes >= 0) & (sample.boxes <= size)).all()
    sides = sample.boxes[:, 2:] - sample.boxes[:, :2]
    assert (sides > 2).all()
    assert (sides.max(axis=1, initial=0) < 20 * sides.min(axis=1, initial=size)).all()
    assert sample.image_id == 0
    assert sample.polygons == ()
    labels = {int(label) for other in source.samples for label in other.labels}
    assert set(sample.labels.tolist()) <= labels
    assert len(source.read) == len(set(source.read)), "an image was read twice"
    again = sample_of(source, seed, augmentation, size)
    assert (again.image == sample.image).all()
    assert (again.boxes == sample.boxes).all()
    assert (again.labels == sample.labels).all()


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
@pytest.mark.parametrize("turned", [{}, TURNED, TILTED], ids=["upright", "turned", "tilted"])
@pytest.mark.parametrize("flips", [0.0, 1.0])
def test_boxes_bound_their_pixels(mosaic: float, turned: dict[str, float], flips: float) -> None:
    source = random_discs(np.random.default_rng(5), 12)
    augmentation = replace(
        ONLY_PLACED, mosaic=mosaic, mosaic9_share=0.3, flip_horizontal=flips, flip_vertical=flips, **turned
    )
    differences = []
    for seed in range(60):
        sample = sample_of(source, seed, augmentation, index=seed % 12)
        white = sample.image.min(axis=2) > 127  # grey is 114
        for box in sample.boxes:
            found = white_part(white, box)
            differences.append(np.abs(box - found))
    assert len(differences) > 100
    errors = np.array(differences)
    assert np.median(errors) < 0.4
    assert np.quantile(errors, 0.99) < 1.1
    assert errors.max() < 2.5


def test_boxes_bound_enlarged_pixels() -> None:
    """A pixel of the source becomes many, some of which the image cuts off."""
    image = np.zeros((24, 20, 3), np.uint8)
    image[6:19, 5:16] = 255
    box = np.array(((5, 6, 16, 19),), np.float32)
    coarse = Drawn([Sample(image, box, np.zeros(1, np.int64), 0)])
    errors = []
    for seed in range(60):
        sample = sample_of(coarse, seed, ONLY_PLACED)
        white = sample.image.min(axis=2) > 127
        errors += [np.abs(box - white_part(white, box)).max() for box in sample.boxes]
    assert len(errors) > 60
    assert max(errors) < 1.1


def white_part(white: np.ndarray[Any, np.dtype[np.bool_]], box: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Bounding box of the white pixels in and near a box."""
    x1, y1 = np.floor(box[:2] - 2).clip(0).astype(int)
    x2, y2 = np.ceil(box[2:] + 2).astype(int)
    near = white[y1:y2, x1:x2]
    rows, columns = near.any(axis=1).nonzero()[0], near.any(axis=0).nonzero()[0]
    return np.array((columns[0] + x1, rows[0] + y1, columns[-1] + 1 + x1, rows[-1] + 1 + y1))


@pytest.mark.parametrize("settings", [{}, {"mosaic": 0.0}, {"mosaic9_share": 1.0}, TURNED, TILTED], ids=str)
@pytest.mark.parametrize("with_polygons", [True, False])
def test_samples_match_the_plain_implementation(settings: dict[str, float], with_polygons: bool) -> None:
    """Equal decisions give equal images up to interpolation, and equal labels up to a pixel."""
    source = random_discs(np.random.default_rng(4), 12, with_polygons=with_polygons, noise=True)
    assert any(max(sample.image.shape) < SIZE for sample in source.samples), "some are enlarged"
    augmentation = replace(Augmentation(paste_in=0.0, mixup=0.3, **UNCOLOURED), **settings)
    counts, errors, same, labels = [], [], 0, 0
    for seed in range(60):
        ours = sample_of(source, seed, augmentation, index=seed % 12)
        plain = plain_sample(source, seed % 12, SIZE, augmentation, np.random.default_rng(seed))
        counts.append((len(ours.boxes), len(plain.boxes)))
        errors.append(np.abs(blurred(ours.image) - blurred(plain.image)).mean())
        for box, label in zip(plain.boxes, plain.labels, strict=True):
            distance = np.abs(ours.boxes[ours.labels == label] - box).max(axis=1, initial=0)
            same += bool(len(distance) and distance.min() < 1.6)
            labels += 1
    ours_total, plain_total = np.sum(counts, axis=0)
    assert plain_total > 300 or settings == {"mosaic": 0.0}
    assert ours_total == pytest.approx(plain_total, rel=0.02)
    assert same / labels > 0.97
    assert np.mean(errors) < 1.5
    assert np.max(errors) < 4


def blurred(image: Image) -> np.ndarray[Any, Any]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 2)).astype(int)


def test_colours_mixup_and_flips_match_the_plain_implementation() -> None:
    source = random_discs(np.random.default_rng(1), 12, noise=True)
    augmentation = Augmentation(mosaic=1.0, mixup=1.0, paste_in=0.0, flip_vertical=0.5)
    for seed in range(12):
        ours = sample_of(source, seed, augmentation)
        plain = plain_sample(source, 0, SIZE, augmentation, np.random.default_rng(seed))
        assert np.abs(blurred(ours.image) - blurred(plain.image)).mean() < 3.5


def test_tiles_meet_without_a_seam() -> None:
    white = Drawn([replace(disc_image(0, (64, 64), []), image=np.full((64, 64, 3), 255, np.uint8))])
    for turned in ({}, TURNED, TILTED):
        for seed in range(20):
            image = sample_of(white, seed, replace(ONLY_PLACED, mosaic9_share=1.0, scale=0.3, **turned)).image
            assert set(np.unique(image)) <= {GREY, 255}
            # Grey surrounds the mosaic, it does not run through it: closing gaps of 2 pixels adds nothing.
            closed = cv2.morphologyEx(image, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
            border = (closed != image).any(axis=2)
            assert border.sum() <= 8


def test_invisible_images_are_not_read() -> None:
    source = random_discs(np.random.default_rng(2), 50)
    augmentation = replace(Augmentation(), paste_in=0.0)
    for seed in range(50):
        sample_of(source, seed, augmentation)
    read = len(source.read)
    for seed in range(50):  # reads every image of each mosaic
        plain_sample(source, 0, SIZE, augmentation, np.random.default_rng(seed))
    assert read < 0.8 * (len(source.read) - read)


def test_crowds_are_no_targets() -> None:
    sample = disc_image(0, (100, 100), [(30, 30, 20), (70, 70, 20)])
    grouped = Drawn([replace(sample, crowds=np.array((True, False)))])
    for source in (grouped, Drawn([replace(grouped.samples[0], polygons=())])):
        found = [sample_of(source, seed, Augmentation()).labels for seed in range(10)]
        assert set(np.concatenate(found).tolist()) == {1}


def test_some_boxes_may_have_no_polygon() -> None:
    sample = disc_image(0, (100, 100), [(30, 30, 20), (70, 70, 20), (70, 30, 10)])
    first, _, third = sample.polygons
    mixed = Drawn([replace(sample, polygons=(first, None, third))])
    whole = Drawn([sample])
    alone = replace(ONLY_PLACED, mosaic=0.0)
    compared = 0
    for seed in range(20):
        pair = sample_of(mixed, seed, alone), sample_of(whole, seed, alone)
        # Upright, the box of a disc is the box of its box, unless the image cuts it.
        uncut = [s.boxes[((s.boxes > 0) & (s.boxes < SIZE)).all(axis=1)] for s in pair]
        assert uncut[0] == pytest.approx(uncut[1], abs=1e-4)
        compared += len(uncut[0])
    assert compared > 15


def test_mixup_joins_the_labels() -> None:
    source = random_discs(np.random.default_rng(2), 12)
    without = Augmentation(paste_in=0.0, mixup=0.0)
    one = [len(sample_of(source, seed, without).labels) for seed in range(60)]
    two = [len(sample_of(source, seed, replace(without, mixup=1.0)).labels) for seed in range(60)]
    assert np.mean(two) == pytest.approx(2 * np.mean(one), rel=0.3)
    assert all(b >= a for a, b in zip(one, two, strict=True)), "the first picture is the same"


def test_extreme_panorama_can_be_rotated() -> None:
    image = np.zeros((3, 40000, 3), np.uint8)
    image[:, 20000:] = 255
    wide = Drawn([Sample(image, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), 0)])
    augmentation = replace(ONLY_PLACED, mosaic=0.0, degrees=10.0, scale=0.0, translate=0.0)
    sample = sample_of(wide, 1, augmentation, 640)
    white, black = (sample.image == 255).all(axis=2), (sample.image == 0).all(axis=2)
    assert white.nonzero()[1].min() == pytest.approx(320, abs=4)
    assert black.nonzero()[1].max() == pytest.approx(320, abs=4)
