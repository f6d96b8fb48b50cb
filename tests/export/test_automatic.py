"""Which runtime is taken, and that a wrong one is not."""

from __future__ import annotations

import logging

import pytest
import torch

from tests.export.lively import lively
from yolov7.export import automatic
from yolov7.export.automatic import agrees, fastest
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


def test_what_disagrees_is_not_taken(monkeypatch, caplog):
    class Wrong(OpenVinoBackend):
        def infer(self, images):
            rows = super().infer(images).clone()
            rows[:, :, 4] = rows[:, :, 4].flip(1)
            return rows

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
