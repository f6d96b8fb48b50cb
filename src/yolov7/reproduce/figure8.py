"""Figure 8: objectness of the lead and auxiliary heads of differently trained networks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from yolov7.checkpoints.checkpoint import load_checkpoint
from yolov7.files import write_file
from yolov7.reports.pictures import captioned, seen_objectness, sheet
from yolov7.results.output import encoded
from yolov7.types import Image


def draw_figure_8(
    weights: Sequence[tuple[str, str | os.PathLike[str]]],
    photos: Sequence[Image],
    out: Path,
    size: int | None = None,
) -> list[Path]:
    """Draw a picture per photo: the networks below each other, lead heads above auxiliary ones.

    Args:
        weights: (label, checkpoint) of each network; only the training form has auxiliary heads.
        photos: uint8 (H, W, 3) RGB, scaled to a longest side of `size` pixels, by default the checkpoint's.
        out: directory for figure8-1.jpg, figure8-2.jpg...

    Raises:
        CheckpointError: a checkpoint cannot be read.
        OutputError: a picture cannot be written.

    Paper: Sec. 5.4.3, Fig. 8.
    """
    networks = []
    for label, path in weights:
        checkpoint = load_checkpoint(path)
        networks.append((label, checkpoint.model.float().eval(), size or checkpoint.size))
    paths = []
    for number, photo in enumerate(photos, start=1):
        tiles = []
        for label, model, side in networks:
            maps = seen_objectness(model, photo, side)
            heading = np.full((28, maps.shape[1], 3), 255, np.uint8)
            tiles.append(np.vstack((captioned(heading, label), maps)))
        path = out / f"figure8-{number}.jpg"
        write_file(path, encoded(sheet(tiles, 1), ".jpg"))
        paths.append(path)
    return paths
