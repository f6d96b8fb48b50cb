"""Small labelled images and detections, written down by hand; and a data set whose names are hostile."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from tests.evaluation.test_coco import detect
from yolov7.data.dataset import Dataset
from yolov7.data.labels import LabelledImage
from yolov7.evaluation.coco import coco_metrics
from yolov7.evaluation.run import Evaluation
from yolov7.formats.opening import open_dataset
from yolov7.types import Detections

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "$\\frac{x$",
    "_hidden & co",
    "猫 قطة",
    "nul\x00 bell\x07 half\ud83d",
)


def labelled(
    boxes: Sequence[Sequence[float]], labels: Sequence[int], crowds: Sequence[bool] = (), *, image_id: int = 1
) -> LabelledImage:
    """An image of 200 x 200 pixels that is on no disk."""
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return LabelledImage(
        path=Path(f"{image_id}.png"),
        image_id=image_id,
        size=(200, 200),
        boxes=array,
        labels=np.array(labels, np.int64),
        crowds=np.array(crowds or [False] * len(array), np.bool_),
        areas=((array[:, 2] - array[:, 0]) * (array[:, 3] - array[:, 1])).astype(np.float64),
    )


def detected(*entries: tuple[Sequence[float], float, int], names: Sequence[str] = ()) -> Detections:
    """(box, score, label) each."""
    return Detections(
        np.array([box for box, _, _ in entries], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in entries], np.float32),
        np.array([label for _, _, label in entries], np.int64),
        tuple(names),
    )


def noisy(dataset: Dataset, rng: np.random.Generator) -> dict[int | str, Detections]:
    """Boxes near the truth and elsewhere, some of wrong classes, many of equal score; each has an area."""
    return {
        image_id: found[(found.boxes[:, 2:] > found.boxes[:, :2]).all(axis=1)]
        for image_id, found in detect(dataset, rng).items()
    }


def evaluated(dataset: Dataset, detections: dict[int | str, Detections]) -> Evaluation:
    """What an evaluation of these detections gives."""
    metrics, precision_recall = coco_metrics(dataset.images, detections, dataset.names)
    return Evaluation(
        **vars(metrics), by_image=detections, defects=(), precision_recall=precision_recall, dataset=dataset
    )


def hostile_scene(folder: Path, images: int = 6) -> tuple[Dataset, Evaluation]:
    """Images with objects of classes of hostile names, and what a mediocre detector finds."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    entries, annotations = [], []
    for number in range(images):
        name = f'{number} "><b>&.png'
        _, content = cv2.imencode(".png", rng.integers(0, 256, (120, 160, 3), np.uint8))
        (folder / name).write_bytes(content.tobytes())
        entries.append({"id": number, "file_name": name, "height": 120, "width": 160})
        for label in range(len(HOSTILE) - 1):
            x, y, w, h = (20.0 * label + 4, 10.0 + 3 * label, 40.0, 50.0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": label,
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": label, "name": name} for label, name in enumerate(HOSTILE)]
    file = folder / "instances.json"
    file.write_text(json.dumps({"images": entries, "annotations": annotations, "categories": categories}))
    dataset = open_dataset(file)
    detections: dict[int | str, Detections] = {}
    for image in dataset.images:
        keep = rng.random(len(image)) < 0.8
        labels = np.where(rng.random(len(image)) < 0.3, (image.labels + 1) % 5, image.labels)
        boxes = (image.boxes + rng.normal(0, 2, image.boxes.shape)).astype(np.float32)
        scores = rng.uniform(0.1, 1, len(image)).astype(np.float32)
        order = np.argsort(-scores[keep])
        found = Detections(boxes[keep], scores[keep], labels[keep], dataset.names)
        detections[image.image_id] = found[order]
    return dataset, evaluated(dataset, detections)
