"""TorchScript archives without torch's loader: the same rows, and nothing else that they can do."""

from __future__ import annotations

import importlib.util
import io
import warnings
import zipfile

import pytest
import torch

from tests.runtimes.lively import lively, noise
from tests.untrusted.hostile import edited, torchscript, written
from yolov7.errors import CheckpointError, DamagedCheckpointError, UnsafeCheckpointError
from yolov7.images.letterbox import to_tensor
from yolov7.loading import load
from yolov7.runtimes.description import ExportOptions
from yolov7.runtimes.torch_programs import TorchScript
from yolov7.untrusted.program import MAX_STEPS


def test_rows_are_bit_for_bit_those_of_torch_s_own_loader(tmp_path):
    path = tmp_path / "n.torchscript"
    TorchScript().write(lively(), path, ExportOptions(dynamic=True))
    ours, torchs = TorchScript().open(path), TorchScript().open(path, trust=True)
    assert type(ours.program) is not type(torchs.program)
    for height, width in ((96, 160), (64, 64)):
        images = to_tensor([noise(height, width, 1)] * 2)
        torch.testing.assert_close(ours.infer(images), torchs.infer(images), rtol=0, atol=0)


def scripted(tmp_path, body):
    """A scripted network with a victim beside it, and the victim."""
    victim = tmp_path / "victim.txt"
    victim.write_text("a text of the user\n")
    source = tmp_path / "network.py"
    lines = "\n".join(f"        {line}" for line in body.format(victim=str(victim)).splitlines())
    source.write_text(
        "import torch\n\nclass Network(torch.nn.Module):\n    def forward(self, x: torch.Tensor):\n" + lines
    )
    spec = importlib.util.spec_from_file_location("network", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, not gone
        return torch.jit.script(module.Network()), victim


@pytest.mark.parametrize(
    "body",
    [
        "t = torch.from_file({victim!r}, True, 16, dtype=torch.uint8)\nreturn t.fill_(65)",
        "torch.save(x, {victim!r})\nreturn x",
        "while bool(x.sum() == 0):\n    x = x * 1\nreturn x",
        "for i in range(1000000000):\n    x = x + 1\nreturn x",
        "if bool(x.sum() == 0):\n    x = x + 1\nreturn x",
        "return torch.zeros([1000000000000])",
        "print({victim!r})\nreturn x",
        "raise ValueError('x')",
        "return x.set_(x)",
        "return torch.jit.fork(torch.sin, x).wait()",
    ],
    ids=lambda body: body[:20],
)
def test_what_is_no_network_is_refused_and_does_nothing(body, tmp_path):
    program, victim = scripted(tmp_path, body)
    path = written(tmp_path, "n.torchscript", torchscript(program))
    with pytest.raises(UnsafeCheckpointError, match="nothing of it was run") as caught:
        load(path)
    assert "--trust-artefact" in str(caught.value)
    assert victim.read_text() == "a text of the user\n"


@pytest.mark.parametrize(
    "line",
    [
        b"ops.aten.from_file(images, 'x')",
        b"ops.custom.anything(images)",
        b"torch.ops.aten.save(images, 'x')",
        b"torch._C.save(images)",
        b"torch.classes.x.y(images)",
        b"uninitialized(Tensor)",
        b"unchecked_cast(Tensor, images)",
        b"eval('1')",
        b"self.scale.forward(images)",
        b"self.__class__",
        b"images.data",
        b"CONSTANTS.c99",
        b"CONSTANTS.c0.data",
        b"torch.reshape(*images)",
        b"torch.reshape(**images)",
        b"[x for x in images]",
        b"(lambda: images)()",
        b"f'{images}'",
        b"b'images'",
        b"images + images",
        b"(self).forward(images, )",
        b"(" * 300 + b"images" + b")" * 300,
        b"-" * 5000 + b"1",
        b"images" + b".data" * 3000,
        b"1" * 5000,
        b"torch.reshape(images" + b", images" * 6000 + b")",
    ],
    ids=lambda line: line[:30].decode(),
)
def test_code_that_no_trace_has(line, tmp_path):
    """Each in the place of the network's only line, where our reader has to meet it."""
    content = edited(torchscript(), {".py": lambda code: _returning(code, line)})
    with pytest.raises(CheckpointError):
        load(written(tmp_path, "n.torchscript", content))


def _returning(code, line):
    head, mark, _ = code.partition(b"    return ")
    assert mark
    return head + mark + line + b"\n"


def test_a_short_code_cannot_become_a_long_program(tmp_path):
    """Each of 30 methods calls the next twice: 2 to the power of 30 steps, were they all written down."""
    code = "class OneLine(Module):\n  def forward(self, x):\n    y = (self).forward1(x, )\n    return y\n"
    for i in range(1, 31):
        code += f"  def forward{i}(self, x):\n    y = (self).forward{i + 1}(x, )\n"
        code += f"    return (self).forward{i + 1}(y, )\n"
    code += "  def forward31(self, x):\n    return torch.mul(x, x)\n"
    content = edited(torchscript(), {".py": lambda _: code.encode()})
    with pytest.raises(UnsafeCheckpointError, match=f"more than {MAX_STEPS} steps"):
        load(written(tmp_path, "n.torchscript", content))


def test_two_records_of_one_name_are_refused(tmp_path):
    """Two readers could see two different programs."""
    content = torchscript()
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive:
        name = next(name for name in archive.namelist() if name.endswith(".py"))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(name, b"something else")
    with pytest.raises(DamagedCheckpointError, match="two records of one name"):
        load(written(tmp_path, "n.torchscript", buffer.getvalue()))


@pytest.mark.parametrize(
    "name", ["bytecode.pkl", "mobile_debug_handles.pkl", "extra/../../x", "code/x/y/z.py", "attributes.pkl"]
)
def test_other_records_are_never_looked_at_or_are_refused(name, tmp_path):
    content = edited(torchscript(), {}, **{name: b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00xR."})
    path = written(tmp_path, "n.torchscript", content)
    images = torch.rand(1, 3, 64, 64)
    if ".." in name:
        with pytest.raises(DamagedCheckpointError, match="unsafe name"):
            TorchScript().open(path)
    else:
        torch.testing.assert_close(
            TorchScript().open(path).infer(images), (images[..., :7] * 2).reshape(1, -1, 7)
        )


def test_a_pickle_that_asks_for_more_is_refused(tmp_path):
    content = edited(torchscript(), {"/data.pkl": lambda _: b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00xR."})
    with pytest.raises(UnsafeCheckpointError, match=r"os\.system"):
        load(written(tmp_path, "n.torchscript", content))


def test_code_that_swells_is_refused(tmp_path):
    """A deflated record may be a thousand times as long as it looks."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(torchscript())) as old,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            stored = name.endswith("data/0")
            content = b"#" * 10**8 if name.endswith(".py") else old.read(name)
            new.writestr(name, content, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)
    with pytest.raises(DamagedCheckpointError, match="absurdly large"):
        load(written(tmp_path, "n.torchscript", buffer.getvalue()))


def test_rows_that_are_not_what_the_description_tells_of(tmp_path):
    path = written(tmp_path, "n.torchscript", torchscript(names=["a", "b", "c"]))
    with pytest.raises(CheckpointError, match="does not match its description"):
        load(path).backend(torch.rand(1, 3, 64, 64), 0.0)
