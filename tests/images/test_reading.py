"""Image files of every common format, valid and damaged."""

from __future__ import annotations

import io
import struct
import sys
import threading
import tracemalloc
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps, features

from tests.bounded import run_bounded
from tests.images.hostile_images import header_of_another, many_scans, one_bit_png, tag_bomb
from yolov7.errors import SourceError
from yolov7.images import png
from yolov7.images.budget import MAX_DECODING_BYTES, MAX_PIXELS, Budget
from yolov7.images.kinds import IMAGE_SUFFIXES
from yolov7.images.reading import count_frames, image_size, read_frames, read_image

HEIGHT, WIDTH = 40, 60
LOSSLESS = ("PNG", "TIFF", "BMP", "PPM", "JPEG2000")
AVIF = ["AVIF"] if "avif" in features.get_supported_modules() else []


@pytest.fixture
def colours() -> np.ndarray:
    """Image of four patches, which differs in every orientation."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:20, :30], pixels[:20, 30:] = (250, 10, 20), (10, 240, 30)
    pixels[20:, :30], pixels[20:, 30:] = (10, 20, 230), (200, 200, 200)
    return pixels


def encode(image: Pillow.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_are_read_exactly(kind: str, colours: np.ndarray) -> None:
    image = read_image(encode(Pillow.fromarray(colours), kind))
    assert image.dtype == np.uint8
    assert image.flags.writeable
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, colours)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", *AVIF])
def test_lossy_formats_are_close(kind: str, colours: np.ndarray) -> None:
    image = read_image(encode(Pillow.fromarray(colours), kind))
    patches = image[5::30, 5::50].astype(int)
    np.testing.assert_allclose(patches, colours[5::30, 5::50].astype(int), atol=4)


def test_jpeg_pixels_equal_those_of_pillow(rng: np.random.Generator) -> None:
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


def test_a_chunk_that_claims_gigabytes_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "claims.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + (3 * 2**30).to_bytes(4, "big") + b"eXIf" + b"short")
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            assert png.exif_of(file) == b"short"
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_exif_after_the_pixels_of_a_png_is_applied(colours: np.ndarray, tmp_path: Path) -> None:
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
def test_damaged_exif_is_ignored(exif: bytes, colours: np.ndarray) -> None:
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


def test_non_ascii_paths(colours: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "fotografía 写真.jpg"
    path.write_bytes(encode(Pillow.fromarray(colours), "JPEG"))
    assert read_image(path).shape == read_image(str(path)).shape == (HEIGHT, WIDTH, 3)


def test_format_is_recognised_by_content(colours: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(encode(Pillow.fromarray(colours), "PNG"))
    np.testing.assert_array_equal(read_image(path), colours)


def test_trailer_of_a_jpeg_is_ignored(colours: np.ndarray) -> None:
    data = encode(Pillow.fromarray(colours), "JPEG")
    film = b"\0\0\0\x18ftypmp42" + b"\xff\xda" * 9
    np.testing.assert_array_equal(read_image(data + film), read_image(data))


def test_image_suffixes() -> None:
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
        "half.tiff": (encode(image, "TIFF", compression="tiff_lzw")[:4000], "truncated"),
        "half.bmp": (encode(image, "BMP")[:4000], "truncated"),
        "half.gif": (encode(image, "GIF")[:1500], "damaged"),
        "bomb.png": (bytes(bomb), "too large"),
        "phone.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
    }


def test_errors_name_the_file_and_the_reason(
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


def test_huge_image_is_refused_by_its_header(tmp_path: Path, rng: np.random.Generator) -> None:
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
def test_any_damage_gives_an_image_or_a_source_error(
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


# Damage, and harmless defects


def noisy(rng: np.random.Generator) -> bytes:
    smooth = cv2.resize(rng.integers(0, 256, (9, 12, 3), np.uint8), (240, 180))
    return encode(Pillow.fromarray(smooth), "JPEG", quality=90)


def in_scan(jpeg: bytes, share: float) -> int:
    """Offset within the compressed pixels."""
    begin = jpeg.find(b"\xff\xda") + 14
    return begin + int(share * (len(jpeg) - 2 - begin))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda jpeg: jpeg[: in_scan(jpeg, 0.5)] + b"\xff\xd9", "truncated image: premature end"),
        (lambda jpeg: jpeg[: in_scan(jpeg, 0.99)] + b"\xff\xd9", "truncated image: premature end"),
        (lambda jpeg: jpeg[: in_scan(jpeg, 0.5)] + jpeg[in_scan(jpeg, 0.6) :], "image: "),
        (lambda jpeg: jpeg[: in_scan(jpeg, 0.4)] + bytes(200) + jpeg[in_scan(jpeg, 0.4) + 200 :], "image: "),
        (lambda jpeg: jpeg[:-2] + b"\x77" * 40 + jpeg[-2:], "extraneous bytes"),
        (lambda jpeg: jpeg.replace(b"JFIF\0\1\1", b"JFIF\0\7\1")[:-900] + b"\xff\xd9", "premature end"),
    ],
)
def test_missing_or_damaged_jpeg_pixels_are_an_error(
    damage: object, reason: str, rng: np.random.Generator, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SourceError, match=rf"^frame: .*{reason}"):
        read_image(damage(noisy(rng)), name="frame")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "blemish",
    [
        lambda jpeg: jpeg[:-2] + bytes(64) + jpeg[-2:],
        lambda jpeg: jpeg[:-2] + b"\xff" * 7 + jpeg[-2:],
        lambda jpeg: jpeg + b"\0 and a trailer",
        lambda jpeg: jpeg.replace(b"JFIF\0\1\1", b"JFIF\0\7\1"),
        lambda jpeg: jpeg[: in_scan(jpeg, 0) - 3] + bytes(3) + jpeg[in_scan(jpeg, 0) :],
    ],
)
def test_harmless_jpeg_defects_are_accepted(
    blemish: object, rng: np.random.Generator, capfd: pytest.CaptureFixture[str]
) -> None:
    jpeg = noisy(rng)
    assert blemish(jpeg) != jpeg
    np.testing.assert_array_equal(read_image(blemish(jpeg)), read_image(jpeg))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("at_least", [1, 40, 100])
def test_reduced_size_equals_that_of_opencv(at_least: int, rng: np.random.Generator) -> None:
    jpeg = noisy(rng)
    flag = {1: cv2.IMREAD_REDUCED_COLOR_8, 40: cv2.IMREAD_REDUCED_COLOR_4, 100: cv2.IMREAD_REDUCED_COLOR_2}
    expected = cv2.imdecode(np.frombuffer(jpeg, np.uint8), flag[at_least])[..., ::-1]
    np.testing.assert_array_equal(read_image(jpeg, at_least=at_least), expected)


def test_png_checksums_matter_only_for_pixels(colours: np.ndarray) -> None:
    png = encode(Pillow.fromarray(colours), "PNG", dpi=(72, 72))
    at = png.find(b"IDAT")
    length = int.from_bytes(png[at - 4 : at], "big")
    broken = png[: at + 4 + length] + b"\0\0\0\0" + png[at + 8 + length :]
    with pytest.raises(SourceError, match="wrong checksum of its IDAT"):
        read_image(broken)
    at = png.find(b"pHYs")
    np.testing.assert_array_equal(read_image(png[: at + 13] + b"\0\0\0\0" + png[at + 17 :]), colours)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "code"), [(3, "H"), (4, "I"), (1, "B"), (9, "i")])
@pytest.mark.parametrize("orientation", [3, 6])
def test_orientation_of_any_integer_type(
    order: str, kind: int, code: str, orientation: int, tmp_path: Path, colours: np.ndarray
) -> None:
    value = struct.pack(order + code, orientation).ljust(4, b"\0")
    directory = struct.pack(order + "HIHHHI", 42, 8, 1, 0x112, kind, 1) + value + bytes(4)
    exif = b"Exif\0\0" + (b"II" if order == "<" else b"MM") + directory
    plain = encode(Pillow.fromarray(colours), "JPEG")
    path = tmp_path / "a.jpg"
    path.write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:])
    upright = np.rot90(read_image(plain), 2 if orientation == 3 else -1)
    np.testing.assert_array_equal(read_image(path), upright)
    assert image_size(path) == upright.shape[:2]


# Unsupported formats, animations, pages


def tiff(bands: int, bits: int, kind: int, pixels: bytes, side: int = 4, **extra: int) -> bytes:
    """TIFF with any kind of pixels."""
    tags = {256: side, 257: side, 258: bits, 259: 1, 262: 1 + (bands > 2), 277: bands, 278: side, 339: kind}
    tags |= {273: 0, 279: len(pixels)} | {int(tag): value for tag, value in extra.items()}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + pixels


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (tiff(5, 8, 1, bytes(80)), "5 bands of 8 bits, whole numbers"),
        (tiff(2, 8, 1, bytes(32)), "2 bands of 8 bits, whole numbers"),
        (tiff(3, 32, 3, bytes(192)), "3 bands of 32 bits, floating point"),
        (tiff(1, 64, 3, bytes(128)), "1 band of 64 bits, floating point"),
    ],
)
def test_unsupported_tiff_is_described(data: bytes, found: str) -> None:
    match = rf"unsupported pixels in a TIFF\n  expected: .*\n  found:    {found}"
    with pytest.raises(SourceError, match=match):
        read_image(data)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
        (b"\xff\x0a\xfa\x7f\x01", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"II*\0\x10\0\0\0CR\2\0", "raw files"),
        (b"\0\0\0\x18ftypcrx ", "raw files"),
        (tiff(1, 8, 1, bytes(16), **{"50706": 1}), "DNG"),
        (b'<?xml version="1.0"?>\n<svg xmlns="">', "SVG"),
        (b"%PDF-1.4", "PDF"),
        (b"8BPS\0\1", "Photoshop"),
    ],
)
def test_unsupported_formats_are_named(data: bytes, kind: str) -> None:
    with pytest.raises(SourceError, match=rf"{kind}.* not supported; convert them to JPEG or PNG"):
        read_image(data + bytes(16))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_frames_of_an_animation(kind: str, colours: np.ndarray, tmp_path: Path) -> None:
    frames = [np.full_like(colours, level) for level in (10, 120, 240)]
    options = {"lossless": True} if kind == "WEBP" else {}
    images = [Pillow.fromarray(frame) for frame in frames]
    path = tmp_path / "moves"
    path.write_bytes(
        encode(images[0], kind, save_all=True, append_images=images[1:], duration=200, **options)
    )
    assert count_frames(path) == 3
    read = list(read_frames(path))
    assert [round(seconds, 3) for _, seconds in read] == [0.0, 0.2, 0.4]
    for (pixels, _), frame in zip(read, frames, strict=True):
        np.testing.assert_array_equal(pixels, frame)
    np.testing.assert_array_equal(read_image(path), frames[0])


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_exif_orientation_of_an_animation(kind: str, colours: np.ndarray, tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    options = {"lossless": True} if kind == "WEBP" else {}
    first, second = Pillow.fromarray(colours), Pillow.fromarray(255 - colours)
    path = tmp_path / "moves"
    path.write_bytes(encode(first, kind, save_all=True, append_images=[second], exif=exif, **options))
    assert image_size(path) == (WIDTH, HEIGHT)
    for (pixels, _), frame in zip(read_frames(path), (colours, 255 - colours), strict=True):
        np.testing.assert_array_equal(pixels, np.rot90(frame, -1))


def test_tiff_pages_are_counted_without_overviews(colours: np.ndarray, tmp_path: Path) -> None:
    image = Pillow.fromarray(colours)
    path = tmp_path / "scan.tif"
    path.write_bytes(encode(image, "TIFF", save_all=True, append_images=[image, image]))
    assert count_frames(path) == 3
    path.write_bytes(tiff(1, 8, 1, bytes(16), **{"254": 0}))
    assert count_frames(path) == 1


# Limits


def test_budget_is_shared_and_returned() -> None:
    budget, inside, leave = Budget(10), threading.Event(), threading.Event()

    def large() -> None:
        with budget.taken(99):  # more than there is: alone
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=large)
    thread.start()
    assert inside.wait(30)
    assert budget.left == 0
    leave.set()
    with budget.taken(4):
        assert budget.left == 6
    thread.join()
    assert budget.left == 10


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (many_scans(1000, 64), "too many scans\n  expected: at most 100"),
        (header_of_another(17300), "too little data for its size"),
        (tag_bomb(3000, 5000), "tags that claim more than the file holds"),
    ],
)
def test_small_files_that_claim_much_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        read_image(data)


def test_size_and_pixels_have_one_limit(tmp_path: Path, colours: np.ndarray) -> None:
    path = tmp_path / "wide.png"
    wide = bytearray(encode(Pillow.fromarray(colours), "PNG"))
    wide[16:24] = struct.pack(">II", 17000, 17000)  # fewer than MAX_PIXELS
    wide[29:33] = struct.pack(">I", zlib.crc32(wide[12:29]))
    path.write_bytes(wide)
    for read in (image_size, read_image):
        with pytest.raises(SourceError, match=rf"at most {MAX_DECODING_BYTES:,} bytes of memory"):
            read(path)


READ = """
import yolov7.images.reading, yolov7.errors
try:
    answer = yolov7.images.reading.read_image(arguments[0]).shape
except yolov7.errors.SourceError as error:
    answer = error.message
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measured with what Linux says of a process")
@pytest.mark.parametrize("kind", ["one-bit.png", "group4.tif", "grey.jpg", "scans.jpg", "large.gif"])
def test_no_small_file_takes_much_memory_or_time(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    if kind == "one-bit.png":
        path.write_bytes(one_bit_png(17300))
    elif kind == "scans.jpg":
        path.write_bytes(many_scans(3000))
    else:
        mode, side = {"group4.tif": ("1", 17000), "grey.jpg": ("L", 17300), "large.gif": ("L", 17000)}[kind]
        options = {"compression": "group4"} if kind == "group4.tif" else {}
        Pillow.new(mode, (side, side)).save(path, **options)
    assert path.stat().st_size < 10_000_000
    outcome = run_bounded(READ, path, memory=MAX_DECODING_BYTES + 200_000_000)
    assert outcome.answer in ([17300, 17300, 3], [17000, 17000, 3], "a JPEG with too many scans")
    assert outcome.peak < 1_650_000_000


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_damaged_tiff_is_a_silent_error(
    compression: str, rng: np.random.Generator, capfd: pytest.CaptureFixture[str]
) -> None:
    content = io.BytesIO()
    noise = Pillow.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8))
    noise.save(content, "TIFF", compression=compression)
    damaged = bytearray(content.getvalue())
    damaged[40:400] = bytes(360)  # of the pixels, which come first
    with pytest.raises(SourceError):
        read_image(bytes(damaged))
    assert capfd.readouterr().err == ""
