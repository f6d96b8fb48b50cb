"""Sink for videos with boxes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from yolov7.files import complete, explained, partial_path
from yolov7.results.output import Sink, SinkOptions
from yolov7.sources.frames import Frame
from yolov7.types import Detections, Image

if TYPE_CHECKING:
    from av.container import OutputContainer

_TICK = Fraction(1, 60_000)
"""Time base in seconds: whole numbers for the usual frame rates; MPEG-4 allows none below 1/65,535."""
_FRAGMENTS = (
    {"movflags": "hybrid_fragmented", "frag_duration": "1000000"}
    if av.library_versions["libavformat"] >= (61, 7, 100)
    else {}
)
"""Fragments of one second (FFmpeg 7.1 or later): the file of a killed process can be played, and a complete
file is an ordinary MP4."""
_BT709 = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709", "color_range": "tv"}


class VideoSink(Sink):
    """video/NAME.mp4: videos with their boxes, at their own speed; nothing for single images."""

    result = "video"

    def __init__(self, directory: Path, names: Sequence[str], options: SinkOptions) -> None:
        super().__init__(directory, names, options)
        self._path: Path | None = None
        self._container: OutputContainer | None = None
        self._stream: VideoStream
        self._last = -1

    def write(self, frame: Frame, detections: Detections) -> None:
        if frame.image is None or frame.video is None:
            return
        path = self.path / f"{self._file_names.video(frame)}.mp4"
        if path != self._path:
            self.close()
            self._path = None
            with explained(path, av.FFmpegError):
                self._container, self._stream = _open(path, frame)
            self._path, self._last = path, -1
        assert self._container is not None
        picture = self._fitted(detections.plot(frame.image, self.options.style))
        video_frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709"
        )
        # Frames keep their times, as the rate may vary; but encoders require increasing times.
        self._last = max(self._last + 1, round(frame.video.time / _TICK))
        video_frame.pts, video_frame.time_base = self._last, _TICK
        with explained(path, av.FFmpegError):
            self._container.mux(self._stream.encode(video_frame))

    def close(self) -> None:
        if self._container is not None:
            assert self._path is not None
            with explained(self._path, av.FFmpegError):
                self._end()
            complete(self._path)

    def abandon(self) -> list[Path]:
        if self._container is None:
            return []
        assert self._path is not None
        with suppress(OSError, av.FFmpegError):
            self._end()
        return [partial_path(self._path)]

    def _fitted(self, picture: Image) -> Image:
        """Fit a picture to the video's size: the first frame's, made even as the format requires."""
        height, width = picture.shape[:2]
        down, right = self._stream.height - height, self._stream.width - width
        if (down, right) == (0, 0):
            return picture
        if down in (0, 1) and right in (0, 1):
            fitted = cv2.copyMakeBorder(picture, 0, down, 0, right, cv2.BORDER_REPLICATE)
        else:
            fitted = cv2.resize(picture, (self._stream.width, self._stream.height))
        return np.asarray(fitted, np.uint8)

    def _end(self) -> None:
        container, self._container = self._container, None
        assert container is not None
        with container:
            container.mux(self._stream.encode())


def _open(path: Path, frame: Frame) -> tuple[OutputContainer, VideoStream]:
    assert frame.image is not None
    assert frame.video is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    container = av.open(str(partial_path(path)), "w", format="mp4", options=_FRAGMENTS)
    codec, options = "mpeg4", {"flags": "+qscale", "global_quality": "354"}  # 118 x quality 3 of 31
    if "libx264" in av.codecs_available:
        codec, options = "libx264", {"preset": "veryfast", "crf": "21"}
    rate = Fraction(frame.video.fps or 25).limit_denominator(1001)
    stream = container.add_stream(codec, rate=rate, options=options | _BT709)
    assert isinstance(stream, VideoStream)
    height, width = frame.image.shape[:2]
    stream.width, stream.height = width + width % 2, height + height % 2
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = _TICK
    return container, stream
