"""Whether two networks have the same weights."""

from __future__ import annotations

import hashlib

from yolov7.models.detector import Detector


def weights_sha256(model: Detector) -> str:
    """SHA-256 of a network's tensors, their names, shapes and types: the same whatever file they are in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy())
    return digest.hexdigest()
