"""Any checkpoint on any data set: the numbers, from the outside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import yolov7

SKIMAGE_BOXES = {  # drawn by hand around what is unmistakable: x, y, width, height, category
    "chelsea": [(0, 0, 451, 300, 17)],
    "astronaut": [(10, 0, 500, 512, 1)],
}


@pytest.mark.weights
def test_real_weights_on_labelled_photos(coco_weights: Path, tmp_path: Path):
    """Two photos, one object each: found at IoU 0.5, so AP50 of these two classes is 1."""
    from skimage import data

    from yolov7.evaluation.coco import COCO_CATEGORY_IDS

    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for image_id, (name, boxes) in enumerate(SKIMAGE_BOXES.items(), start=1):
        pixels = np.ascontiguousarray(getattr(data, name)())
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.png")
        height, width = pixels.shape[:2]
        images.append({"id": image_id, "file_name": f"{name}.png", "height": height, "width": width})
        for x, y, w, h, category in boxes:
            box = {"id": image_id, "image_id": image_id, "category_id": category, "iscrowd": 0}
            annotations.append(box | {"bbox": [x, y, w, h], "area": w * h})
    names = yolov7.load_checkpoint(coco_weights).names
    categories = [{"id": i, "name": name} for i, name in zip(COCO_CATEGORY_IDS, names, strict=True)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "instances.json").write_text(json.dumps(document))

    metrics = yolov7.evaluate(coco_weights, tmp_path, device="cpu", predictions=tmp_path / "p.json")
    assert pytest.approx(1.0) == metrics.AP50
    assert metrics.images == 2
    entries = json.loads((tmp_path / "p.json").read_text())
    best = max(entries, key=lambda entry: entry["score"])
    assert best["category_id"] in (1, 17)
    assert all(set(entry) == {"image_id", "category_id", "bbox", "score"} for entry in entries)
