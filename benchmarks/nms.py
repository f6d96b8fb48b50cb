"""How fast NMS is, beside the sequential greedy loop in numpy that everybody writes; both must agree exactly.

Each case is the decoded rows of one image, by the recipe of tests/golden/nms (boxes in clusters, as a
detector's are):

    dense    25,200 x 85, conf 0.001, multi-label: millions of scores, of which the best 30,000 are candidates
    uniform  the same with boxes and scores from nowhere in particular: hardly any suppression
    typical  25,200 x 85, conf 0.25, best class: what prediction would see if all its anchors were decoded
    single   25,200 x 6, conf 0.001: one class, so that every pair of boxes matters
    crowded  30,000 x 6, conf 0.001, in eight heaps: the 300 wanted are never reached, all must be visited
    tiny     40 x 85: what prediction hands over after its own objectness filter

The loop takes the best remaining box and drops, vectorised, what it suppresses, until 300 are kept. `select`
is decoded rows to candidates, best first; `suppress` is candidates to detections; `ratio` is the total time
of the loop over ours. Times are the best of several runs. `memory` is how far a process grows beyond its
input.

Floor: on `dense` the ratio is at least 5; everywhere memory stays within 500 MB. Exit status 1 if a floor is
missed or a detection differs. Run it on an idle machine: with two threads, ours waits for a busy processor
more often than the loop does.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from yolov7.nms import ScoredBoxes, non_max_suppression, select_candidates, suppress

Array = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
MAX_CANDIDATES, MAX_DETECTIONS = 30_000, 300
FLOORS = {"dense": 5.0}
MAX_MEGABYTES = 500


@dataclass(frozen=True)
class Case:
    """One image, and how its boxes are wanted. No clusters: boxes and scores are uniform."""

    rows: int
    classes: int
    clusters: int
    conf: float = 0.001
    iou: float = 0.65
    multi_label: bool = True

    def decoded(self) -> Tensor:
        """Decoded rows (N, 5 + C) at 640 x 640."""
        g = np.random.default_rng(0)
        n = self.rows
        if not self.clusters:
            scale = np.array([640, 640, 200, 200] + [1] * (1 + self.classes))
            return torch.from_numpy((g.random((n, 5 + self.classes)) * scale).astype(np.float32))
        centres = g.uniform(0.1, 0.9, (self.clusters, 2)) * 640
        wh = np.exp(g.uniform(np.log(0.05), np.log(0.4), (self.clusters, 2))) * 640
        k = g.integers(0, self.clusters, n)
        xy = centres[k] + g.normal(0, 0.08, (n, 2)) * wh[k]
        sizes = wh[k] * np.exp(g.normal(0, 0.15, (n, 2)))
        objectness = g.beta(1, 3, (n, 1))
        probabilities = g.beta(0.5, 4, (n, self.classes))
        probabilities[np.arange(n), k % self.classes] = g.beta(4, 2, n)
        return torch.from_numpy(np.hstack((xy, sizes, objectness, probabilities)).astype(np.float32))


CASES = {
    "dense": Case(25_200, 80, 40),
    "uniform": Case(25_200, 80, 0),
    "typical": Case(25_200, 80, 40, conf=0.25, iou=0.45, multi_label=False),
    "single": Case(25_200, 1, 60),
    "crowded": Case(30_000, 1, 8),
    "tiny": Case(40, 80, 5, conf=0.25, iou=0.45, multi_label=False),
}


def loop_candidates(rows: Array, case: Case) -> tuple[Array, Array, npt.NDArray[np.int64]]:
    """Boxes, scores and labels as everybody selects them: mask, multiply, sort, cut."""
    rows = rows[rows[:, 4] > case.conf]
    centre, half = rows[:, :2], rows[:, 2:4] / 2
    boxes: Array = np.concatenate((centre - half, centre + half), axis=1)
    scores = rows[:, 4:5] if case.classes == 1 else rows[:, 4:5] * rows[:, 5:]
    if case.multi_label:
        row, label = np.nonzero(scores > case.conf)
        score = scores[row, label]
    else:
        label, score = scores.argmax(axis=1), np.max(scores, axis=1)
        row = np.flatnonzero(score > case.conf)
        label, score = label[row], score[row]
    order = np.argsort(-score, kind="stable")[:MAX_CANDIDATES]
    return boxes[row[order]], score[order], label[order]


def loop_suppress(boxes: Array, labels: npt.NDArray[np.int64], iou: float) -> list[int]:
    """Indices of the kept boxes, from candidates that are best first already."""
    x1, y1, x2, y2 = np.ascontiguousarray(boxes.T)
    areas = (x2 - x1) * (y2 - y1)
    order = np.arange(len(boxes))
    kept: list[int] = []
    while len(order) and len(kept) < MAX_DETECTIONS:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        width = np.maximum(0, np.minimum(x2[best], x2[rest]) - np.maximum(x1[best], x1[rest]))
        height = np.maximum(0, np.minimum(y2[best], y2[rest]) - np.maximum(y1[best], y1[rest]))
        shared = width * height
        overlap = shared / (areas[best] + areas[rest] - shared)
        order = rest[(overlap <= np.float32(iou)) | (labels[rest] != labels[best])]
    return kept


def best_ms(run: Callable[[], object], repeat: int) -> float:
    """Shortest time of some runs: what the others take longer is other programs' doing."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def megabytes_beyond_input(case: Case) -> float:
    """How far NMS of a case takes this process beyond what it holds before; Linux only, else NaN."""
    status = Path("/proc/self/status")
    if not status.exists():
        return math.nan
    rows = case.decoded()
    non_max_suppression(rows[None, :50], case.conf, case.iou)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is in use now

    def peak_kilobytes() -> int:
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1])

    before = peak_kilobytes()
    non_max_suppression(rows[None], case.conf, case.iou, multi_label=case.multi_label)
    return (peak_kilobytes() - before) / 1024


def same(ours: ScoredBoxes, theirs: Sequence[npt.NDArray[Any]]) -> bool:
    """Whether both found the same, number for number and in the same order."""
    return all(np.array_equal(a.cpu().numpy(), b) for a, b in zip(ours, theirs, strict=True))


def measure(name: str, repeat: int, device: str) -> list[str]:
    """Print the row of a case; what it missed."""
    case = CASES[name]
    rows = case.decoded()
    array, rows = rows.numpy(), rows.to(device)

    def ours_selects() -> ScoredBoxes:
        return select_candidates(rows, case.conf, multi_label=case.multi_label)[0]

    def ours_suppresses() -> list[int]:
        return suppress(*candidates, case.iou).tolist()  # to a list: a device has then finished

    def loop_selects() -> tuple[Array, Array, Labels]:
        return loop_candidates(array, case)

    def loop_suppresses() -> list[int]:
        return loop_suppress(theirs[0], theirs[2], case.iou)

    def ours() -> object:
        return non_max_suppression(rows[None], case.conf, case.iou, multi_label=case.multi_label)[
            0
        ].labels.tolist()

    candidates, theirs = ours_selects(), loop_selects()
    kept, loop_kept = ours_suppresses(), loop_suppresses()
    select, loop_select = best_ms(ours_selects, repeat), best_ms(loop_selects, repeat)
    suppression, loop_suppression = best_ms(ours_suppresses, repeat), best_ms(loop_suppresses, repeat)
    total, loop_total = best_ms(ours, repeat), loop_select + loop_suppression
    ratio = loop_total / total
    with multiprocessing.get_context("spawn").Pool(1) as fresh:
        memory = fresh.apply(megabytes_beyond_input, (case,))
    print(
        f"{name:8} {len(candidates.boxes):10} {len(kept):5} | {select:8.2f} {suppression:8.2f} {total:8.2f} |"
        f" {loop_select:14.2f} {loop_suppression:8.2f} {loop_total:8.2f} | {ratio:6.1f} {memory:6.0f}",
        flush=True,
    )

    missed = []
    if not (same(candidates, theirs) and kept == loop_kept):
        missed.append(f"{name}: the detections differ from the loop's")
    if ratio < FLOORS.get(name, 0):
        missed.append(f"{name}: ratio {ratio:.1f} is below {FLOORS[name]}")
    if memory > MAX_MEGABYTES:
        missed.append(f"{name}: {memory:.0f} MB is above {MAX_MEGABYTES}")
    return missed


def main() -> int:
    """Print the table; 1 if a floor is missed or a detection differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--case", choices=CASES, action="append", help="only this case; may be repeated")
    parser.add_argument("--repeat", type=int, default=15, help="runs that count, of each (default 15)")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (default 2)")
    parser.add_argument("--device", default="cpu", help="where ours runs (default cpu)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    print(f"torch {torch.__version__}, {arguments.device}, {arguments.threads} threads; ms, MB")
    print(
        f"{'case':8} {'candidates':>10} {'kept':>5} | {'select':>8} {'suppress':>8} {'total':>8} |"
        f" {'loop: select':>14} {'suppress':>8} {'total':>8} | {'ratio':>6} {'memory':>6}"
    )
    missed = []
    for name in arguments.case or CASES:
        missed += measure(name, arguments.repeat, arguments.device)
    print("\n".join(missed) or "every floor is met, and every detection is the same")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
