"""What a person does with one result: look, save, pass on."""

from __future__ import annotations

import io
import json

import numpy as np
import PIL.Image
import pytest

from yolov7.drawing import pixelate
from yolov7.errors import OutputError, SourceError, UsageError
from yolov7.results.result import NOTEBOOK_SIDE, Result, Timings
from yolov7.sources.frames import Frame
from yolov7.types import Detections

NAMES = ("<b>dog\x1b[2J", "cat")


def result(height: int = 60, width: int = 90) -> Result:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    boxes = np.array([[5, 6, 50, 40], [1, 2, 3.25, 4]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.123456], np.float32), np.array([0, 1]), NAMES)
    frame = Frame(image, "a.png", "a.png", 3)
    return Result(found, image, "a.png", 3, Timings(0, 0, 0, 0), frame)


def test_repr_is_one_short_line():
    assert repr(result()) == r"<Result a.png, 90 x 60: 1 <b>dog\x1b[2J, 1 cat>"


def test_saving_writes_the_plot(tmp_path):
    one = result()
    one.save(tmp_path / "new" / "a.png")
    saved = np.asarray(PIL.Image.open(tmp_path / "new" / "a.png"))
    np.testing.assert_array_equal(saved, one.plot())
    assert not np.array_equal(saved, one.image)
    one.save(tmp_path / "blurred.png", blur=True)
    blurred = np.asarray(PIL.Image.open(tmp_path / "blurred.png"))
    np.testing.assert_array_equal(blurred, one.detections.plot(pixelate(one.image, one.detections.boxes)))
    np.testing.assert_array_equal(blurred, one.plot(blur=True))
    one.save(tmp_path / "a.JPG")
    with pytest.raises(UsageError, match="unknown picture format"):
        one.save(tmp_path / "a.gif")
    with pytest.raises(OutputError):
        one.save(tmp_path / "a.JPG" / "b.png")


def test_json_has_every_detection():
    assert result().to_json() == (
        r'{"source": "a.png", "index": 3, "width": 90, "height": 60, "detections": ['
        r'{"label": 0, "name": "<b>dog\u001b[2J", "score": 0.9, "box": [5.0, 6.0, 50.0, 40.0]}, '
        r'{"label": 1, "name": "cat", "score": 0.12346, "box": [1.0, 2.0, 3.25, 4.0]}]}'
    )
    assert list(result().to_pandas().name) == list(NAMES)


def test_an_image_that_cannot_be_read_says_so_everywhere():
    error = SourceError("damaged", file="a.png", found="half of it")
    frame = Frame(None, "a.png", "a.png", 3, error=error)
    failed = Result(
        Detections.empty(NAMES), np.zeros((0, 0, 3), np.uint8), "a.png", 3, Timings(0, 0, 0, 0), frame
    )
    with pytest.raises(SourceError) as raised:
        failed.plot()
    assert raised.value is error
    document = json.loads(failed.to_json())
    assert (document["error"], document["detections"]) == (str(error), [])
    assert failed._repr_png_() is None
    assert repr(failed) == "<Result a.png: damaged>"


def test_a_notebook_gets_a_picture_of_bounded_size_and_an_escaped_table():
    page = result()._repr_html_()
    assert "&lt;b&gt;dog" in page
    assert "<b>" not in page
    assert "\x1b" not in page
    picture = PIL.Image.open(io.BytesIO(result(100, 4000)._repr_png_()))
    assert picture.size == (NOTEBOOK_SIDE, 32)
