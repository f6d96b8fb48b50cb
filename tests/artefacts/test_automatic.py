"""Which runtime is taken, and that a wrong one is not."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import cv2
import pytest
import torch

from tests.runtimes.lively import lively
from tests.runtimes.seeing import picture, seeing, write_pictures
from yolov7.artefacts import automatic
from yolov7.artefacts.automatic import agrees, certified, fastest
from yolov7.artefacts.documents import is_certified
from yolov7.artefacts.exporting import export
from yolov7.artefacts.prepared import prepared
from yolov7.inference.backend import TorchBackend
from yolov7.runtimes.description import ExportOptions
from yolov7.runtimes.onnx import Onnx, OnnxBackend
from yolov7.runtimes.openvino import OpenVino, OpenVinoBackend

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """A cache with what is written for `lively()`, of which nothing was compared with torch yet."""
    folder = tmp_path_factory.mktemp("converted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("YOLOV7_CACHE", str(folder))
        for runtime in (OpenVino(), Onnx()):
            prepared(lively(), runtime, 128)
    return folder


@pytest.fixture(autouse=True)
def _cache(converted, tmp_path, monkeypatch):
    shutil.copytree(converted, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path))


def test_openvino_comes_first(tmp_path):
    backend = fastest(lively(), CPU, 128)
    assert isinstance(backend, OpenVinoBackend)
    assert len(list(tmp_path.rglob("agrees-with-torch"))) == 1


def test_a_certified_artefact_in_8_bits_comes_before_it(tmp_path, caplog):
    checkpoint, file = seeing(), tmp_path / "best.pt"
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for seed in range(8):
        cv2.imwrite(str(pictures / f"{seed}.png"), picture(128, 128, seed))
    artefact = tmp_path / "best.int8.openvino"
    options = ExportOptions(dynamic=True, calibration=pictures)
    (done,) = export(checkpoint, ["openvino-int8"], tmp_path, options, stem="best", images=pictures)
    page = artefact.with_name("best.int8.openvino.parity.json")

    def say(**words):
        page.write_text(json.dumps(json.loads(page.read_text()) | words))

    if not done.ok:  # what is tested here is the certificate's word, not the network's
        artefact.with_name("best.int8.openvino.rejected").rename(artefact)
        assert certified(checkpoint, file, 128) is None
    say(verdict="passed")
    assert certified(checkpoint, file, 128) == artefact
    backend = fastest(checkpoint, CPU, 128, beside=file)
    assert isinstance(backend, OpenVinoBackend)
    assert backend.description.precision == "int8"
    assert certified(checkpoint, file, 256) is None  # it was measured at another size
    assert certified(seeing(seed=1), file, 128) is None  # other weights
    with (artefact / "model.bin").open("ab") as content:
        content.write(b"0")
    assert certified(checkpoint, file, 128) is None  # other bytes than those of the certificate
    assert certified(checkpoint, tmp_path / "other.pt", 128) is None


@pytest.mark.slow
def test_an_artefact_in_8_bits_of_one_shape_is_passed_over(tmp_path):
    """It would take squares, and no scaled views: what auto gives is to take what torch takes."""
    checkpoint, pictures = seeing(), write_pictures(tmp_path / "pictures")
    options = ExportOptions(batch=2, calibration=pictures)
    (done,) = export(checkpoint, ["openvino-int8"], tmp_path, options, stem="best", images=pictures)
    assert done.error is None
    artefact, page = tmp_path / "best.int8.openvino", tmp_path / "best.int8.openvino.parity.json"
    if not done.ok:
        artefact.with_name("best.int8.openvino.rejected").rename(artefact)
    page.write_text(json.dumps(json.loads(page.read_text()) | {"verdict": "passed"}))
    assert is_certified(artefact)
    assert certified(checkpoint, tmp_path / "best.pt", 128) is None


@pytest.mark.parametrize(
    "error", [ImportError("libopenvino.so: wrong"), KeyError("vendor")], ids=["import", "any"]
)
def test_a_runtime_that_is_installed_and_broken_is_passed_over(tmp_path, monkeypatch, caplog, error):
    def broken(*_arguments, **_options):
        raise error

    monkeypatch.setattr(OpenVino, "open", broken)
    monkeypatch.setattr(OpenVino, "describe", broken)
    monkeypatch.setattr(automatic, "has_bfloat16", lambda: False)
    (tmp_path / "best.int8.openvino").mkdir()
    with caplog.at_level(logging.WARNING):
        backend = fastest(lively(), CPU, 128, beside=tmp_path / "best.pt")
    assert isinstance(backend, OnnxBackend)
    assert "not used" in caplog.text


def test_a_cache_that_cannot_be_written_keeps_nothing_from_being_used(monkeypatch):
    def refused(_path):
        raise PermissionError(13, "read-only")

    monkeypatch.setattr(Path, "touch", refused)
    assert isinstance(fastest(lively(), CPU, 128), OpenVinoBackend)


@pytest.mark.parametrize(("agrees", "dtype"), [(True, torch.float16), (False, torch.float32)])
def test_elsewhere_16_bits_must_agree_too(monkeypatch, agrees, dtype):
    """As on a GPU: on a device that only has shapes, and with the answer given."""
    monkeypatch.setattr(automatic, "agrees", lambda backend, _: agrees and backend.dtype == torch.float16)
    backend = fastest(lively(), torch.device("meta"), 128)
    assert isinstance(backend, TorchBackend)
    assert (backend.device.type, backend.dtype) == ("meta", dtype)


def test_what_disagrees_is_not_taken(monkeypatch, caplog):
    class Wrong(OpenVinoBackend):
        def infer_above(self, images, objectness):
            found = super().infer_above(images, objectness)
            for rows in found:
                rows[:, 4] = rows[:, 4].flip(0)
            return found

    monkeypatch.setattr("yolov7.runtimes.openvino.OpenVinoBackend", Wrong)
    monkeypatch.setattr(automatic, "has_bfloat16", lambda: False)
    monkeypatch.setattr(automatic, "Onnx", lambda: OpenVino())  # no second one either
    with caplog.at_level(logging.WARNING):
        backend = fastest(lively(), CPU, 128)
    assert isinstance(backend, TorchBackend)
    assert backend.dtype == torch.float32
    assert "disagrees with torch" in caplog.text


def test_without_openvino(monkeypatch):
    monkeypatch.setattr(automatic, "is_installed", lambda _module: False)
    monkeypatch.setattr(automatic, "has_bfloat16", lambda: True)
    backend = fastest(lively(), CPU, 128)
    assert isinstance(backend, TorchBackend)
    assert backend.dtype == torch.bfloat16
    monkeypatch.setattr(automatic, "has_bfloat16", lambda: False)
    backend = fastest(lively(), CPU, 128)
    assert isinstance(backend, TorchBackend)
    assert backend.dtype == torch.float32


def test_agreement_minds_boxes_scores_and_what_is_no_number():
    reference = TorchBackend(lively().model)

    class Shifted(TorchBackend):
        change = staticmethod(lambda rows: rows)

        def __call__(self, images, objectness):
            return tuple(self.change(rows.clone()) for rows in super().__call__(images, objectness))

    shifted = Shifted(lively().model)
    assert agrees(shifted, reference)

    def moved(rows):
        rows[:, 0] += 0.2 * rows[:, 2] + 2
        return rows

    def scored(rows):
        rows[0, 6] += 0.1
        return rows

    def undefined(rows):
        rows[3, 4] = torch.nan
        return rows

    for change in (moved, scored, undefined, lambda rows: rows[1:]):
        shifted.change = change
        assert not agrees(shifted, reference)
