"""The worst images: which they are, what is said of them, what is drawn."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

from tests.evaluation.scenes import detected, labelled
from yolov7.evaluation.matching import judge
from yolov7.reports import worst

NAMES = ("cat", "dog <&>")
SVG = "{http://www.w3.org/2000/svg}"


def test_the_most_costly_come_first_and_those_without_mistakes_not_at_all():
    box = (0, 0, 40, 40)
    images = [labelled([box], [0], image_id=number) for number in range(1, 5)]
    detections = {
        1: detected((box, 0.9, 0)),  # perfect
        2: detected((box, 0.9, 0), ((100, 100, 140, 140), 0.5, 0)),  # costs 0.5
        3: detected((box, 0.9, 1)),  # costs 1.9
        4: detected(),  # costs 1
    }
    judgements = judge(images, detections)
    assert [judgement.image.image_id for judgement in worst.worst(judgements)] == [3, 4, 2]
    assert [judgement.image.image_id for judgement in worst.worst(judgements, 1)] == [3]


def scene():
    image = labelled(
        [(0, 0, 40, 40), (50, 0, 90, 40), (100, 60, 140, 100), (150, 60, 190, 100)], [0, 1, 1, 0]
    )
    found = detected(
        ((0, 0, 40, 40), 0.9, 0),
        ((51, 0, 91, 40), 0.8, 0),
        ((10, 100, 60, 160), 0.5, 1),
        ((10, 90, 60, 150), 0.4, 1),
    )
    return judge([image], {1: found})[0]


def test_in_words():
    assert worst.in_words(scene(), NAMES) == (
        "4 objects; missed: 1 dog <&>, 1 cat; mistaken: 1 dog <&> → cat; false: 2 dog <&>."
    )
    crowded = labelled([(10 * i, 0, 10 * i + 9, 9) for i in range(9)], list(range(9)))
    (judgement,) = judge([crowded], {1: detected()})
    names = [f"class {i}" for i in range(9)]
    assert worst.in_words(judgement, names).endswith("1 class 4 and 4 more.")


def test_every_outcome_has_its_frame_and_every_mistake_its_name():
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    root = ElementTree.fromstring(worst.picture(scene(), image, NAMES))
    frames = [rect for rect in root.iter(f"{SVG}rect") if rect.get("stroke") != "#000"]
    assert sorted(rect.get("stroke", "") for rect in frames) == sorted(
        [worst.RIGHT.colour, worst.CONFUSED.colour, *[worst.FALSE.colour] * 2, *[worst.MISSED.colour] * 2]
    )
    for rect in frames:
        assert (rect.get("stroke-dasharray") is not None) == (rect.get("stroke") == worst.MISSED.colour)
    texts = {text.text for text in root.iter(f"{SVG}text")}
    assert texts == {"dog <&> → cat 0.80", "dog <&> 0.50", "dog <&> 0.40", "dog <&>", "cat"}
    assert len(list(root.iter(f"{SVG}title"))) == 6


def test_large_pictures_shrink_with_their_frames():
    image = np.zeros((200 * 12, 200 * 12, 3), np.uint8)
    large = labelled([(0, 0, 2400, 1200)], [0])
    (judgement,) = judge([large], {1: detected()})
    root = ElementTree.fromstring(worst.picture(judgement, image, NAMES))
    assert root.get("viewBox") == "0 0 960 960"
    (rect,) = [rect for rect in root.iter(f"{SVG}rect") if rect.get("stroke") != "#000"]
    assert (rect.get("width"), rect.get("height")) == ("960.0", "480.0")


def test_labels_do_not_cover_each_other():
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 150, (60, 2))
    boxes = np.concatenate((corner, corner + 20), axis=1)
    (judgement,) = judge([labelled(boxes.tolist(), [0] * 60)], {1: detected()})
    root = ElementTree.fromstring(worst.picture(judgement, np.zeros((200, 200, 3), np.uint8), ("ox",)))
    places = [(float(t.get("x", 0)), float(t.get("y", 0))) for t in root.iter(f"{SVG}text")]
    assert 10 < len(places) < 60, "some find room, not all can"
    size = float(root.get("font-size", 0))
    for i, (x, y) in enumerate(places):
        assert 0 <= x < 200
        assert size <= y <= 200
        for u, v in places[:i]:
            assert abs(x - u) > 0.9 * size or abs(y - v) > 0.9 * size
