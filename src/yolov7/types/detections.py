"""Detections of one image, and conversions: COCO, json, pandas, supervision, pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex, overload

import numpy as np
import numpy.typing as npt
from torch import Tensor

from yolov7.drawing import Style, draw_boxes
from yolov7.errors import MissingDependencyError, UsageError
from yolov7.text import printable
from yolov7.types.columns import COLUMNS, Column, Fields, Values, class_names
from yolov7.types.sample import FloatArray, Image, IntArray, Letterbox

if TYPE_CHECKING:
    import pandas
    import PIL.Image
    import supervision
    from typing_extensions import Self


@dataclass(frozen=True, repr=False, eq=False)
class Detections:
    """Boxes that a detector found in one image, best first.

    Iterating gives each :class:`Detection`; so does a whole number as index. Slices, masks and lists of
    numbers give Detections.

    Attributes:
        boxes: float32 (N, 4) ``xyxy`` pixels.
        scores: float32 (N,) in [0, 1].
        labels: int64 (N,), contiguous from 0.
        names: class names by label.
        columns: further values by the name of their column, (N, *shape); see `yolov7.types.columns`.

    Raises:
        UsageError: values of the wrong shape or number, or of an unknown column.

    >>> import numpy as np
    >>> boxes = np.array([[10, 10, 60, 40], [0, 0, 5, 5]], np.float32)
    >>> found = Detections(boxes, np.array([0.9, 0.4], np.float32), np.array([1, 0]), ("car", "dog"))
    >>> [one.name for one in found], found[0].box.tolist(), len(found[found.scores > 0.5])
    (['dog', 'car'], [10.0, 10.0, 60.0, 40.0], 1)
    """

    boxes: FloatArray
    scores: FloatArray
    labels: IntArray
    names: tuple[str, ...] = ()
    columns: Mapping[str, Values] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.boxes)
        for name, values in self._values().items():
            column = COLUMNS.get(name)
            if column is None or values.shape != (n, *column.shape):
                self._refuse()

    def _refuse(self) -> NoReturn:
        values = self._values()
        unknown = [name for name in values if name not in COLUMNS]
        if unknown:
            raise UsageError("no such column", expected=", ".join(COLUMNS), found=", ".join(unknown))
        shapes = {name: ", ".join(("N", *map(str, COLUMNS[name].shape))) for name in values}
        raise UsageError(
            "detections do not fit together",
            expected=", ".join(f"{name} ({shape})" for name, shape in shapes.items()),
            found=", ".join(f"{name} {array.shape}" for name, array in values.items()),
        )

    @classmethod
    def _of(
        cls, names: tuple[str, ...], boxes: Values, scores: Values, labels: Values, **columns: Values
    ) -> Self:
        return cls(boxes, scores, labels, names, columns)

    @classmethod
    def empty(cls, names: Sequence[str] = ()) -> Detections:
        """Make Detections without any detection, with these class names."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), tuple(names))

    @classmethod
    def from_tensors(
        cls, boxes: Tensor, scores: Tensor, labels: Tensor, names: Sequence[str], **columns: Tensor
    ) -> Detections:
        """Make detections from tensors on any device, of any dtype."""
        tensors = {"boxes": boxes, "scores": scores, "labels": labels, **columns}
        arrays = {
            name: COLUMNS.get(name, Column(name)).from_tensor(values) for name, values in tensors.items()
        }
        return cls._of(tuple(names), **arrays)

    @classmethod
    def from_records(cls, records: Iterable[Mapping[str, Any]], names: Sequence[str] = ()) -> Detections:
        """Read detections back from written records.

        Args:
            records: one per detection: entries of a COCO file or of `Result.to_json`, rows of a csv file, or
                ``table.to_dict("records")`` of a pandas table. Unknown fields are ignored.
            names: class names by label.

        Raises:
            UsageError: no box, score or label, or one that is not a number.

        >>> Detections.from_records([{"category_id": 1, "bbox": [10, 10, 50, 30], "score": 0.9}]).boxes
        array([[10., 10., 60., 40.]], dtype=float32)
        """
        records = list(records)
        if not records:
            return cls.empty(names)
        fields = _Fields(records)
        try:
            read = {name: column.read(fields) for name, column in COLUMNS.items()}
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            raise UsageError("not detections", expected="numbers in every record", found=error) from error
        values = {name: one for name, one in read.items() if one is not None}
        basic = ("boxes", "scores", "labels")
        if missing := [name for name in basic if name not in values]:
            raise UsageError("not detections", expected=", ".join(missing), found=", ".join(fields))
        if endless := [name for name in basic if not np.isfinite(values[name]).all()]:
            raise UsageError("not detections", expected="finite numbers", found=", ".join(endless))
        return cls._of(tuple(names), **values)

    def _values(self) -> dict[str, Values]:
        return {"boxes": self.boxes, "scores": self.scores, "labels": self.labels, **self.columns}

    def items(self, *first: str) -> list[tuple[Column, Values]]:
        """Columns with their values, (N, *shape): boxes, scores, labels, others; those named come first."""
        values = self._values()
        return [(COLUMNS[name], values[name]) for name in dict.fromkeys((*first, *values))]

    def __len__(self) -> int:
        return len(self.boxes)

    def __iter__(self) -> Iterator[Detection]:
        return (self[number] for number in range(len(self)))

    @overload
    def __getitem__(self, index: SupportsIndex) -> Detection: ...

    @overload
    def __getitem__(self, index: npt.NDArray[Any] | slice | Sequence[int]) -> Detections: ...

    def __getitem__(self, index: SupportsIndex | npt.NDArray[Any] | slice | Sequence[int]) -> Detections:
        """Pick one detection by its number, or several by a slice, a mask (N,) or numbers."""
        kind = Detections
        if isinstance(index, SupportsIndex) and not isinstance(index, np.ndarray):
            number = range(len(self))[index]  # IndexError beyond the end; negative counts from the end
            index, kind = slice(number, number + 1), Detection
        elif isinstance(index, Sequence):
            index = np.asarray(index, dtype=None if len(index) else np.int64)
        picked = {name: COLUMNS[name].select(values, index) for name, values in self._values().items()}
        return kind._of(self.names, **picked)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self)}: {self.summary()}>"

    def __eq__(self, other: object) -> bool:
        """Test if names and all values are equal."""
        if not isinstance(other, Detections):
            return NotImplemented
        mine, theirs = self._values(), other._values()
        same = self.names == other.names and mine.keys() == theirs.keys()
        return same and all(np.array_equal(mine[name], theirs[name]) for name in mine)

    def summary(self) -> str:
        """Count the classes, the most frequent first: ``2 cat, 1 dog``.

        >>> Detections.empty().summary()
        'nothing'
        """
        counts = Counter(self.class_names).most_common()
        return ", ".join(f"{count} {printable(name)}" for name, count in counts) or "nothing"

    def name_of(self, label: int) -> str:
        """Name of a class, or its label as text if the name is not known."""
        return self.names[label] if 0 <= label < len(self.names) else str(label)

    @property
    def class_names(self) -> list[str]:
        """Class name of each detection."""
        return class_names(self.labels, self.names)

    def to_source(self, letterbox: Letterbox) -> Detections:
        """Map the detections to the image that was letterboxed, clipped to it."""
        mapped = {name: COLUMNS[name].to_source(values, letterbox) for name, values in self._values().items()}
        return self._of(self.names, **mapped)

    def to_records(self) -> list[dict[str, Any]]:
        """One dictionary per detection, as `Result.to_json` has it: label, name, score, box, others."""
        columns = self.items("labels", "scores", "boxes")
        return _records([column.to_json(values, self.names) for column, values in columns])

    def to_coco(self, image_id: int | str, category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """Entries of a COCO results file: bbox is x, y, w, h; 3 decimals for boxes, 5 for scores.

        Args:
            image_id: id of the image in the data set.
            category_ids: category id of each label; by default the label itself.
        """
        found = self
        if category_ids is not None:
            found = replace(self, labels=np.asarray(category_ids, np.int64)[self.labels])
        columns = found.items("labels", "boxes", "scores")
        fields = [column.to_coco(values, self.names) for column, values in columns]
        return _records([{"image_id": [image_id] * len(self)}, *fields])

    def to_supervision(self) -> supervision.Detections:
        """Return ``supervision.Detections``, with class names and further columns in its ``data``."""
        try:
            import supervision
        except ImportError:
            raise MissingDependencyError(
                "supervision", purpose="to_supervision()", extra="supervision"
            ) from None
        arguments: dict[str, Any] = {}
        data: dict[str, Any] = {"class_name": np.array(self.class_names, dtype=str)}
        for column, values in self.items():
            target = arguments if column.supervision else data
            target[column.supervision or column.name] = values.copy()
        return supervision.Detections(**arguments, data=data)

    def to_pandas(self) -> pandas.DataFrame:
        """Return a table with one row per detection: x1, y1, x2, y2, score, label, name, others."""
        try:
            import pandas
        except ImportError:
            raise MissingDependencyError("pandas", purpose="to_pandas()", extra="pandas") from None
        fields: Fields = {}
        for column, values in self.items():
            fields |= column.to_table(values, self.names)
        return pandas.DataFrame(fields)

    def plot(self, image: Image | PIL.Image.Image | None = None, style: Style | None = None) -> Image:
        """Draw boxes, names and scores on a copy of the image.

        Args:
            image: the detections' image: uint8 (H, W, 3) RGB, or a Pillow image.
            style: lines, labels and blur; by default according to the image's size.

        Returns:
            uint8 (H, W, 3) RGB.

        Raises:
            UsageError: no image, or an unsupported one.
        """
        if image is not None and not isinstance(image, np.ndarray) and hasattr(image, "convert"):
            image = np.asarray(image.convert("RGB"))
        if not isinstance(image, np.ndarray):
            raise UsageError(
                "detections are drawn on an image",
                expected="plot(image) with uint8 (H, W, 3) RGB or a Pillow image; or plot() of a Result",
                found="no image" if image is None else type(image).__name__,
            )
        style = style or Style()
        columns = list(self.items("labels"))
        captions = [text for column, values in columns if (text := column.caption(values, self.names, style))]
        texts = [" ".join(parts) for parts in zip(*captions, strict=True)] or [""] * len(self)
        under = [partial(column.draw, values) for column, values in columns]
        return draw_boxes(
            image, self.boxes, texts, self.labels, style.line_width, blur=style.blur, under=under
        )


class Detection(Detections):
    """One detection: Detections of length 1, with its values as plain numbers."""

    @property
    def box(self) -> FloatArray:
        """Corners x1, y1, x2, y2 in pixels, float32 (4,)."""
        return self.boxes.reshape(4)

    @property
    def score(self) -> float:
        """Confidence in [0, 1]."""
        return float(self.scores[0])

    @property
    def label(self) -> int:
        """Label of the class."""
        return int(self.labels[0])

    @property
    def name(self) -> str:
        """Name of the class."""
        return self.name_of(self.label)


def _records(columns: Iterable[Fields]) -> list[dict[str, Any]]:
    """One dictionary per detection from fields with one entry per detection."""
    fields: Fields = {}
    for more in columns:
        fields |= more
    return [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]


class _Fields(Mapping[str, list[Any]]):
    """Values of all records by field; KeyError if some of the records lack the field."""

    def __init__(self, records: Sequence[Mapping[str, Any]]) -> None:
        self._records = records
        self._names = dict.fromkeys(name for record in records for name in record)

    def __getitem__(self, name: str) -> list[Any]:
        return [record[name] for record in self._records]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
