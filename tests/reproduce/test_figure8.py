"""The picture of Figure 8, as it lies on the disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import yolov7
from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.data.shapes import NAMES
from yolov7.images.reading import read_image
from yolov7.reproduce.figure8 import draw_figure_8


def test_each_network_has_its_name_above_its_maps(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    Checkpoint(yolov7.create("yolov7-tiny", 3), NAMES, 64, "open-yolov7", "float32").save(path)
    photo = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    (picture,) = draw_figure_8([("first", path), ("second one", path)], [photo], tmp_path / "out")
    drawn = read_image(picture).astype(int)
    height = (drawn.shape[0] - 6) // 2  # a sheet of one column, 6 pixels between its rows
    headings = [drawn[top : top + 28] for top in (0, height + 6)]
    letters = [(heading.max(axis=2) < 110)[4:-4, 4:-4].sum() for heading in headings]
    assert min(letters) > 20
    assert letters[1] > 1.3 * letters[0], "ten letters against five"
    maps = [drawn[top + 28 : top + height] for top in (0, height + 6)]
    np.testing.assert_allclose(maps[0], maps[1], atol=40)
    assert maps[0].std() > 10
