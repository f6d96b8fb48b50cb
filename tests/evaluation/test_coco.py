"""Metrics: equal to pycocotools', digit for digit."""

from __future__ import annotations

import contextlib
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolov7.checkpoints.coco_names import COCO_NAMES
from yolov7.data.dataset import Dataset
from yolov7.evaluation.coco import COCO_CATEGORY_IDS, coco_metrics, coco_results
from yolov7.formats.opening import open_dataset
from yolov7.types import Detections

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def write_truth(folder: Path, rng: np.random.Generator, *, images: int = 30, smallest: float = 4) -> Path:
    """Random objects of categories 2, 5, 9, 11 (11 never occurs), with crowds, areas and empty images."""
    folder.mkdir(exist_ok=True)
    Pillow.new("RGB", (500, 400)).save(folder / "image.png")
    entries, annotations = [], []
    for number in rng.permutation(1000)[:images].tolist():
        entries.append({"id": number, "file_name": f"{number}.png", "height": 400, "width": 500})
        (folder / f"{number}.png").write_bytes((folder / "image.png").read_bytes())
        for _ in range(int(rng.integers(0, 6)) if number % 5 else 0):
            x, y = rng.uniform(0, 200, 2).round(2).tolist()
            w, h = np.exp(rng.uniform(np.log(smallest), np.log(195), 2)).round(2).tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(rng.choice([2, 5, 9])),
                    "bbox": [x, y, w, h],
                    "area": round(w * h * rng.uniform(0.5, 1), 2),
                    "iscrowd": int(rng.random() < 0.15),
                }
            )
    categories = [{"id": number, "name": f"class {number}"} for number in (2, 5, 9, 11)]
    file = folder / "instances.json"
    file.write_text(json.dumps({"images": entries, "annotations": annotations, "categories": categories}))
    return file


def detect(dataset: Dataset, rng: np.random.Generator) -> dict[int | str, Detections]:
    """Ground truth with noise, wrong classes, repetitions, and inventions; many equal scores."""
    detections = {}
    for image in dataset.images:
        times = rng.integers(0, 4, len(image))
        boxes = np.repeat(image.boxes, times, axis=0)
        labels = np.repeat(image.labels, times)
        boxes = boxes + rng.normal(0, 3, boxes.shape)
        labels = np.where(rng.random(len(labels)) < 0.2, rng.integers(0, 4, len(labels)), labels)
        corner, side = rng.uniform(0, 300, (7, 2)), rng.uniform(5, 100, (7, 2))
        boxes = np.concatenate((boxes, np.concatenate((corner, corner + side), axis=1))).astype(np.float32)
        labels = np.concatenate((labels, rng.integers(0, 4, 7)))
        scores = rng.choice([0.1, 0.25, 0.5, 0.50001, 0.9, 0.999], len(boxes)).astype(np.float32)
        detections[image.image_id] = Detections(boxes, scores, labels, dataset.names)
    return detections


def official(truth: Path, results: list[dict[str, Any]]) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


@pytest.mark.parametrize(("seed", "smallest"), [(0, 4), (1, 4), (2, 100)])
def test_all_12_numbers_are_those_of_pycocotools(
    seed: int, smallest: float, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(seed)
    truth = write_truth(tmp_path, rng, smallest=smallest)
    dataset = open_dataset(truth)
    assert not dataset.defects
    detections = detect(dataset, rng)
    metrics, _ = coco_metrics(dataset.images, detections, dataset.names)
    assert capfd.readouterr() == ("", "")

    results = coco_results(detections, dataset)
    expected = official(truth, json.loads(json.dumps(results)))
    expected = [math.nan if value == -1 else value for value in expected]
    ours = [getattr(metrics, name) for name in NAMES]
    np.testing.assert_allclose(ours, expected, rtol=1e-12, err_msg="but for the order of summing")
    assert math.isnan(metrics.APs) == (smallest == 100), "no small object: nothing to measure"
    assert metrics.images == 30
    assert metrics.boxes == sum(int((~image.crowds).sum()) for image in dataset.images)
    assert metrics.detections == len(results)
    assert [entry.name for entry in metrics.per_class] == list(dataset.names)
    assert math.isnan(metrics.per_class[3].AP)
    assert metrics.per_class[3].boxes == 0
    measured = [entry for entry in metrics.per_class if entry.boxes]
    assert np.mean([entry.AP for entry in measured]) == pytest.approx(metrics.AP, abs=1e-12)
    assert np.mean([entry.AP50 for entry in measured]) == pytest.approx(metrics.AP50, abs=1e-12)


def test_perfect_detections_and_none(tmp_path: Path) -> None:
    dataset = open_dataset(write_truth(tmp_path, np.random.default_rng(3)))
    perfect: dict[int | str, Detections] = {}
    for image in dataset.images:
        objects = ~image.crowds
        scores = np.ones(int(objects.sum()), np.float32)
        perfect[image.image_id] = Detections(
            image.boxes[objects], scores, image.labels[objects], dataset.names
        )
    metrics, _ = coco_metrics(dataset.images, perfect, dataset.names)
    assert math.isclose(metrics.AP, 1)
    assert math.isclose(metrics.AR100, 1)
    blind = {image_id: Detections.empty(dataset.names) for image_id in perfect}
    nothing, _ = coco_metrics(dataset.images, blind, dataset.names)
    assert (nothing.AP, nothing.AR100, nothing.detections) == (0, 0, 0)


def test_nothing_at_all_is_nan_and_in_json_null() -> None:
    metrics = coco_metrics([], {}, ("cat", "dog"))[0]
    assert math.isnan(metrics.AP)
    assert (metrics.images, metrics.boxes) == (0, 0)
    plain = json.loads(json.dumps(metrics.to_dict(), allow_nan=False))
    assert plain["AP"] is None
    assert set(NAMES) < set(plain)
    assert plain["per_class"][1] == {"name": "dog", "AP": None, "AP50": None, "boxes": 0}


def test_images_without_an_entry_are_left_out_with_their_objects(tmp_path: Path) -> None:
    dataset = open_dataset(write_truth(tmp_path, np.random.default_rng(0), images=3))
    detections = detect(dataset, np.random.default_rng(1))
    del detections[dataset.images[1].image_id]
    metrics, _ = coco_metrics(dataset.images, detections, dataset.names)
    kept = [dataset.images[0], dataset.images[2]]
    assert metrics == coco_metrics(kept, detections, dataset.names)[0]
    assert (metrics.images, metrics.boxes) == (2, sum(int((~image.crowds).sum()) for image in kept))


def test_results_have_the_ids_of_the_data_set(tmp_path: Path) -> None:
    dataset = open_dataset(write_truth(tmp_path, np.random.default_rng(0), images=1))
    (image,) = dataset.images
    found = Detections(
        np.float32([[1.23456, 2, 11.23456, 22.00049]]), np.float32([0.123456]), np.array([2]), dataset.names
    )
    (entry,) = coco_results({image.image_id: found}, dataset)
    assert entry == {
        "image_id": image.image_id,
        "category_id": 9,
        "bbox": [1.235, 2.0, 10.0, 20.0],
        "score": 0.12346,
    }
    assert isinstance(entry["image_id"], int)


def test_cocos_80_classes_get_cocos_numbers_in_any_format(tmp_path: Path) -> None:
    assert len(COCO_CATEGORY_IDS) == len(COCO_NAMES) == 80
    assert COCO_CATEGORY_IDS[COCO_NAMES.index("person")] == 1
    assert COCO_CATEGORY_IDS[COCO_NAMES.index("stop sign")] == 13
    assert COCO_CATEGORY_IDS[COCO_NAMES.index("toothbrush")] == 90
    Pillow.new("RGB", (50, 40)).save(tmp_path / "000000000139.png")
    (tmp_path / "000000000139.txt").write_text("79 0.5 0.5 0.2 0.2\n")
    (tmp_path / "data.yaml").write_text(f"val: .\nnames: {json.dumps(COCO_NAMES)}\n")
    dataset = open_dataset(tmp_path)
    found = Detections(np.zeros((1, 4), np.float32), np.ones(1, np.float32), np.array([79]), dataset.names)
    (entry,) = coco_results({dataset.images[0].image_id: found}, dataset)
    assert (entry["image_id"], entry["category_id"]) == (139, 90)
