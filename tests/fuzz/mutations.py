"""What can befall a file: bytes, text, trees of JSON and YAML, and what lies inside containers."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple

import onnx
import yaml
from safetensors import SafetensorError
from safetensors.torch import load

from tests.untrusted.hostile import edited
from yolov7.training.state import checksum

MAX_BYTES = 20_000_000
_MAX_TREE = 100_000
_NUMBERS = [
    "0",
    "-1",
    "-0.0",
    "1e-320",
    "0.5",
    "65536",
    "2147483648",
    "-9223372036854775809",
    "1e308",
    "1e999",
]
_NUMBERS += ["NaN", "-Infinity", "inf", ".nan", "1_000", "0x7fffffff", "true", "null", '""', "٣", "9" * 5000]
_WORDS = [0, 1, *(2**bits - 1 for bits in (7, 8, 15, 16, 31, 32, 63, 64)), 2**31]
_CONTROLS = ["\x1b]0;t\x07", "\x9b31m", *"\0\x1b\r\n\t\u202e\u2028\ufeff\ud800", " " * 9]
_PAIRS = [("[", "]"), ('{"a":', "}"), ("<a>", "</a>"), ("(", ")"), ("- ", ""), ("? ", ""), ("!!set {", "}")]
_TOKEN = re.compile(r"[^\W\d]\w*|[-+]?\d[\w.+-]*|<[^<>]{1,80}>|[^\w\s]")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d.]*(?:e[-+]?\d+)?")
_RAW = re.compile(r'"RAW(\d+)"')


class Inside(NamedTuple):
    """A part of a file that is changed by itself, so that the container around it stays sound."""

    take: Callable[[bytes], bytes]
    put: Callable[[bytes, bytes], bytes]


def mutated(good: bytes, others: Sequence[bytes], insides: Sequence[Inside], random: Random) -> bytes:
    """A file with one change or several, in its bytes or in a part of it."""
    if insides and random.random() < 0.6:
        inside = random.choice(insides)
        return inside.put(good, mutated(inside.take(good), others, (), random))
    for _ in range(random.choice((1, 1, 1, 2, 3, 12))):
        text = _as_text(good)
        changes = _BYTES if text is None else (*_BYTES, *_TEXT, *_TEXT, *_TEXT)
        change = random.choice(changes)
        if change in _BYTES:
            good = change(good, others, random)
        else:
            donors = [donor for other in others if (donor := _as_text(other)) is not None] or [text]
            good = change(text, donors, random).encode("utf-8", "surrogatepass")
        good = good[:MAX_BYTES]
    return good


def _as_text(content: bytes) -> str | None:
    try:
        return content.decode("utf-8", "surrogatepass") if len(content) < 1_000_000 else None
    except UnicodeDecodeError:
        return None


def _place(length: int, random: Random) -> int:
    """A position, mostly near the beginning, where headers are."""
    return int(length * random.random() ** random.choice((1, 1, 4)))


def _span(length: int, random: Random) -> tuple[int, int]:
    start = _place(length, random)
    return start, min(length, start + random.choice((1, 2, 4, 16, 100, 1000, length)))


def _flip(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(random.choice((1, 1, 4, 32))):
        changed[_place(len(changed), random)] ^= 1 << random.randrange(8)
    return bytes(changed)


def _extreme(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    place, size = _place(len(data), random), random.choice((1, 2, 4, 8))
    word = (random.choice(_WORDS) & (256**size - 1)).to_bytes(size, random.choice(("little", "big")))
    return data[:place] + word + data[place + size :]


def _cut(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    start, end = _span(len(data), random)
    return data[:start] if random.random() < 0.4 else data[:start] + data[end:]


def _insert(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    place = _place(len(data), random)
    return data[:place] + random.randbytes(random.choice((1, 2, 8, 100, 5000))) + data[place:]


def _repeat(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    start, end = _span(len(data), random)
    times = min(random.choice((2, 2, 3, 100, 20_000)), 1 + MAX_BYTES // (end - start or 1))
    return data[:start] + data[start:end] * times + data[end:]


def _splice(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    other = random.choice(others)
    start, end = _span(len(other), random)
    place = _place(len(data), random)
    return data[:place] + other[start:end] + data[place + random.choice((0, end - start)) :]


def _number(text: str, others: Sequence[str], random: Random) -> str:
    return _replaced(text, _NUMBER, random.choice(_NUMBERS), random)


def _control(text: str, others: Sequence[str], random: Random) -> str:
    place = _place(len(text), random)
    return text[:place] + random.choice(_CONTROLS) + text[place:]


def _token(text: str, others: Sequence[str], random: Random) -> str:
    tokens = _TOKEN.findall(random.choice(others)) or ["x"]
    return _replaced(text, _TOKEN, random.choice(tokens), random)


def _line(text: str, others: Sequence[str], random: Random) -> str:
    lines = text.splitlines(keepends=True) or [""]
    place = random.randrange(len(lines))
    most = 1 + MAX_BYTES // (max(map(len, lines)) or 1)
    more = random.choices(lines, k=min(most, random.choice((0, 1, 2, 1000))))
    lines[place : place + random.choice((0, 1))] = more
    return "".join(lines)


def _nest(text: str, others: Sequence[str], random: Random) -> str:
    (opening, closing), depth = random.choice(_PAIRS), random.choice((40, 900, 100_000))
    place = random.choice((0, _place(len(text), random)))
    return text[:place] + opening * depth + "1" + closing * depth + text[place:]


def _replaced(text: str, pattern: re.Pattern[str], by: str, random: Random) -> str:
    found = list(pattern.finditer(text))
    if not found:
        return text + by
    match = random.choice(found)
    return text[: match.start()] + by + text[match.end() :]


def _tree(text: str, others: Sequence[str], random: Random) -> str:
    """A value of another type somewhere in JSON or YAML, JSON that is a text in JSON included."""
    if len(text) > _MAX_TREE:
        return _token(text, others, random)
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        try:
            tree = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError):
            return _token(text, others, random)
    try:
        dumped = json.dumps(_changed(tree, random), default=str)
    except (ValueError, RecursionError, TypeError):  # what came before nested it too deeply
        return _token(text, others, random)
    return _RAW.sub(lambda found: _NUMBERS[int(found[1]) % len(_NUMBERS)], dumped)


def _changed(tree: Any, random: Random) -> Any:
    if isinstance(tree, str) and tree[:1] in "{[" and tree[1:] and random.random() < 0.9:
        return _tree(tree, [tree], random)
    if not isinstance(tree, (dict, list)) or not tree or random.random() < 0.1:
        plain = [f"RAW{random.randrange(100)}", None, True, 1.5, [], {}, "", "x" * 9000, str(tree)]
        return random.choice([*plain, [tree], {"a": tree}, [tree] * 50, random.choice(_CONTROLS)])
    key = random.choice(list(tree)) if isinstance(tree, dict) else random.randrange(len(tree))
    copied = tree.copy()
    fate = random.random()
    if fate < 0.1:
        del copied[key]
    elif fate < 0.2 and isinstance(copied, dict):
        copied[random.choice(("RAW1", "", "x\x1b[2J", "0", "__class__"))] = copied.pop(key)
    else:
        copied[key] = _changed(tree[key], random)
    return copied


_BYTES = (_flip, _extreme, _cut, _insert, _repeat, _splice)
_TEXT = (_number, _control, _token, _line, _nest, _tree, _tree)


def record(*ends: str) -> list[Inside]:
    """Records of a zip archive."""

    def inside(end: str) -> Inside:
        def take(data: bytes) -> bytes:
            found: list[bytes] = []
            edited(data, {end: lambda content: (found.append(content), content)[1]})
            return found[0]

        return Inside(take, lambda data, part: edited(data, {end: lambda _: part}))

    return [inside(end) for end in ends]


def _header_end(data: bytes) -> int:
    return 8 + int.from_bytes(data[:8], "little")


def _with_header(data: bytes, header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + data[_header_end(data) :]


def _with_checksum(data: bytes, header: bytes) -> bytes:
    """A training state whose checksum is that of what is in it now, where that can be said."""
    changed = _with_header(data, header)
    try:
        content = json.loads(header)
        content["__metadata__"]["checksum"] = checksum(content["__metadata__"]["tree"], load(changed))
        return _with_header(data, json.dumps(content).encode())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, SafetensorError):
        return changed


def _with_sums(_: bytes, png: bytes) -> bytes:
    """A PNG file whose chunks have the checksums that they should have."""
    changed, place = bytearray(png), 8
    while place + 12 <= len(png):
        end = place + 8 + int.from_bytes(png[place : place + 4], "big")
        changed[end : end + 4] = zlib.crc32(png[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(changed[: len(png)])


def _onnx_description(data: bytes) -> bytes:
    return onnx.load_from_string(data).metadata_props[0].value.encode()


def _with_onnx_description(data: bytes, description: bytes) -> bytes:
    model = onnx.load_from_string(data)
    model.metadata_props[0].value = description.decode("utf-8", "replace")
    return bytes(model.SerializeToString())


HEADER = Inside(lambda data: data[8 : _header_end(data)], _with_header)
STATE = Inside(HEADER.take, _with_checksum)
PNG = Inside(lambda data: data, _with_sums)
ONNX = Inside(_onnx_description, _with_onnx_description)
