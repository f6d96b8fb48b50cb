"""Boxes and labels on pictures."""

from __future__ import annotations

import colorsys
import itertools
import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolov7 import drawing
from yolov7.drawing import Style, caption, class_colour, draw_boxes, letter_size, line_width, pixelate
from yolov7.errors import UsageError
from yolov7.types import Detections

GREY = 128
finite = st.floats(-1e6, 1e6, width=32)


def blank(height: int = 240, width: int = 320) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def touched(image: np.ndarray) -> np.ndarray:
    """Where something was drawn, (H, W)."""
    return (image != GREY).any(axis=2)


def draw(box: tuple[float, float, float, float], text: str = "", number: int = 0) -> np.ndarray:
    return draw_boxes(blank(), np.array([box]), [text], [number])


def contrast(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    """Contrast ratio of WCAG 2."""

    def luminance(colour: tuple[int, ...]) -> float:
        linear = np.array(colour) / 255
        linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722)) + 0.05

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return high / low


def test_a_box_is_drawn_at_its_place_in_its_colour() -> None:
    image = draw((50, 60, 150, 200))
    for x, y in ((50, 100), (150, 100), (100, 60), (100, 200)):
        assert tuple(image[y, x]) == class_colour(0)
    rows, columns = np.nonzero(touched(image))
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (50, 60, 150, 200)
    assert not touched(image)[70:190, 60:140].any(), "inside there is nothing"


def test_the_picture_itself_is_left_alone() -> None:
    image = blank()
    image.setflags(write=False)
    drawn = draw_boxes(image, np.array([[10, 10, 50, 50]]), ["cat"], [0])
    assert not np.shares_memory(drawn, image)
    assert (image == GREY).all()
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(draw_boxes(image, np.empty((0, 4)), [], []), image)


def test_views_can_be_drawn_on() -> None:
    views = (blank()[:, ::-1], blank()[..., ::-1], blank().transpose(1, 0, 2), blank()[::2, ::2])
    for view in views:
        drawn = draw_boxes(view, np.array([[20, 40, 80, 100]]), ["cat"], [0])
        assert drawn.shape == view.shape
        assert touched(drawn).any()


def test_a_label_stands_on_its_box() -> None:
    label = touched(draw((50, 60, 150, 200), "cat 0.90")) & ~touched(draw((50, 60, 150, 200)))
    rows, columns = np.nonzero(label)
    assert columns.min() == 50
    assert rows.max() == 59
    assert 12 <= np.ptp(rows) + 1 <= 24


@pytest.mark.parametrize(
    "box",
    [(0, 0, 320, 240), (-50, -50, 40, 40), (300, -10, 400, 30), (300, 220, 340, 300), (-20, 230, 20, 260)],
)
def test_labels_at_the_edge_stay_inside(box: tuple[float, float, float, float]) -> None:
    area = int((touched(draw(box, "person 0.50")) & ~touched(draw(box))).sum())
    middle = touched(draw((50, 60, 150, 200), "person 0.50")).sum() - touched(draw((50, 60, 150, 200))).sum()
    assert area > 0.8 * middle, "a label that was cut off would be smaller"


def test_labels_of_crowded_boxes_do_not_hide_each_other() -> None:
    boxes = np.array([[100, 100, 150, 150], [102, 101, 152, 151], [104, 102, 154, 152], [98, 99, 148, 149]])
    image = draw_boxes(blank(), boxes, ["one 0.9", "two 0.8", "three 0.7", "four 0.6"], [0, 1, 2, 3])
    for number in range(4):
        alone = draw_boxes(blank(), boxes[number : number + 1], ["x" * 7], [number])
        ground = (alone == class_colour(number)).all(axis=2).sum()
        assert (image == class_colour(number)).all(axis=2).sum() > 0.5 * ground


def test_the_first_box_is_on_top() -> None:
    boxes = np.array([[50, 50, 150, 150], [50, 50, 150, 150]])
    assert tuple(draw_boxes(blank(), boxes, ["", ""], [4, 9])[100, 50]) == class_colour(4)


def test_lines_and_letters_grow_with_the_picture() -> None:
    assert (line_width(24, 24), letter_size(24, 24)) == (1, 9)
    assert line_width(4000, 6000) == pytest.approx(16.3, abs=0.1)
    sides = range(100, 2000, 10)
    for size in (line_width, letter_size):
        steps = np.diff([size(side * 3 // 4, side) for side in sides])
        assert (steps >= 0).all()
        assert steps.max() <= 1
    assert np.diff([line_width(side * 3 // 4, side) for side in sides]).max() < 0.04, "no jump"


def test_a_line_between_two_pixels_is_soft_at_its_edges() -> None:
    row = draw_boxes(blank(), np.array([[50, 60, 150, 200]]), [""], [0], 2.0)[100, :60].astype(float)
    share = (row - GREY) / (np.array(class_colour(0)) - GREY)
    np.testing.assert_allclose(share[48:53].mean(axis=1), [0, 0.5, 1, 0.5, 0], atol=0.02)


def test_lines_are_as_wide_as_they_are_asked_for() -> None:
    for width in (1, 3, 9):
        drawn = touched(draw_boxes(blank(), np.array([[50, 60, 150, 200]]), [""], [0], width))
        assert drawn[130, :100].sum() == width
    with pytest.raises(UsageError, match="invalid line width"):
        Style(line_width=-1)


def grounds(image: np.ndarray, number: int) -> np.ndarray:
    return (image == class_colour(number)).all(axis=2)


def test_labels_of_a_small_picture_leave_its_boxes_to_be_seen() -> None:
    boxes = np.array([[10, 20, 60, 70], [70, 20, 120, 70], [20, 75, 70, 115], [90, 75, 150, 115]])
    plain = draw_boxes(np.zeros((120, 160, 3), np.uint8), boxes, [""] * 4, range(4))
    drawn = draw_boxes(np.zeros((120, 160, 3), np.uint8), boxes, ["person 0.55"] * 4, range(4))
    inside = np.zeros((120, 160), bool)
    for x1, y1, x2, y2 in boxes:
        inside[y1:y2, x1:x2] = True
    assert 0 < (plain != drawn).any(axis=2)[inside].mean() < 0.1
    assert ((plain != drawn).any(axis=2)[~inside]).mean() > 0.1, "they are there"


def test_in_a_crowd_labels_do_not_touch_and_lead_to_their_boxes() -> None:
    """Twelve boxes nearly at one place: each label is whole, and joined to its box."""
    boxes = np.array([[150 + i, 100 + i, 170 + i, 120 + i] for i in range(12)])
    alone = [
        int(grounds(draw_boxes(blank(), boxes[i : i + 1] * 0 + (50, 100, 51, 101), ["box"], [i]), i).sum())
        for i in range(12)
    ]
    drawn = draw_boxes(blank(), boxes, ["box"] * 12, range(12))
    whole = [i for i in range(12) if grounds(drawn, i).sum() >= 0.9 * alone[i]]
    assert len(whole) >= 10
    connected, parts = cv2.connectedComponents(touched(drawn).astype(np.uint8))
    assert connected == 2, "ground and one figure: labels hang together with the boxes"
    assert parts[110, 150] == 1


def test_what_finds_no_room_is_left_out_the_least_important_first() -> None:
    boxes = np.tile([[10, 10, 60, 60]], (200, 1))
    drawn = draw_boxes(blank(70, 90), boxes, [f"label {i}" for i in range(200)], range(200))
    assert grounds(drawn, 0).sum() > 150
    assert grounds(drawn, 199).sum() == 0


@pytest.mark.parametrize(
    "boxes",
    [
        [[40.5, 30.2, 200.1, 150.9]],
        [[100, 100, 106, 107]],  # as small as its cells
        [[10, 50, 300, 58], [7, 3, 12, 230]],
        [[-20, -9, 70, 60], [250, 180, 999, 999]],  # partly outside
        [[20, 20, 200, 200], [150, 60, 310, 90], [60, 60, 90, 90]],  # on each other
        [[200, 150, 40, 30], [np.nan, 5, 60, 50]],
    ],
)
def test_blurred_boxes_have_no_detail_and_all_else_is_the_same(boxes: list[list[float]]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    found = np.array(boxes, np.float32)
    inside = np.zeros((240, 320), bool)
    areas = []
    for a, b, c, d in np.nan_to_num(found):  # pixel by pixel: column x is the interval from x to x + 1
        columns = [x for x in range(320) if x + 1 > min(a, c) and x < max(a, c)]
        rows = [y for y in range(240) if y + 1 > min(b, d) and y < max(b, d)]
        inside[np.ix_(rows, columns)] = True
        areas.append(np.ix_(rows, columns))
    covered = pixelate(image, found)
    np.testing.assert_array_equal(covered[~inside], image[~inside])
    last = covered[areas[-1]].astype(int)
    for axis in (0, 1):
        assert np.diff(last, axis=axis).any(axis=(1 - axis, 2)).sum() < 8, "at most 8 cells across"
    for area in areas:  # neighbours are one colour nearly everywhere, where noise has none alike
        alike = [(np.diff(covered[area].astype(int), axis=axis) == 0).all(axis=2).mean() for axis in (0, 1)]
        assert min(alike) > 0.6
        bright = image[area].mean(), covered[area].mean()
        assert abs(bright[0] - bright[1]) < 25, "the mean colour stays"
    texts = ["a"] * len(boxes)
    drawn = draw_boxes(image, found, texts, range(len(boxes)), blur=True)
    np.testing.assert_array_equal(drawn, draw_boxes(covered, found, texts, range(len(boxes))))


@pytest.mark.parametrize("height", [12, 28, 40, 60, 100])
def test_a_caption_has_letters_on_pictures_of_any_height(height: int) -> None:
    white = np.full((height, 600, 3), 255, np.uint8)
    drawn = caption(white, "my network", class_colour(4))
    dark = (drawn < 110).all(axis=2)
    assert dark.sum() > 40
    assert not np.array_equal(drawn, caption(white, "my netwurk", class_colour(4)))


def test_tiny_pictures_get_boxes_without_labels() -> None:
    boxes = np.array([[2, 2, 20, 20]])
    with_text = draw_boxes(blank(24, 24), boxes, ["person 0.50"], [0])
    np.testing.assert_array_equal(with_text, draw_boxes(blank(24, 24), boxes, [""], [0]))
    assert touched(with_text).any()


def test_a_label_wider_than_the_picture_is_cut() -> None:
    image = draw_boxes(blank(100, 60), np.array([[5, 50, 50, 90]]), ["a very long name 0.50"], [0])
    assert touched(image)[30:49].all(axis=1).any()


@given(
    st.lists(st.tuples(finite, finite, finite, finite), max_size=6),
    st.integers(1, 90),
    st.integers(1, 90),
    st.text(max_size=8),
)
@settings(max_examples=80, deadline=None)
def test_any_box_and_any_text_can_be_drawn(
    boxes: list[tuple[float, ...]], height: int, width: int, text: str
) -> None:
    image = blank(height, width)
    drawn = draw_boxes(image, np.array(boxes).reshape(-1, 4), [text] * len(boxes), range(len(boxes)))
    assert drawn.shape == image.shape
    assert touched(drawn).any() == bool(boxes)


def test_boxes_that_are_not_numbers_do_no_harm() -> None:
    boxes = np.array([[np.nan, 0, 10, 10], [-np.inf, -np.inf, np.inf, np.inf]])
    assert draw_boxes(blank(), boxes, ["a", "b"], [0, 1]).shape == (240, 320, 3)


# Colours


def test_colours_of_classes_are_distinct() -> None:
    colours = [class_colour(number) for number in range(80)]
    assert len(set(colours)) == 80
    for a, b in itertools.combinations(colours[:12], 2):
        assert np.abs(np.subtract(a, b)).sum() > 40
    for a, b in itertools.pairwise(colours):
        assert np.abs(np.subtract(a, b)).sum() > 100


def test_colours_are_bright_enough_for_dark_pictures() -> None:
    for number in range(200):
        _, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in class_colour(number)))
        assert value > 0.45
        assert saturation > 0.15
        assert contrast(class_colour(number), (0, 0, 0)) > 4.5


def test_text_is_readable_on_every_colour() -> None:
    for number in range(200):
        ground, ink = drawing._label_ramp(class_colour(number))[[0, 255]]
        assert tuple(ground) == class_colour(number)
        assert contrast(tuple(ground), tuple(ink)) > 4.5, "what WCAG asks for"


# Text


def shape_of(text: str) -> np.ndarray:
    return drawing._text_mask(text, 24)


def test_all_labels_of_a_picture_have_one_height() -> None:
    assert {shape_of(text).shape[0] for text in ("a", "gÄj", "犬", "____", "ÄÖÜ")} == {34}


@pytest.mark.parametrize("text", ["Größe", "naïve café", "кот", "αβγ", "łódź"])
def test_letters_beyond_ascii_are_drawn(text: str) -> None:
    for letter, other in itertools.combinations(sorted(set(text) - set("abcdefghijklmnopqrstuvwxyzG ")), 2):
        assert not np.array_equal(shape_of(letter), shape_of(other)), "both are the sign for a missing letter"
    assert shape_of(text).max() > 200


@pytest.mark.skipif(not hasattr(cv2, "FontFace"), reason="OpenCV before 5 has no font of its own for these")
@pytest.mark.parametrize("text", ["猫犬", "한국", "散歩"])
def test_scripts_that_opencv_brings_along(text: str) -> None:
    assert not np.array_equal(shape_of(text[0]), shape_of(text[1]))
    assert not np.array_equal(shape_of(text[0]), shape_of("?"))


def test_without_fonts_text_is_still_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "FontFace", raising=False)
    monkeypatch.setattr(drawing, "_WIDE_FONTS", ("no such font.ttf",))
    drawing._font.cache_clear()
    drawing._text_mask.cache_clear()
    assert shape_of("Größe").max() > 200
    drawing._font.cache_clear()
    drawing._text_mask.cache_clear()


@pytest.mark.parametrize("text", ["two\nlines", "tab\there", "\0", "\udc80", " ", "x" * 10_000])
def test_names_may_hold_anything(text: str) -> None:
    assert draw((50, 60, 150, 200), text).shape == (240, 320, 3)


# Borders


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 4), "u1"),
    ],
)
def test_what_is_no_picture(wrong: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"not an image\n  expected: uint8 \(H, W, 3\)"):
        draw_boxes(wrong, np.empty((0, 4)), [], [])


def test_numbers_that_do_not_fit_together() -> None:
    with pytest.raises(UsageError, match="1 boxes, 2 texts, 1 classes"):
        draw_boxes(blank(), np.zeros((1, 4)), ["a", "b"], [0])


@pytest.mark.parametrize(
    ("style", "texts"),
    [
        (Style(), ["dog 0.90", "7 0.50"]),
        (Style(scores=False), ["dog", "7"]),
        (Style(labels=False), ["0.90", "0.50"]),
        (Style(labels=False, scores=False), ["", ""]),
    ],
)
def test_detections_plot_themselves(style: Style, texts: list[str]) -> None:
    boxes = np.array([[50, 60, 150, 200], [10, 30, 40, 50]], np.float32)
    found = Detections(boxes, np.array([0.899, 0.5], np.float32), np.array([1, 7]), ("cat", "dog"))
    expected = draw_boxes(blank(), boxes, texts, [1, 7])
    np.testing.assert_array_equal(found.plot(blank(), style), expected)
    np.testing.assert_array_equal(Detections.empty().plot(blank(), style), blank())


def test_ten_boxes_take_a_few_milliseconds() -> None:
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 500, (10, 2))
    boxes = np.hstack([corners, corners + generator.uniform(20, 140, (10, 2))])

    def milliseconds(texts: list[str]) -> float:
        start = time.thread_time()
        draw_boxes(blank(640, 640), boxes, texts, range(10))
        return 1000 * (time.thread_time() - start)

    assert min(milliseconds([f"new {run} {i}" for i in range(10)]) for run in range(10)) < 10
    assert min(milliseconds([f"seen {i}" for i in range(10)]) for _ in range(10)) < 4
