"""Columns of Detections: kinds of values, each with one value per detection.

A `Column` says how its values are selected, mapped to the source image, written, read back and drawn.
Detections and everything that writes them go through the table of columns, so that a new one takes one call::

    add_column(Column("depth"))                                # one number per detection
    add_column(Column("points", shape=(17, 2), pixels=True))   # 17 points, mapped to the source image

Such a column is written under its name: to json, COCO, csv, pandas and supervision. A subclass overrides
whatever differs, such as `draw`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from yolov7.drawing import Colour, Image, Style
from yolov7.types.sample import Letterbox

Values = npt.NDArray[Any]
"""Values of one column: (N, *shape)."""
Fields = dict[str, Sequence[Any] | Values]
"""Field name -> one entry per detection."""


class Column:
    """One kind of value that each detection has.

    Args:
        name: key in `Detections.columns`, and field in files.
        shape: shape of one detection's value.
        dtype: numpy dtype of the values.
        pixels: whether values are x, y pairs (the last axis) in pixels of the image.
        decimals: digits after the point in json, COCO and csv.
        field: name in files, if different.
        supervision: argument of ``supervision.Detections``; an entry of its ``data`` if None.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...] = (),
        dtype: type[np.generic] = np.float32,
        *,
        pixels: bool = False,
        decimals: int = 3,
        field: str | None = None,
        supervision: str | None = None,
    ) -> None:
        self.name, self.shape, self.dtype, self.pixels = name, shape, dtype, pixels
        self.decimals, self.field, self.supervision = decimals, field or name, supervision

    def from_tensor(self, values: Tensor) -> Values:
        """Values of a tensor on any device, of any dtype."""
        if values.dtype == torch.bfloat16:  # unknown to numpy
            values = values.float()
        return values.numpy(force=True).astype(self.dtype, copy=False)

    def select(self, values: Values, index: Any) -> Values:
        """Values of some detections: a slice, a mask (N,) or numbers."""
        return values[index]

    def to_source(self, values: Values, letterbox: Letterbox) -> Values:
        """Map values from a letterboxed image to its source image."""
        return letterbox.to_source(values) if self.pixels else values

    def to_json(self, values: Values, names: Sequence[str]) -> Fields:
        """Fields for json: plain numbers and lists, rounded."""
        return {self.field: rounded(values.tolist(), self.decimals)}

    def to_coco(self, values: Values, names: Sequence[str]) -> Fields:
        """Fields for a COCO results file."""
        return self.to_json(values, names)

    def to_table(self, values: Values, names: Sequence[str]) -> Fields:
        """Fields for csv and pandas, not rounded."""
        return {self.field: values if values.ndim == 1 else list(values)}

    def to_txt(self, values: Values, size: tuple[int, int]) -> list[str]:
        """Text for a line of a YOLO label file, for an image of size (height, width). Default: none."""
        return []

    def read(self, fields: Mapping[str, Sequence[Any]]) -> Values | None:
        """Values (N, *shape) from any of their written forms; None if absent."""
        if self.field not in fields:
            return None
        values = fields[self.field]
        if self.shape:  # csv has lists as JSON
            values = [json.loads(value) if isinstance(value, str) else value for value in values]
        if np.issubdtype(self.dtype, np.integer) and (np.array(values, np.float64) % 1).any():
            raise ValueError(f"{self.field}: not all are whole numbers")
        return np.array(values, self.dtype)

    def caption(self, values: Values, names: Sequence[str], style: Style) -> list[str]:
        """Text for each box's label in a picture. Default: none."""
        return []

    def draw(self, values: Values, canvas: Image, colours: Sequence[Colour], line: float) -> None:
        """Draw the values on a picture, below the boxes. Default: nothing.

        Args:
            values: (N, *shape), in pixels of the canvas.
            canvas: uint8 (H, W, 3) RGB, changed in place.
            colours: each detection's colour.
            line: line width in pixels.
        """


def rounded(values: list[Any], decimals: int) -> list[Any]:
    """Numbers in lists, nested to any depth, rounded as Python does."""
    if values and isinstance(values[0], list):
        return [rounded(one, decimals) for one in values]
    return [round(value, decimals) for value in values]


class _Boxes(Column):
    """Corners x1, y1, x2, y2. COCO has x, y, width, height; label files have centre and size in fractions."""

    def to_coco(self, values: Values, names: Sequence[str]) -> Fields:
        boxes = values.astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        return {"bbox": rounded(boxes.tolist(), self.decimals)}

    def to_table(self, values: Values, names: Sequence[str]) -> Fields:
        return dict(zip(_CORNERS, values.T, strict=True))

    def to_txt(self, values: Values, size: tuple[int, int]) -> list[str]:
        height, width = size
        x1, y1, x2, y2 = (values / (width, height, width, height)).T
        rows = zip((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, strict=True)
        return [f"{x:.6f} {y:.6f} {w:.6f} {h:.6f}" for x, y, w, h in rows]

    def read(self, fields: Mapping[str, Sequence[Any]]) -> Values | None:
        if "bbox" in fields:
            boxes = np.array(fields["bbox"], np.float64)
            boxes[:, 2:] += boxes[:, :2]
            return boxes.astype(self.dtype)
        if "x1" in fields:
            return np.array([fields[key] for key in _CORNERS], self.dtype).T
        return super().read(fields)


class _Scores(Column):
    """Confidences in [0, 1]."""

    def to_txt(self, values: Values, size: tuple[int, int]) -> list[str]:
        return [f"{score:.6f}" for score in values]

    def caption(self, values: Values, names: Sequence[str], style: Style) -> list[str]:
        return [f"{score:.2f}" for score in values] if style.scores else []


class _Labels(Column):
    """Classes: label and name, or label alone in COCO (as category_id)."""

    def to_coco(self, values: Values, names: Sequence[str]) -> Fields:
        return {"category_id": values.tolist()}

    def to_json(self, values: Values, names: Sequence[str]) -> Fields:
        return {"label": values.tolist(), "name": class_names(values, names)}

    def to_table(self, values: Values, names: Sequence[str]) -> Fields:
        return {"label": values, "name": class_names(values, names)}

    def to_txt(self, values: Values, size: tuple[int, int]) -> list[str]:
        return [str(label) for label in values]

    def read(self, fields: Mapping[str, Sequence[Any]]) -> Values | None:
        return super().read({"label": fields["category_id"]} if "category_id" in fields else fields)

    def caption(self, values: Values, names: Sequence[str], style: Style) -> list[str]:
        return class_names(values, names) if style.labels else []


def class_names(labels: Values, names: Sequence[str]) -> list[str]:
    """Name of each label; its number where the name is not known."""
    return [names[label] if 0 <= label < len(names) else str(label) for label in labels.tolist()]


_CORNERS = ("x1", "y1", "x2", "y2")
COLUMNS: dict[str, Column] = {}
"""Table of all columns, by name. See `add_column`."""


def add_column(column: Column) -> None:
    """Add a column to the table, after which Detections may have it."""
    COLUMNS[column.name] = column


add_column(_Boxes("boxes", (4,), pixels=True, field="box", supervision="xyxy"))
add_column(_Scores("scores", decimals=5, field="score", supervision="confidence"))
add_column(_Labels("labels", dtype=np.int64, field="label", supervision="class_id"))
