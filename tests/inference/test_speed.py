"""Inputs as prediction makes them, and calls that are timed."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from tests.runtimes.lively import lively, noise
from yolov7.inference import speed
from yolov7.inference.backend import TorchBackend
from yolov7.inference.predictor import Predictor
from yolov7.inference.speed import call_seconds, inputs_for


class Seeing(TorchBackend):
    """Keeps what it is given."""

    def __call__(self, images, objectness):
        self.seen = [*getattr(self, "seen", []), images]
        return super().__call__(images, objectness)


def test_inputs_are_those_of_prediction():
    checkpoint = lively()
    backend = Seeing(checkpoint.model)
    photos = [noise(90, 120), noise(120, 90), noise(64, 128)]
    for batch in (1, 2):
        backend.seen = []
        list(Predictor(backend, checkpoint.names, 96).predict(photos, batch_size=batch))
        inputs = inputs_for(backend, photos, 96, batch)
        assert len(inputs) == len(backend.seen) == -(-3 // batch)
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(inputs, backend.seen, strict=True))


def test_inputs_of_a_backend_that_takes_one_shape():
    backend = TorchBackend(lively().model)
    backend.shape = (64, 96)
    assert [tuple(one.shape) for one in inputs_for(backend, [noise(90, 120)], 640)] == [(1, 3, 64, 96)]


def test_calls_are_timed_one_by_one(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def call(wait: torch.Tensor) -> None:
        clock[0] += wait.item()

    waits = [torch.tensor(0.5), torch.tensor(0.0), torch.tensor(2.0)]
    assert call_seconds(call, waits, torch.device("cpu")) == [0.5, 0.0, 2.0]
