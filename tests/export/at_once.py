"""Whether a backend may be called by several threads at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch

from yolov7.inference.backend import Backend


def check_calls_at_once(backend: Backend, reference: Backend, images: torch.Tensor) -> None:
    """Each call gets the rows of its own images: batches of one and of two, forty calls, four at a time."""
    batches = [images[:1], images[1:2], images[:2]]
    wanted = [reference(batch, 0.1) for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda i: backend(batches[i % 3], 0.1), range(40)))
    for i, rows in enumerate(found):
        for one, expected in zip(rows, wanted[i % 3], strict=True):
            assert len(expected) > 0
            torch.testing.assert_close(one, expected, atol=5e-3, rtol=1e-5)
