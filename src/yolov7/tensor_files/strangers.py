"""Files and folders that people mistake for a checkpoint, with advice on each."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from yolov7.text import printable

HEAD = 4096
"""Number of leading bytes of a file that identify its kind."""

RUN_NOT_LOADED = "it is run, not loaded; name the checkpoint that it was made of"
_PICTURE = "a picture: weights come first, then the images"
NETWORK_YAML = "the description of a network (yaml): it holds no weights"
_VIDEO = "a video: weights come first, then the video"
_TENSORRT = f"a TensorRT engine: {RUN_NOT_LOADED}"
_DARKNET = "weights of Darknet, which this package does not read"

# Position, and alternatives for the bytes there -> kind of file, and advice. The first that fits counts.
_KNOWN: tuple[tuple[int, bytes | tuple[bytes, ...], str], ...] = (
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself: run 'git lfs pull'"),
    (257, b"ustar", "a tar archive: unpack it; if a very early torch wrote it, save it with a later one"),
    (0, b"\x1f\x8b", "compressed by gzip: unpack it"),
    (0, b"BZh", "compressed by bzip2: unpack it"),
    (0, b"\xfd7zXZ", "compressed by xz: unpack it"),
    (0, b"7z\xbc\xaf", "a 7z archive: unpack it"),
    (0, b"Rar!", "a rar archive: unpack it"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it"),
    (0, b"\x89HDF", "an HDF5 file, such as Keras writes"),
    (0, b"GGUF", "a GGUF file"),
    (4, b"TFL3", f"a TensorFlow Lite model: {RUN_NOT_LOADED}"),
    (0, (b"ptrt", b"ftrt"), _TENSORRT),
    (0, (b"\x00\x00\x00\x00\x02\x00\x00\x00", b"\x00\x00\x00\x00\x01\x00\x00\x00"), _DARKNET),
    (0, b"7767517", f"the network of an ncnn model (.param): {RUN_NOT_LOADED}"),
    (0, b"\x93NUMPY", "an array of numpy (.npy)"),
    (0, (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*"), _PICTURE),
    (8, b"WEBP", _PICTURE),
    (4, (b"ftypheic", b"ftypmif1", b"ftypavif"), _PICTURE),
    (4, b"ftyp", _VIDEO),
    (8, b"AVI ", _VIDEO),
    (0, b"\x1aE\xdf\xa3", _VIDEO),
    (0, b"%PDF", "a PDF document"),
    (0, (b"\x7fELF", b"MZ"), "a program"),
    (0, b"SQLite format 3", "a database"),
)
ONNX_HEADS = tuple(bytes((8, version, tag)) for version in range(1, 32) for tag in (0x12, 0x1A, 0x3A, 0x42))

# Beginning of a text, in lower case -> kind of file.
_TEXTS: tuple[tuple[str, str], ...] = (
    (
        r"\s*(<!doctype html|(<\?xml[^>]*>|<!--.*?-->|\s)*<html)",
        "a web page, not the file behind it: open the address in a browser and download again",
    ),
    (r"(<\?xml[^>]*>)?\s*<net\b", f"an OpenVINO model (.xml): {RUN_NOT_LOADED}"),
    (
        r"(\s|#[^\n]*\n)*\[net(work)?\]",
        "a network of Darknet (.cfg): it describes a network, and holds no weights",
    ),
    (r"(?s)(?=.*^(backbone|head)\s*:)(.*^(nc|anchors|backbone)\s*:)", NETWORK_YAML),
    (
        r"(?s)(?=.*^(names|nc)\s*:)(.*^(train|val|path)\s*:)",
        "the description of a data set (yaml), not of weights",
    ),
    (r"\s*[{\[]", "a JSON file"),
)

# File suffixes of a format without a signature -> kind of file.
_ENDINGS: tuple[tuple[tuple[str, ...], str], ...] = (
    ((".engine", ".plan", ".trt"), _TENSORRT),
    ((".bin",), "the weights of an OpenVINO or ncnn model, or of a transformer"),
    ((".weights",), _DARKNET),
    ((".pdiparams", ".pdparams", ".pdmodel"), "a model of PaddlePaddle"),
    ((".mlmodel",), f"a Core ML model: {RUN_NOT_LOADED}"),
    ((".pb",), "a model of TensorFlow"),
    ((".caffemodel",), "a model of Caffe"),
    ((".rknn",), "a model for Rockchip's processors"),
    ((".hef",), "a model for Hailo's processors"),
    ((".mnn",), "a model of MNN"),
)


def what_is(head: bytes, path: str) -> str | None:
    """Kind of a file that is no checkpoint, by its first `HEAD` bytes or else its suffix; None if unknown."""
    for offset, begins, what in _KNOWN:
        if head[offset:].startswith(begins):
            return what
    if int.from_bytes(head[:4], "little") < 65_536 and head[4:].startswith(b'{"'):
        return f"a TensorRT engine with the description that Ultralytics puts before it: {RUN_NOT_LOADED}"
    if head.startswith(ONNX_HEADS):
        return f"an ONNX model: {RUN_NOT_LOADED}"
    if not head.strip(b"\0"):
        return "zeros: the download or the copy failed"
    if (text := as_text(head)) is not None:
        kind = next((what for begins, what in _TEXTS if re.match(begins, text, re.MULTILINE)), "a text file")
        return kind if ":" in kind else f"{kind} that begins with '{printable(text.strip(), 60)}'"
    suffix = Path(path).suffix.lower()
    return next((f"by its name {what}" for suffixes, what in _ENDINGS if suffix in suffixes), None)


def as_text(head: bytes) -> str | None:
    """Decode bytes as text, in lower case; None if they are no text."""
    try:
        text = head.decode("utf-8-sig", "ignore" if len(head) > 8 else "strict").lower()
    except UnicodeDecodeError:
        return None
    if any(c < " " and c not in "\t\r\n\f" for c in text) or len(text.encode()) < 0.9 * len(head):
        return None
    return text


def what_is_folder(path: Path) -> str:
    """Kind of a folder that stands in the place of a checkpoint."""
    try:
        inside = sorted(entry.name for entry in path.iterdir())[:1000]
    except OSError:
        return "a folder that cannot be read"
    if is_unpacked(path):
        return (
            "an unpacked checkpoint (data.pkl is inside), as Safari leaves it: download it again without "
            f"unpacking, or pack it with 'zip -0 -r {path.name}.pt {path.name}'"
        )
    if "saved_model.pb" in inside:
        return "a SavedModel of TensorFlow"
    if path.suffix == ".mlpackage":
        return f"a Core ML model: {RUN_NOT_LOADED}"
    for ending, what in ((".xml", "an OpenVINO model"), (".param", "an ncnn model")):
        if any(name.endswith(ending) for name in inside) and any(name.endswith(".bin") for name in inside):
            return f"a folder with {what}: {RUN_NOT_LOADED}"
    shown = ", ".join(printable(name, 40) for name in inside[:5]) + (", ..." if len(inside) > 5 else "")
    return f"a folder ({shown or 'empty'})"


def is_unpacked(folder: Path) -> bool:
    """True if a folder is a checkpoint of torch that something unpacked."""
    return next(itertools.chain(folder.glob("data.pkl"), folder.glob("*/data.pkl")), None) is not None
