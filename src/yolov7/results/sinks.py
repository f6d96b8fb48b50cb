"""Files about detections: pictures, text, json, csv, crops, video.

Every kind has its own file or folder in the run's directory. A file gets its name when it is complete; until
then, and for good if the run is aborted, its name ends in ``.partial``, and it is readable. No result is kept
in memory.
"""

from __future__ import annotations

import csv
import json
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from yolov7.drawing import pixelate, touched_pixels
from yolov7.errors import UsageError, Yolov7Error
from yolov7.files import complete, explained, partial_path, replacing, safe_name, write_file
from yolov7.results.output import Sink, SinkOptions, encoded, picture_suffix
from yolov7.results.video_sink import VideoSink
from yolov7.sources.frames import Frame
from yolov7.types import Detections
from yolov7.types.columns import rounded


class PictureSink(Sink):
    """pictures/NAME.jpg or .png: images with their boxes; frames of a video in a folder named after it."""

    result = "pictures"

    def write(self, frame: Frame, detections: Detections) -> None:
        wanted = len(detections) > 0 or not self.options.only_found
        if frame.image is not None and wanted:
            suffix = picture_suffix(frame)
            picture = encoded(detections.plot(frame.image, self.options.style), suffix)
            write_file(self.path / self._file_names.path(frame, suffix), picture)


class TextSink(Sink):
    """txt/NAME.txt: a line per box as in YOLO label files, then its score; empty without boxes.

    ``label centre_x centre_y width height score``, the box in fractions of the image.
    """

    result = "txt"

    def write(self, frame: Frame, detections: Detections) -> None:
        if frame.image is None:
            return
        columns = detections.items("labels", "boxes", "scores")
        texts = [text for column, values in columns if (text := column.to_txt(values, frame.size))]
        lines = [" ".join(parts) + "\n" for parts in zip(*texts, strict=True)]
        write_file(self.path / self._file_names.path(frame, ".txt"), "".join(lines).encode())


class CropSink(Sink):
    """crops/CLASS/NAME-0.jpg or .png: the inside of each box, by class."""

    result = "crops"

    def write(self, frame: Frame, detections: Detections) -> None:
        if frame.image is None:
            return
        suffix, path = picture_suffix(frame), self._file_names.path(frame, "")
        image = pixelate(frame.image, detections.boxes) if self.options.style.blur else frame.image
        for number, (x1, y1, x2, y2) in enumerate(touched_pixels(detections.boxes, *image.shape[:2])):
            if x1 < x2 and y1 < y2:
                label = int(detections.labels[number])
                folder = safe_name(detections.name_of(label), f"class-{label}")
                crop = encoded(image[y1:y2, x1:x2], suffix)
                write_file(self.path / folder / f"{path}-{number}{suffix}", crop)


class _OneFileSink(Sink):
    """One file for all images, at its partial path until the run is complete."""

    _file: IO[Any]

    def close(self) -> None:
        if not self._file.closed:
            with explained(self.path):
                self._finish()
            complete(self.path)

    def abandon(self) -> list[Path]:
        if self._file.closed:
            return []
        with suppress(OSError, Yolov7Error):
            self._finish()
        return [partial_path(self.path)]

    @abstractmethod
    def _finish(self) -> None:
        """Write what is left to the partial path, and close the file."""


class CsvSink(_OneFileSink):
    """detections.csv: a row per box, in pixels. The header comes from the first image with detections.

    A source or a name that a spreadsheet would read as a formula gets a leading apostrophe.
    """

    result = "detections.csv"

    def __init__(self, directory: Path, names: Sequence[str], options: SinkOptions) -> None:
        super().__init__(directory, names, options)
        self._rows: csv.DictWriter[str] | None = None
        with explained(self.path):
            self._file = partial_path(self.path).open(
                "x", encoding="utf-8", errors="backslashreplace", newline=""
            )

    def write(self, frame: Frame, detections: Detections) -> None:
        number = "" if frame.video is None else frame.video.number
        with explained(self.path, ValueError):  # ValueError: a column that the header lacks
            if len(detections):
                self._write_rows(frame.source, number, detections)
            self._file.flush()  # after a kill the file ends with a complete row

    def _write_rows(self, source: str, number: int | str, detections: Detections) -> None:
        cells = {"source": [_no_formula(source)] * len(detections), "frame": [number] * len(detections)}
        for column, values in detections.items("labels", "scores", "boxes"):
            for field, entries in column.to_table(values, detections.names).items():
                cells[field] = [_cell(entry, column.decimals) for entry in entries]
        if self._rows is None:
            self._rows = csv.DictWriter(self._file, list(cells), lineterminator="\n")
            self._rows.writeheader()
        self._rows.writerows(dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True))

    def _finish(self) -> None:
        with self._file:
            if self._rows is None:
                self._write_rows("", "", Detections.empty(self.names))


def _cell(value: Any, decimals: int) -> str:
    """A name, a number or an array as a cell of a csv file."""
    if isinstance(value, str):
        return _no_formula(value)
    if isinstance(value, np.ndarray):
        return json.dumps(rounded(value.tolist(), decimals))
    return f"{value:.{decimals}f}" if isinstance(value, np.floating) else str(value)


def _no_formula(text: str) -> str:
    """Text, after an apostrophe if a spreadsheet would read it as a formula."""
    begins = text[:1] in ("\t", "\r", "\n") or text.lstrip()[:1] in tuple("=+-@\uff1d\uff0b\uff0d\uff20")
    return f"'{text}" if len(text) > 1 and begins else text


class JsonSink(_OneFileSink):
    """detections.json: a COCO document that accounts for every image.

    ``images`` (those without detections too), ``annotations`` (with ``score``), ``categories`` (ids are
    labels, from 0), and ``skipped``: unreadable images, with the reason.

    During the run, detections.json.partial is a JSON list, valid after each image, with one entry per line:
    ``{"image": ..., "annotations": [...]}`` or ``{"skipped": ...}``. A killed process leaves that.
    """

    result = "detections.json"

    def __init__(self, directory: Path, names: Sequence[str], options: SinkOptions) -> None:
        super().__init__(directory, names, options)
        self._images = self._annotations = 0
        with explained(self.path):
            self._file = partial_path(self.path).open("xb", buffering=0)
            self._end = 0
            self._put(b"[")

    def write(self, frame: Frame, detections: Detections) -> None:
        named: dict[str, Any] = {"file_name": frame.name, "source": frame.source}
        if frame.video is not None:
            named |= {"frame": frame.video.number, "time": round(frame.video.time, 6)}
        if frame.image is None:
            self._add({"skipped": named | {"reason": str(frame.error)}})
            return
        height, width = frame.size
        image = {"id": self._images + 1} | named | {"width": width, "height": height}
        annotations = []
        for number, entry in enumerate(detections.to_coco(self._images + 1), start=self._annotations + 1):
            _, _, w, h = entry["bbox"]
            annotations.append(entry | {"id": number, "area": round(w * h, 3), "iscrowd": 0})
        self._add({"image": image, "annotations": annotations})
        self._images, self._annotations = self._images + 1, self._annotations + len(annotations)

    def _add(self, entry: dict[str, Any]) -> None:
        with explained(self.path):
            self._put((",\n" if self._end > 1 else "\n").encode() + json.dumps(entry).encode())

    def _put(self, content: bytes) -> None:
        """Overwrite the closing bracket with content and a new one; on failure restore the list."""
        try:
            self._write(content + b"\n]\n")
        except OSError:
            self._file.truncate(self._end)
            self._write(b"\n]\n")
            raise
        self._end += len(content)

    def _write(self, content: bytes) -> None:
        self._file.seek(self._end)
        while content:
            content = content[self._file.write(content) :]

    def _finish(self) -> None:
        """Replace the list by the COCO document, with one line in memory at a time."""
        self._file.close()
        categories = [{"id": label, "name": name} for label, name in enumerate(self.names)]
        with replacing(partial_path(self.path)) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.write("{")
            for key, kind in (("images", "image"), ("annotations",) * 2, ("skipped",) * 2):
                file.write(f'"{key}": [')
                for number, entry in enumerate(self._entries(kind)):
                    file.write((",\n" if number else "\n") + json.dumps(entry))
                file.write("\n],\n")
            file.write(f'"categories": {json.dumps(categories)}}}\n')

    def _entries(self, kind: str) -> Iterator[Any]:
        with partial_path(self.path).open("rb") as file:
            for line in file:
                if line.startswith(b"{"):
                    found = json.loads(line.rstrip(b",\n")).get(kind, [])
                    yield from found if isinstance(found, list) else [found]


SINKS: dict[str, type[Sink]] = {
    "pictures": PictureSink,
    "txt": TextSink,
    "json": JsonSink,
    "csv": CsvSink,
    "crops": CropSink,
    "video": VideoSink,
}
"""Kinds of sinks, by the names that users type."""


class Sinks(Sink):
    """Several sinks as one, written in their order: an error in one does not stop the others.

    `on_error` is called with each error; if None, the first one is raised after all sinks have written.
    """

    def __init__(self, sinks: Sequence[Sink], on_error: Callable[[Yolov7Error], None] | None = None) -> None:
        self._sinks = tuple(sinks)
        self._on_error = on_error

    def write(self, frame: Frame, detections: Detections) -> None:
        self._each(lambda sink: sink.write(frame, detections))

    def close(self) -> None:
        self._each(lambda sink: sink.close())

    def _each(self, do: Callable[[Sink], None]) -> None:
        errors: list[Yolov7Error] = []
        for sink in self._sinks:
            try:
                do(sink)
            except Yolov7Error as error:
                errors.append(error)
        for failure in errors:
            if self._on_error is None:
                raise failure
            self._on_error(failure)

    def abandon(self) -> list[Path]:
        return [path for sink in self._sinks for path in sink.abandon()]


def open_sinks(
    kinds: str | Sequence[str],
    directory: str | Path,
    names: Sequence[str],
    options: SinkOptions = SinkOptions(),  # noqa: B008 - frozen
    on_error: Callable[[Yolov7Error], None] | None = None,
) -> Sinks:
    """Open sinks.

    Args:
        kinds: keys of `SINKS`, as a list or separated by commas; may be empty.
        directory: directory of this run, made if it does not exist. See `new_run_directory`.
        names: class names by label.
        options: appearance of pictures.
        on_error: see :class:`Sinks`.

    Raises:
        UsageError: unknown kind.
        OutputError: the directory cannot be written, or has results already.
    """
    named = (kind.strip() for kind in (kinds.split(",") if isinstance(kinds, str) else kinds))
    wanted = list(dict.fromkeys(kind for kind in named if kind))
    unknown = [kind for kind in wanted if kind not in SINKS]
    if unknown:
        raise UsageError("no such kind of result", expected=", ".join(SINKS), found=", ".join(unknown))
    directory = Path(directory)
    if wanted:
        with explained(directory):
            directory.mkdir(parents=True, exist_ok=True)
    sinks: list[Sink] = []
    try:
        for kind in wanted:
            sinks.append(SINKS[kind](directory, names, options))
    except BaseException:
        for partial in Sinks(sinks).abandon():
            partial.unlink()
        raise
    return Sinks(sinks, on_error)
