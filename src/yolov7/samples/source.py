"""Where training samples come from, read as late and as seldom as possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from yolov7.data.labels import LabelledImage
from yolov7.types import Sample


class Source(Protocol):
    """Labelled images by number. Their pixels are only ever read, never written."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


@runtime_checkable
class LabelledSource(Source, Protocol):
    """A source that can tell sizes and labels without reading pixels, as `data.dataset.Dataset` can."""

    @property
    def images(self) -> Sequence[LabelledImage]:
        """What is known of each image: `source[i]` has the same labels, in the same order."""


class Reader:
    """Reads a source for one training sample: an image once at most, and only if its pixels are wanted."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._images: Sequence[LabelledImage] | None = getattr(source, "images", None)
        self._samples: dict[int, Sample] = {}

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Sample:
        if index not in self._samples:
            self._samples[index] = self._source[index]
        return self._samples[index]

    def describe(self, index: int) -> LabelledImage | Sample:
        """An image's labels, without its pixels where the source allows that."""
        return self[index] if self._images is None else self._images[index]

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) of an image."""
        described = self.describe(index)
        return described.image.shape[:2] if isinstance(described, Sample) else described.size

    def source_size(self, index: int) -> tuple[int, int]:
        """(height, width) of an image's file."""
        described = self.describe(index)
        return described.source_size if isinstance(described, Sample) else described.size
