"""CUDA graphs: the hundreds of kernel launches of a network, recorded once and replayed as one.

For a single image, launching the kernels one by one takes about as long as running them.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Network = Callable[[Tensor], Sequence[Tensor]]
"""Images (B, 3, H, W) -> outputs."""

MAX_GRAPHS = 8
"""Maximum number of recorded shapes; each graph keeps memory for its activations."""
MAX_BATCH = 4
"""Largest batch that is recorded. For larger ones, running the kernels takes longer than launching them."""
TOLERANCE = 1e-2
"""Largest accepted difference of a replay, relative to the network's largest output: kernels may differ."""

_LOG = logging.getLogger(__name__)


class GraphedNetwork:
    """A network that replays a graph for shapes that have one, and runs as usual for others.

    A shape is recorded at its second occurrence, and its graph is used if it agrees with the network. Outputs
    are valid until the next call: callers hold `lock` for as long as they need them.

    Args:
        network: must run the same kernels for the same shape, and never wait for the device.
        record: function that records the network for images of one shape; by CUDA by default.
    """

    def __init__(self, network: Network, record: Callable[[Network, Tensor], Network] | None = None) -> None:
        self.lock = threading.Lock()
        self._network = network
        self._record = record or _record
        self._seen: Counter[torch.Size] = Counter()
        self._graphs: dict[torch.Size, Network] = {}

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        if (graph := self._graphs.get(images.shape)) is not None:
            return graph(images)
        outputs = self._network(images)
        self._seen[images.shape] += 1
        if self._seen[images.shape] == 2 and len(images) <= MAX_BATCH and len(self._graphs) < MAX_GRAPHS:
            self._try_to_record(images)
        return outputs

    def _try_to_record(self, images: Tensor) -> None:
        mirrored = images.flip(-1)  # not the recorded images: even an empty graph returns their outputs
        try:
            graph = self._record(self._network, images)
            replayed = graph(mirrored)
        except RuntimeError as error:
            _LOG.warning("no CUDA graph: %s", error)
            return
        expected = self._network(mirrored)
        if all(_close(*pair) for pair in zip(replayed, expected, strict=True)):
            self._graphs[images.shape] = graph
        else:
            _LOG.warning("a CUDA graph disagrees with its network and is not used")


def _close(found: Tensor, expected: Tensor) -> bool:
    largest = expected.abs().max().float()
    # NaN compares as not close.
    return bool((found.float() - expected.float()).abs().max() <= TOLERANCE * largest)


def _record(network: Network, images: Tensor) -> Network:
    kept = images.clone()  # a graph always reads and writes the memory that it was recorded with
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(images.device):  # streams belong to the current device
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):  # warm-up: libraries choose kernels and allocate workspaces
                network(kept)
        torch.cuda.current_stream().wait_stream(aside)
        # thread_local: other threads may use the device meanwhile.
        with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
            outputs = network(kept)

    def replay(images: Tensor) -> Sequence[Tensor]:
        kept.copy_(images)
        graph.replay()
        return outputs

    return replay
