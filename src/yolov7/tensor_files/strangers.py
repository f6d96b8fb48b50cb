"""Files and folders that people mistake for a checkpoint, with advice on each."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from yolov7.text import printable

HEAD = 4096
"""Number of leading bytes of a file that identify its kind."""

_RUN_NOT_LOADED = "it is run, not loaded; name the checkpoint that it was made of"
_PICTURE = "a picture: weights come first, then the images"
NETWORK_YAML = "the description of a network (yaml): it holds no weights"
_VIDEO = "a video: weights come first, then the video"

# Position and first bytes -> kind of file, and advice. The first that fits counts.
_KNOWN: tuple[tuple[int, bytes, str], ...] = (
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
    (4, b"TFL3", f"a TensorFlow Lite model: {_RUN_NOT_LOADED}"),
    (0, b"ptrt", f"a TensorRT engine: {_RUN_NOT_LOADED}"),
    (0, b"ftrt", f"a TensorRT engine: {_RUN_NOT_LOADED}"),
    (0, b"\x00\x00\x00\x00\x02\x00\x00\x00", "weights of Darknet, which this package does not read"),
    (0, b"\x00\x00\x00\x00\x01\x00\x00\x00", "weights of Darknet, which this package does not read"),
    (0, b"7767517", f"the network of an ncnn model (.param): {_RUN_NOT_LOADED}"),
    (0, b"\x93NUMPY", "an array of numpy (.npy)"),
    (0, b"\x89PNG", _PICTURE),
    (0, b"\xff\xd8\xff", _PICTURE),
    (0, b"GIF8", _PICTURE),
    (0, b"II*\0", _PICTURE),
    (0, b"MM\0*", _PICTURE),
    (8, b"WEBP", _PICTURE),
    (4, b"ftypheic", _PICTURE),
    (4, b"ftypmif1", _PICTURE),
    (4, b"ftypavif", _PICTURE),
    (4, b"ftyp", _VIDEO),
    (8, b"AVI ", _VIDEO),
    (0, b"\x1aE\xdf\xa3", _VIDEO),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (0, b"SQLite format 3", "a database"),
)
ONNX_HEADS = tuple(bytes((8, version, tag)) for version in range(1, 32) for tag in (0x12, 0x1A, 0x3A, 0x42))

# Beginning of a text, in lower case -> kind of file.
_TEXTS: tuple[tuple[str, str], ...] = (
    (
        r"\s*(<!doctype html|(<\?xml[^>]*>|<!--.*?-->|\s)*<html)",
        "a web page, not the file behind it: open the address in a browser and download again",
    ),
    (r"(<\?xml[^>]*>)?\s*<net\b", f"an OpenVINO model (.xml): {_RUN_NOT_LOADED}"),
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

# File suffix of a format without a signature -> kind of file.
_ENDINGS: dict[str, str] = {
    ".engine": f"by its name a TensorRT engine: {_RUN_NOT_LOADED}",
    ".plan": f"by its name a TensorRT engine: {_RUN_NOT_LOADED}",
    ".trt": f"by its name a TensorRT engine: {_RUN_NOT_LOADED}",
    ".bin": "by its name the weights of an OpenVINO or ncnn model, or of a transformer",
    ".weights": "by its name weights of Darknet, which this package does not read",
    ".pdiparams": "by its name a model of PaddlePaddle",
    ".pdparams": "by its name a model of PaddlePaddle",
    ".pdmodel": "by its name a model of PaddlePaddle",
    ".mlmodel": f"by its name a Core ML model: {_RUN_NOT_LOADED}",
    ".pb": "by its name a model of TensorFlow",
    ".caffemodel": "by its name a model of Caffe",
    ".rknn": "by its name a model for Rockchip's processors",
    ".hef": "by its name a model for Hailo's processors",
    ".mnn": "by its name a model of MNN",
}


def what_is(head: bytes, path: str) -> str | None:
    """Kind of a file that is no checkpoint; None if it is unknown.

    Args:
        head: the first `HEAD` bytes.
        path: name of the file; its ending decides where the bytes say nothing.
    """
    for offset, magic, what in _KNOWN:
        if head[offset:].startswith(magic):
            return what
    if int.from_bytes(head[:4], "little") < 65_536 and head[4:].startswith(b'{"'):
        return f"a TensorRT engine with the description that Ultralytics puts before it: {_RUN_NOT_LOADED}"
    if head.startswith(ONNX_HEADS):
        return f"an ONNX model: {_RUN_NOT_LOADED}"
    if not head.strip(b"\0"):
        return "zeros: the download or the copy failed"
    if (text := as_text(head)) is not None:
        kind = next((what for begins, what in _TEXTS if re.match(begins, text, re.MULTILINE)), "a text file")
        return kind if ":" in kind else f"{kind} that begins with '{printable(text.strip(), 60)}'"
    return _ENDINGS.get(Path(path).suffix.lower())


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
        return f"a Core ML model: {_RUN_NOT_LOADED}"
    for ending, what in ((".xml", "an OpenVINO model"), (".param", "an ncnn model")):
        if any(name.endswith(ending) for name in inside) and any(name.endswith(".bin") for name in inside):
            return f"a folder with {what}: {_RUN_NOT_LOADED}"
    shown = ", ".join(printable(name, 40) for name in inside[:5]) + (", ..." if len(inside) > 5 else "")
    return f"a folder ({shown or 'empty'})"


def is_unpacked(folder: Path) -> bool:
    """True if a folder is a checkpoint of torch that something unpacked."""
    return next(itertools.chain(folder.glob("data.pkl"), folder.glob("*/data.pkl")), None) is not None
