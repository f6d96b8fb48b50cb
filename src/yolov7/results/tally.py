"""Counts of a run: images read, detections by class, images skipped by reason."""

from __future__ import annotations

from collections import Counter

from yolov7.errors import Yolov7Error
from yolov7.results.result import Result
from yolov7.sources.frames import Frame
from yolov7.text import listed, plural, printable

_MAX_LISTED = 5  # classes or reasons in a line
_MAX_REPORTED = 20  # write errors that are reported one by one


class RunTally:
    """Counts of a run."""

    def __init__(self) -> None:
        self.images = 0  # without frames of videos
        self.frames = 0  # of videos and streams
        self.found: Counter[str] = Counter()  # detections by class name
        self.skipped: Counter[str] = Counter()  # unreadable images by reason
        self.failed = 0  # results that could not be written
        self.live = False  # whether the last frame came from a camera or a stream
        self._reported: set[str] = set()

    def add(self, result: Result) -> None:
        """Count an image with its detections."""
        video = result.frame.video
        self.images += video is None
        self.frames += video is not None
        self.live = video is not None and video.live
        self.found.update(result.detections.class_names)

    def skip(self, frame: Frame) -> None:
        """Count an unreadable image."""
        assert frame.error is not None
        self.skipped[printable(frame.error.message, 80)] += 1

    def fail(self, error: Yolov7Error) -> bool:
        """Count a result that could not be written. Returns whether to report the error: each once."""
        self.failed += 1
        before = len(self._reported)
        if before < _MAX_REPORTED:
            self._reported.add(str(error))
        return len(self._reported) > before

    def __str__(self) -> str:
        """Summary in one line."""
        read = [plural(self.images, "image")] if self.images or not self.frames else []
        read += [plural(self.frames, "frame")] if self.frames else []
        count = self.found.total()
        parts = [*read, plural(count, "detection") + (f" ({_most_common(self.found)})" if count else "")]
        left_out = self.skipped.total()
        parts.append(f"{left_out} skipped" + (f" ({_most_common(self.skipped)})" if left_out else ""))
        if self.failed:
            parts.append(f"{plural(self.failed, 'result')} not written")
        return ", ".join(parts)


def _most_common(counts: Counter[str]) -> str:
    return listed([f"{count} {printable(name, 80)}" for name, count in counts.most_common()], _MAX_LISTED)
