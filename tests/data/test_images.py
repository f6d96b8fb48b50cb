"""Image files of every common kind, sound and broken."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps, features

from yolov7.data.images import IMAGE_SUFFIXES, MAX_PIXELS, image_size, read_image
from yolov7.errors import SourceError

HEIGHT, WIDTH = 40, 60
LOSSLESS = ("PNG", "TIFF", "BMP", "PPM", "JPEG2000")
AVIF = ["AVIF"] if "avif" in features.get_supported_modules() else []


@pytest.fixture
def colours() -> np.ndarray:
    """Four patches, so that no orientation equals another."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:20, :30], pixels[:20, 30:] = (250, 10, 20), (10, 240, 30)
    pixels[20:, :30], pixels[20:, 30:] = (10, 20, 230), (200, 200, 200)
    return pixels


def encode(image: Pillow.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_kinds_are_read_exactly(kind: str, colours: np.ndarray) -> None:
    image = read_image(encode(Pillow.fromarray(colours), kind))
    assert image.dtype == np.uint8
    assert image.flags.writeable
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, colours)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", *AVIF])
def test_lossy_kinds_are_read_closely(kind: str, colours: np.ndarray) -> None:
    image = read_image(encode(Pillow.fromarray(colours), kind))
    patches = image[5::30, 5::50].astype(int)
    np.testing.assert_allclose(patches, colours[5::30, 5::50].astype(int), atol=4)


def test_jpeg_pixels_are_those_of_pillow(rng: np.random.Generator) -> None:
    smooth = cv2.resize(rng.integers(0, 256, (9, 9, 3), np.uint8), (200, 150))
    data = encode(Pillow.fromarray(smooth), "JPEG", quality=85)
    np.testing.assert_array_equal(read_image(data), np.array(Pillow.open(io.BytesIO(data))))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", *AVIF])
def test_exif_orientation_is_applied(
    kind: str, orientation: int, colours: np.ndarray, tmp_path: Path
) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    data = encode(Pillow.fromarray(colours), kind, exif=exif)
    stored = Pillow.fromarray(colours)
    stored.getexif()[0x0112] = orientation
    upright = np.array(ImageOps.exif_transpose(stored))
    image = read_image(data)
    assert image.shape == upright.shape
    # The middle of each patch: at their borders JPEG rings.
    np.testing.assert_allclose(image[5::30, 5::30].astype(int), upright[5::30, 5::30].astype(int), atol=5)
    path = tmp_path / "image"
    path.write_bytes(data)
    assert image_size(path) == image.shape[:2]


def test_exif_behind_the_pixels_of_a_png_counts(colours: np.ndarray, tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    chunk = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    late = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data = encode(Pillow.fromarray(colours), "PNG")
    path = tmp_path / "late.png"
    path.write_bytes(data[:-12] + late + data[-12:])
    assert read_image(path).shape == (WIDTH, HEIGHT, 3)
    assert image_size(path) == (WIDTH, HEIGHT)


@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12"]
)
def test_damaged_exif_leaves_the_image_as_stored(exif: bytes, colours: np.ndarray) -> None:
    plain = encode(Pillow.fromarray(colours), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    np.testing.assert_array_equal(read_image(plain[:2] + segment + plain[2:]), read_image(plain))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_dropped_and_colours_stay_as_stored(kind: str, colours: np.ndarray) -> None:
    alpha = Pillow.fromarray(np.tile(np.linspace(0, 255, WIDTH, dtype=np.uint8), (HEIGHT, 1)))
    rgba = Pillow.merge("RGBA", (*Pillow.fromarray(colours).split(), alpha))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(read_image(encode(rgba, kind, **options)), colours)


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "PNG"), ("L", "JPEG"), ("LA", "PNG"), ("1", "PNG"), ("1", "TIFF")]
)
def test_grey_becomes_rgb(mode: str, kind: str, colours: np.ndarray) -> None:
    grey = Pillow.fromarray(colours).convert(mode)
    image = read_image(encode(grey, kind))
    assert image.shape == (HEIGHT, WIDTH, 3)
    expected = np.repeat(np.array(grey.convert("L"))[..., None], 3, axis=2)
    if kind == "JPEG":  # rings at the borders of the patches
        image, expected = image[5::30, 5::50], expected[5::30, 5::50]
    np.testing.assert_allclose(image.astype(int), expected.astype(int), atol=1 * (kind == "JPEG"))


def test_palette_with_transparency(colours: np.ndarray) -> None:
    palette = Pillow.fromarray(colours).quantize(8)
    data = encode(palette, "PNG", transparency=bytes([0, 100, 200, 255]))
    np.testing.assert_array_equal(read_image(data), np.array(palette.convert("RGB")))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind: str, colours: np.ndarray) -> None:
    image = read_image(encode(Pillow.fromarray(colours).convert("CMYK"), kind))
    np.testing.assert_allclose(image[5::30, 5::50].astype(int), colours[5::30, 5::50].astype(int), atol=4)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_keep_their_upper_8(suffix: str, channels: int, rng: np.random.Generator) -> None:
    deep = rng.integers(0, 65536, (HEIGHT, WIDTH, channels), np.uint16)
    encoded = cv2.imencode(suffix, deep)[1].tobytes()
    expected = np.broadcast_to(deep[..., ::-1] >> 8, (HEIGHT, WIDTH, 3))
    np.testing.assert_allclose(read_image(encoded).astype(int), expected, atol=1)


@pytest.mark.parametrize("scale", [1, 255])
def test_floating_point_grey(scale: int) -> None:
    values = np.linspace(0, scale, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    image = read_image(encode(Pillow.fromarray(values), "TIFF"))
    np.testing.assert_array_equal(image[..., 1], np.round(values * (255 / scale)))


@pytest.mark.parametrize("value", [-1.0, 3000.0, float("nan")])
def test_floating_point_of_unknown_range_is_refused(value: float) -> None:
    values = np.full((4, 4), value, np.float32)
    with pytest.raises(SourceError, match=r"expected: 0\.\.1 or 0\.\.255"):
        read_image(encode(Pillow.fromarray(values), "TIFF"))


def test_first_frame_of_an_animation(colours: np.ndarray) -> None:
    frames = [Pillow.fromarray(colours), Pillow.fromarray(255 - colours)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(data)[5, 5], colours[5, 5])


def test_paths_need_not_be_ascii(colours: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "fotografía 写真.jpg"
    path.write_bytes(encode(Pillow.fromarray(colours), "JPEG"))
    assert read_image(path).shape == read_image(str(path)).shape == (HEIGHT, WIDTH, 3)


def test_what_a_file_is_its_bytes_say(colours: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(encode(Pillow.fromarray(colours), "PNG"))
    np.testing.assert_array_equal(read_image(path), colours)


def test_a_trailer_behind_a_jpeg_is_ignored(colours: np.ndarray) -> None:
    data = encode(Pillow.fromarray(colours), "JPEG")
    film = b"\0\0\0\x18ftypmp42" + b"\xff\xda" * 9
    np.testing.assert_array_equal(read_image(data + film), read_image(data))


def test_suffixes() -> None:
    assert {".jpg", ".jpeg", ".png", ".tif", ".webp", ".avif"} <= IMAGE_SUFFIXES
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in IMAGE_SUFFIXES)


def broken_files(noise: np.ndarray) -> dict[str, tuple[bytes, str]]:
    image = Pillow.fromarray(noise)
    jpeg, png = encode(image, "JPEG"), encode(image, "PNG")
    bomb = bytearray(png)
    bomb[16:24] = struct.pack(">II", 1_000_000, 1_000_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    return {
        "empty.jpg": (b"", "empty"),
        "text.jpg": (b"<html>not found</html>", "not an image"),
        "half.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "no-end.jpg": (jpeg[:-2], "truncated"),
        "header-only.jpg": (jpeg[:100], "truncated|damaged"),
        "progressive-half.jpg": (encode(image, "JPEG", progressive=True)[: len(jpeg) // 2], "truncated"),
        "half.png": (png[: len(png) // 2], "truncated"),
        "flipped.png": (png[:300] + bytes(50) + png[350:], "damaged"),
        "half.webp": (encode(image, "WEBP")[:400], "damaged"),
        "half.tiff": (encode(image, "TIFF", compression="tiff_lzw")[:4000], "damaged"),
        "half.bmp": (encode(image, "BMP")[:4000], "truncated"),
        "half.gif": (encode(image, "GIF")[:1500], "damaged"),
        "bomb.png": (bytes(bomb), "too large"),
        "phone.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
    }


def test_broken_files_are_errors_that_name_file_and_reason(
    rng: np.random.Generator, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, (data, reason) in broken_files(rng.integers(0, 256, (64, 80, 3), np.uint8)).items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(SourceError, match=rf"(?s)^{path}: .*({reason})") as caught:
            read_image(path)
        assert caught.value.file == str(path)
        with pytest.raises(SourceError):
            read_image(data)
    assert capfd.readouterr() == ("", ""), "libraries must not write to the user's terminal"


def test_a_bomb_is_refused_from_its_header(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(broken_files(rng.integers(0, 256, (64, 80, 3), np.uint8))["bomb.png"][0])
    with pytest.raises(SourceError, match=rf"at most {MAX_PIXELS:,} pixels"):
        image_size(path)


@pytest.mark.parametrize(
    ("name", "reason"), [("missing.jpg", "no such file"), (".", "folder"), ("a\0b", "opened")]
)
def test_paths_that_are_no_files(name: str, reason: str, tmp_path: Path) -> None:
    for read in (read_image, image_size):
        with pytest.raises(SourceError, match=reason):
            read(f"{tmp_path}/{name}")


def test_the_name_of_bytes_is_in_the_error() -> None:
    with pytest.raises(SourceError, match=r"^frame 7: the file is empty"):
        read_image(b"", name="frame 7")


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"]),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=8),
    keep=st.floats(0, 1),
)
def test_damage_of_any_kind_is_an_image_or_a_source_error(
    kind: str, flips: list[tuple[float, int]], keep: float
) -> None:
    gradient = np.linspace(0, 255, 32 * 48 * 3).reshape(32, 48, 3).astype(np.uint8)
    data = bytearray(encode(Pillow.fromarray(gradient), kind))
    for where, value in flips:
        data[int(where * len(data))] ^= value
    try:
        image = read_image(bytes(data[: round(keep * len(data))]))
    except SourceError:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
