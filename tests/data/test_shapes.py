"""Generated data set of shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from yolov7.data.shapes import NAMES, write_shapes
from yolov7.errors import OutputError
from yolov7.formats.opening import open_dataset


def test_the_data_set_has_no_defects(tmp_path: Path) -> None:
    data = write_shapes(tmp_path, train=20, val=5, size=96)
    for split, count in (("train", 20), ("val", 5)):
        dataset = open_dataset(data, split)
        assert (len(dataset), dataset.names, dataset.defects) == (count, NAMES, ())
        assert all(image.polygons for image in dataset.images if len(image))
        boxes = np.concatenate([image.boxes for image in dataset.images])
        assert boxes.min() >= 0
        assert boxes.max() <= 96
    labels = np.concatenate([image.labels for image in open_dataset(data, "train").images])
    assert set(labels.tolist()) == {0, 1, 2}


def test_boxes_surround_coloured_shapes(tmp_path: Path) -> None:
    """Pixels are coloured inside the boxes and grey outside."""
    sample = open_dataset(write_shapes(tmp_path, train=1, val=0, size=128), "train")[0]
    spread = np.ptp(sample.image.astype(int), axis=2)
    covered = np.zeros(spread.shape, bool)
    for x1, y1, x2, y2 in sample.boxes.astype(int).tolist():
        covered[max(0, y1 - 1) : y2 + 2, max(0, x1 - 1) : x2 + 2] = True
        assert np.median(spread[(y1 + y2) // 2 - 2 : (y1 + y2) // 2 + 3, (x1 + x2) // 2]) > 50
    assert (spread[~covered] > 80).mean() < 0.001


def test_the_same_seed_gives_the_same_images(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_shapes(tmp_path / name, train=2, val=0, size=64, seed=seed)
    a, b, c = ((tmp_path / name / "images" / "train" / "0001.png").read_bytes() for name in "abc")
    assert a == b != c


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: cannot be written"):
        write_shapes(tmp_path / "file")
