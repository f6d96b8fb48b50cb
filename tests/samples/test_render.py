"""Labels of objects that a view shows in part."""

from __future__ import annotations

import numpy as np
import pytest

from tests.samples.drawn_images import Drawn
from yolov7.samples.affine import View
from yolov7.samples.mosaic import Canvas, Tile
from yolov7.samples.render import render
from yolov7.samples.source import Reader
from yolov7.types import Sample


@pytest.mark.parametrize("seen", [0.005, 0.05, 0.2])
@pytest.mark.parametrize("with_polygon", [True, False])
def test_polygons_survive_with_1_percent_boxes_with_10_percent(seen: float, with_polygon: bool) -> None:
    polygon = np.array(((0, 0), (2, 0), (2, 80), (0, 80)), np.float32)
    image, box = np.zeros((100, 100, 3), np.uint8), np.array([(0, 0, 2, 80)], np.float32)
    polygons = (polygon,) if with_polygon else ()
    sample = Sample(image, box, np.zeros(1, np.int64), 0, polygons)
    # Enlarged twenty times, and moved up until the wanted part of the object's height is left.
    scale, left = 20.0, 80 * seen
    view = View(np.array(((scale, 0, 0), (0, scale, -scale * (80 - left)), (0, 0, 1.0))), scale, 100, 400)
    found = render(Reader(Drawn([sample])), Canvas(100, (Tile(0, 0, 0, 100, 100),)), view)
    assert len(found.boxes) == (seen > (0.01 if with_polygon else 0.1))
