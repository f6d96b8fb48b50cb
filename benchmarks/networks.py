"""How long the fused networks take, and how much of the processor's peak that is.

For each variant, batch 1, float32, at its own size: torch's default memory format and channels last, in
turn. The floor is the convolutions' operations over the peak, measured with a large matrix product between
the rounds.

Usage: python benchmarks/networks.py [--rounds 5] [--variants yolov7-tiny,yolov7]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch

import yolov7
from yolov7.benchmark.floor import peak
from yolov7.models.architecture import VARIANTS
from yolov7.models.complexity import conv_flops


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--variants", default=",".join(variant.name for variant in VARIANTS))
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} threads, batch 1")
    print("| variant | size | default, ms | channels last, ms | ratio | GFLOP/s | share of peak |")
    print("|---|---|---|---|---|---|---|")
    for name in options.variants.split(","):
        print(row(name, options.rounds))


@torch.inference_mode()
def row(name: str, rounds: int) -> str:
    model = yolov7.fuse(yolov7.create(name))
    size = model.architecture.size
    flops = conv_flops(yolov7.fuse(model).to("meta"), size)
    plain, last = torch.contiguous_format, torch.channels_last
    image = torch.rand(1, 3, size, size)
    models = {kind: yolov7.fuse(model).to(memory_format=kind) for kind in (plain, last)}
    inputs = {kind: image.contiguous(memory_format=kind) for kind in models}
    times: dict[torch.memory_format, list[float]] = {kind: [] for kind in models}
    peaks = []
    for i in range(rounds + 1):
        for kind, network in models.items():
            seconds = timed(lambda network=network, kind=kind: network(inputs[kind]))
            if i:  # the first round warms up
                times[kind].append(seconds)
        peaks.append(peak(torch.float32))
    default, fast = (statistics.median(times[kind]) for kind in models)
    ratio = statistics.median(a / b for a, b in zip(times[plain], times[last], strict=True))
    speed = flops / fast
    return (
        f"| {name} | {size} | {1000 * default:.0f} | {1000 * fast:.0f} | {ratio:.2f} | {speed / 1e9:.0f} "
        f"| {100 * speed / max(peaks):.0f} % |"
    )


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
