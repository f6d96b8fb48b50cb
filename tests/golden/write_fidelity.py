"""Writes docs/fidelity.md: each comparison with a number from elsewhere, its tolerance, its result."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from tests.golden.compare import (
    LOSS_CASES,
    NETWORKS,
    NMS_CASES,
    Comparison,
    compare_counts,
    compare_losses,
    compare_network,
    compare_nms,
)
from yolov7.console import say
from yolov7.demo import coco_weights
from yolov7.evaluating import evaluate

PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"
DEPARTURES = Path(__file__).with_name("departures.md")

# COCO metrics of the demo's weights as a detector, 100 images of val2017; measured elsewhere by pycocotools.
REFERENCE = {"AP": (0.520, 0.004), "AP50": (0.682, 0.006)}


def main() -> None:
    comparisons = list(_all())
    if len(sys.argv) > 1:
        comparisons += _real(Path(sys.argv[1]))
    lines = [
        "# Fidelity",
        "",
        "Written by `scripts/fidelity`. Each row is a number of ours against one that came from elsewhere:",
        "the released implementation's on keyed weights and images (tests/golden/README.md), or the paper's.",
        f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, float32.",
        "",
        "| subject | quantity | largest error | tolerance | result |",
        "|---|---|---|---|---|",
    ]
    for c in comparisons:
        result = "agrees" if c.agrees else "**differs**"
        lines.append(f"| {c.subject} | {c.quantity} | {c.error:.2g} | {c.tolerance:g} | {result} |")
    PAGE.write_text("\n".join(lines) + "\n\n" + DEPARTURES.read_text())
    differing = sum(not c.agrees for c in comparisons)
    say(f"{PAGE.name}: {len(comparisons)} comparisons, {differing} differ")
    sys.exit(1 if differing else 0)


def _all() -> Iterator[Comparison]:
    for network in NETWORKS:
        yield from compare_network(network)
    yield from compare_counts()
    for case in NMS_CASES:
        yield from compare_nms(case)
    for case in LOSS_CASES:
        yield from compare_losses(case)


def _real(data: Path) -> Iterator[Comparison]:
    metrics = evaluate(coco_weights(say), data, size=640)
    for name, (value, tolerance) in REFERENCE.items():
        error = abs(getattr(metrics, name) - value)
        yield Comparison("COCO weights, 100 images", f"{name} at 640", error, tolerance)


if __name__ == "__main__":
    main()
