"""Our numbers beside those that came from elsewhere: what the tests assert and docs/fidelity.md lists."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.golden.keyed import HERE, generator, golden_network, keyed_image, keyed_state_dict
from yolov7.assign.guidance import Assigner
from yolov7.boxes import cxcywh_to_xyxy
from yolov7.checkpoints.official import recover
from yolov7.losses.detection import DetectionLoss, Gains
from yolov7.models.architecture import VARIANTS, Architecture
from yolov7.models.baselines import BASELINES
from yolov7.models.detector import fuse
from yolov7.nms import non_max_suppression
from yolov7.reproduce.counting import PRINTED, complexity
from yolov7.types import Assignment, Predictions, Targets

NETWORKS = (*VARIANTS, *BASELINES)
"""Those that the released implementation has."""

RAW_LOGITS, RAW_LOGITS_TINY = 5e-6, 5e-5
"""Norm of the difference over norm of the reference."""
BOXES = 1e-3
"""Pixels, or relative where the reference is above 1."""
PROBABILITIES = 1e-4
FUSED_PIXELS, FUSED_PROBABILITIES = 0.02, 1e-4
LOSSES = 1e-4
"""Relative."""
TIED = 0.01
"""Of positives and of losses, where equal costs are told apart by the released sort and not by a rule."""


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
def compare_network(network: Architecture) -> Iterator[Comparison]:
    """Logits, decoded rows and the folded form of a network, on keyed weights and a keyed image."""
    description, golden = golden_network(network.name)
    model = recover(keyed_state_dict(description, network.anchors)).model
    image = keyed_image(description)
    predictions = model(image)
    decoded = model.decode(predictions)[0]
    name = network.name

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
    deployed = fuse(model).to(memory_format=torch.channels_last)
    change = (deployed.decode(deployed(image))[0] - decoded).abs()
    yield Comparison(name, "folded against unfolded, pixels", float(change[:, :4].max()), FUSED_PIXELS)
    yield Comparison(
        name, "folded against unfolded, probabilities", float(change[:, 4:].max()), FUSED_PROBABILITIES
    )


def compare_counts() -> Iterator[Comparison]:
    """The paper's digits: parameters in millions, operations in billions."""
    for variant in VARIANTS:
        counts, (parameters_m, gflops) = complexity(variant), PRINTED[variant.name]
        parameters = abs(round(counts.paper_parameters / 1e6, 1) - parameters_m)
        yield Comparison(variant.name, "the paper's parameters, M", parameters, 0)
        yield Comparison(variant.name, "the paper's FLOPs, G", abs(counts.paper_gflops - gflops), 0)


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


LOSS_CASES = json.loads((HERE / "losses" / "cases.json").read_text())
TIED_CASES = ("ota_crowd", "aux_crowd")
STRIDES = (8, 16, 32, 64)
RECIPE_GAINS = {
    "p5": Gains(box=0.05, objectness=0.7, classes=0.3),
    "p6": Gains(box=0.05, objectness=0.7, classes=0.3),
    "tiny": Gains(box=0.05, objectness=1.0, classes=0.5),
}


def compare_losses(case: str) -> Iterator[Comparison]:
    """Positives, losses and gradients of a case."""
    settings = LOSS_CASES[case]
    with np.load(HERE / "losses" / f"{case}.npz") as arrays:
        golden = dict(arrays)
    predictions, targets = keyed_logits(case, settings), _targets(golden["targets"], settings["size"])
    anchors = torch.tensor(settings["anchors"], dtype=torch.float32).unflatten(1, (3, 2))
    strides = STRIDES[: len(anchors)]
    assignments = Assigner(anchors, strides)(predictions, targets)
    gains = RECIPE_GAINS[settings["hyp"]].scaled(len(anchors), settings["nc"], settings["size"])
    losses = DetectionLoss(anchors, strides, gains)(predictions, assignments, targets)
    back_propagated = losses.total * len(settings["counts"])
    back_propagated.backward()

    subject, tied = f"losses: {case}", case in TIED_CASES
    for head, assignment in zip(("lead", "aux"), assignments, strict=True):
        if assignment is not None:
            theirs = [golden[f"{head}{level}"] for level in range(len(anchors))]
            differing = _share_of_other_positives(assignment, theirs)
            yield Comparison(subject, f"{head} positives", differing, TIED if tied else 0)
    for quantity, ours, theirs in (
        ("box loss", losses.box, settings["box"]),
        ("objectness loss", losses.objectness, settings["obj"]),
        ("class loss", losses.classes, settings["cls"]),
        ("total", losses.total, settings["total"]),
        ("total, back-propagated", back_propagated, settings["total_times_batch"]),
    ):
        error = abs(float(ours.detach()) - theirs) / max(theirs, 1e-12)  # one class: its loss is 0
        yield Comparison(subject, f"{quantity}, relative", error, TIED if tied else LOSSES)
    gradients = [
        abs(float(logits.grad.abs().sum()) - theirs) / theirs
        for logits, theirs in zip(
            (*predictions.lead, *predictions.aux), settings["grad_abs_sum"], strict=True
        )
    ]
    yield Comparison(subject, "gradients, relative", max(gradients), TIED if tied else LOSSES)


def keyed_logits(case: str, settings: dict[str, Any]) -> Predictions:
    """Logits that follow from the case's name alone, with room for gradients."""
    levels = len(settings["anchors"])
    heads = []
    for head in range(levels * (2 if settings["kind"] == "aux" else 1)):
        cells = settings["size"] // STRIDES[head % levels]
        shape = (len(settings["counts"]), 3, cells, cells, 5 + settings["nc"])
        logits = generator(f"loss.{case}.raw{head}").normal(0, 1, shape).astype(np.float32)
        logits[..., :4] *= 0.4
        logits[..., 4] -= 2.0
        heads.append(torch.from_numpy(logits).requires_grad_())
    return Predictions(tuple(heads[:levels]), tuple(heads[levels:]))


def _targets(rows: np.ndarray, size: int) -> Targets:
    """From image, class, cx, cy, w, h (normalised)."""
    values = torch.from_numpy(rows)
    return Targets(values[:, 0].long(), cxcywh_to_xyxy(values[:, 2:] * size), values[:, 1].long())


def _share_of_other_positives(assignment: Assignment, theirs: list[np.ndarray]) -> float:
    """How many positives only one side has, repetitions counted, over how many there should be."""
    a = assignment
    ours = Counter(
        zip(*(v.tolist() for v in (a.level, a.image, a.anchor, a.row, a.column, a.target)), strict=True)
    )
    expected = Counter((level, *row) for level, rows in enumerate(theirs) for row in rows.tolist())
    return ((ours - expected).total() + (expected - ours).total()) / expected.total()


def _canonical(detections: np.ndarray) -> np.ndarray:
    """Best first; detections of one score in an order of their own."""
    x1, y1, x2, y2, score, label = detections.T
    return detections[np.lexsort((y2, x2, y1, x1, label, -score))]


def _every(level: Tensor, step: int) -> np.ndarray:
    rows: np.ndarray = level.reshape(-1, level.shape[-1])[::step].numpy()
    return rows


def _relative_norm(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
