"""Everything that users hand in as a picture: files, folders, globs, lists, standard input, memory."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from PIL import Image as Pillow

from tests.bounded import PEAK
from tests.sources.media import number_of, picture, write_video
from yolov7.errors import SourceError, UsageError
from yolov7.sources.frames import Frame
from yolov7.sources.opening import Source, open_source

RED = (250, 30, 30)


def save(path: Path, pixels: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(picture(1) if pixels is None else pixels).save(path)
    return path


def names(source: Source) -> list[str]:
    return [frame.name for frame in source]


def only(frames: Any) -> Frame:
    (frame,) = frames
    return frame


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Current folder of the test, with pictures and other things in photos/."""
    monkeypatch.chdir(tmp_path)
    for name in ("img10.png", "img2.png", "IMG1.PNG", "sub/deep.png", "sub/below/deeper.png", ".hidden.png"):
        save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "readme.md").write_text("no picture")
    (tmp_path / "photos" / "folder.png").mkdir()
    return tmp_path


# Files


@pytest.mark.parametrize("as_type", [str, Path])
def test_an_image_file(folder: Path, as_type: type) -> None:
    source = open_source(as_type("photos/img2.png"))
    assert source.total == 1
    assert not source.live
    frame = only(source)
    assert (frame.source, frame.name, frame.index) == (str(Path("photos/img2.png")), "img2.png", 0)
    assert frame.video is None
    assert frame.error is None
    np.testing.assert_array_equal(frame.image, picture(1))


def test_a_folder_in_natural_order_without_what_is_hidden_or_below(folder: Path) -> None:
    source = open_source("photos")
    assert source.total == 3
    assert names(source) == ["IMG1.PNG", "img2.png", "img10.png"]
    assert names(source) == ["IMG1.PNG", "img2.png", "img10.png"], "a folder can be read again"


def test_a_folder_mixes_images_and_videos(folder: Path) -> None:
    write_video(folder / "photos" / "img3.mp4", 2)
    source = open_source("photos")
    assert source.total == 5
    frames = list(source)
    assert [frame.name for frame in frames] == ["IMG1.PNG", "img2.png", "img3.mp4", "img3.mp4", "img10.png"]
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]


def test_globs(folder: Path) -> None:
    assert names(open_source("photos/*.png")) == ["img2.png", "img10.png"]
    assert names(open_source("photos/img[0-9].*")) == ["img2.png"]
    assert names(open_source("photos/**")) == [
        "IMG1.PNG",
        "img2.png",
        "img10.png",
        "sub/below/deeper.png",
        "sub/deep.png",
    ]
    assert names(open_source(str(folder / "photos" / "*" / "deep.png"))) == ["sub/deep.png"]
    assert names(open_source("p*/img2.png")) == ["photos/img2.png"]


def test_a_name_with_the_signs_of_a_glob_is_a_name_if_it_exists(folder: Path) -> None:
    save(folder / "a[1].png")
    assert names(open_source("a[1].png")) == ["a[1].png"]


@given(st.lists(st.text("ab1209 ", min_size=1, max_size=8), unique=True, min_size=1))
def test_natural_order_never_fails_and_puts_smaller_numbers_first(words: list[str]) -> None:
    from yolov7.sources.paths import natural_order

    ordered = sorted((Path(word) for word in words), key=natural_order)
    numbers = [int(path.name) for path in ordered if re.fullmatch("[0-9]+", path.name)]
    assert numbers == sorted(numbers)


def test_missing_paths_say_what_is_there(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"photos.img3\.png does not exist\n.*photos.img2\.png"):
        open_source("photos/img3.png")
    with pytest.raises(SourceError, match=r"^fotos does not exist\n  found:    photos$"):
        open_source("fotos/img2.png")
    with pytest.raises(SourceError, match=r"zzz[\\/]?.* does not exist$"):
        open_source(str(folder / "zzz" / "a" / "b.png"))


def test_folders_and_globs_without_pictures(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(SourceError, match=r"empty: no image or video in this folder\n.*\.jpg"):
        open_source("empty")
    save(folder / "outer" / "inner" / "a.png")
    with pytest.raises(SourceError, match=r"there are some in .*inner: '.*\*\*' includes sub-folders"):
        open_source("outer")
    with pytest.raises(SourceError, match=r"nothing matches photos/\*\.jpeg"):
        open_source("photos/*.jpeg")


def test_other_endings_are_refused(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"readme\.md: neither an image nor a video.*\n.*\n.*\.md"):
        open_source("photos/readme.md")


def test_pictures_of_kinds_that_are_not_read_are_counted_with_the_reason(folder: Path) -> None:
    for name in ("b.heic", "c.CR2", "d.pdf", "e.jxl"):
        (folder / "photos" / name).write_bytes(b"\0" * 40)
    (folder / "photos" / "f.heic").write_bytes((folder / "photos" / "img2.png").read_bytes())
    (folder / "list.txt").write_text("photos/b.heic\nphotos/img2.png\n")
    for source in ("photos", "photos/*", ["photos/b.heic", "photos/img2.png"], "list.txt"):
        frames = {frame.name: frame.error for frame in open_source(source)}
        wrong = {name.split("/")[-1]: str(error) for name, error in frames.items() if error}
        assert "HEIF (HEIC) images are not supported; convert them to JPEG or PNG" in wrong["b.heic"]
        assert "f.heic" not in wrong, "content decides"
        if "photos" in source:
            assert set(wrong) == {"b.heic", "c.CR2", "d.pdf", "e.jxl"}
    with pytest.raises(SourceError, match=r"c\.CR2: camera raw files are not supported"):
        open_source("photos/c.CR2")


def test_frames_of_an_animation_are_those_of_a_film(folder: Path) -> None:
    frames = [Pillow.fromarray(picture(number)) for number in range(5)]
    for name in ("a.gif", "b.png", "c.webp"):
        frames[0].save(name, save_all=True, append_images=frames[1:], duration=100)
        read = list(open_source(name))
        assert [frame.video.number for frame in read] == [0, 1, 2, 3, 4]
        assert [frame.index for frame in read] == [0, 1, 2, 3, 4]
        assert [number_of(frame.image) for frame in read] == [0, 1, 2, 3, 4]
    assert [frame.video.number for frame in open_source("a.gif", every=2)] == [0, 2, 4]


def test_pages_that_are_not_read_are_counted(folder: Path) -> None:
    page = Pillow.fromarray(picture(1))
    page.save("scan.tif", save_all=True, append_images=[page, page])
    first, rest = open_source("scan.tif")
    np.testing.assert_array_equal(first.image, picture(1))
    assert "2 more pages in this file are not read" in str(rest.error)


def test_content_decides_where_the_ending_says_nothing(folder: Path) -> None:
    write_video(folder / "clip.mp4", 3)
    (folder / "clip.mp4").rename(folder / "clip.recording")
    assert open_source("clip.recording").total == 3
    (folder / "photos" / "img2.png").rename(folder / "download")
    assert only(open_source("download")).error is None
    for name in ("raw.h264", "raw.264"):
        write_video(folder / name, 3, container="h264")
        assert sum(frame.error is None for frame in open_source(name)) == 3


def test_a_number_is_a_camera_only_where_it_can_be_one(folder: Path) -> None:
    with pytest.raises(
        SourceError, match=r"384 does not exist\n  expected: .*a camera has a number of one or two"
    ):
        open_source("384")
    with pytest.raises(SourceError, match="384 does not exist"):
        open_source(["photos", "384"])
    with pytest.raises(UsageError, match=r"must be the only source\n  found:    webcam:64"):
        open_source(["photos", "64"])
    assert open_source("0").live


def test_a_broken_image_is_a_frame_with_an_error_and_the_rest_is_done(folder: Path) -> None:
    whole = (folder / "photos" / "img2.png").read_bytes()
    (folder / "photos" / "img3.png").write_bytes(whole[: len(whole) // 2])
    (folder / "photos" / "img4.png").write_bytes(b"")
    frames = list(open_source("photos"))
    assert [frame.name for frame in frames if frame.error] == ["img3.png", "img4.png"]
    assert all((frame.image is None) == (frame.error is not None) for frame in frames)
    assert len(frames) == 5
    assert isinstance(frames[2].error, SourceError)
    assert "img3.png" in str(frames[2].error)


def test_a_thousand_mixed_files_of_which_twenty_are_broken(tmp_path: Path) -> None:
    kinds = ("jpg", "png", "bmp", "webp", "tif", "gif")
    content = {}
    for kind in kinds:
        file = io.BytesIO()
        Pillow.fromarray(picture(1)).save(file, {"jpg": "JPEG", "tif": "TIFF"}.get(kind, kind))
        content[kind] = file.getvalue()
    for number in range(1000):
        kind = kinds[number % len(kinds)]
        whole = content[kind]
        broken = number % 50 == 7
        (tmp_path / f"{number}.{kind}").write_bytes(whole[: len(whole) // 3] if broken else whole)
    frames = [(frame.name, frame.error) for frame in open_source(tmp_path)]
    assert len(frames) == 1000
    assert [int(name.split(".")[0]) for name, _ in frames] == list(range(1000))
    assert [int(name.split(".")[0]) for name, error in frames if error] == list(range(7, 1000, 50))


# Lists


def test_lists_of_all_kinds_of_things(folder: Path) -> None:
    source = open_source(["photos", Path("photos/img2.png"), picture(3), "photos/*.PNG"])
    assert source.total == 6
    assert names(source) == ["IMG1.PNG", "img2.png", "img10.png", "img2.png", "image2", "IMG1.PNG"]


def test_in_a_list_a_missing_image_is_a_frame_with_an_error_but_a_missing_folder_is_not(folder: Path) -> None:
    frames = list(open_source(["photos/img2.png", "photos/img22.png", "photos/img10.png"]))
    assert [frame.error is None for frame in frames] == [True, False, True]
    assert "img22.png does not exist" in str(frames[1].error)
    with pytest.raises(SourceError, match="fotos does not exist"):
        open_source(["photos/img2.png", "fotos"])
    with pytest.raises(SourceError, match="does not exist"):
        open_source(["photos/img22.png"])


def test_a_list_file_is_relative_to_itself_or_to_the_current_folder(folder: Path) -> None:
    (folder / "lists").mkdir()
    save(folder / "lists" / "own.png")
    lines = ["# chosen by hand", "own.png", "", "  photos/img2.png  ", str(folder / "photos" / "img10.png")]
    (folder / "lists" / "train.txt").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8", newline="")
    source = open_source("lists/train.txt")
    assert source.total == 3
    assert names(source) == ["own.png", "photos/img2.png", "img10.png"]
    assert all(frame.error is None for frame in source)


def test_a_list_may_be_utf_16_name_folders_turn_slashes_and_be_quoted(folder: Path) -> None:
    for encoding in ("utf-16", "utf-16-le", "utf-8-sig"):
        text = 'photos\n# May\n"photos\\img2.png"\r\n'
        (folder / "list.txt").write_bytes(text.encode(encoding))
        source = open_source("list.txt")
        assert names(source) == ["IMG1.PNG", "img2.png", "img10.png", "photos/img2.png"]
        assert all(frame.error is None for frame in source)


def test_a_bad_line_of_a_list_file_is_an_error_with_file_and_line(folder: Path) -> None:
    (folder / "list.txt").write_text("photos/img2.png\nphotos/img3.png\nphotos/readme.md\nftp://host/a.png\n")
    frames = list(open_source("list.txt"))
    assert [frame.error is None for frame in frames] == [True, False, False, False]
    assert str(frames[1].error).startswith(f"list.txt:2: {Path('photos/img3.png')} does not exist")
    assert str(frames[2].error).startswith("list.txt:3: ")
    assert str(frames[3].error).startswith("list.txt:4: ftp://host/a.png: this kind of URL is not read")
    assert (frames[1].error.file, frames[1].error.line) == ("list.txt", 2)


def test_names_that_no_file_can_have(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"File name too long|does not exist"):  # as Python puts it
        open_source("x" * 5000 + ".jpg")
    (folder / "list.txt").write_text("photos/img2.png\n" + "x" * 5000 + ".jpg\n")
    frames = list(open_source("list.txt"))
    assert frames[0].error is None
    assert str(frames[1].error).startswith("list.txt:2: xxx")


def test_lists_without_anything(folder: Path) -> None:
    (folder / "empty.txt").write_text("# nothing\n\n")
    with pytest.raises(SourceError, match=r"empty\.txt: the list is empty"):
        open_source("empty.txt")
    (folder / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match=r"binary\.txt: the list cannot be read"):
        open_source("binary.txt")
    with pytest.raises(UsageError, match="the list of sources is empty"):
        open_source([])


# Standard input


def give_standard_input(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Through a real pipe."""
    reader, writer = os.pipe()
    monkeypatch.setattr(sys, "stdin", os.fdopen(reader, encoding="utf-8"))
    with os.fdopen(writer, "wb") as file:
        file.write(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"])
def test_standard_input_with_an_image(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    file = io.BytesIO()
    Pillow.fromarray(picture(1)).save(file, kind)
    give_standard_input(monkeypatch, file.getvalue())
    frame = only(open_source("-"))
    sys.stdin.close()
    assert frame.image is not None
    assert frame.image.shape == (48, 64, 3)
    assert frame.name == "stdin"


def test_standard_input_with_paths(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    give_standard_input(monkeypatch, "photos/img2.png\nphotos/über.png\n".encode())
    frames = list(open_source("-"))
    sys.stdin.close()
    assert [frame.error is None for frame in frames] == [True, False]
    assert str(frames[1].error).startswith("standard input:2: ")


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "standard input is empty"), (b"\0\1\2", "standard input")]
)
def test_standard_input_with_nothing_useful(
    monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    give_standard_input(monkeypatch, content)
    with pytest.raises(SourceError, match=message):
        raise only(open_source("-")).error
    sys.stdin.close()


# Pictures in memory


def pixels_of(thing: Any) -> np.ndarray:
    frame = only(open_source(thing))
    if frame.error is not None:
        raise frame.error
    assert frame.image is not None
    assert frame.image.dtype == np.uint8
    assert frame.image.flags.c_contiguous
    assert frame.source == frame.name == "image0"
    return frame.image


def test_numpy_rgb_is_taken_as_it_is() -> None:
    rgb = picture(1)
    assert np.shares_memory(pixels_of(rgb), rgb)


@pytest.mark.parametrize(
    "same",
    [
        lambda rgb: np.dstack([rgb, np.full(rgb.shape[:2], 7, np.uint8)]),
        lambda rgb: rgb.astype(np.uint16) * 257,
        lambda rgb: rgb / 255,
        lambda rgb: (rgb / 255).astype(np.float32),
        lambda rgb: rgb[..., ::-1].copy()[..., ::-1],
        lambda rgb: rgb[np.newaxis],
        lambda rgb: torch.from_numpy(rgb).permute(2, 0, 1),
        lambda rgb: torch.from_numpy(rgb).permute(2, 0, 1)[None],
        lambda rgb: torch.from_numpy(rgb).permute(2, 0, 1) / 255,
        lambda rgb: (torch.from_numpy(rgb).permute(2, 0, 1) / 255).requires_grad_(),
        lambda rgb: Pillow.fromarray(rgb),
        lambda rgb: Pillow.fromarray(rgb).convert("RGBA"),
        lambda rgb: Pillow.fromarray(rgb).convert("P", palette=Pillow.Palette.ADAPTIVE),
    ],
)
def test_forms_of_a_colour_picture(same: Any) -> None:
    rgb = picture(1)
    np.testing.assert_array_equal(pixels_of(same(rgb)), rgb)


@pytest.mark.parametrize(
    "same",
    [
        lambda grey: grey,
        lambda grey: grey[..., np.newaxis],
        lambda grey: torch.from_numpy(grey)[None],
        lambda grey: Pillow.fromarray(grey),
        lambda grey: Pillow.fromarray(grey.astype(np.uint16) * 256),
        lambda grey: Pillow.fromarray(grey.astype(np.int32) * 256),
        lambda grey: Pillow.fromarray(grey / np.float32(255)),
    ],
)
def test_forms_of_a_grey_picture(same: Any) -> None:
    grey = picture(1)[..., 0].copy()
    np.testing.assert_array_equal(pixels_of(same(grey)), np.dstack([grey] * 3))


def test_half_precision_tensors() -> None:
    rgb = picture(1)
    tensor = torch.from_numpy(rgb).permute(2, 0, 1) / 255
    for half in (tensor.half(), tensor.bfloat16()):
        np.testing.assert_allclose(pixels_of(half).astype(int), rgb.astype(int), atol=1)


def test_pillow_images_are_turned_upright() -> None:
    rgb = picture(1)
    file = io.BytesIO()
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.fromarray(rgb).save(file, "PNG", exif=exif)
    file.seek(0)
    np.testing.assert_array_equal(pixels_of(Pillow.open(file)), np.rot90(rgb, -1))


def test_pillow_palette_with_transparency_does_not_warn() -> None:
    palette = Pillow.fromarray(picture(1)).convert("P", palette=Pillow.Palette.ADAPTIVE)
    palette.info["transparency"] = bytes(range(8))
    np.testing.assert_array_equal(pixels_of(palette), picture(1))


def test_a_damaged_file_behind_a_pillow_image() -> None:
    file = io.BytesIO()
    Pillow.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(file, "JPEG")
    with pytest.raises(SourceError, match="unreadable or damaged image"):
        open_source(Pillow.open(io.BytesIO(file.getvalue()[:-200])))


def test_batches_and_their_names() -> None:
    batch = np.stack([picture(number) for number in range(3)])
    source = open_source(batch)
    assert source.total == 3
    assert names(source) == ["image0-0", "image0-1", "image0-2"]
    for number, frame in enumerate(open_source(torch.from_numpy(batch).permute(0, 3, 1, 2))):
        np.testing.assert_array_equal(frame.image, picture(number))
        assert frame.source == f"image0[{number}]"


def test_bytes_and_open_files(folder: Path) -> None:
    path = folder / "photos" / "img2.png"
    content = path.read_bytes()
    for thing in (content, bytearray(content), memoryview(content), io.BytesIO(content)):
        np.testing.assert_array_equal(pixels_of(thing), picture(1))
    with path.open("rb") as file:
        np.testing.assert_array_equal(pixels_of(file), picture(1))
    with (
        path.open("r", encoding="latin-1") as file,
        pytest.raises(UsageError, match="open for reading bytes"),
    ):
        pixels_of(file)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            np.zeros((3, 48, 64), np.uint8),
            r"not the shape of an image\n.*come last in an array.*\n.*\(3, 48, 64\)",
        ),
        (np.zeros(5, np.uint8), "not the shape"),
        (np.zeros((0, 4, 3), np.uint8), "not the shape"),
        (np.zeros((1, 2, 4, 4, 3), np.uint8), "not the shape"),
        (torch.zeros(48, 64, 3), r"not the shape of an image\n.*come first in a tensor"),
        (torch.zeros(48, 64), "not the shape"),
        (np.zeros((4, 4, 3), np.int64), r"not the type of an image\n.*\n.*int64"),
        (np.zeros((4, 4, 3), bool), "not the type"),
        (np.full((4, 4, 3), 255.0), r"unknown meaning\n.*0\.\.1.*\n.*255"),
        (np.full((4, 4, 3), np.nan), "unknown meaning"),
        (torch.full((3, 4, 4), -1.0), "unknown meaning"),
    ],
)
def test_arrays_that_are_no_pictures(wrong: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pixels_of(wrong)


@given(
    st_numpy.arrays(
        st.sampled_from([np.uint8, np.uint16, np.float32, np.float64]),
        st.one_of(
            st.tuples(st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 3, 4])),
            st.tuples(st.integers(1, 6), st.integers(1, 6)),
        ),
    )
)
@settings(max_examples=60, deadline=None)
def test_any_array_is_a_picture_or_an_error_of_ours(array: np.ndarray) -> None:
    frame = only(open_source(array))
    if array.dtype.kind == "f" and not (array.min() >= 0 and array.max() <= 1):
        assert isinstance(frame.error, UsageError)
    else:
        assert frame.image is not None
        assert frame.image.shape == (*array.shape[:2], 3)


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (None, "None"),
        (3.5, "3.5"),
        (True, "True"),
        (-1, "-1"),
        ({"a": 1}, "dict"),
        (object(), "object"),
        ([["nested.jpg"]], "list"),
    ],
)
def test_what_is_no_source(thing: Any, message: str) -> None:
    with pytest.raises(
        UsageError, match=rf"not a source of images\n  expected: path, URL.*\n  found:    {message}"
    ):
        open_source(thing)


@pytest.mark.parametrize("text", ["", "a\0b"])
def test_impossible_paths(text: str) -> None:
    with pytest.raises(UsageError, match="invalid path"):
        open_source(text)


@pytest.mark.parametrize("options", [{"every": 0}, {"timeout": 0}, {"reconnects": -1}, {"max_download": 0}])
def test_invalid_options_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"invalid {next(iter(options))}"):
        open_source(picture(1), **options)


# Generators


def test_generators_are_read_one_by_one(folder: Path) -> None:
    taken = []

    def things() -> Iterator[Any]:
        for thing in (picture(0), "photos/img2.png", "photos", "missing.png", {"no": "picture"}, picture(5)):
            taken.append(thing)
            yield thing

    source = open_source(things())
    assert source.total is None
    frames = iter(source)
    assert taken == []
    assert next(frames).name == "image0"
    assert len(taken) == 1
    rest = list(frames)
    assert [frame.name for frame in rest] == [
        "img2.png",
        "IMG1.PNG",
        "img2.png",
        "img10.png",
        "image3",
        "image4",
        "image5",
    ]
    assert [frame.index for frame in rest] == list(range(1, 8))
    assert [type(frame.error) for frame in rest if frame.error] == [SourceError, UsageError]


def test_what_a_generator_raises_is_raised() -> None:
    def things() -> Iterator[Any]:
        yield picture(0)
        raise RuntimeError("camera")

    with pytest.raises(RuntimeError, match="camera"):
        list(open_source(things()))


# Reading ahead


@pytest.mark.parametrize("workers", [1, 3])
def test_read_ahead_prepares_in_the_background_and_keeps_the_order(tmp_path: Path, workers: int) -> None:
    for number in range(12):
        save(tmp_path / f"{number}.png", picture(number))
    (tmp_path / "5.png").write_bytes(b"broken")

    def prepare(frame: Frame) -> tuple[int, bool]:
        return frame.index, frame.error is None

    ahead = open_source(tmp_path).read_ahead(prepare, workers=workers)
    assert list(ahead) == [(number, number != 5) for number in range(12)]


def test_a_source_is_given_back_as_it_is() -> None:
    source = open_source(picture(0))
    assert open_source(source) is source


MEMORY_SCRIPT = """
import gc, sys
from yolov7.results.sinks import open_sinks
from yolov7.sources.opening import open_source
from yolov7.types import Detections
import numpy as np

source, out, kinds, early = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
box, score, label = np.array([[5, 5, 40, 30]], np.float32), np.array([0.9], np.float32), np.array([0])
found = Detections(box, score, label, ("cat",))
with open_sinks(kinds, out, ("cat",)) as sinks:
    for frame in open_source(source).read_ahead(lambda frame: frame):
        sinks.write(frame, found if frame.error is None else Detections.empty())
        if frame.index == early:
            gc.collect()
            begin = peak()
print(frame.index + 1, peak() - begin)
"""


def frames_and_growth(source: Path, out: Path, kinds: str, early: int) -> tuple[int, int]:
    """In a process of its own: number of frames, and bytes by which its peak grew after frame `early`."""
    command = [sys.executable, "-c", PEAK + MEMORY_SCRIPT, str(source), str(out), kinds, str(early)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    frames, growth = done.stdout.split()
    return int(frames), int(growth)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of its memory from /proc")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    save(tmp_path / "in" / "0.png", np.zeros((240, 320, 3), np.uint8))
    for number in range(1, 1500):
        os.link(tmp_path / "in" / "0.png", tmp_path / "in" / f"{number}.png")
    frames, growth = frames_and_growth(tmp_path / "in", tmp_path / "out", "txt,json,csv", 150)
    assert frames == 1500
    assert growth < 8e6, "1,350 images of 0.2 MB are 311 MB"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of its memory from /proc")
def test_ten_minutes_of_video_in_constant_memory(tmp_path: Path) -> None:
    write_video(tmp_path / "long.mp4", 6000, size=(120, 160), codec="mpeg4")
    frames, growth = frames_and_growth(tmp_path / "long.mp4", tmp_path / "out", "json,csv,video", 600)
    assert frames == 6000
    assert growth < 16e6, "5,400 frames of 58 kB are 311 MB"
    (result,) = (tmp_path / "out" / "video").iterdir()
    assert open_source(result).total == 6000


def test_large_photos_are_decoded_smaller_and_say_how_large_they_are(tmp_path):
    cv2.imwrite(str(tmp_path / "large.jpg"), picture(0, (900, 1300)))
    cv2.imwrite(str(tmp_path / "small.jpg"), picture(0, (200, 300)))
    cv2.imwrite(str(tmp_path / "lossless.png"), picture(0, (900, 1300)))
    frames = {frame.name: frame for frame in open_source(tmp_path).reduced(320)}
    shapes = {name: frame.image.shape[:2] for name, frame in frames.items()}
    assert shapes == {"large.jpg": (225, 325), "small.jpg": (200, 300), "lossless.png": (900, 1300)}
    sizes = {name: frame.size for name, frame in frames.items()}
    assert sizes == {"large.jpg": (900, 1300), "small.jpg": (200, 300), "lossless.png": (900, 1300)}
    assert [frame.size for frame in open_source(tmp_path)] == [(900, 1300), (900, 1300), (200, 300)]
