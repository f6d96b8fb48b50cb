"""What decoding JPEGs at reduced size gains, and what it costs in AP.

Time: a photo of 4000 x 3000 (scikit-image's astronaut, enlarged, with noise), decoded whole and reduced,
and letterboxed to 640. AP: labelled photos, decoded whole and reduced, at half their long side or less; the
same network and thresholds, so that the difference is that of decoding alone.

Usage: python benchmarks/reduced_decoding.py [--weights W --data DATA [--split val] [--size 320]]
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import cv2
import numpy as np

import yolov7
from yolov7.evaluation.coco import Metrics, coco_metrics
from yolov7.formats.opening import open_dataset
from yolov7.images.letterbox import letterbox
from yolov7.images.reading import read_image
from yolov7.sources.opening import open_source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--size", type=int, default=320)
    options = parser.parse_args()
    times()
    if options.weights and options.data:
        whole, reduced = accuracies(options)
        print(f"AP at {options.size}, {whole.images} photos: whole {whole.AP:.4f}, reduced {reduced.AP:.4f}")
        print(f"AP50 whole {whole.AP50:.4f}, reduced {reduced.AP50:.4f}")


def times(rounds: int = 9) -> None:
    content = photo()
    print(f"4000 x 3000, {len(content) / 1e6:.1f} MB of JPEG; ms, and how many times as fast")
    spent: dict[int | None, list[float]] = {None: [], 2560: [], 1280: [], 640: []}
    for _ in range(rounds):
        for at_least, milliseconds in spent.items():
            start = time.perf_counter()
            letterbox(read_image(content, at_least=at_least), 640, stride=32, centred=False)
            milliseconds.append(1000 * (time.perf_counter() - start))
    for at_least, milliseconds in spent.items():
        gain = statistics.median(a / b for a, b in zip(spent[None], milliseconds, strict=True))
        name = "whole" if at_least is None else f"{at_least} pixels"
        print(f"  {name:<12}{statistics.median(milliseconds):7.1f}   {gain:.2f}")


def photo() -> bytes:
    from skimage import data

    small = cv2.cvtColor(np.ascontiguousarray(data.astronaut()), cv2.COLOR_RGB2BGR)
    large = cv2.resize(small, (4000, 3000), interpolation=cv2.INTER_CUBIC)
    large = large + np.random.default_rng(0).normal(0, 4, large.shape)
    done, content = cv2.imencode(".jpg", large.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])
    assert done
    return content.tobytes()


def accuracies(options: argparse.Namespace) -> tuple[Metrics, Metrics]:
    dataset = open_dataset(options.data, options.split)
    labelled = [image for image in dataset.images if max(image.size) >= 2 * options.size]
    predictor = yolov7.load(options.weights, size=options.size, conf=0.001, iou=0.65)
    assert predictor.names == dataset.names
    found = []
    for reduced in (False, True):
        source = open_source([image.path for image in labelled])
        if reduced:
            source = source.reduced(options.size)
        results = zip(labelled, predictor.predict(source), strict=True)
        detections = {image.image_id: result.detections for image, result in results}
        found.append(coco_metrics(labelled, detections, dataset.names)[0])
    return found[0], found[1]


if __name__ == "__main__":
    main()
