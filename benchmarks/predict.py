"""What the whole prediction path costs on top of the bare network.

Three ways over the same photos at the same sizes, in turn: ratios hold on a machine whose speed drifts.

    network        the fused network alone, in the memory format that `predict` uses, on ready tensors
    plain network  the same in torch's default memory format
    predict        files in, boxes out: read, letterbox, network, decode, NMS (no picture is written)

Reading and preparing overlap the network, so the floor of `predict` is `network`. Wanted: predict / network
at most 1.10.

Usage: python benchmarks/predict.py [--weights W] [--images FOLDER] [--size 640] [--count 100] [--rounds 5]
Without --images, photos of 640 x 480 are cut out of scikit-image's.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

import yolov7
from yolov7.data.images import IMAGE_SUFFIXES, read_image
from yolov7.data.letterbox import letterbox, to_tensor
from yolov7.inference.backend import TorchBackend
from yolov7.inference.predictor import Predictor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights", default="yolov7-tiny")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = options.images or cut_photos(Path(folder), options.count)
        found = sorted(p for p in photos.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        report(options, found[: options.count])


def report(options: argparse.Namespace, files: list[Path]) -> None:
    predictor = yolov7.load(options.weights, size=options.size, device="cpu")
    backend = predictor.backend
    assert isinstance(backend, TorchBackend)
    plain = yolov7.fuse(yolov7.load(options.weights, device="cpu").model).to(
        memory_format=torch.contiguous_format
    )
    inputs = [
        backend.to_input(to_tensor([letterbox(read_image(f), options.size, stride=backend.stride)[0]]))
        for f in files
    ]
    contiguous = [tensor.contiguous(memory_format=torch.contiguous_format) for tensor in inputs]
    ways = {
        "network": lambda: network(backend.model, inputs),
        "plain network": lambda: network(plain, contiguous),
        "predict": lambda: stages(predictor, files),
    }
    for way in ways.values():
        way()
    rounds = [{name: way() for name, way in ways.items()} for _ in range(options.rounds)]
    milliseconds = {
        name: statistics.median(one[name]["total"] for one in rounds) / len(files) for name in ways
    }
    ratio = statistics.median(one["predict"]["total"] / one["network"]["total"] for one in rounds)
    gain = statistics.median(one["plain network"]["total"] / one["network"]["total"] for one in rounds)
    by_stage = {
        stage: statistics.median(one["predict"][stage] for one in rounds)
        for stage in ("read", "prepare", "network", "nms")
    }
    result = {
        "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "weights": str(options.weights),
        "size": options.size,
        "images": len(files),
        "ms_per_image": milliseconds,
        "predict_over_network": ratio,
        "plain_over_network": gain,
        "stages_ms": by_stage,
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{result['weights']} at {options.size}, batch 1, {len(files)} photos, {result['machine']}")
    for name, value in milliseconds.items():
        print(f"  {name:<14}{value:8.2f} ms an image")
    print(f"  predict / network        {ratio:.3f}   (wanted: at most 1.10)")
    print(f"  plain network / network  {gain:.3f}")
    print("  stages of predict, median ms: " + ", ".join(f"{k} {v:.2f}" for k, v in by_stage.items()))


@torch.inference_mode()
def network(model: torch.nn.Module, inputs: list[torch.Tensor]) -> dict[str, float]:
    start = time.perf_counter()
    for tensor in inputs:
        model(tensor)
    return {"total": 1000 * (time.perf_counter() - start)}


def stages(predictor: Predictor, files: list[Path]) -> dict[str, float]:
    start = time.perf_counter()
    timings = [result.timings for result in predictor.predict(files)]
    total = 1000 * (time.perf_counter() - start)
    names = ("read", "prepare", "network", "nms")
    return {"total": total} | {name: statistics.median(getattr(t, name) for t in timings) for name in names}


def cut_photos(folder: Path, count: int) -> Path:
    """Photos of 640 x 480: parts of scikit-image's, scaled, as JPEG of quality 90."""
    from skimage import data

    sources = [np.ascontiguousarray(getattr(data, name)()) for name in ("chelsea", "coffee", "astronaut")]
    random = np.random.default_rng(0)
    for i in range(count):
        source = sources[i % len(sources)]
        share = random.uniform(0.6, 1.0)
        height = min(round(source.shape[0] * share), round(source.shape[1] * share * 3 / 4))
        width = height * 4 // 3
        top = random.integers(0, source.shape[0] - height + 1)
        left = random.integers(0, source.shape[1] - width + 1)
        part = cv2.resize(source[top : top + height, left : left + width], (640, 480))
        name = folder / f"{i:03}.jpg"
        cv2.imwrite(str(name), cv2.cvtColor(part, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return folder


if __name__ == "__main__":
    main()
