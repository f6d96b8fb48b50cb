"""What crosses borders: detections and their converters, letterboxes and the way back."""

from __future__ import annotations

import builtins
import json
import pydoc

import numpy as np
import PIL.Image
import pytest
import torch

import yolov7.types
from yolov7.errors import MissingDependencyError, UsageError
from yolov7.types import Detections, Letterbox


@pytest.fixture
def two() -> Detections:
    return Detections(
        np.array([[10, 20, 50.1234, 60], [0, 0, 5, 5]], np.float32),
        np.array([0.9, 0.123456], np.float32),
        np.array([1, 0]),
        ("cat", "dog"),
    )


def test_fields_must_fit_together():
    with pytest.raises(UsageError, match=r"\(3,\)"):
        Detections(np.zeros((2, 4), np.float32), np.zeros(3, np.float32), np.zeros(2, np.int64))


def test_length_names_and_selection(two):
    assert len(two) == 2
    assert two.class_names == ["dog", "cat"]
    assert two[two.scores > 0.5].class_names == ["dog"]
    assert two[:0].names == two.names
    assert len(Detections.empty(["a"])) == 0
    assert Detections.empty().name_of(7) == "7"


def test_iterating_and_whole_numbers_give_single_detections(two):
    assert [(one.name, one.label, round(one.score, 6)) for one in two] == [
        ("dog", 1, 0.9),
        ("cat", 0, 0.123456),
    ]
    assert two[-1].box.tolist() == [0, 0, 5, 5]
    assert two[np.int64(0)] == two[:1]
    assert two[0].to_coco(1) == two.to_coco(1)[:1]
    with pytest.raises(IndexError):
        two[2]
    assert two[[1, 0]].class_names == ["cat", "dog"]
    assert len(two[[]]) == 0
    assert two[[False, True]] == two[1:]


def test_equality_is_by_value_and_repr_is_short(two):
    assert two == two[:]
    assert two != two[::-1]
    assert two != "two"
    assert repr(two) == "<Detections 2: 1 dog, 1 cat>"
    assert repr(two[0]) == "<Detection 1: 1 dog>"


def test_plot_takes_arrays_and_pillow_images_and_says_what_else_it_needs(two):
    image = np.full((80, 100, 3), 90, np.uint8)
    grey = PIL.Image.fromarray(image).convert("L")
    np.testing.assert_array_equal(two.plot(grey), two.plot(image))
    for wrong in (None, "a.jpg"):
        with pytest.raises(UsageError, match="drawn on an image"):
            two.plot(wrong)


def test_from_tensors_of_any_precision():
    boxes, scores = torch.ones(1, 4, dtype=torch.bfloat16), torch.ones(1, requires_grad=True)
    found = Detections.from_tensors(boxes, scores, torch.zeros(1), ["a"])
    assert (found.boxes.dtype, found.scores.dtype, found.labels.dtype) == (np.float32, np.float32, np.int64)


def test_coco_entries_are_plain_and_rounded(two):
    assert json.dumps(two.to_coco(7, category_ids=[3, 18])) == (
        '[{"image_id": 7, "category_id": 18, "bbox": [10.0, 20.0, 40.123, 40.0], "score": 0.9}, '
        '{"image_id": 7, "category_id": 3, "bbox": [0.0, 0.0, 5.0, 5.0], "score": 0.12346}]'
    )
    assert [entry["category_id"] for entry in two.to_coco("a")] == [1, 0]


def test_supervision(two):
    found = two.to_supervision()
    assert np.array_equal(found.xyxy, two.boxes)
    assert np.array_equal(found.confidence, two.scores)
    assert found.class_id.tolist() == [1, 0]
    assert found.data["class_name"].tolist() == ["dog", "cat"]
    assert len(Detections.empty().to_supervision()) == 0


def test_pandas(two):
    table = two.to_pandas()
    assert table.to_csv(index=False) == (
        "x1,y1,x2,y2,score,label,name\n10.0,20.0,50.1234,60.0,0.9,1,dog\n0.0,0.0,5.0,5.0,0.123456,0,cat\n"
    )
    assert [str(dtype) for dtype in table.dtypes[:6]] == ["float32"] * 5 + ["int64"]
    assert len(Detections.empty().to_pandas()) == 0


@pytest.mark.parametrize(("method", "library"), [("to_supervision", "supervision"), ("to_pandas", "pandas")])
def test_a_missing_library_is_named_with_its_pip_command(two, method, library, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == library:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=rf"pip install 'open-yolov7\[{library}\]'"):
        getattr(two, method)()


def test_plot_leaves_the_image_alone(two):
    image = np.zeros((100, 120, 3), np.uint8)
    drawn = two.plot(image)
    assert drawn.shape == image.shape
    assert drawn.any()
    assert not image.any()


def test_letterbox_back_and_forth():
    box = Letterbox(source_size=(300, 600), size=(352, 640), scale=(1.05, 1.07), padding=(3, 14))
    boxes = np.array([[0, 0, 600, 300], [10.5, 20.25, 30, 40]], np.float32)
    there = boxes * (1.05, 1.07, 1.05, 1.07) + (3, 14, 3, 14)
    np.testing.assert_allclose(box.to_source(there), boxes, atol=1e-3)
    outside = box.to_source(np.array([[-50, -50, 9999, 9999]], np.float32))
    assert outside.tolist() == [[0, 0, 600, 300]]


def test_help_explains_the_values():
    text = pydoc.plain(pydoc.render_doc(yolov7.types))
    assert "class Detections" in text
    assert "class Letterbox" in text
