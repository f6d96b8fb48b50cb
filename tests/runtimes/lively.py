"""Networks that find something without having been trained, so that comparisons have something to compare.

They forgive: rounding to 16 bits moves their scores by hundredths, as with trained networks, because features
depend less on the image than on the place. Whether an image is seen as it is, tests.runtimes.seeing shows:
its networks see much, and make much of a rounding.
"""

from __future__ import annotations

import copy
import functools

import numpy as np
import torch

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.models.architecture import scale
from yolov7.models.detector import Detector, fuse
from yolov7.models.zoo import find_architecture
from yolov7.types import Image

NAMES = ("red", "green", "blue")


def lively(
    variant: str = "yolov7-tiny", *, width: float = 0.25, size: int = 128, seed: int = 0
) -> Checkpoint:
    """A narrow network whose features vary over an image and whose scores spread over 0 to 1."""
    return copy.deepcopy(_lively(variant, width, size, seed))


@functools.cache
def _lively(variant: str, width: float, size: int, seed: int) -> Checkpoint:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Detector(scale(find_architecture(variant), width=width, branch=width), len(NAMES))
        images = torch.stack([torch.from_numpy(noise(size, size, seed + i)) for i in range(4)])
        model.train()
        with torch.no_grad():
            for _ in range(20):  # running statistics come near those of the images
                model(images.permute(0, 3, 1, 2) / 255)
            model = fuse(model)
            logits = model(images.permute(0, 3, 1, 2) / 255).lead
            wanted = torch.tensor([0.0, 0, 0, 0, -3, *[-1] * len(NAMES)])  # rare objects of changing classes
            for level, convolution in zip(logits, model.lead.convs, strict=True):
                mean, spread = level.mean(dim=(0, 2, 3)), level.std(dim=(0, 2, 3)).clamp(min=1e-6)
                gain = (1.5 / spread).flatten()
                convolution.weight.mul_(gain[:, None, None, None])
                convolution.bias.copy_(convolution.bias * gain - gain * mean.flatten() + wanted.repeat(3))
    return Checkpoint(model, NAMES, size, "open-yolov7", "float32")


def noise(height: int, width: int, seed: int = 0) -> Image:
    """Coloured patches of many sizes."""
    random = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.float64)
    for cells in (2, 5, 16):
        patches = random.uniform(0, 1, (cells, cells, 3))
        rows, columns = np.arange(height) * cells // height, np.arange(width) * cells // width
        image += patches[rows][:, columns]
    return np.rint(image / 3 * 255).astype(np.uint8)
