"""Frames of videos and streams, by PyAV, and of webcams, by OpenCV."""

from __future__ import annotations

import gc
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np

from yolov7.errors import SourceError, UsageError
from yolov7.prefetch import newest
from yolov7.sources.frames import Frame, VideoPosition
from yolov7.sources.lost_frames import LostFrames
from yolov7.sources.remote import LIVE_SCHEMES, scheme_of, without_password
from yolov7.types import Image

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".264", ".265", ".3g2", ".3gp", ".asf", ".av1", ".avc", ".avi", ".dav", ".divx", ".dv", ".f4v", ".flv",
    ".h264", ".h265", ".hevc", ".ivf", ".m1v", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov",
    ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".obu", ".ogg", ".ogv", ".qt", ".rm", ".rmvb",
    ".trp", ".ts", ".vob", ".webm", ".wmv", ".wtv", ".y4m",
})
# fmt: on
"""Suffixes (lower case) of video files. Files with other suffixes are recognised by their content."""
PLAYLIST_SUFFIXES = frozenset({".m3u8", ".mpd"})
"""Suffixes of the URLs of segmented videos (HLS, DASH)."""

_LONGEST_PAUSE = 10.0
"""Longest pause in seconds between two attempts to reconnect. The first is 1 s; each later one doubles."""

_BT709 = 1  # FFmpeg's AVCOL_SPC_BT709
Rotation = Callable[[Image], Image]


@dataclass(frozen=True)
class VideoOptions:
    """Options for reading videos and streams: arguments of `yolov7.sources.opening.open_source`."""

    every: int = 1
    newest: bool | None = None
    timeout: float = 10.0
    reconnects: int = 5
    frames: int | None = None
    duration: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("every", 1), ("reconnects", 0), ("frames", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"invalid {name}", expected=f"{least} or more", found=value)
        for name in ("timeout", "duration"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"invalid {name}", expected="seconds, more than 0", found=value)


@dataclass(frozen=True)
class Video:
    """A video file, or the URL of a video or a stream."""

    address: str
    name: str
    options: VideoOptions

    @property
    def source(self) -> str:
        return without_password(self.address)

    @property
    def live(self) -> bool:
        return scheme_of(self.address) in LIVE_SCHEMES

    def opens(self) -> bool:
        """Test if the content is a video."""
        try:
            self._open().close()
        except SourceError:
            return False
        return True

    def count(self) -> int | None:
        """Number of frames from the header, nearly exact for files; None if unknown."""
        if self.live:
            return None
        try:
            with self._open() as container:
                stream = container.streams.video[0]
                frames = stream.frames or round((_duration(container, stream) or 0) * (_fps(stream) or 0))
        except SourceError:
            return 1  # the frame that reports the error
        wanted = -(-frames // self.options.every) or None
        limit = self.options.frames
        return limit if wanted is None else wanted if limit is None else min(wanted, limit)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames. Damaged frames and an early end become frames with an error."""
        return _within(self._reconnecting() if self.live else self._once(), self.options, live=self.live)

    def _once(self) -> Iterator[Frame]:
        try:
            with self._open() as container:
                yield from self._read(container)
        except SourceError as error:
            yield self._failed(error)

    def _reconnecting(self) -> Iterator[Frame]:
        """Yield the frames of a live stream. Numbers and times continue after a reconnection."""
        number, losses, begin = 0, 0, time.monotonic()
        while True:
            try:
                with self._open() as container:
                    for frame in self._read(container):
                        assert frame.video is not None
                        yield replace(
                            frame, video=replace(frame.video, number=number, time=time.monotonic() - begin)
                        )
                        number, losses = number + self.options.every, 0
                    if container.duration is not None:  # not a camera, but a finished video
                        return
                    raise SourceError("the stream broke off", file=self.source)
            except SourceError as error:
                losses += 1
                # A stream that never worked has a wrong address more often than a bad connection.
                if number == 0 or losses > self.options.reconnects:
                    yield self._failed(error)
                    return
            time.sleep(min(2.0 ** (losses - 1), _LONGEST_PAUSE))

    def _open(self) -> InputContainer:
        scheme = scheme_of(self.address)
        if scheme is None:
            # With `file:` and the whitelist, a colon in a name or a disguised playlist opens nothing else.
            address, options = f"file:{Path(self.address).absolute()}", {"protocol_whitelist": "file"}
        else:
            address = self.address
            options = {
                "protocol_whitelist": "http,https,httpproxy,rtsp,rtp,udp,rtmp,rtmps,tcp,tls,crypto,data"
            }
            if scheme.startswith("rtsp"):
                options["rtsp_transport"] = "tcp"  # UDP loses packets, and firewalls block it
        try:
            container = av.open(address, container_options=options, timeout=self.options.timeout)
        except av.FFmpegError as error:
            raise self._error("cannot be opened", error) from error
        if not container.streams.video:
            container.close()
            raise SourceError("there are no pictures in it", file=self.source, expected="a video")
        return container

    def _read(self, container: InputContainer) -> Iterator[Frame]:
        stream = container.streams.video[0]
        # Frame threads are fastest, but they delay frames, which is wrong for live sources.
        stream.thread_type = "SLICE" if self.live else "AUTO"
        fps = _fps(stream)
        # A stream over HTTP, such as a camera's MJPEG, has no length.
        live = self.live or (scheme_of(self.address) is not None and container.duration is None)
        base = float(stream.time_base or 0)
        start = (stream.start_time or 0) * base
        number, packets, errors = 0, 0, 0
        seen = LostFrames(container, stream)
        damaged: deque[int | None] = deque(maxlen=64)  # times of incomplete packets
        rotate: Rotation | None = None
        for packet in self._packets(container):
            if not live:
                seen.packet(packet)
            if packet.stream_index != stream.index:
                continue
            packets += bool(packet.size)
            if packet.is_corrupt:
                damaged.append(packet.pts)
            try:
                decoded, error = packet.decode(), None
            except av.FFmpegError as problem:
                decoded, error = [], self._error("damaged frame", problem)
            if error is not None:
                moment = VideoPosition(number, (packet.pts or 0) * base - start, fps, live)
                yield self._failed(error, moment)
                number, errors = number + 1, errors + 1
            for picture in decoded:
                seconds = number / (fps or 1) if picture.pts is None else picture.pts * base - start
                if not live:
                    seen.pictures.append(seconds)
                moment = VideoPosition(number, seconds, fps, live)
                number += 1
                if picture.is_corrupt or picture.pts in damaged:
                    error = SourceError(f"damaged frame at {seconds:.2f} s", file=self.source)
                    yield self._failed(error, moment)
                elif moment.number % self.options.every == 0:
                    rotate = rotate or _find_rotation(picture)
                    yield Frame(rotate(_rgb(picture)), self.source, self.name, 0, moment)
        gc.collect(1)  # frees the first picture, which its side data refers to (see _find_rotation)
        if not live:
            expected = None if 0 < stream.frames <= packets else _duration(container, stream)
            found = self._lost(seen, errors, expected, max(0.5, 2 / (fps or 1)))
            yield from map(self._failed, found)

    def _lost(
        self, seen: LostFrames, errors: int, expected: float | None, patience: float
    ) -> Iterator[SourceError]:
        """Losses beyond the errors that the decoder reported. An end `patience` seconds early is fine."""
        lost, exact = seen.count()
        if lost > errors:
            found = len(seen.pictures) + errors
            yield SourceError(
                "frames are missing: the file is damaged",
                file=self.source,
                expected=f"{'' if exact else 'about '}{found + lost - errors} frames",
                found=f"{found} frames",
            )
        interval = seen.interval()
        patience = patience if interval is None else 1.5 * interval
        if expected is not None and expected - seen.end > patience:
            yield SourceError(
                "the video ends early: the file is truncated",
                file=self.source,
                expected=f"{expected:.2f} s",
                found=f"{seen.end:.2f} s",
            )
        if unread := seen.unread():
            yield SourceError(
                "the rest of the file cannot be read: it is damaged",
                file=self.source,
                found=f"{unread:,} bytes unread",
            )

    def _packets(self, container: InputContainer) -> Iterator[av.Packet[Any]]:
        try:
            yield from container.demux()
        except av.FFmpegError as error:
            raise self._error("cannot be read any further", error) from error

    def _failed(self, error: SourceError, video: VideoPosition | None = None) -> Frame:
        return Frame(None, self.source, self.name, 0, video, error)

    def _error(self, what: str, error: av.FFmpegError) -> SourceError:
        reason = (
            f"no data for {self.options.timeout:g} s" if isinstance(error, av.ExitError) else error.strerror
        )
        return SourceError(f"{what}: {reason}", file=self.source)


@dataclass(frozen=True)
class Webcam:
    """Webcam of this machine, by its index."""

    number: int
    options: VideoOptions
    live = True

    @property
    def source(self) -> str:
        return f"webcam:{self.number}"

    @property
    def name(self) -> str:
        return f"webcam{self.number}"

    def count(self) -> None:
        return None

    def frames(self) -> Iterator[Frame]:
        """Yield the frames; a frame with an error when the webcam is unplugged."""
        return _within(self._read(), self.options, live=True)

    def _read(self) -> Iterator[Frame]:
        with _silent_opencv():  # our own message replaces its three lines
            camera = cv2.VideoCapture(self.number)
        try:
            if not camera.isOpened():
                yield self._failed("the camera cannot be opened")
                return
            rate = camera.get(cv2.CAP_PROP_FPS)
            fps = rate if 0 < rate < 1000 else None
            begin, number = time.monotonic(), 0
            while True:
                there, bgr = camera.read()
                if not there:
                    yield self._failed("the camera gives no more pictures")
                    return
                if number % self.options.every == 0:
                    moment = VideoPosition(number, time.monotonic() - begin, fps, live=True)
                    rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr), np.uint8)
                    yield Frame(rgb, self.source, self.name, 0, moment)
                number += 1
        finally:
            camera.release()

    def _failed(self, why: str) -> Frame:
        return Frame(None, self.source, self.name, 0, error=SourceError(why, file=self.source))


@contextmanager
def _silent_opencv() -> Iterator[None]:
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel  # OpenCV 4, 5
    level = set_level(0)
    try:
        yield
    finally:
        set_level(level)


def _within(frames: Iterator[Frame], options: VideoOptions, *, live: bool) -> Iterator[Frame]:
    """Yield frames up to the limit of their number or time; the newest only, if so wanted."""
    only_newest = live if options.newest is None else options.newest
    begin = time.monotonic()
    for count, frame in enumerate(newest(frames) if only_newest else frames):
        video = frame.video
        seconds = time.monotonic() - begin if video is None or video.live else video.time
        late = options.duration is not None and seconds >= options.duration
        if count == options.frames or (late and frame.error is None):
            return
        yield frame
        if count + 1 == options.frames:  # do not wait for another frame of a live source
            return


def _fps(stream: VideoStream) -> float | None:
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate and rate < 1000 else None


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Duration of the pictures, not of the sound, in seconds, from the header; None if unknown."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    start = float((stream.start_time or 0) * (stream.time_base or 0))  # the next two include it
    matroska = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if matroska:
        return int(matroska[1]) * 3600 + int(matroska[2]) * 60 + float(matroska[3]) - start
    alone = len(container.streams) == 1
    return container.duration / av.time_base - start if alone and container.duration is not None else None


def _rgb(picture: av.VideoFrame) -> Image:
    """uint8 (H, W, 3) RGB."""
    # By default, PyAV before 18 treats the colours of HD video (BT.709) as those of SD video (BT.601).
    hd = picture.colorspace == _BT709
    colours: dict[str, Any] = {"src_colorspace": "ITU709", "dst_colorspace": "ITU601"} if hd else {}
    return np.asarray(picture.to_ndarray(format="rgb24", **colours), np.uint8)


def _find_rotation(picture: av.VideoFrame) -> Rotation:
    """Function that rotates and mirrors pictures by the first one's display matrix: phones film sideways.

    Called once per video: a picture and its side data form a reference cycle, which keeps large memory that
    Python's garbage collector does not know of.
    """
    matrix: Any = picture.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return lambda image: image
    # x' = a x + c y, y' = b x + d y. Only multiples of 90 degrees occur, so signs suffice.
    a, b, _, c, d = np.frombuffer(matrix, "=i4", count=5).tolist()
    sideways = abs(b) > abs(a)
    across, down = (c, b) if sideways else (a, d)

    def rotate(image: Image) -> Image:
        image = image.transpose(1, 0, 2) if sideways else image
        return np.ascontiguousarray(image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])

    return rotate
