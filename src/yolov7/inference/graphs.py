"""CUDA graphs: a network's hundreds of launches recorded once, and replayed as one.

What a GPU does for one image takes about as long as telling it what to do, kernel by kernel.
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

SHAPES = 8
"""So many are recorded: each keeps memory for its layers."""
IMAGES = 4
"""In larger batches the GPU is busy for longer than the launches take."""
TOLERANCE = 1e-2
"""Of a replay from the network itself, relative to the largest output: kernels may be chosen anew."""

_LOG = logging.getLogger(__name__)


class GraphedNetwork:
    """A network that is replayed where a graph of it agrees with it, and called where there is none.

    Shapes are recorded when they come for the second time. Outputs are valid until the next call: a caller
    holds `lock` for as long as it needs them.

    Args:
        network: the same kernels for the same shape, and nothing that waits for the device.
        record: the network for images like these, as one launch; CUDA's by default.
    """

    def __init__(self, network: Network, record: Callable[[Network, Tensor], Network] | None = None) -> None:
        self.lock = threading.Lock()
        self._network = network
        self._record = record or _recorded
        self._seen: Counter[torch.Size] = Counter()
        self._graphs: dict[torch.Size, Network] = {}

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        if (graph := self._graphs.get(images.shape)) is not None:
            return graph(images)
        outputs = self._network(images)
        self._seen[images.shape] += 1
        if self._seen[images.shape] == 2 and len(images) <= IMAGES and len(self._graphs) < SHAPES:
            self._try_to_record(images)
        return outputs

    def _try_to_record(self, images: Tensor) -> None:
        mirrored = images.flip(-1)  # of what it was recorded with, even an empty graph has the right outputs
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
            _LOG.warning("a CUDA graph disagrees with its network, and is not used")


def _close(found: Tensor, expected: Tensor) -> bool:
    largest = expected.abs().max().float()
    # "Not at most" instead of "greater than": NaN is not close.
    return bool((found.float() - expected.float()).abs().max() <= TOLERANCE * largest)


def _recorded(network: Network, images: Tensor) -> Network:
    kept = images.clone()  # a graph reads and writes where it did when it was recorded
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(images.device):  # streams are of the current device: else nothing is recorded
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):  # libraries choose their kernels and take their workspaces
                network(kept)
        torch.cuda.current_stream().wait_stream(aside)
        # What other threads do with the device in the meantime is no fault of this one.
        with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
            outputs = network(kept)

    def replay(images: Tensor) -> Sequence[Tensor]:
        kept.copy_(images)
        graph.replay()
        return outputs

    return replay
