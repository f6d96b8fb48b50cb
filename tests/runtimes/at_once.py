"""Whether a backend may be called by several threads at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from yolov7.inference.backend import Backend


def check_calls_at_once(backend: Backend, batches: Sequence[torch.Tensor]) -> None:
    """Sixty calls, four at a time, give what each gave alone, to the last bit."""
    alone = [backend(batch, 0.1) for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda i: backend(batches[i % len(batches)], 0.1), range(60)))
    for i, rows in enumerate(found):
        for one, expected in zip(rows, alone[i % len(batches)], strict=True):
            assert len(expected) > 0
            assert torch.equal(one, expected)
