"""Which shapes are replayed, and what is not trusted. The recorder is CUDA's in the last test alone."""

from __future__ import annotations

import pytest
import torch

import yolov7
from yolov7.inference.backend import TorchBackend
from yolov7.inference.graphs import MAX_BATCH, MAX_GRAPHS, GraphedNetwork


class Doubling:
    """A network that doubles, and what records it: replays add `error`."""

    def __init__(self, error: float = 0) -> None:
        self.error = error
        self.calls, self.replays = 0, 0

    def __call__(self, images):
        self.calls += 1
        return [2 * images]

    def record(self, network, images):
        shape = images.shape

        def replay(images):
            assert images.shape == shape
            self.replays += 1
            return [output + self.error for output in network(images)]

        return replay


def images(count: int = 1, side: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, side, side)


def test_a_shape_is_replayed_from_the_third_time_on():
    doubling = Doubling()
    graphed = GraphedNetwork(doubling, doubling.record)
    for _ in range(4):
        batch = images()
        assert torch.equal(graphed(batch)[0], 2 * batch)
    assert doubling.replays == 1 + 2  # to be compared; and twice in earnest
    graphed(images(side=64))
    assert doubling.replays == 3


def test_large_batches_and_many_shapes_are_not_recorded():
    doubling = Doubling()
    graphed = GraphedNetwork(doubling, doubling.record)
    for _ in range(4):
        graphed(images(MAX_BATCH + 1))
    assert doubling.replays == 0
    for side in range(1, MAX_GRAPHS + 3):
        for _ in range(3):
            graphed(images(side=side))
    assert doubling.replays == 2 * MAX_GRAPHS


@pytest.mark.parametrize("error", [0.1, float("nan")])
def test_a_graph_that_disagrees_is_not_used(error, caplog):
    doubling = Doubling(error)
    graphed = GraphedNetwork(doubling, doubling.record)
    for _ in range(4):
        batch = images()
        assert torch.equal(graphed(batch)[0], 2 * batch)
    assert doubling.replays == 1
    assert "disagrees" in caplog.text


def test_a_graph_that_gives_what_it_was_recorded_with_is_not_used(caplog):
    def frozen(network, images):
        outputs = network(images)
        return lambda _: outputs

    graphed = GraphedNetwork(Doubling(), frozen)
    for _ in range(4):
        batch = images()
        assert torch.equal(graphed(batch)[0], 2 * batch)
    assert "disagrees" in caplog.text


def test_what_cannot_be_recorded_is_called(caplog):
    def refuse(network, images):
        raise RuntimeError("operation not permitted when stream is capturing")

    graphed = GraphedNetwork(Doubling(), refuse)
    for _ in range(4):
        batch = images()
        assert torch.equal(graphed(batch)[0], 2 * batch)
    assert caplog.text.count("not permitted") == 1


def test_graphs_are_for_nvidia_alone(caplog):
    model = yolov7.create("yolov7-tiny", classes=3)
    batch = images(side=64)
    plain, graphed = (TorchBackend(model, "cpu", graphs=graphs) for graphs in (False, True))
    for _ in range(3):  # from the second on there would be something to record
        assert torch.equal(graphed(batch, -1)[0], plain(batch, -1)[0])
    assert caplog.text == ""


@pytest.mark.parametrize("gpu", [0, 1])
def test_replays_on_a_gpu_are_the_network(gpu, caplog):
    if torch.cuda.device_count() <= gpu:
        pytest.skip("records on a GPU; the second one is not torch's current device")
    model = yolov7.create("yolov7-tiny", classes=3)
    plain, graphed = (
        TorchBackend(model, f"cuda:{gpu}", half=True, graphs=graphs) for graphs in (False, True)
    )
    for seed in range(5):
        torch.manual_seed(seed)
        batch = (255 * images(side=320)).byte()
        found, expected = graphed(batch, -1)[0], plain(batch, -1)[0]
        torch.testing.assert_close(found[:, :4], expected[:, :4], rtol=1e-2, atol=1)
        torch.testing.assert_close(found[:, 4:], expected[:, 4:], rtol=0, atol=1e-2)
    assert caplog.text == ""
