"""Our numbers beside those that came from elsewhere: what the tests assert and docs/fidelity.md lists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tests.golden.keyed import HERE, generator, golden_network, keyed_image, keyed_state_dict
from yolov7.checkpoints.official import recover
from yolov7.models.architecture import VARIANTS, Architecture
from yolov7.models.complexity import PAPER, complexity
from yolov7.models.detector import fuse
from yolov7.nms import non_max_suppression

RAW_LOGITS, RAW_LOGITS_TINY = 5e-6, 5e-5
"""Norm of the difference over norm of the reference."""
BOXES = 1e-3
"""Pixels, or relative where the reference is above 1."""
PROBABILITIES = 1e-4
FUSED_PIXELS, FUSED_PROBABILITIES = 0.02, 1e-4


@dataclass(frozen=True)
class Comparison:
    """One number of ours against a reference: the largest error, and how much is allowed."""

    subject: str
    quantity: str
    error: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        return self.error <= self.tolerance


@torch.no_grad()
def compare_network(variant: Architecture) -> Iterator[Comparison]:
    """Logits, decoded rows and the folded form of a variant, on keyed weights and a keyed image."""
    description, golden = golden_network(variant.name)
    model = recover(keyed_state_dict(description, variant.anchors)).model
    image = keyed_image(description)
    predictions = model(image)
    decoded = model.decode(predictions)[0]
    name = variant.name

    logits = (*predictions.lead, *predictions.aux)
    shapes = [list(level.shape[1:]) for level in logits]
    raw = [
        _relative_norm(_every(level, description["row_step"]), golden[f"raw{i}"])
        for i, level in enumerate(logits)
    ]
    heads = len(predictions.lead)
    tolerance = RAW_LOGITS_TINY if name == "yolov7-tiny" else RAW_LOGITS
    yield Comparison(name, "variant recovered from tensors", float(model.architecture.name != name), 0)
    yield Comparison(name, "shapes of logits", float(shapes != description["raw_shapes"]), 0)
    yield Comparison(name, "rows of decoded output", abs(len(decoded) - description["n_rows"]), 0)
    yield Comparison(name, "lead logits, relative norm", max(raw[:heads]), tolerance)
    if raw[heads:]:
        yield Comparison(name, "auxiliary logits, relative norm", max(raw[heads:]), tolerance)
    found, expected = decoded.numpy()[golden["rows"]], golden["decoded"]
    boxes = np.abs(found - expected)[:, :4] / np.maximum(1, np.abs(expected[:, :4]))
    yield Comparison(name, "boxes, pixels or relative", float(boxes.max()), BOXES)
    yield Comparison(name, "probabilities", float(np.abs(found - expected)[:, 4:].max()), PROBABILITIES)
    deployed = fuse(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    change = (deployed.decode(deployed(image))[0] - decoded).abs()
    yield Comparison(name, "folded against unfolded, pixels", float(change[:, :4].max()), FUSED_PIXELS)
    yield Comparison(
        name, "folded against unfolded, probabilities", float(change[:, 4:].max()), FUSED_PROBABILITIES
    )


def compare_counts() -> Iterator[Comparison]:
    """The paper's digits: parameters in millions, operations in billions."""
    for variant in VARIANTS:
        counts, paper = complexity(variant), PAPER[variant.name]
        parameters = abs(round(counts.paper_parameters / 1e6, 1) - paper.parameters_m)
        yield Comparison(variant.name, "the paper's parameters, M", parameters, 0)
        yield Comparison(variant.name, "the paper's FLOPs, G", abs(counts.paper_gflops - paper.gflops), 0)


NMS_CASES = json.loads((HERE / "nms" / "cases.json").read_text())


def compare_nms(case: str) -> Iterator[Comparison]:
    """Detections of a case: the same boxes and classes in the same order, but for equal scores."""
    settings = NMS_CASES[case]
    rows = keyed_rows(case, **{key: settings[key] for key in ("n", "nc", "size", "clusters")})
    (found,) = non_max_suppression(
        rows[None],
        settings["conf"],
        settings["iou"],
        multi_label=settings["multi_label"],
        classes=settings.get("classes"),
        agnostic=settings.get("agnostic", False),
    )
    ours = _canonical(np.column_stack([values.numpy() for values in found]))
    with np.load(HERE / "nms" / f"{case}.npz") as arrays:
        theirs = _canonical(arrays["detections"])
    subject = f"NMS: {case}"
    yield Comparison(subject, "number of detections", abs(len(ours) - len(theirs)), 0)
    if len(ours) == len(theirs):
        yield Comparison(subject, "classes", float((ours[:, 5] != theirs[:, 5]).sum()), 0)
        yield Comparison(subject, "boxes, pixels", float(np.abs(ours - theirs)[:, :4].max()), 0)
        yield Comparison(subject, "scores", float(np.abs(ours - theirs)[:, 4].max()), 0)


def keyed_rows(case: str, *, n: int, nc: int, size: int, clusters: int) -> Tensor:
    """Decoded rows (n, 5 + nc) that follow from the case's name alone."""
    g = generator(f"nms.{case}")
    centres = g.uniform(0.1, 0.9, (clusters, 2)) * size
    wh = np.exp(g.uniform(np.log(0.05), np.log(0.4), (clusters, 2))) * size
    k = g.integers(0, clusters, n)
    xy = centres[k] + g.normal(0, 0.08, (n, 2)) * wh[k]
    sizes = wh[k] * np.exp(g.normal(0, 0.15, (n, 2)))
    objectness = g.beta(1, 3, (n, 1))
    probabilities = g.beta(0.5, 4, (n, nc))
    probabilities[np.arange(n), k % nc] = g.beta(4, 2, n)
    return torch.from_numpy(np.hstack((xy, sizes, objectness, probabilities)).astype(np.float32))


def _canonical(detections: np.ndarray) -> np.ndarray:
    """Best first; detections of one score in an order of their own."""
    x1, y1, x2, y2, score, label = detections.T
    return detections[np.lexsort((y2, x2, y1, x1, label, -score))]


def _every(level: Tensor, step: int) -> np.ndarray:
    rows: np.ndarray = level.reshape(-1, level.shape[-1])[::step].numpy()
    return rows


def _relative_norm(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
