"""Detections of one image, and their converters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from yolov7.drawing import Style, draw_boxes
from yolov7.errors import MissingDependencyError, UsageError
from yolov7.text import printable
from yolov7.types.sample import FloatArray, Image, IntArray, Letterbox

if TYPE_CHECKING:
    import pandas
    import PIL.Image
    import supervision


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

    >>> import numpy as np
    >>> boxes = np.array([[10, 10, 60, 40], [0, 0, 5, 5]], np.float32)
    >>> found = Detections(boxes, np.array([0.9, 0.4], np.float32), np.array([1, 0]), ("car", "dog"))
    >>> [one.name for one in found], found[0].box.tolist(), len(found[found.scores > 0.5])
    (['dog', 'car'], [10.0, 10.0, 60.0, 40.0], 1)
    """

    boxes: FloatArray
    scores: FloatArray
    labels: IntArray
    names: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        n = len(self.boxes)
        shapes = (self.boxes.shape, self.scores.shape, self.labels.shape)
        if shapes != ((n, 4), (n,), (n,)):
            raise UsageError(
                "detections do not fit together",
                expected="boxes (N, 4), scores (N,), labels (N,)",
                found=", ".join(map(str, shapes)),
            )

    @classmethod
    def empty(cls, names: Sequence[str] = ()) -> Detections:
        """No detections."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), tuple(names))

    @classmethod
    def from_tensors(cls, boxes: Tensor, scores: Tensor, labels: Tensor, names: Sequence[str]) -> Detections:
        """From tensors on any device."""
        return cls(
            boxes.detach().to("cpu", torch.float32).numpy(),
            scores.detach().to("cpu", torch.float32).numpy(),
            labels.detach().to("cpu", torch.int64).numpy(),
            tuple(names),
        )

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
            number = range(len(self))[index]  # IndexError beyond the end; from the end where negative
            index, kind = slice(number, number + 1), Detection
        elif isinstance(index, Sequence):
            index = np.asarray(index, dtype=None if len(index) else np.int64)
        return kind(self.boxes[index], self.scores[index], self.labels[index], self.names)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self)}: {self.summary()}>"

    def __eq__(self, other: object) -> bool:
        """Whether boxes, scores, labels and names are the same, number by number."""
        if not isinstance(other, Detections):
            return NotImplemented
        pairs = ((self.boxes, other.boxes), (self.scores, other.scores), (self.labels, other.labels))
        return self.names == other.names and all(np.array_equal(mine, theirs) for mine, theirs in pairs)

    def summary(self) -> str:
        """Count the classes, the most frequent first: ``2 cat, 1 dog``.

        >>> Detections.empty().summary()
        'nothing'
        """
        counts = Counter(self.class_names).most_common()
        return ", ".join(f"{count} {printable(name)}" for name, count in counts) or "nothing"

    def name_of(self, label: int) -> str:
        """Name of a class, or its number where names are not known."""
        return self.names[label] if 0 <= label < len(self.names) else str(label)

    @property
    def class_names(self) -> list[str]:
        """Name of each detection's class, (N,)."""
        return [self.name_of(int(label)) for label in self.labels]

    def to_source(self, letterbox: Letterbox) -> Detections:
        """The same detections in the pixels of the image that was letterboxed, clipped to it."""
        return replace(self, boxes=letterbox.to_source(self.boxes))

    def to_coco(self, image_id: int | str, category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """Entries of a COCO results file: bbox is x, y, w, h; 3 decimals for boxes, 5 for scores.

        Args:
            image_id: id of the image in the data set.
            category_ids: the data set's id of each label; label itself where not given.
        """
        entries = []
        for (x1, y1, x2, y2), score, label in zip(
            self.boxes.tolist(), self.scores.tolist(), self.labels.tolist(), strict=True
        ):
            entries.append(
                {
                    "image_id": image_id,
                    "category_id": label if category_ids is None else category_ids[label],
                    "bbox": [round(v, 3) for v in (x1, y1, x2 - x1, y2 - y1)],
                    "score": round(score, 5),
                }
            )
        return entries

    def to_supervision(self) -> supervision.Detections:
        """As ``supervision.Detections``, with the class names in ``data["class_name"]``."""
        try:
            import supervision
        except ImportError:
            raise MissingDependencyError(
                "supervision", purpose="to_supervision()", extra="supervision"
            ) from None
        return supervision.Detections(
            xyxy=self.boxes.copy(),
            confidence=self.scores.copy(),
            class_id=self.labels.astype(int),
            data={"class_name": np.array(self.class_names, dtype=str)},
        )

    def to_pandas(self) -> pandas.DataFrame:
        """One row a detection: x1, y1, x2, y2, score, label, name."""
        try:
            import pandas
        except ImportError:
            raise MissingDependencyError("pandas", purpose="to_pandas()", extra="pandas") from None
        table = pandas.DataFrame(self.boxes, columns=["x1", "y1", "x2", "y2"])
        return table.assign(score=self.scores, label=self.labels, name=self.class_names)

    def plot(self, image: Image | PIL.Image.Image | None = None, style: Style | None = None) -> Image:
        """Draw boxes, names and scores on a copy of the image.

        Args:
            image: uint8 (H, W, 3) RGB, or a Pillow image: the one that the boxes are of.
            style: lines, labels and blur; what suits the image's size where None.

        Returns:
            uint8 (H, W, 3) RGB.

        Raises:
            UsageError: not such an image, or none.
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
        texts = [style.text(name, score) for name, score in zip(self.class_names, self.scores, strict=True)]
        return draw_boxes(image, self.boxes, texts, self.labels, style.line_width, blur=style.blur)


class Detection(Detections):
    """One detection: Detections of length one, with its values at hand."""

    @property
    def box(self) -> FloatArray:
        """float32 (4,): x1, y1, x2, y2 in pixels."""
        return self.boxes.reshape(4)

    @property
    def score(self) -> float:
        """Confidence in [0, 1]."""
        return float(self.scores[0])

    @property
    def label(self) -> int:
        """Label of its class."""
        return int(self.labels[0])

    @property
    def name(self) -> str:
        """Name of its class."""
        return self.name_of(self.label)
