"""What is done with detections: pictures, text, json, csv, crops, video.

Every kind has a file or a folder of its own in the run's directory. A file has its name when it is complete;
until then, and for good when a run is broken off, it ends in ``.partial``. Nothing is kept in memory.
"""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from yolov7.errors import UsageError, Yolov7Error
from yolov7.files import complete, explained, partial_path, safe_name, write_file
from yolov7.inference.frames import Frame
from yolov7.inference.output import Names, Sink, encoded, picture_suffix
from yolov7.inference.video_sink import VideoSink
from yolov7.types import Detections


class _FilesSink(Sink):
    """Files of their own for each image, named after it."""

    def __init__(self, directory: Path, names: Sequence[str]) -> None:
        super().__init__(directory, names)
        self._paths = Names()


class PictureSink(_FilesSink):
    """pictures/NAME.jpg or .png: each image with its boxes; a video's frames in a folder of its name."""

    result = "pictures"

    def write(self, frame: Frame, detections: Detections) -> None:
        if frame.image is not None:
            suffix = picture_suffix(frame)
            picture = encoded(detections.plot(frame.image), suffix)
            write_file(self.path / self._paths.path(frame, suffix), picture)


class TextSink(_FilesSink):
    """txt/NAME.txt: a line for each box, as data sets have it, and its score; empty without boxes.

    ``label centre_x centre_y width height score``, the box in fractions of the image.
    """

    result = "txt"

    def write(self, frame: Frame, detections: Detections) -> None:
        if frame.image is None:
            return
        height, width = frame.size
        x1, y1, x2, y2 = (detections.boxes / (width, height, width, height)).T
        rows = zip(
            detections.labels, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, detections.scores, strict=True
        )
        lines = [
            f"{label} {x:.6f} {y:.6f} {w:.6f} {h:.6f} {score:.6f}\n" for label, x, y, w, h, score in rows
        ]
        write_file(self.path / self._paths.path(frame, ".txt"), "".join(lines).encode())


class CropSink(_FilesSink):
    """crops/CLASS/NAME-0.jpg or .png: what is inside each box, by class."""

    result = "crops"

    def write(self, frame: Frame, detections: Detections) -> None:
        if frame.image is None:
            return
        suffix, path = picture_suffix(frame), self._paths.path(frame, "")
        height, width = frame.image.shape[:2]
        low = np.floor(detections.boxes[:, :2]).clip(0).astype(int)
        high = np.ceil(detections.boxes[:, 2:]).clip(0, (width, height)).astype(int)
        for number, ((x1, y1), (x2, y2)) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
            if x1 < x2 and y1 < y2:
                label = int(detections.labels[number])
                folder = safe_name(detections.name_of(label), f"class-{label}")
                crop = encoded(frame.image[y1:y2, x1:x2], suffix)
                write_file(self.path / folder / f"{path}-{number}{suffix}", crop)


class _DocumentSink(Sink):
    """One text file that grows with the run."""

    def __init__(self, directory: Path, names: Sequence[str]) -> None:
        super().__init__(directory, names)
        with explained(self.path):
            self._file = partial_path(self.path).open(
                "x", encoding="utf-8", errors="backslashreplace", newline=""
            )

    def _finish(self) -> None:
        """Write what belongs at the end."""

    def close(self) -> None:
        if self._file.closed:
            return
        with explained(self.path), self._file:
            self._finish()
        complete(self.path)

    def abandon(self) -> list[Path]:
        if self._file.closed:
            return []
        with suppress(OSError), self._file:
            self._finish()
        return [partial_path(self.path)]


class CsvSink(_DocumentSink):
    """detections.csv: a row for each box, in pixels."""

    result = "detections.csv"

    def __init__(self, directory: Path, names: Sequence[str]) -> None:
        super().__init__(directory, names)
        self._rows = csv.writer(self._file, lineterminator="\n")
        with explained(self.path):
            self._rows.writerow(("source", "frame", "label", "name", "score", "x1", "y1", "x2", "y2"))

    def write(self, frame: Frame, detections: Detections) -> None:
        number = "" if frame.video is None else frame.video.number
        with explained(self.path):
            for (x1, y1, x2, y2), label, name, score in zip(
                detections.boxes, detections.labels, detections.class_names, detections.scores, strict=True
            ):
                corners = (f"{value:.3f}" for value in (x1, y1, x2, y2))
                self._rows.writerow((frame.source, number, label, name, f"{score:.5f}", *corners))


class JsonSink(_DocumentSink):
    """detections.json: a COCO document that accounts for every image.

    ``images`` (also those where nothing was found), ``annotations`` (with ``score``), ``categories`` (ids are
    labels, from 0), and ``skipped``: what could not be read, and why.
    """

    result = "detections.json"

    def __init__(self, directory: Path, names: Sequence[str]) -> None:
        super().__init__(directory, names)
        with explained(self.path):
            # Lists that grow together: one in the file, the others beside it until the end.
            self._images = _JsonList(self._file)
            self._annotations = _JsonList(self._beside())
            self._skipped = _JsonList(self._beside())
            self._file.write('{"images": [')

    def write(self, frame: Frame, detections: Detections) -> None:
        named: dict[str, Any] = {"file_name": frame.name, "source": frame.source}
        if frame.video is not None:
            named |= {"frame": frame.video.number, "time": round(frame.video.time, 6)}
        with explained(self.path):
            if frame.image is None:
                self._skipped.add(named | {"reason": str(frame.error)})
                return
            height, width = frame.size
            image_id = self._images.length + 1
            self._images.add({"id": image_id} | named | {"width": width, "height": height})
            for entry in detections.to_coco(image_id):
                _, _, w, h = entry["bbox"]
                shape = {"id": self._annotations.length + 1, "area": round(w * h, 3), "iscrowd": 0}
                self._annotations.add(entry | shape)

    def _beside(self) -> IO[str]:
        return tempfile.TemporaryFile("w+", encoding="utf-8", dir=self.path.parent)

    def _finish(self) -> None:
        categories = [{"id": label, "name": name} for label, name in enumerate(self.names)]
        with self._annotations.file, self._skipped.file:
            for key, entries in (("annotations", self._annotations), ("skipped", self._skipped)):
                self._file.write(f'\n],\n"{key}": [')
                entries.file.seek(0)
                shutil.copyfileobj(entries.file, self._file)
        self._file.write(f'\n],\n"categories": {json.dumps(categories)}}}\n')


class _JsonList:
    """Entries of a list in a JSON file, one a line."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.length = 0

    def add(self, entry: dict[str, Any]) -> None:
        self.file.write((",\n" if self.length else "\n") + json.dumps(entry))
        self.length += 1


SINKS: dict[str, type[Sink]] = {
    "pictures": PictureSink,
    "txt": TextSink,
    "json": JsonSink,
    "csv": CsvSink,
    "crops": CropSink,
    "video": VideoSink,
}
"""What `open_sinks` knows, by the names that users type."""


class Sinks(Sink):
    """Several sinks as one."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)

    def write(self, frame: Frame, detections: Detections) -> None:
        for sink in self._sinks:
            sink.write(frame, detections)

    def close(self) -> None:
        errors: list[Yolov7Error] = []
        for sink in self._sinks:  # what one cannot complete the others still can
            try:
                sink.close()
            except Yolov7Error as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def abandon(self) -> list[Path]:
        return [path for sink in self._sinks for path in sink.abandon()]


def open_sinks(kinds: str | Sequence[str], directory: str | Path, names: Sequence[str]) -> Sinks:
    """Sinks of the given kinds, which write into a directory.

    Args:
        kinds: of `SINKS`, as a list or separated by commas; none is fine.
        directory: of this run; made if need be. See `new_run_directory`.
        names: class names by label.

    Raises:
        UsageError: no such kind.
        OutputError: the directory cannot be written, or holds results already.
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
            sinks.append(SINKS[kind](directory, names))
    except BaseException:
        for partial in Sinks(sinks).abandon():
            partial.unlink()
        raise
    return Sinks(sinks)
