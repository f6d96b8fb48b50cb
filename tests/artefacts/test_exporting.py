"""Checkpoints written in other formats, with certificates; the network is real, so are the runtimes."""

from __future__ import annotations

import functools
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import yolov7
from tests.runtimes.seeing import NAMES, PICTURES, SIZES, seeing, write_labelled, write_pictures
from yolov7.artefacts.documents import machine, sha256_of, size_of
from yolov7.artefacts.exporting import Exported, export
from yolov7.data.dataset import Dataset
from yolov7.errors import DataError, MissingDependencyError, OutputError, UsageError
from yolov7.formats.opening import open_dataset
from yolov7.inference.backend import TorchBackend
from yolov7.inference.predictor import Predictor
from yolov7.runtimes import formats
from yolov7.runtimes.description import Description, ExportOptions
from yolov7.runtimes.onnx import Onnx
from yolov7.runtimes.runtime import ArtefactBackend, Runtime
from yolov7.runtimes.torch_programs import TorchScript

CHECKPOINT = seeing()


@functools.cache
def written(seed: int, options: ExportOptions) -> bytes:
    """A network as TorchScript."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network"
        TorchScript().write(seeing(seed), path, options)
        return path.read_bytes()


class Quick(TorchScript):
    """TorchScript of the one network that is exported here, traced once."""

    seed = 0

    def write(self, checkpoint, path, options):
        path.write_bytes(written(self.seed, options))


class Other(Quick):
    """Another network than was asked for: what a faulty converter writes."""

    name, suffix = "other", ".other"
    seed = 1


@pytest.fixture(autouse=True)
def _formats_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "FORMATS", {**formats.FORMATS, "torchscript": Quick()})


def offer(runtime: Runtime) -> str:
    """Make a format known. -> its name"""
    formats.FORMATS[runtime.name] = runtime
    return runtime.name


class Breaking(TorchScript):
    """A vendor's library that gives up, with half a file on the disk."""

    name, suffix = "breaking", ".breaking"
    error: BaseException = RuntimeError("unsupported operator: aten::magic\nat line 7")

    def write(self, checkpoint, path, options):
        path.write_bytes(b"half of it")
        raise self.error


class Folder(Quick):
    """An artefact that is a directory."""

    name, suffix = "folder", ".folder"

    def write(self, checkpoint, path, options):
        (path / "inner").mkdir(parents=True)
        super().write(checkpoint, path / "inner" / "network", options)
        (path / "README").write_text("beside it\n")

    def describe(self, path) -> Description:
        return super().describe(path / "inner" / "network")

    def open(self, path, *, parallel=1, exact=False, trust=False) -> ArtefactBackend:
        return super().open(path / "inner" / "network")


class Elsewhere(Quick):
    """What this machine can write and not run."""

    name, suffix = "elsewhere", ".elsewhere"
    runs_with = ("no_such_module",)

    def why_not_here(self):
        return "it runs on the moon only"

    def open(self, path, *, parallel=1, exact=False, trust=False):
        raise AssertionError("it was opened all the same")


def exported(out: Path, *names: str, **options: object) -> list[Exported]:
    options.setdefault("images", PICTURES)
    return export(CHECKPOINT, names, out, **options)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def document(out: Path, name: str) -> dict:
    return json.loads((out / f"{name}.parity.json").read_text())


# -- what an export leaves --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """ONNX and TorchScript of a network, compared on files."""
    folder = tmp_path_factory.mktemp("export")
    images = write_pictures(folder / "pictures")
    results = export(CHECKPOINT, ["onnx", "torchscript"], folder / "out", stem="best", images=images)
    assert [(result.format, result.ok, result.error) for result in results] == [
        ("onnx", True, None),
        ("torchscript", True, None),
    ]
    assert [result.path for result in results] == [
        folder / "out" / f"best.{s}" for s in ("onnx", "torchscript")
    ]
    return folder / "out"


def test_artefacts_and_certificates(out):
    assert files(out) == {
        f"best.{suffix}{document}"
        for suffix in ("onnx", "torchscript")
        for document in ("", ".parity.json", ".parity.txt")
    }


def test_the_artefact_is_the_network(out):
    backend = Onnx().open(out / "best.onnx", exact=True)
    found = sum(len(one.detections) for one in Predictor(backend, NAMES, 128).predict(PICTURES))
    assert document(out, "best.onnx")["found"] == [found, found]


def test_what_a_certificate_says(out):
    said = document(out, "best.onnx")
    assert said["version"] == 2
    assert said["verdict"] == "passed"
    artefact = said["artefact"]
    assert artefact["name"] == "best.onnx"
    assert artefact["bytes"] == (out / "best.onnx").stat().st_size
    assert artefact["sha256"] == sha256_of(out / "best.onnx")
    assert artefact["machine"] == machine()
    assert {"onnx", "onnxruntime"} <= set(artefact["libraries"])
    assert artefact["description"]["names"] == list(NAMES)
    assert artefact["description"]["made_by"]["torch"] == torch.__version__
    assert said["source"] == {"images": "pictures", "labels": None}
    assert (said["images"], said["conf"], said["iou"]) == (len(SIZES), 0.25, 0.45)
    assert said["pairs"] == said["found"][0] > 20
    assert 0 < said["box"]["median"] <= said["box"]["percentile_95"] <= said["box"]["largest"] < 0.5
    assert all(check["ok"] for check in said["checks"])


def test_a_certificate_as_text(out):
    text = (out / "best.onnx.parity.txt").read_text()
    assert text.startswith("Parity of best.onnx: passed\n")
    for part in ("sha256", "onnxruntime", "yolov7-tiny, 3 classes", "4 of pictures", machine()):
        assert part in text
    row = next(line for line in text.splitlines() if line.startswith("largest box difference"))
    assert row.split()[-2:] == ["0.5", "yes"]
    assert str(out) not in text  # certificates are passed on


def test_sha256_of_a_directory_is_what_its_docstring_says(tmp_path):
    for name, content in (("b/2", "two"), ("b/10", "ten"), ("a", ""), ("B", "one")):
        path = tmp_path / "thing" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert size_of(tmp_path / "thing") == 9
    command = "find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"
    shell = subprocess.run(
        command, shell=True, cwd=tmp_path / "thing", capture_output=True, text=True, check=True
    )
    assert sha256_of(tmp_path / "thing") == shell.stdout.split()[0]


# -- what differs ---------------------------------------------------------------------------------------


def test_what_differs_is_rejected(tmp_path):
    (result,) = exported(tmp_path, offer(Other()), stem="best")
    assert not result.ok
    assert result.error is None
    assert result.path == tmp_path / "best.other.rejected"
    assert files(tmp_path) == {"best.other.rejected", "best.other.parity.json", "best.other.parity.txt"}
    said = document(tmp_path, "best.other")
    assert said["verdict"] == "rejected"
    assert said["lost"] > 0
    assert said["examples"][0].startswith("image")
    text = (tmp_path / "best.other.parity.txt").read_text()
    assert text.startswith("Parity of best.other: rejected\n")
    assert " NO\n" in text
    assert formats.runtime_of(result.path) is None  # nobody runs it by mistake


def test_a_directory_is_rejected_as_a_whole(tmp_path):
    class OtherFolder(Folder):
        seed = 1

    (result,) = exported(tmp_path, offer(OtherFolder()))
    assert result.path == tmp_path / "yolov7-tiny.folder.rejected"
    assert files(result.path) == {"inner", "README"}


def test_nothing_found_is_nothing_proven(tmp_path):
    (result,) = exported(tmp_path, "torchscript", conf=0.9999)
    assert not result.ok
    text = (tmp_path / "yolov7-tiny.torchscript.parity.txt").read_text()
    assert "Nothing is proven" in text
    assert "--conf" in text


def test_what_cannot_run_here_is_written_and_claims_nothing(tmp_path):
    (result,) = exported(tmp_path, offer(Elsewhere()))
    assert result.ok
    assert result.outcome == "it runs on the moon only"
    assert result.path == tmp_path / "yolov7-tiny.elsewhere"
    said = document(tmp_path, "yolov7-tiny.elsewhere")
    assert said["verdict"] == "not run on this machine"
    assert said["reason"] == "it runs on the moon only"
    assert "checks" not in said
    text = (tmp_path / "yolov7-tiny.elsewhere.parity.txt").read_text()
    assert "not compared with torch" in text
    assert "passed" not in text


# -- what fails -----------------------------------------------------------------------------------------


def test_one_format_that_fails_does_not_keep_the_others(tmp_path):
    results = exported(tmp_path, offer(Breaking()), "torchscript", offer(Other()))
    assert [result.ok for result in results] == [False, True, False]
    assert results[0].path is None
    assert results[0].error == "RuntimeError: unsupported operator: aten::magic\nat line 7"
    assert {name for name in files(tmp_path) if "parity" not in name} == {
        "yolov7-tiny.torchscript",
        "yolov7-tiny.other.rejected",
    }


def test_options_that_a_format_has_not_are_its_failure(tmp_path):
    formats.FORMATS["torchscript"] = TorchScript()
    (result,) = exported(tmp_path, "torchscript", options=ExportOptions(half=True))
    assert result.error is not None
    assert "half" in result.error
    assert files(tmp_path) == set()


@pytest.mark.parametrize("when", ["writing", "comparing"])
def test_ctrl_c_leaves_nothing_half_done(tmp_path, when):
    class Interrupted(Breaking):
        error = KeyboardInterrupt()

    def stop(what: str, done: int, total: int | None) -> None:
        if what == f"torchscript: {when}":
            raise KeyboardInterrupt

    exported(tmp_path, offer(Folder()))
    before = files(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        exported(tmp_path, "torchscript", progress=stop)
    with pytest.raises(KeyboardInterrupt):
        exported(tmp_path, offer(Interrupted()))
    assert files(tmp_path) == before


def test_a_file_is_exported_as_its_checkpoint_is(tmp_path):
    """The public function: a path, one format by its name, and the same artefact as from memory."""
    CHECKPOINT.save(tmp_path / "best.safetensors")
    options = ExportOptions()
    pictures = write_pictures(tmp_path / "pictures")
    (fresh,) = yolov7.export(tmp_path / "best.safetensors", "onnx", tmp_path / "a", options, images=pictures)
    (known,) = yolov7.export(CHECKPOINT, ["onnx"], tmp_path / "b", options, images=pictures)
    assert fresh.ok
    assert fresh.path.read_bytes() == known.path.read_bytes()


def test_what_is_not_installed_is_said_before_anything_is_done(tmp_path):
    class Unheard(TorchScript):
        name, suffix, extra = "unheard", ".unheard", "unheard"
        writes_with = ("no_such_module",)

    with pytest.raises(MissingDependencyError, match=r"pip install 'open-yolov7\[unheard\]'"):
        exported(tmp_path / "out", "torchscript", offer(Unheard()))
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_is_said_before_anything_is_done(tmp_path):
    for expected, names, options in (
        ("no such format", ("torchscript", "onyx"), {}),
        ("no format", (), {}),
        ("confidence", ("torchscript",), {"conf": 1.5}),
        ("multiples of 32", ("torchscript",), {"options": ExportOptions(size=100)}),
        ("multiples of 32", ("torchscript",), {"options": ExportOptions(size=0)}),
        ("at least one image", ("torchscript",), {"options": ExportOptions(batch=0)}),
    ):
        with pytest.raises(UsageError, match=expected):
            exported(tmp_path / "out", *names, **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("there", ["", ".rejected", ".parity.txt"])
def test_what_is_there_is_not_overwritten(tmp_path, there):
    path = tmp_path / f"yolov7-tiny.torchscript{there}"
    path.write_text("precious")
    with pytest.raises(OutputError, match="not overwritten"):
        exported(tmp_path, offer(Breaking()), "torchscript")
    assert files(tmp_path) == {path.name}
    assert path.read_text() == "precious"


def test_overwriting_leaves_the_new_one_only(tmp_path):
    exported(tmp_path, offer(Folder()))

    class Now(Folder):
        seed = 1

    names = {"yolov7-tiny.folder.parity.json", "yolov7-tiny.folder.parity.txt"}
    exported(tmp_path, offer(Now()), overwrite=True)
    assert files(tmp_path) == names | {"yolov7-tiny.folder.rejected"}
    exported(tmp_path, offer(Folder()), overwrite=True)
    assert files(tmp_path) == names | {"yolov7-tiny.folder"}
    assert document(tmp_path, "yolov7-tiny.folder")["verdict"] == "passed"
    assert files(tmp_path / "yolov7-tiny.folder") == {"inner", "README"}


def test_a_failed_overwrite_leaves_the_old_one(tmp_path):
    exported(tmp_path, "torchscript")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    class Failing(Breaking):
        name, suffix = "torchscript", ".torchscript"

    exported(tmp_path, offer(Failing()), overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), PermissionError(13, "in use")], ids=["ctrl-c", "in use"]
)
@pytest.mark.parametrize("number", range(6))
def test_an_overwrite_that_breaks_off_at_the_end_leaves_the_old_one(tmp_path, monkeypatch, number, error):
    """Three files go out of the way, three come: after any of them."""
    for suffix in ("", ".parity.json", ".parity.txt"):
        (tmp_path / f"yolov7-tiny.torchscript{suffix}").write_text(f"old{suffix}")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    rename, renamed = Path.rename, []

    def breaking(self: Path, target: Path) -> Path:
        if len(renamed) == number:
            renamed.append(None)
            raise error
        renamed.append(None)
        return rename(self, target)

    class Now(Quick):
        seed = 1

    offer(Now())
    monkeypatch.setattr(Path, "rename", breaking)
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            exported(tmp_path, "torchscript", overwrite=True, images=PICTURES[:1])
    else:
        (result,) = exported(tmp_path, "torchscript", overwrite=True, images=PICTURES[:1])
        assert result.error is not None
        assert "in use" in result.error
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# -- images and labels ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(write_labelled(tmp_path_factory.mktemp("labelled") / "set", CHECKPOINT))


def test_labels_give_ap_and_their_images_are_compared(tmp_path, labelled):
    told: list[str] = []
    results = exported(
        tmp_path,
        "torchscript",
        offer(Folder()),
        images=None,
        data=labelled,
        progress=lambda *step: told.append(step[0]),
    )
    assert all(result.ok for result in results)
    said = document(tmp_path, "yolov7-tiny.torchscript")
    assert said["source"] == {"images": "instances.json (all)", "labels": "instances.json (all)"}
    assert said["images"] == said["labelled"] == len(SIZES)
    assert said["ap"][0] == pytest.approx(said["ap"][1], abs=1e-3)
    assert "loss of AP" in [check["what"] for check in said["checks"]]
    # That of torch is measured once.
    assert list(dict.fromkeys(told)) == [
        *(f"torchscript: {what}" for what in ("writing", "comparing", "AP of torch", "AP of the artefact")),
        *(f"folder: {what}" for what in ("writing", "comparing", "AP of the artefact")),
    ]


@pytest.mark.slow
def test_ap_of_torch_is_that_on_the_same_shapes(tmp_path, labelled):
    """One looks at rectangles, the other at squares: two APs of torch."""
    names, options = ("onnx-nms", "onnx-end-to-end"), ExportOptions(dynamic=True)
    for order in (names, names[::-1]):
        results = exported(tmp_path / order[0], *order, images=None, data=labelled, options=options)
        assert [(result.format, result.ok, result.error) for result in results] == [
            (name, True, None) for name in order
        ]
    of_torch = [document(tmp_path / names[0], f"yolov7-tiny.{name[5:]}.onnx")["ap"][0] for name in names]
    assert of_torch[0] != of_torch[1]


def test_images_that_come_only_once_are_for_every_format(tmp_path):
    results = exported(tmp_path, "torchscript", offer(Folder()), images=iter(PICTURES))
    assert all(result.ok for result in results)
    assert document(tmp_path, "yolov7-tiny.folder")["images"] == len(PICTURES)


def test_labels_that_say_nothing_about_the_network(tmp_path, labelled):
    path = tmp_path / "set"
    write_labelled(path, CHECKPOINT)
    content = json.loads((path / "instances.json").read_text())
    content["categories"][0]["name"] = "giraffe"
    (path / "instances.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="giraffe"):
        exported(tmp_path / "out", "torchscript", data=open_dataset(path))
    content["categories"][0]["name"] = NAMES[0]
    (path / "instances.json").write_text(json.dumps({**content, "annotations": []}))
    with pytest.raises(DataError, match="no labelled object"):
        exported(tmp_path / "out", "torchscript", data=open_dataset(path))
    assert not (tmp_path / "out").exists()


def test_three_photos_where_there_are_no_images(tmp_path, monkeypatch):
    (result,) = exported(tmp_path, "torchscript", images=None)
    assert result.ok
    said = document(tmp_path, "yolov7-tiny.torchscript")
    assert (said["images"], said["source"]["images"]) == (3, "photos of scikit-image: cat, coffee, astronaut")
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(MissingDependencyError, match=r"open-yolov7\[demo\]"):
        exported(tmp_path / "out", "torchscript", images=None)


@pytest.mark.parametrize(
    ("options", "shape"),
    [(ExportOptions(batch=3), [3, 128, 128]), (ExportOptions(size=96, dynamic=True), None)],
    ids=["batch", "dynamic"],
)
def test_shapes(tmp_path, options, shape):
    (result,) = exported(tmp_path, "torchscript", options=options)
    assert result.ok
    said = document(tmp_path, "yolov7-tiny.torchscript")
    assert said["artefact"]["description"]["shape"] == shape
    assert said["artefact"]["description"]["size"] == (options.size or 128)
    reference = Predictor(TorchBackend(CHECKPOINT.model), NAMES, options.size or 128)
    if shape is None:
        found = sum(len(one.detections) for one in reference.predict(PICTURES, batch_size=2))
        assert said["found"][0] == found


def test_a_full_disk_is_told_of_the_artefact_and_not_of_a_temporary_path(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # the tests' formats write with write_file, too
    try:
        (exported,) = export(CHECKPOINT, "torch-export", tmp_path, options=ExportOptions(size=64))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    target = tmp_path / f"{CHECKPOINT.model.architecture.name}.pt2"
    assert exported.error == f"{target}: cannot be written: File too large"
    assert list(tmp_path.iterdir()) == []
