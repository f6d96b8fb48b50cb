"""Which runtime is taken, and that a wrong one is not."""

from __future__ import annotations

import logging

import cv2
import pytest
import torch

from tests.export.lively import lively
from tests.export.seeing import picture, seeing
from yolov7.export import automatic
from yolov7.export.artefact import ExportOptions
from yolov7.export.automatic import agrees, certified, fastest
from yolov7.export.exporting import export
from yolov7.export.openvino import OpenVino, OpenVinoBackend
from yolov7.inference.backend import TorchBackend

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
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
    if not done.ok:  # what is tested here is the certificate's word, not the network's
        artefact.with_name("best.int8.openvino.rejected").rename(artefact)
        assert certified(checkpoint, file, 128) is None
        page = artefact.with_name("best.int8.openvino.parity.json")
        page.write_text(page.read_text().replace('"verdict": "rejected"', '"verdict": "passed"'))
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


def test_what_disagrees_is_not_taken(monkeypatch, caplog):
    class Wrong(OpenVinoBackend):
        def infer_above(self, images, objectness):
            found = super().infer_above(images, objectness)
            for rows in found:
                rows[:, 4] = rows[:, 4].flip(0)
            return found

    monkeypatch.setattr("yolov7.export.openvino.OpenVinoBackend", Wrong)
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
