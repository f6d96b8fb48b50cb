"""What crosses a border between rooms of this package.

    file -> Sample -> transforms -> Batch -> Detector -> Predictions -> decode, NMS -> Detections -> sinks

One convention inside: boxes are absolute-pixel ``xyxy``, class ids are contiguous ``0 .. C-1``. These types
are validated where they are made, at the border, once.
"""

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

if TYPE_CHECKING:
    import pandas
    import PIL.Image
    import supervision
    from typing_extensions import Self

Image = npt.NDArray[np.uint8]
"""A picture: uint8, (height, width, 3), RGB."""
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """One labelled image, as a data set gives it.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        boxes: float32 (N, 4) pixels of the image.
        labels: int64 (N,), contiguous from 0.
        polygons: for each box its outline, float32 (K, 2) pixels, or None; empty when there are no outlines.
        crowds: bool (N,): boxes around a group, which evaluation neither rewards nor punishes (COCO).
        image_id: what the data set calls the image.
    """

    image: Image
    boxes: FloatArray
    labels: IntArray
    image_id: int | str
    polygons: tuple[FloatArray | None, ...] = ()
    crowds: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Letterbox:
    """How an image was scaled and padded, so that boxes find their way back.

    Attributes:
        source_size: (height, width) before.
        size: (height, width) after, padding included.
        scale: (x, y) target pixels per source pixel.
        padding: (left, top) grey pixels before the image.
    """

    source_size: tuple[int, int]
    size: tuple[int, int]
    scale: tuple[float, float]
    padding: tuple[float, float]

    def of_source(self, size: tuple[int, int]) -> Letterbox:
        """The same for an image of (height, width), of which a smaller copy was letterboxed."""
        if size == self.source_size:
            return self
        (height, width), (own_height, own_width) = size, self.source_size
        scale = self.scale[0] * own_width / width, self.scale[1] * own_height / height
        return replace(self, source_size=size, scale=scale)

    def to_source(self, boxes: FloatArray) -> FloatArray:
        """Boxes of the letterboxed image -> boxes of the source image, clipped to it. (N, 4) -> (N, 4)."""
        offset = np.array((*self.padding, *self.padding), dtype=np.float32)
        scale = np.array((*self.scale, *self.scale), dtype=np.float32)
        height, width = self.source_size
        limit = np.array((width, height, width, height), dtype=np.float32)
        return np.clip((boxes - offset) / scale, 0, limit).astype(np.float32, copy=False)


@dataclass(frozen=True)
class Targets:
    """Ground truth of a batch, flat: image_index int64 (T,), boxes float32 (T, 4) pixels, labels (T,)."""

    image_index: Tensor
    boxes: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Batch:
    """Images (B, 3, H, W), float in [0, 1] or uint8 until they are on the device.

    Attributes:
        targets: ground truth, where there is one.
        image_ids: what the data set calls each image, of a mosaic its first; empty where that is not known.
    """

    images: Tensor
    targets: Targets | None = None
    image_ids: tuple[int | str, ...] = ()


@dataclass(frozen=True)
class Predictions:
    """Raw output of a detector: for each level (fine to coarse) logits (B, A, H, W, 5 + C).

    The last axis is x, y, w, h, objectness, classes. ``aux`` is empty where there are no auxiliary heads.
    """

    lead: tuple[Tensor, ...]
    aux: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Places:
    """Places in a head's logits, in any order; one may occur several times. All fields are int64 (P,).

    Attributes:
        level: index of the level, from the finest.
        image: index of the image in the batch.
        anchor, row, column: place in the level's logits (B, A, H, W, 5 + C).

    Raises:
        UsageError: the fields are not int64 vectors of one length.

    >>> places = Places(*torch.arange(10).view(5, 2))
    >>> places[places.row > 6].column
    tensor([9])
    """

    level: Tensor
    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor

    def __post_init__(self) -> None:
        values = vars(self)
        if any(v.dtype != torch.int64 or v.shape != (len(self.level),) for v in values.values()):
            raise UsageError(
                f"the fields of {type(self).__name__} do not fit together",
                expected="int64 tensors of one shape (P,)",
                found=", ".join(f"{name} {v.dtype} {tuple(v.shape)}" for name, v in values.items()),
            )

    def __len__(self) -> int:
        return len(self.level)

    def __getitem__(self, index: Tensor) -> Self:
        """Some of them, by a mask or by their positions."""
        return type(self)(*(values[index] for values in vars(self).values()))


@dataclass(frozen=True)
class Assignment(Places):
    """Positives: which prediction of a head is to find which ground truth.

    Attributes:
        target: index into the batch's :class:`Targets`.
        order: of positives that share a cell and an anchor, the one with the highest number decides about the
            objectness. By default each positive's position in the list, so that the last one does.
    """

    target: Tensor
    order: Tensor | None = None

    def __post_init__(self) -> None:
        if self.order is None:
            object.__setattr__(self, "order", torch.arange(len(self.level), device=self.level.device))
        super().__post_init__()

    def in_order(self) -> Assignment:
        """The same positives sorted by level; within a level by `order`, then by target."""
        assert self.order is not None
        index = self.target.argsort(stable=True)
        for key in (self.order, self.level):
            index = index[key[index].argsort(stable=True)]
        return self[index]


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
