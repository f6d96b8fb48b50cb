"""Rules for valid labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.formats.small_sets import write_image
from yolov7.data.findings import MOST_LISTED, Findings
from yolov7.data.labels import LabelCollector, LabelledImage, readable_images

Box = tuple[float, float, float, float]


def collected(box: Box, *, in_pixels: bool = False) -> tuple[LabelledImage, list[str]]:
    findings = Findings()
    collector = LabelCollector(Path("a.jpg"), 7, (60, 80), Path("a.txt"), findings, lambda place: 10 * place)
    collector.add(1, box, place=3, in_pixels=in_pixels)
    return collector.labelled_image(), [str(defect) for defect in findings.defects]


@pytest.mark.parametrize("box", [(0.2, 0.2, 0.6, 0.9), (0, 0, 1, 1), (-0.005, 0, 1.005, 1)])
def test_pixels_that_look_like_fractions_are_refused(box: Box) -> None:
    image, (problem,) = collected(box, in_pixels=True)
    assert len(image) == 0
    assert problem.startswith("a.txt:30: box (")
    assert "fractions of the image instead of pixels? dropped" in problem
    assert len(collected(box)[0]) == 1, "boxes computed from fractions may be that small"
    assert len(collected((box[0], box[1], 1.02, box[3]), in_pixels=True)[0]) == 1


@pytest.mark.parametrize(("excess", "clipped"), [(0.9, False), (1.1, True)])
@pytest.mark.parametrize("side", range(4))
def test_boxes_are_clipped_if_they_exceed_the_image_by_more_than_rounding(
    side: int, excess: float, clipped: bool
) -> None:
    whole = np.array((0, 0, 80, 60), np.float32)
    box = whole.copy()
    box[side] += excess if side >= 2 else -excess
    image, problems = collected((float(box[0]), float(box[1]), float(box[2]), float(box[3])))
    np.testing.assert_array_equal(image.boxes[0], whole if clipped else box)
    assert len(problems) == clipped
    assert all(problem.endswith("reaches outside its image of 80 x 60: clipped") for problem in problems)


def test_problems_that_are_only_counted_are_not_formatted() -> None:
    class Value:
        shown = 0

        def __str__(self) -> str:
            Value.shown += 1
            return "{0} {"

    findings, lines = Findings(), []
    collector = LabelCollector(
        Path("a.jpg"), 7, (60, 80), Path("a.txt"), findings, lambda i: lines.append(i) or i
    )
    for number in range(MOST_LISTED + 5):
        collector.report("error", number, "not numbers: {}: dropped", Value())
    first, *_, more = findings.defects
    assert str(first) == "a.txt:0: not numbers: {0} {: dropped"
    assert str(more) == "a.txt: 5 more errors in a.jpg"
    assert Value.shown == len(lines) == MOST_LISTED


def test_unreadable_images_are_reported_and_the_others_keep_their_ids(tmp_path: Path) -> None:
    findings = Findings()
    paths = [write_image(tmp_path / f"{number}.png", size=(number, 9)) for number in (3, 4, 5)]
    paths[1].write_bytes(b"")
    assert list(readable_images(paths, findings)) == [(paths[0], 3, (3, 9)), (paths[2], 5, (5, 9))]
    assert [str(defect) for defect in findings.defects] == [f"{paths[1]}: the file is empty: left out"]
    assert [(group.count, group.reason) for group in findings.left_out] == [(1, "images that cannot be read")]
