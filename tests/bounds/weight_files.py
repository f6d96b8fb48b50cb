"""Checkpoints that ask for much: zip, pickle, legacy, tar, safetensors."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from tests.bounds.case import MOST, Case, Ready, on_weights
from tests.tensor_files.hostile import PROTO2, doubling, in_dict, often, write_legacy, write_zip
from tests.tensor_files.hostile_files import plain_zip


def _file(name: str, content: Callable[[], bytes]) -> Callable[[], Case]:
    def make(folder: Path, _ready: Ready) -> Path:
        data = content()
        assert len(data) <= MOST, len(data)
        (folder / name).write_bytes(data)
        return folder / name

    return lambda: on_weights(make)


def _pickle(
    pickled: Callable[[], bytes], write: Callable[[Path, bytes], None] = write_zip
) -> Callable[[], Case]:
    def make(folder: Path, _ready: Ready) -> Path:
        write(folder / "a.pt", pickled())
        assert (folder / "a.pt").stat().st_size <= MOST
        return folder / "a.pt"

    return lambda: on_weights(make)


def _deflated(size: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(size))
    return buffer.getvalue()


def _tar(members: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number in range(members):
            archive.addfile(tarfile.TarInfo(f"{number}"))
    return buffer.getvalue()


def _tensors(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def _described(change: Callable[[dict[str, Any]], None]) -> Callable[[], Case]:
    """A sound checkpoint whose description was changed."""

    def make(folder: Path, ready: Ready) -> Path:
        from safetensors import safe_open

        with safe_open(ready.weights, "pt") as file:
            metadata = dict(file.metadata())
        document = json.loads(metadata["checkpoint"])
        change(document)
        metadata["checkpoint"] = json.dumps(document)
        save_file(load_file(ready.weights), folder / "a.safetensors", metadata)
        return folder / "a.safetensors"

    return lambda: on_weights(make)


def _architecture(**changed: Any) -> Callable[[], Case]:
    return _described(lambda document: document["architecture"].update(changed))


def _copied(folder: Path, ready: Ready) -> Path:
    return Path(shutil.copy(ready.weights, folder / "a.safetensors"))


CASES: dict[str, Callable[[], Case]] = {
    "a sound checkpoint": lambda: on_weights(_copied),
    "zip: a deflated bomb": _file("a.pt", lambda: _deflated(9_000_000_000 // 10)),
    "zip: 60,000 records": _file(
        "a.pt", lambda: plain_zip({f"a/data/{i}": b"" for i in range(60_000)} | {"a/data.pkl": in_dict(b"}")})
    ),
    "zip: the directory's mark, everywhere": _file("a.pt", lambda: b"PK\3\4" + b"PK\5\6" * 2_499_000),
    "pickle: laughs": _pickle(lambda: in_dict(doubling(b")", b"h%ch%c\x86"))),
    "pickle: 9 million Nones": _pickle(lambda: in_dict(often(b"N", 9_000_000))),
    "pickle: empty dicts": _pickle(lambda: in_dict(often(b"}", 9_000_000))),
    "pickle: nested": _pickle(lambda: in_dict(b"]" * 4_000_000 + b"a" * 3_999_999)),
    "pickle: marks": _pickle(lambda: PROTO2 + b"(" * 9_000_000),
    "pickle: memo": _pickle(
        lambda: in_dict(b"N" + b"".join(b"r" + i.to_bytes(4, "little") for i in range(1_900_000)))
    ),
    "pickle: a memo's number": _pickle(lambda: in_dict(b"Nr\xff\xff\xff\xff")),
    "pickle: a digit of many": _pickle(
        lambda: in_dict(b"\x8b" + (9_000_000).to_bytes(4, "little") + b"\x7f" * 9_000_000)
    ),
    "pickle: a number as text": _pickle(lambda: in_dict(b"I" + b"9" * 9_000_000 + b"\n")),
    "pickle: twice": _pickle(lambda: in_dict(b"(" + b"N" * 1_000 + b"tq\0" + b"h\0\x86" * 2_000_000)),
    "pickle: a bytearray of 2^60": _pickle(lambda: in_dict(b"\x96" + (2**60).to_bytes(8, "little"))),
    "pickle: texts": _pickle(lambda: in_dict(often(b"X\1\0\0\0a", 1_500_000))),
    "pickle: appended to itself": _pickle(lambda: in_dict(b"]q\0" + b"h\0a" * 3_000_000)),
    "legacy: laughs": _pickle(lambda: in_dict(doubling(b"]", b"]h%cah%ca")), write_legacy),
    "legacy: Nones": _pickle(lambda: in_dict(often(b"N", 9_000_000)), write_legacy),
    "legacy: keys": _pickle(
        lambda: in_dict(b"}"),
        lambda path, pickled: write_legacy(
            path, pickled, keys=PROTO2 + often(b"X\1\0\0\0a", 1_500_000) + b"."
        ),
    ),
    "a bare pickle": _file("a.pt", lambda: PROTO2 + often(b"N", 9_000_000) + b"."),
    "tar: members": _file("a.pt", lambda: _tar(19_000)),
    "safetensors: 2^60 bytes of header": _file(
        "a.safetensors", lambda: (2**60).to_bytes(8, "little") + b"{" * 1000
    ),
    "safetensors: 9 MB of header": _file("a.safetensors", lambda: _tensors(b"{" * 9_000_000)),
    "safetensors: nested header": _file("a.safetensors", lambda: _tensors(b'{"a":' + b"[" * 4_000_000)),
    "safetensors: tensors of nothing": _file(
        "a.safetensors",
        lambda: _tensors(
            {f"{i}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in range(60_000)}
        ),
    ),
    "safetensors: a shape of 2^60": _file(
        "a.safetensors",
        lambda: _tensors({"a": {"dtype": "U8", "shape": [2**60], "data_offsets": [0, 2**60]}}),
    ),
    "safetensors: dimensions": _file(
        "a.safetensors",
        lambda: _tensors({"a": {"dtype": "U8", "shape": [1] * 1_000_000, "data_offsets": [0, 1]}}, b"x"),
    ),
    "safetensors: numbers": _file(
        "a.safetensors",
        lambda: _tensors({"a": {"dtype": "U8", "shape": [10**4000] * 1_000, "data_offsets": [0, 1]}}, b"x"),
    ),
    "network: size 4096": _described(lambda document: document.update(size=4096)),
    "network: size 4096, its own": _architecture(size=4096),
    "network: no strides": _architecture(stem=[[8, 1]]),
    "network: stem of 65,536": _architecture(stem=[[65_536, 1], [65_536, 2], [65_536, 1]]),
    "network: cardinality 16": _architecture(cardinality=16),
    "network: auxiliary 65,536": _architecture(auxiliary=[65_536] * 3),
    "network: 65,536 classes": _described(lambda document: document.update(classes=65_536)),
    "network: names": _described(lambda document: document.update(names=["a" * 190] * 19_000)),
}
