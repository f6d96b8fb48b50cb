"""A small network whose detections depend on the picture, pictures for it, and labels that it agrees with."""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.evaluating import evaluate
from yolov7.models.architecture import scale
from yolov7.models.detector import Detector, fuse
from yolov7.models.zoo import find_architecture
from yolov7.types import Image

NAMES = ("red", "green", "blue")
SIZE = 128
SIZES = ((128, 96), (100, 128), (64, 160), (128, 128))
"""(height, width) of the pictures."""


def seeing(seed: int = 0, bias: float = -3.0) -> Checkpoint:
    """A narrow yolov7-tiny that was not trained, yet responds to what it is shown, as trained ones do.

    Args:
        seed: of its weights.
        bias: of objectness: the lower, the fewer objects.
    """
    return copy.deepcopy(_seeing(seed, bias))


@functools.cache
def _seeing(seed: int, bias: float) -> Checkpoint:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Detector(scale(find_architecture("yolov7-tiny"), width=0.25, branch=0.25), len(NAMES)).train()
        for part in model.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, a=0.1)
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = None  # running statistics are those of the pictures, at once
    pictures = np.stack([picture(2 * SIZE, 2 * SIZE, seed=i) for i in range(8)])
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
    spreads, centres = torch.tensor([0.5] * 4 + [1.5] * 4), torch.tensor([0.0] * 4 + [bias] + [-1.0] * 3)
    with torch.no_grad():
        model(images)
        model = fuse(model)
        for logits, conv in zip(model(images).lead, model.lead.convs, strict=True):
            gain = (spreads / logits.std(dim=(0, 2, 3))).flatten()
            conv.weight.mul_(gain[:, None, None, None])
            conv.bias.copy_((conv.bias - logits.mean(dim=(0, 2, 3)).flatten()) * gain + centres.repeat(3))
    return Checkpoint(model.eval(), NAMES, SIZE, "open-yolov7", "float32")


def picture(height: int, width: int, seed: int) -> Image:
    """Soft blots of many sizes and colours."""
    random = np.random.default_rng(seed)
    blots = [
        cv2.resize(random.uniform(0, 1, (cells, cells, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
        for cells in (2, 5, 16)
    ]
    return np.clip(np.mean(blots, axis=0) * 255, 0, 255).astype(np.uint8)


PICTURES = [picture(height, width, seed=10 + i) for i, (height, width) in enumerate(SIZES)]


def write_pictures(folder: Path) -> Path:
    """0.png, 1.png..."""
    folder.mkdir(parents=True)
    for i, image in enumerate(PICTURES):
        cv2.imwrite(str(folder / f"{i}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return folder


def write_labelled(folder: Path, checkpoint: Checkpoint) -> Path:
    """A COCO data set, whose labels are what evaluation finds. -> its json file"""
    write_pictures(folder / "images")
    images = [
        {"id": i, "file_name": f"{i}.png", "height": height, "width": width}
        for i, (height, width) in enumerate(SIZES)
    ]
    content = {
        "images": images,
        "annotations": [
            {"id": 0, "image_id": 0, "category_id": 0, "bbox": [9, 9, 9, 9], "area": 81, "iscrowd": 0}
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(checkpoint.names)],
    }
    path = folder / "instances.json"
    path.write_text(json.dumps(content))  # with any label at all, to be evaluated once
    outcome = evaluate(checkpoint, path, device="cpu", conf=0.25)
    entries = [entry for i, found in outcome.by_image.items() for entry in found.to_coco(i)]
    content["annotations"] = [
        entry | {"id": number, "area": entry["bbox"][2] * entry["bbox"][3], "iscrowd": 0}
        for number, entry in enumerate(entries)
        if min(entry["bbox"][2:]) > 0
    ]
    path.write_text(json.dumps(content))
    return path
