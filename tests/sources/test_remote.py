"""Images and videos at http URLs, from a server on this machine."""

from __future__ import annotations

import base64
import gzip
import io
import itertools
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.sources.media import number_of, picture, write_video
from tests.sources.servers import Answer, content, drip, web_server
from yolov7 import prefetch, web
from yolov7.errors import SourceError, UsageError
from yolov7.images.reading import decoding_bytes
from yolov7.sources.frames import Frame
from yolov7.sources.opening import open_source
from yolov7.sources.remote import without_password


def png(number: int = 1) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(picture(number)).save(file, "PNG")
    return file.getvalue()


def only(url: str, **options: float) -> Frame:
    (frame,) = open_source(url, **options)
    return frame


def error_of(url: str, **options: float) -> str:
    frame = only(url, **options)
    assert frame.image is None
    assert isinstance(frame.error, SourceError)
    return str(frame.error)


def redirect(to: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", to)
        request.end_headers()

    return answer


def needs_password(request: BaseHTTPRequestHandler) -> None:
    wanted = "Basic " + base64.b64encode(b"me:p@ss").decode()
    if request.headers.get("Authorization") == wanted:
        content(png(), "image/png")(request)
    else:
        request.send_error(401)


def silent(request: BaseHTTPRequestHandler) -> None:
    request.rfile.read(1)  # until the client leaves


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    write_video(tmp_path / "clip.mp4", 6, movflags="faststart")
    clip = (tmp_path / "clip.mp4").read_bytes()
    (tmp_path / "hls").mkdir()
    write_video(tmp_path / "hls" / "list.m3u8", 12, container="hls", hls_time="1", hls_list_size="0")
    hls = {
        f"/hls/{file.name}": content(file.read_bytes(), "application/octet-stream")
        for file in (tmp_path / "hls").iterdir()
    }
    pages: dict[str, Answer] = {
        "/a%20cat.png?size=large": content(png(), "image/png"),
        "/cat": content(png(), "image/png"),
        "/untyped": content(png(), "application/octet-stream"),
        "/page": content(b"<html>", "text/html; charset=utf-8"),
        "/page.jpg": content(b"<html>", "text/html"),
        "/broken.png": content(png()[:60], "image/png"),
        "/cut.png": content(png(), "image/png", Content_Length="9999"),
        "/huge.png": content(png(), "image/png", Content_Length="99999999999"),
        "/endless.png": drip(b"\x89PNG" * 1000, "image/png", 0),
        "/silent.png": silent,
        "/nonsense.png": content(png(), "image/png", Content_Length="many"),
        "/private.png": needs_password,
        "/moved.png": redirect("/cat"),
        "/to-file.png": redirect("file:///etc/passwd"),
        "/to-ftp.png": redirect("ftp://127.0.0.1/a.png"),
        "/round.png": redirect("/round.png"),
        "/clip.mp4": content(clip, "video/mp4"),
        "/watch": content(clip, "video/mp4"),
        "/clip.png": content(clip, "video/mp4"),
        **hls,
    }
    with web_server(pages) as address:
        yield address


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a%20cat.png?size=large", "a cat.png"),
        ("/cat", "cat"),
        ("/untyped", "untyped"),
        ("/moved.png", "moved.png"),
    ],
)
def test_an_image(server: str, path: str, name: str) -> None:
    frame = only(server + path)
    assert frame.error is None
    np.testing.assert_array_equal(frame.image, picture(1))
    assert (frame.source, frame.name) == (server + path, name)


@pytest.mark.parametrize("path", ["/clip.mp4", "/watch"])
def test_a_video(server: str, path: str) -> None:
    frames = list(open_source(server + path))
    assert [number_of(frame.image) for frame in frames if frame.image is not None] == list(range(6))
    assert [frame.error for frame in frames] == [None] * 6
    assert frames[0].name == path[1:]


def test_hls(server: str) -> None:
    frames = list(open_source(server + "/hls/list.m3u8"))
    assert [frame.error for frame in frames] == [None] * 12
    assert [number_of(frame.image) for frame in frames if frame.image is not None] == list(range(12))


def test_totals(server: str) -> None:
    assert open_source([server + "/cut.png", server + "/moved.png"]).total == 2
    assert open_source(server + "/clip.mp4").total == 6
    assert open_source(server + "/cat").total is None, "only its server knows what it is"


def test_a_list_goes_on_after_what_is_not_there(server: str) -> None:
    frames = list(
        open_source([server + path for path in ("/none.png", "/cat", "/none", "/none.mp4", "/moved.png")])
    )
    assert [frame.error is None for frame in frames] == [False, True, False, False, True]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/none.png", "the server answers 404"),
        ("/none", "the server answers 404"),
        ("/none.mp4", "cannot be opened: Server returned 404 Not Found"),
        ("/private.png", "the server answers 401"),
        ("/page", "this is a page\n  expected: an image or a video\n  found:    text/html"),
        ("/page.jpg", "this is a page"),
        ("/broken.png", "unreadable or damaged image"),
        ("/cut.png", "the transfer was cut off\n  expected: 9,999 bytes"),
        (
            "/huge.png",
            "too large for an image\n  expected: at most 268,435,456 bytes\n  found:    99,999,999,999",
        ),
        ("/nonsense.png", "cannot be fetched"),
        ("/to-file.png", "the server answers 302"),
        ("/to-ftp.png", "cannot be fetched"),
        ("/round.png", "the server answers 302"),
        ("/clip.png", "a video, though its ending is that of an image"),
    ],
)
def test_what_goes_wrong_is_said(server: str, path: str, message: str) -> None:
    error = error_of(server + path)
    assert f"{server}{path}: " in error
    assert message in error


def test_a_limit_of_bytes_holds_where_the_server_does_not_say_how_many(server: str) -> None:
    assert "at most 100 bytes\n  found:    more" in error_of(server + "/endless.png", max_download=100)


def raw(*parts: bytes, drip: bytes = b"") -> Answer:
    """Bytes as they are, then one byte again and again until the client leaves."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        for part in parts:
            request.wfile.write(part)
        while drip:
            request.wfile.write(drip)
            time.sleep(0.01)

    return answer


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        drip(png(), "image/png", 0.05),
        raw(OK, drip=b"a"),
        raw(drip=b"a"),
        raw(OK, b"Transfer-Encoding: chunked\r\n\r\n1;", drip=b"a"),
        raw(OK, b"Content-Type: image/png\r\n\r\n" + png()[:40], drip=b"a"),
        raw(b"HTTP/1.1 302 Found\r\n", drip=b"a"),
    ],
    ids=["body", "headers", "status", "chunk", "endless body", "redirection"],
)
def test_a_deadline_holds_for_the_whole_exchange(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by 5 s whenever it is looked at: no byte is late, all of them are."""
    seconds = itertools.count(step=5)
    monkeypatch.setattr(web, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    with web_server({"/a.png": answer}) as address:
        assert "the transfer is too slow" in error_of(address + "/a.png", timeout=5)


def test_pictures_of_urls_and_bytes_are_read_ahead_within_the_memory_for_it(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, ahead, most = threading.Lock(), 0, 0
    monkeypatch.setattr(prefetch, "MAX_AHEAD_BYTES", decoding_bytes(png()) * 3 // 2)

    def prepare(frame: Frame) -> Frame:
        nonlocal ahead, most
        with lock:
            ahead += 1
            most = max(most, ahead)
        return frame

    pictures = [f"{server}/a%20cat.png?size=large", png(), f"{server}/cat"] * 3
    for frame in open_source(pictures).read_ahead(prepare, depth=6, workers=3):
        assert frame.image is not None
        time.sleep(0.02)
        with lock:
            ahead -= 1
    assert most == 2  # one with the consumer, one ahead


def test_a_silent_server_is_given_up(server: str) -> None:
    assert "no answer for 0.1 s" in error_of(server + "/silent.png", timeout=0.1)


def test_content_decides_not_its_type() -> None:
    pages = {
        "/bare.jpg": raw(OK, b"Content-Length: %d\r\n\r\n" % len(png()), png()),
        "/text": content(png(), "text/html"),
        "/video.png": content(png(), "video/mp4"),
        "/gzip": content(gzip.compress(png()), "image/png", Content_Encoding="gzip"),
    }
    with web_server(pages) as address:
        for path in pages:
            np.testing.assert_array_equal(only(address + path).image, picture(1))


def test_a_page_that_swells_is_given_up() -> None:
    bomb = gzip.compress(png() + bytes(9_000_000))
    with web_server({"/a.png": content(bomb, "image/png", Content_Encoding="gzip")}) as address:
        assert "at most 1,000,000 bytes\n  found:    more" in error_of(
            address + "/a.png", max_download=1_000_000
        )


def test_a_login_in_a_redirection_is_not_shown() -> None:
    with (
        web_server({"/cat": content(png(), "image/png")}) as other,
        web_server({"/a.png": redirect(other.replace("//", "//me:secret@") + "/cat")}) as first,
    ):
        assert only(first + "/a.png").error is None
    with web_server({"/a.png": redirect("http://me:secret@127.0.0.1:port/cat")}) as first:
        error = error_of(first + "/a.png")
    assert "not a valid URL" in error
    assert "secret" not in error


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1/x.jpg",
        "http:///x.jpg",
        "http://host:port/x.jpg",
        "http://host:99999/x.jpg",
        "http://me:secret@ho st/x.jpg",
        "http://me:secret@[::1/x.jpg",
        "http://a..b/x.jpg",
        "rtsp://:554/x",
    ],
)
def test_malformed_urls_are_one_clear_error(url: str) -> None:
    with pytest.raises(UsageError, match=r"not a valid URL\n  expected: such as https://") as caught:
        open_source(url)
    assert "secret" not in str(caught.value)


def test_a_url_with_spaces_and_letters_of_other_scripts(server: str) -> None:
    with web_server({"/my%20caf%C3%A9.png": content(png(), "image/png")}) as address:
        assert only(address + "/my café.png").error is None


def test_nobody_there() -> None:
    assert "the server refuses the connection" in error_of("http://127.0.0.1:9/a.png")


def test_passwords_are_used_but_not_shown(server: str) -> None:
    url = server.replace("http://", "http://me:p%40ss@") + "/private.png"
    frame = only(url)
    assert frame.error is None
    assert frame.source == server + "/private.png"
    wrong = error_of(server.replace("http://", "http://me:guess@") + "/private.png")
    assert "401" in wrong
    assert "guess" not in wrong


def test_passwords_are_not_handed_on_to_another_server(server: str) -> None:
    seen: list[str | None] = []

    def spy(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.headers.get("Authorization"))
        content(png(), "image/png")(request)

    with (
        web_server({"/spy.png": spy}) as other,
        web_server({"/go.png": redirect(other + "/spy.png")}) as first,
    ):
        assert only(first.replace("http://", "http://me:secret@") + "/go.png").error is None
    assert seen == [None]


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/a.png", "data://x", "concat://a", "s3://b/c"]
)
def test_other_kinds_of_url_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"this kind of URL is not read\n  expected: http://, https://"):
        open_source(url)


def test_without_password() -> None:
    assert without_password("rtsp://me:p@ss@host:554/a?b=c") == "rtsp://host:554/a?b=c"
    assert without_password("http://host/a@b") == "http://host/a@b"
    assert without_password("C:\\photos\\a@b.jpg") == "C:\\photos\\a@b.jpg"
