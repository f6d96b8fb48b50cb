"""Count what a run did: what was read, what was found, what was left out and why."""

from __future__ import annotations

from collections import Counter

from yolov7.errors import Yolov7Error
from yolov7.results.result import Result
from yolov7.sources.frames import Frame
from yolov7.text import plural, printable

_LISTED = 5
"""Classes, and reasons, that a line lists at most."""
_SHOWN_ERRORS = 20
"""Errors of writing that are told one by one."""


class RunTally:
    """Numbers of a run.

    Attributes:
        images: pictures that were looked at; a video's count as frames.
        frames: frames of videos and streams that were looked at.
        found: detections by class name.
        skipped: what could not be read, by reason.
        failed: results that could not be written.
        live: whether the last frame came from a camera or a stream, which has no end of its own.
    """

    def __init__(self) -> None:
        self.images = self.frames = self.failed = 0
        self.found: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.live = False
        self._told: set[str] = set()

    def add(self, result: Result) -> None:
        """Count an image with its detections."""
        video = result.frame.video
        self.images += video is None
        self.frames += video is not None
        self.live = video is not None and video.live
        self.found.update(result.detections.class_names)

    def skip(self, frame: Frame) -> None:
        """Count what could not be read."""
        assert frame.error is not None
        self.skipped[printable(frame.error.message, 80)] += 1

    def fail(self, error: Yolov7Error) -> bool:
        """Count a result that could not be written. Returns whether to tell of it: each once."""
        self.failed += 1
        news = str(error) not in self._told and len(self._told) < _SHOWN_ERRORS
        if news:
            self._told.add(str(error))
        return news

    def __str__(self) -> str:
        """One line for people."""
        read = [plural(self.images, "image")] if self.images or not self.frames else []
        read += [plural(self.frames, "frame")] if self.frames else []
        count = self.found.total()
        parts = [*read, plural(count, "detection") + (f" ({listed(self.found)})" if count else "")]
        left_out = self.skipped.total()
        parts.append(f"{left_out} skipped" + (f" ({listed(self.skipped)})" if left_out else ""))
        if self.failed:
            parts.append(f"{plural(self.failed, 'result')} not written")
        return ", ".join(parts)


def listed(counts: Counter[str]) -> str:
    """The most frequent ones.

    >>> listed(Counter(car=1, person=2))
    '2 person, 1 car'
    """
    most = [f"{count} {printable(name, 80)}" for name, count in counts.most_common(_LISTED)]
    more = len(counts) - len(most)
    return ", ".join(most + [f"{more} more"] * (more > 0))
