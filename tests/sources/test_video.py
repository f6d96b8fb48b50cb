"""Videos, streams and webcams."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.sources.media import number_of, picture, set_display_matrix, transport_stream, write_video
from tests.sources.servers import camera
from yolov7.errors import SourceError, UsageError
from yolov7.sources import video
from yolov7.sources.frames import Frame
from yolov7.sources.opening import open_source


def numbers(frames: list[Frame]) -> list[int]:
    return [number_of(frame.image) for frame in frames if frame.image is not None]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    write_video(path, movflags="faststart")
    return path


# Files


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".mp4", "libx264"),
        (".MOV", "libx264"),
        (".mkv", "libx264"),
        (".ts", "libx264"),
        (".flv", "libx264"),
        (".m4v", "mpeg4"),
        (".avi", "mpeg4"),
        (".mpg", "mpeg2video"),
        (".webm", "libvpx"),
        (".wmv", "wmv2"),
    ],
)
def test_every_common_kind_of_file(tmp_path: Path, suffix: str, codec: str) -> None:
    path = tmp_path / f"clip{suffix}"
    write_video(path, rate=25, codec=codec)
    source = open_source(path)
    frames = list(source)
    assert source.total == pytest.approx(20, abs=3)  # what the header says may be a little off
    assert numbers(frames) == list(range(20))
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.error for frame in frames] == [None] * 20
    for number, frame in enumerate(frames):
        assert (frame.name, frame.source) == (path.name, str(path))
        assert frame.video is not None
        assert frame.video.number == number
        assert frame.video.time == pytest.approx(number / 25, abs=0.002)
        assert frame.video.fps == pytest.approx(25)
        assert not frame.video.live


def test_every_nth_frame(clip: Path) -> None:
    source = open_source(clip, every=3)
    assert source.total == 7
    frames = list(source)
    assert numbers(frames) == [0, 3, 6, 9, 12, 15, 18]
    assert [frame.video.number for frame in frames if frame.video] == [0, 3, 6, 9, 12, 15, 18]
    assert [frame.index for frame in frames] == list(range(7))


def test_a_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.15, 0.9, 1.0, 1.7]
    write_video(tmp_path / "clip.mp4", len(times), times=times)
    frames = list(open_source(tmp_path / "clip.mp4"))
    assert [frame.video.time for frame in frames if frame.video] == pytest.approx(times, abs=0.001)


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".ts", "libx264"), (".mkv", "libx264"), (".flv", "libx264"), (".wmv", "wmv2")],
)
def test_frames_that_a_damaged_video_lost_in_silence_are_counted(
    tmp_path: Path, suffix: str, codec: str
) -> None:
    path = tmp_path / f"clip{suffix}"
    write_video(path, 40, rate=25, size=(96, 128), codec=codec, grain=20)
    content = bytearray(path.read_bytes())
    if suffix == ".ts":  # 16 packets later the counters are what they should be
        middle = content.index(b"\x47\x41\x00", len(content) // 2)
        del content[middle : middle + 16 * 188]
    else:
        middle = len(content) // 2
        content[middle : middle + 6000] = bytes(6000)
    path.write_bytes(content)
    frames = list(open_source(path))
    pictures = [frame for frame in frames if frame.image is not None]
    (error,) = [frame.error for frame in frames if frame.error and "missing" in frame.error.message]
    assert 30 <= len(pictures) < 40
    assert error.expected == "40 frames"
    assert error.found == f"{len(frames) - 1} frames"


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".mp4", "libx264"),
        (".mkv", "libx264"),
        (".flv", "libx264"),
        (".avi", "mpeg4"),
        (".ts", "libx264"),
    ],
)
@pytest.mark.parametrize(
    "gaps",
    [
        [1] * 15 + [10] + [1] * 15 + [75] + [1] * 8,  # pauses
        [1, 1, 2, 1, 3] * 7,  # what did not move was left out
        [3, 4, 3, 3, 5, 2, 3, 3, 4, 3] * 3 + [60],  # a phone
        [1] * 20 + [3] * 20,
    ],
)
def test_a_variable_frame_rate_misses_nothing(
    tmp_path: Path, suffix: str, codec: str, gaps: list[int]
) -> None:
    if suffix == ".ts" and 10 in gaps:
        gaps = [gap for gap in gaps if gap != 10]  # this one is a loss there: nothing else would show it
    path = tmp_path / f"clip{suffix}"
    times = [0.0, *(0.04 * sum(gaps[:end]) for end in range(1, len(gaps) + 1))]
    write_video(path, len(times), times=times, rate=25, codec=codec)
    frames = list(open_source(path))
    assert [str(frame.error) for frame in frames if frame.error] == []
    assert len(frames) == len(times)


def test_what_cannot_be_read_of_a_film_in_fragments_is_told(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, 40, rate=25, grain=20, movflags="frag_keyframe+empty_moov")
    assert all(frame.error is None for frame in open_source(path))
    content = path.read_bytes()
    fragment = content.index(b"moof", len(content) // 2)
    path.write_bytes(content[: fragment - 4] + bytes(8) + content[fragment + 4 :])
    *_, last = open_source(path)
    assert last.error is not None
    assert "the rest of the file" in last.error.message


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
        ((-1, 0, 0, 1), np.fliplr),
        ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    ],
)
def test_videos_are_turned_upright(clip: Path, matrix: tuple[int, int, int, int], turned: Any) -> None:
    set_display_matrix(clip, *matrix)
    image = next(iter(open_source(clip))).image
    assert image is not None
    np.testing.assert_allclose(image.astype(int), turned(picture(0)).astype(int), atol=60)  # blurred edges
    assert np.abs(image.astype(int) - turned(picture(0)).astype(int)).mean() < 4


def test_colours_of_hd_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "hd.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=10, options={"crf": "1", "colorspace": "bt709"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        pixels = np.full((48, 64, 3), (200, 60, 30), np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        output.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace="ITU709")))
        output.mux(stream.encode())
    image = next(iter(open_source(tmp_path / "hd.mp4"))).image
    assert image is not None
    np.testing.assert_allclose(image[24, 32].astype(int), (200, 60, 30), atol=3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".flv", ".webm"])
def test_a_truncated_video_gives_what_is_there_and_says_so(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    options = {"movflags": "faststart"} if suffix == ".mp4" else {}
    write_video(path, codec="libvpx" if suffix == ".webm" else "libx264", grain=20, **options)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    *whole, last = open_source(path)
    seen = numbers(whole)
    assert seen == list(range(len(seen)))
    assert 3 <= len(seen) < 18
    assert last.image is None
    assert "the video ends early: the file is truncated\n  expected: 2." in str(last.error)


def test_a_complete_video_with_longer_sound_is_not_called_truncated(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv"):
        path = tmp_path / f"clip{suffix}"
        with av.open(str(path), "w") as output:
            pictures = output.add_stream("libx264", rate=10)
            pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
            sound = output.add_stream("aac", rate=16000)
            for number in range(10):
                output.mux(pictures.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")))
            output.mux(pictures.encode())
            for _ in range(50):  # 5 s
                silence = av.AudioFrame.from_ndarray(
                    np.zeros((1, 1600), np.int16), format="s16", layout="mono"
                )
                silence.sample_rate = 16000
                output.mux(sound.encode(silence))
            output.mux(sound.encode())
        assert [frame.error for frame in open_source(path)] == [None] * 10


def test_damaged_frames_are_errors_and_the_rest_is_done(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, 60, size=(120, 160), movflags="faststart")
    content = bytearray(path.read_bytes())
    begin = content.index(b"mdat")
    for place in range(begin + (len(content) - begin) // 2, begin + (len(content) - begin) * 6 // 10, 11):
        content[place] ^= 0xFF
    path.write_bytes(content)
    frames = list(open_source(path))
    broken = [frame for frame in frames if frame.error is not None]
    assert 0 < len(broken) < 30
    assert len(frames) - len(broken) > 30
    assert frames[-1].error is None
    for frame in broken:
        assert frame.image is None
        assert "clip.mp4: damaged frame" in str(frame.error)


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_what_is_no_video(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clip.mp4").write_bytes(content)
    source = open_source(tmp_path / "clip.mp4")
    assert source.total == 1
    (frame,) = source
    assert isinstance(frame.error, SourceError)
    assert "clip.mp4: cannot be opened" in str(frame.error)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.mp4"), "w") as output:
        sound = output.add_stream("aac", rate=16000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="mono")
        silence.sample_rate = 16000
        output.mux(sound.encode(silence))
        output.mux(sound.encode())
    (frame,) = open_source(tmp_path / "song.mp4")
    assert "there are no pictures in it" in str(frame.error)


def test_a_bad_video_does_not_keep_the_next_from_being_read(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"bad")
    frames = list(open_source([tmp_path / "bad.mp4", clip]))
    assert frames[0].error is not None
    assert numbers(frames) == list(range(20))


def test_a_playlist_in_disguise_reaches_no_other_file(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "secret.ts").write_bytes(transport_stream(3))
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile http://127.0.0.1:9/a.ts\n")
    (tmp_path / "hls.mp4").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
    )
    for name in ("list.mp4", "hls.mp4"):
        (frame,) = open_source(tmp_path / name)
        assert frame.error is not None


def test_names_that_look_like_something_else_to_ffmpeg(tmp_path: Path, clip: Path) -> None:
    for name in ("concat:a|b.mp4", "100%d.mp4", "http:x.mp4", "über 犬.mp4"):
        clip.rename(tmp_path / name)
        clip = tmp_path / name
        assert numbers(list(open_source(clip))) == list(range(20))


def test_memory_is_not_kept_and_the_file_is_closed_when_left_early(clip: Path) -> None:
    for frame in open_source(clip).read_ahead(lambda frame: frame):
        assert frame.image is not None
        break
    clip.unlink()  # fails on Windows while the file is open
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("yolov7-")]


def wait_for_reader() -> None:
    """Until the thread that keeps the newest frame has come to the end."""
    for thread in threading.enumerate():
        if "newest" in thread.name:
            thread.join(30)
            assert not thread.is_alive()


def test_newest_of_a_file_on_request(clip: Path) -> None:
    frames = iter(open_source(clip, newest=True))
    first = next(frames)
    wait_for_reader()
    seen = numbers([first, *frames])
    assert seen[-1] == 19
    assert seen in ([seen[0], 19], [19]), "what was read meanwhile is left out, but for the last"


# Streams


def test_an_rtsp_camera() -> None:
    with camera(transport_stream()) as device:
        source = open_source(device.address, newest=False, reconnects=0)
        assert source.live
        assert source.total is None
        *frames, last = source
        assert any("RTP/AVP/TCP" in request for request in device.requests)
    assert "rtsp://127.0.0.1" in str(last.error)
    assert "the stream broke off" in str(last.error)
    assert [frame.error for frame in frames] == [None] * len(frames)
    assert numbers(frames) == list(range(19)), "the last one waits for the begin of a next one"
    for frame in frames:
        assert frame.video is not None
        assert frame.video.live
        assert "secret" not in frame.source
        assert frame.source.startswith("rtsp://127.0.0.1")
        assert frame.name == "door"


def test_a_film_over_rtsp_ends() -> None:
    with camera(transport_stream(), film=True) as device:
        frames = list(open_source(device.address, newest=False))
        assert device.connections == 1
    assert [frame.error for frame in frames] == [None] * 19


def test_a_slow_consumer_of_a_camera_gets_the_newest_frame() -> None:
    with camera(transport_stream(30), seconds=0.6) as device:
        frames = open_source(device.address, reconnects=0).read_ahead(lambda frame: frame)
        first = next(frames)
        wait_for_reader()
        *rest, last = frames
    assert [frame.error for frame in (first, *rest)] == [None] * (1 + len(rest))
    assert "the stream broke off" in str(last.error)
    assert len(rest) <= 1, "one is read ahead, then comes the newest"


def test_a_lost_stream_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(video.time, "sleep", pauses.append)
    with camera(transport_stream(), breaks=[(0.7, "reset"), (0.7, "reset"), None]) as device:
        *frames, last = open_source(device.address, newest=False, reconnects=2)
        assert device.connections == 3
    assert last.error is not None
    assert [frame.error for frame in frames] == [None] * len(frames)
    assert len(frames) > 30
    order = [frame.video.number for frame in frames if frame.video]
    assert order == list(range(len(frames)))
    times = [frame.video.time for frame in frames if frame.video]
    assert times == sorted(times)
    assert pauses == [1.0, 1.0, 1.0, 2.0]  # two losses, and in vain after the end


def test_reconnecting_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(video.time, "sleep", pauses.append)
    with camera(transport_stream(), breaks=[(0.7, "reset")]) as device:
        *frames, last = open_source(device.address, newest=False, reconnects=3)
    assert len(frames) > 5
    assert pauses == [1.0, 2.0, 4.0]
    assert isinstance(last.error, SourceError)
    assert "secret" not in str(last.error)


@pytest.mark.clock
def test_a_silent_camera_is_given_up() -> None:
    with camera(transport_stream(), breaks=[(0.7, "silent")]) as device:
        *frames, last = open_source(device.address, newest=False, timeout=0.5, reconnects=0)
    assert len(frames) > 5
    assert "no data for 0.5 s" in str(last.error)


def test_a_camera_that_is_not_there() -> None:
    (frame,) = open_source("rtsp://user:secret@127.0.0.1:9/door")
    assert "rtsp://127.0.0.1:9/door: cannot be opened: Connection refused" in str(frame.error)


def test_live_sources_stand_alone(clip: Path) -> None:
    for live in (0, "rtsp://127.0.0.1/door"):
        with pytest.raises(UsageError, match="must be the only source"):
            open_source([live, clip])


# Webcams


def test_a_webcam_that_is_not_there(capfd: pytest.CaptureFixture[str]) -> None:
    for number in (97, "97"):
        source = open_source(number)
        assert source.live
        (frame,) = source
        assert "webcam:97: the camera cannot be opened" in str(frame.error)
    assert capfd.readouterr().err == ""


def test_a_webcam(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # OpenCV reads a file as it reads a camera; there is no camera on a machine that tests.
    capture = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: capture(str(clip)))
    *frames, last = open_source(0, newest=False, every=2)
    assert numbers(frames) == list(range(0, 20, 2))
    assert [frame.video.number for frame in frames if frame.video] == list(range(0, 20, 2))
    assert all(frame.video and frame.video.live for frame in frames)
    assert (frames[0].source, frames[0].name) == ("webcam:0", "webcam0")
    np.testing.assert_allclose(frames[0].image[2, 2].astype(int), (250, 30, 30), atol=25)
    assert "gives no more pictures" in str(last.error)
