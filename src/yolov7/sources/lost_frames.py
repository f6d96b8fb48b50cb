"""Frames that a damaged video lost silently: gaps in time with evidence of damage."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

_SOLID = frozenset({"flv", "matroska,webm", "nut"})
"""Formats with contiguous packets: bytes between two packets mean damage."""
_SLICED = frozenset({"asf", "mpeg", "mpegts", "ogg"})
"""Formats that slice packets, where such bytes mean nothing; their frame rate is hardly ever variable."""
_HOLE = 100
"""Minimum bytes between two packets that count as damage; headers take up to 30."""
_REORDERED = 16
"""Maximum distance, in frames, between decoding order and display order."""
_EMPTY = 20
"""Largest packet in bytes that may mean "no new picture"."""
_FEW = 1 / 8
"""Maximum fraction of long intervals at a constant frame rate with losses; above it the rate is variable."""
_LEAST = 8
"""Minimum number of intervals that determine a frame rate."""
_PAUSE = 1.0
"""Seconds from which a gap without other evidence counts as a pause in the recording."""


class LostFrames:
    """Record of a video file's packets and of the pictures decoded from them.

    Times alone are not enough: a variable frame rate has gaps too. A gap counts if a packet in it gave no
    picture, if bytes near it belong to no packet, or, in formats that show neither, if the rate is otherwise
    constant. Frame counts in headers do not help: edits and repeated pictures change them.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.end = 0.0  # seconds, of the last packet
        self.pictures = array("d")  # seconds, of each decoded picture; the reader of the video appends to it
        self._stream = stream
        self._format = container.format.name
        self._size = container.size
        self._base = float(stream.time_base or 0)
        self._start = (stream.start_time or 0) * self._base
        self._byte = -1  # where the last packet ended
        self._torn = self._begun = False
        self._early = 0
        self._packets, self._holes = array("d"), array("d")

    def packet(self, packet: av.Packet[Any]) -> None:
        """Record a packet of any stream of the file, in order."""
        if packet.pos is not None and packet.size:
            self._torn |= 0 <= self._byte < packet.pos - _HOLE and self._format in _SOLID
            self._byte = max(self._byte, packet.pos + packet.size)
        if packet.stream_index != self._stream.index or packet.pts is None or not packet.size:
            return
        seconds = packet.pts * self._base - self._start
        self.end = max(self.end, seconds + (packet.duration or 0) * self._base)
        if self._torn:
            self._holes.append(seconds)
            self._torn = False
        if packet.size > _EMPTY and not packet.is_discard:  # discarded by an edit list
            self._begun |= packet.is_keyframe
            self._early += not self._begun
            self._packets.append(seconds)

    def unread(self) -> int:
        """Bytes after the last fragment found in a fragmented MP4 file; 0 if they may be its index."""
        rest = self._size - self._byte
        whole = self._stream.frames > 0 or not self._format.startswith("mov") or rest < 0.05 * self._size
        return 0 if whole else rest

    def interval(self) -> float | None:
        """Seconds between two frames, if the rate is constant apart from gaps; otherwise None."""
        gaps = np.diff(np.unique(self.pictures))
        usual = gaps[gaps <= 1.5 * np.median(gaps)] if len(gaps) >= _LEAST else gaps[:0]
        if len(usual) < len(gaps) * (1 - _FEW) or not len(usual):
            return None
        step = float(usual.mean())
        wrong = np.abs(gaps / step - (gaps / step).round()) * step
        allowed = np.maximum(0.0011, 0.1 * step)  # many formats have a time base of 1 ms
        return step if np.mean(wrong <= allowed) > 0.98 else None

    def count(self) -> tuple[int, bool]:
        """Number of frames without a picture, and whether it is exact."""
        begins, packets = np.unique(self.pictures), np.unique(self._packets)
        if not len(begins):
            return len(packets), True
        even = self.interval()
        lengths = np.append(np.diff(begins), np.inf)
        step = even or (float(np.median(lengths[:-1])) if len(lengths) > 1 else 0.0)
        gap = np.searchsorted(begins, packets, side="right") - 1  # (P,) per packet; -1: before all pictures
        after = packets - begins[gap]
        inside = (gap >= 0) & (after > 0.75 * step) & (after < lengths[gap] - 0.25 * step)
        lost = np.bincount(gap[inside], minlength=len(begins))
        long = (lengths > 1.5 * step) & np.isfinite(lengths)
        holes, reach = np.sort(self._holes), _REORDERED * step
        first, end = np.searchsorted(holes, begins - reach), np.searchsorted(holes, begins + lengths + reach)
        damaged = long & (first < end)  # a hole is near
        if even is not None and self._format in _SLICED:
            damaged |= long & (lengths < _PAUSE)
        lost[damaged] = (lengths[damaged] / step).round() - 1
        early = min(self._early, int((gap < 0).sum()))
        return early + int(lost.sum()), even is not None or not damaged.any()
