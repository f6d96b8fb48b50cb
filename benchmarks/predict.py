"""What the whole prediction path gains and costs, beside the bare network.

Four ways over the same photos at the same sizes, in turn: ratios hold on a machine whose speed drifts.

    plain network  the fused network alone in eager torch, float32, default memory format, on ready tensors
    network        the same in the memory format that `predict` uses
    predict        files in, boxes out on torch: read, letterbox, network, decode, NMS (no picture is written)
    auto           the same as `predict --runtime auto` does it: several images at the same time

Wanted: auto at least 3 times the images a second of the plain network; predict / network at most 1.10
(reading and preparing overlap the network, so the floor of `predict` is `network`).

Usage: python benchmarks/predict.py [--weights W] [--runtime auto] [--half] [--images FOLDER] [--size S]
           [--count 100] [--rounds 5] [--json]
Without --images, photos of 640 x 480 are cut out of scikit-image's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch

import yolov7
from yolov7.artefacts.documents import machine
from yolov7.benchmark.files import Photos, cut_photos, read_photos
from yolov7.inference.backend import TorchBackend
from yolov7.inference.predictor import Predictor
from yolov7.inference.speed import call_seconds, inputs_for
from yolov7.loading import open_checkpoint

STAGES = ("read", "prepare", "network", "nms")
CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights", default="yolov7-tiny")
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--half", action="store_true", help="the runtime in 16 bits; auto is where it can be")
    parser.add_argument("--images")
    parser.add_argument("--size", type=int)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = (
            read_photos(options.images, options.count)
            if options.images
            else cut_photos(Path(folder), options.count)
        )
        report(options, photos)


def report(options: argparse.Namespace, photos: Photos) -> None:
    torch.manual_seed(0)  # fresh weights are the same every time, and so is what they are converted into
    fresh = not Path(options.weights).exists()
    checkpoint = open_checkpoint(options.weights, fresh=fresh)
    parallel = min(8, os.cpu_count() or 1)
    predictor = yolov7.load(checkpoint, size=options.size, device="cpu")
    fast = yolov7.load(
        # By its name, so that an 8-bit artefact beside it is found; a fresh network has no file.
        options.weights if Path(options.weights).exists() else checkpoint,
        runtime=options.runtime,
        half=options.half,
        parallel=parallel,
        size=options.size,
        device="cpu",
    )
    backend = predictor.backend
    assert isinstance(backend, TorchBackend)
    plain = yolov7.fuse(checkpoint.model).to(memory_format=torch.contiguous_format)
    inputs = [backend.to_input(images) for images in inputs_for(backend, photos.images, predictor.size)]
    contiguous = [images.contiguous() for images in inputs]
    name = options.runtime
    ways = {
        "plain network": lambda: network(plain, contiguous),
        "network": lambda: network(backend.model, inputs),
        "predict": lambda: stages(predictor, photos.paths),
        name: lambda: stages(fast, photos.paths),
    }
    for way in ways.values():
        way()
    rounds = [{way: run() for way, run in ways.items()} for _ in range(options.rounds)]

    def median_ratio(slow: str, quick: str) -> float:
        return statistics.median(one[slow]["total"] / one[quick]["total"] for one in rounds)

    gain, cost = median_ratio("plain network", name), median_ratio("predict", "network")
    result = {
        "machine": f"{machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "weights": Path(options.weights).name,
        "variant": checkpoint.model.architecture.name,
        "size": predictor.size,
        "images": photos.described,
        "runtime": f"{fast.backend.runtime}, {fast.parallel} at a time",
        "ms_per_image": {
            way: statistics.median(one[way]["total"] for one in rounds) / len(photos.paths) for way in ways
        },
        "runtime_over_plain_network": gain,
        "predict_over_network": cost,
        "plain_over_network": median_ratio("plain network", "network"),
        "stages_ms": {
            way: {stage: statistics.median(one[way][stage] for one in rounds) for stage in STAGES}
            for way in ("predict", name)
        },
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{result['variant']} at {result['size']}, batch 1, {result['images']}")
    print(f"{result['machine']}, torch {result['torch']}")
    print(f"{name} is {result['runtime']}")
    for way, value in result["ms_per_image"].items():
        print(f"  {way:<14}{value:8.2f} ms an image {1000 / value:8.1f} images a second")
    print(f"  images a second, {name} / plain network  {gain:6.2f}   (wanted: at least 3)")
    print(f"  predict / network                      {cost:6.3f}   (wanted: at most 1.10)")
    print(f"  plain network / network                {result['plain_over_network']:6.3f}")
    for way, by_stage in result["stages_ms"].items():
        listed = ", ".join(f"{stage} {value:.2f}" for stage, value in by_stage.items())
        print(f"  stages of {way}, median ms: {listed}")


@torch.inference_mode()
def network(model: torch.nn.Module, inputs: list[torch.Tensor]) -> dict[str, float]:
    return {"total": 1000 * sum(call_seconds(model, inputs, CPU))}


def stages(predictor: Predictor, files: list[str]) -> dict[str, float]:
    start = time.perf_counter()
    timings = [result.timings for result in predictor.predict(files)]
    total = 1000 * (time.perf_counter() - start)
    return {"total": total} | {
        stage: statistics.median(getattr(t, stage) for t in timings) for stage in STAGES
    }


if __name__ == "__main__":
    main()
