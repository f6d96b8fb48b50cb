"""Small data sets of every format, made on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

HEIGHT, WIDTH = 60, 80


def write_image(path: Path, *, size: tuple[int, int] = (HEIGHT, WIDTH), seed: int | None = None) -> Path:
    """Write an image of noise; the seed is derived from its name by default."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(map(ord, str(path.name))) if seed is None else seed
    Pillow.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(path)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_yolo(
    root: Path, labels: dict[str, str | bytes | None], *, split: str = "val", yaml: str | None = None
) -> Path:
    """Write images/<split>/<name>.png with their label files, if not None. -> data.yaml."""
    for name, text in labels.items():
        write_image(root / "images" / split / f"{name}.png")
        file = root / "labels" / split / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return write(root / "data.yaml", yaml or f"{split}: images/{split}\nnames: [cat, dog]\n")


def coco_content(**changes: Any) -> dict[str, Any]:
    """Valid json content: two images with an annotation each, categories 1 and 3."""
    content: dict[str, Any] = {
        "info": {"description": 'with [brackets], {braces} and "quotes"'},
        "images": [
            {"id": 7, "file_name": "7.png", "height": HEIGHT, "width": WIDTH},
            {"id": 5, "file_name": "5.png", "height": HEIGHT, "width": WIDTH},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 10, 20, 30], "area": 431.5, "iscrowd": 0},
            {"id": 2, "image_id": 5, "category_id": 1, "bbox": [0, 0, 80, 60], "area": 4000, "iscrowd": 0},
        ],
        "categories": [{"id": 3, "name": "dog"}, {"id": 1, "name": "cat"}],
    }
    return {**content, **changes}


def write_coco(
    root: Path, content: dict[str, Any], *, file: str = "instances.json", images: str = "images"
) -> Path:
    """Write a json file, one value per line, and the images that it names."""
    for image in content["images"]:
        if image.get("file_name"):
            write_image(root / images / image["file_name"])
    return write(root / file, json.dumps(content, indent=1))


def voc_object(name: str = "dog", box: tuple[object, ...] = (10, 20, 30, 40)) -> str:
    corners = "".join(
        f"<{key}>{v}</{key}>" for key, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>\n"


def voc_xml(*objects: str, size: tuple[int, int] = (HEIGHT, WIDTH), head: str = "") -> str:
    """Xml text, with the first object in line 3."""
    dimensions = f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>"
    return f"{head}<annotation>\n{dimensions}\n{''.join(objects)}</annotation>\n"


def write_voc(root: Path, xmls: dict[str, str | bytes | None], splits: dict[str, str] | None = None) -> Path:
    """Write the devkit's folders. -> root."""
    for name, xml in xmls.items():
        write_image(root / "JPEGImages" / f"{name}.jpg")
        file = root / "Annotations" / f"{name}.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        if xml is not None:
            file.write_bytes(xml if isinstance(xml, bytes) else xml.encode())
    for split, names in (splits or {}).items():
        write(root / "ImageSets" / "Main" / f"{split}.txt", "\n".join(names.split()) + "\n")
    return root
