"""How fast labels are assigned, beside the loop over images and ground truths that everybody writes.

Both find the positives of the same batches of 640 x 640 images, 80 classes, three levels of three anchors;
they take turns in one run, so that their ratio holds on a machine whose speed drifts. The loop finds
candidates level by level, then goes image by image: costs of each ground truth, candidate and class at once,
then the k cheapest for one ground truth after the other.

    usual     16 images, 20 ground truths each
    coco      16 images, 7 each, as COCO has on average
    one       1 image, 20 ground truths: nothing to gain from a batch
    crowded   4 images, 150 each

Floor: on `usual` the ratio of medians is at least 4. Exit status 1 if it is missed or a positive differs;
on `crowded` 1 % may, since the loop's topk picks any of equal costs. Run it on an idle machine: with two
threads, both wait for busy processors.

Usage: python benchmarks/assigner.py [--case usual] [--rounds 20] [--threads 2] [--device cpu]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from yolov7.assign.guidance import Assigner
from yolov7.boxes import cxcywh_to_xyxy, pairwise_iou, xyxy_to_cxcywh
from yolov7.models.architecture import YOLOV7
from yolov7.types import Predictions, Targets

SIZE, CLASSES, Q = 640, 80, 10
ANCHORS = torch.tensor(YOLOV7.anchors, dtype=torch.float32)
STRIDES = YOLOV7.strides
FLOORS = {"usual": 4.0}
MAY_DIFFER = {"crowded": 0.01}

Positive = tuple[int, int, int, int, int, int]
"""Level, image, anchor, row, column, target."""


@dataclass(frozen=True)
class Case:
    """A batch of equally crowded images."""

    images: int
    ground_truths: int

    def batch(self) -> tuple[Predictions, Targets]:
        """Predictions as an untrained head gives them, boxes of 8 to 400 pixels."""
        g = torch.Generator().manual_seed(0)
        levels = []
        for stride in STRIDES:
            cells = SIZE // stride
            logits = torch.randn((self.images, cells, cells, 3, 5 + CLASSES), generator=g)
            logits[..., :4] *= 0.4
            logits[..., 4] -= 2
            levels.append(logits.permute(0, 3, 1, 2, 4))  # in memory as training has them, channels last
        n = self.images * self.ground_truths
        centre = torch.rand((n, 2), generator=g) * SIZE
        size = 8 * 50 ** torch.rand((n, 2), generator=g)
        boxes = cxcywh_to_xyxy(torch.cat((centre, size), dim=1)).clamp(0, SIZE)
        image = torch.arange(self.images).repeat_interleave(self.ground_truths)
        return Predictions(tuple(levels)), Targets(image, boxes, torch.randint(CLASSES, (n,), generator=g))


CASES = {"usual": Case(16, 20), "coco": Case(16, 7), "one": Case(1, 20), "crowded": Case(4, 150)}


def loop_candidates(targets: Targets, level: int) -> tuple[Tensor, ...]:
    """Image, anchor, row and column of a level's candidates."""
    cells = SIZE // STRIDES[level]
    boxes = xyxy_to_cxcywh(targets.boxes / STRIDES[level])  # (T, 4)
    ratio = boxes[None, :, 2:] / (ANCHORS[level] / STRIDES[level])[:, None].to(boxes.device)
    anchor, target = (torch.maximum(ratio, 1 / ratio).amax(2) < 4).nonzero(as_tuple=True)
    centre = boxes[target, :2]
    rest = cells - centre
    own = torch.ones_like(anchor, dtype=torch.bool)
    left, up = ((centre % 1 < 0.5) & (centre > 1)).T
    right, down = ((rest % 1 < 0.5) & (rest > 1)).T
    parts = []
    for chosen, shift in ((own, (0, 0)), (left, (-1, 0)), (up, (0, -1)), (right, (1, 0)), (down, (0, 1))):
        place = (centre[chosen] + 0.5 * centre.new_tensor(shift)).long().clamp(0, cells - 1)
        image = targets.image_index[target[chosen]]
        parts.append(torch.stack((image, anchor[chosen], place[:, 1], place[:, 0])))
    return tuple(torch.cat(parts, dim=1))


@torch.no_grad()
def loop(predictions: Predictions, targets: Targets) -> list[Positive]:
    """Positives as everybody finds them."""
    candidates = [loop_candidates(targets, level) for level in range(len(STRIDES))]
    positives: list[Positive] = []
    for image in range(len(predictions.lead[0])):
        (own,) = (targets.image_index == image).nonzero(as_tuple=True)
        if not len(own):
            continue
        places, boxes, logits = [], [], []
        for level, (images, *place) in enumerate(candidates):
            here = images == image
            anchor, row, column = (values[here] for values in place)
            rows = predictions.lead[level][image, anchor, row, column]  # (p, 5 + C)
            s = rows[:, :4].sigmoid()
            centre = (2 * s[:, :2] - 0.5 + torch.stack((column, row), dim=1)) * STRIDES[level]
            size = (2 * s[:, 2:]) ** 2 * ANCHORS[level].to(s.device)[anchor]
            boxes.append(cxcywh_to_xyxy(torch.cat((centre, size), dim=1)))
            logits.append(rows[:, 4:])
            places.append(torch.stack((torch.full_like(row, level), anchor, row, column), dim=1))
        place, box, logit = torch.cat(places), torch.cat(boxes), torch.cat(logits)
        if not len(place):
            continue

        overlap = pairwise_iou(targets.boxes[own], box)  # (G, P)
        k = overlap.topk(min(Q, overlap.shape[1]), dim=1).values.sum(1).int().clamp(min=1)
        score = (logit[:, 1:].sigmoid() * logit[:, :1].sigmoid()).sqrt()
        right = F.one_hot(targets.labels[own], CLASSES).float()
        class_cost = F.binary_cross_entropy_with_logits(
            torch.log(score / (1 - score)).expand(len(own), -1, -1),
            right[:, None].expand(-1, len(score), -1),
            reduction="none",
        ).sum(2)
        cost = class_cost - 3 * torch.log(overlap + 1e-8)

        matching = torch.zeros_like(cost)
        for truth in range(len(own)):
            _, cheapest = torch.topk(cost[truth], k=int(k[truth]), largest=False)
            matching[truth, cheapest] = 1
        contested = matching.sum(0) > 1
        if contested.any():
            cheapest = cost[:, contested].argmin(0)
            matching[:, contested] = 0
            matching[cheapest, contested] = 1
        taken = matching.sum(0) > 0
        owner = own[matching[:, taken].argmax(0)]
        positives += [
            (level, image, *rest, target)
            for (level, *rest), target in zip(place[taken].tolist(), owner.tolist(), strict=True)
        ]
    return positives


def milliseconds(run: Callable[[], object]) -> float:
    """How long a run takes."""
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def measure(name: str, rounds: int, device: str) -> list[str]:
    """Print the row of a case; what it missed."""
    predictions, targets = CASES[name].batch()
    predictions = Predictions(tuple(level.to(device) for level in predictions.lead))
    targets = Targets(targets.image_index.to(device), targets.boxes.to(device), targets.labels.to(device))
    assigner = Assigner(ANCHORS, STRIDES)

    def ours() -> list[Positive]:
        a, _ = assigner(predictions, targets)
        columns = (a.level, a.image, a.anchor, a.row, a.column, a.target)
        return list(zip(*(values.tolist() for values in columns), strict=True))

    def theirs() -> list[Positive]:
        return loop(predictions, targets)

    found, expected = ours(), theirs()
    times = [(milliseconds(ours), milliseconds(theirs)) for _ in range(rounds)]
    our_time, loop_time = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = loop_time / our_time
    print(f"{name:8} {len(found):9} | {our_time:8.2f} {loop_time:8.2f} | {ratio:6.1f}", flush=True)

    missed = []
    differing = len(set(found) ^ set(expected))
    if differing > MAY_DIFFER.get(name, 0) * len(expected):
        missed.append(f"{name}: {differing} positives differ from the loop's")
    if ratio < FLOORS.get(name, 0):
        missed.append(f"{name}: ratio {ratio:.1f} is below {FLOORS[name]}")
    return missed


def main() -> int:
    """Print the table; 1 if a floor is missed or a positive differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--case", choices=CASES, action="append", help="only this case; may be repeated")
    parser.add_argument("--rounds", type=int, default=20, help="runs of each (default 20)")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (default 2)")
    parser.add_argument("--device", default="cpu", help="where both run (default cpu)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    print(f"torch {torch.__version__}, {arguments.device}, {arguments.threads} threads; ms, medians")
    print(f"{'case':8} {'positives':>9} | {'ours':>8} {'loop':>8} | {'ratio':>6}")
    missed = []
    for name in arguments.case or CASES:
        missed += measure(name, arguments.rounds, arguments.device)
    print("\n".join(missed) or "every floor is met, and the positives are the same")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
