"""Data sets that ask for much: yaml, labels, lists, COCO json, Pascal VOC; predictions and runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bounds.case import MOST, Case, Ready, on_data
from tests.formats.small_sets import (
    coco_content,
    voc_object,
    voc_xml,
    write,
    write_coco,
    write_voc,
    write_yolo,
)

ROW = "0 0.5 0.5 0.2 0.2\n"


def _yaml(text: str) -> Case:
    def make(folder: Path, _ready: Ready) -> Path:
        return write_yolo(folder, {"a": ROW, "b": ROW}, yaml=text[:MOST])

    return on_data(make)


def _labels(content: str | bytes) -> Case:
    def make(folder: Path, _ready: Ready) -> Path:
        content_ = content if isinstance(content, bytes) else content.encode()
        return write_yolo(folder, {"a": content_[:MOST], "b": ROW})

    return on_data(make)


def _listed(line: str) -> Case:
    def make(folder: Path, _ready: Ready) -> Path:
        path = write_yolo(folder, {"a": ROW, "b": ROW}, yaml="val: val.txt\nnames: [a, b]\n")
        write(folder / "val.txt", line * (MOST // len(line)))
        return path

    return on_data(make)


def _many_lists(folder: Path, _ready: Ready) -> Path:
    """One list of 1 MB, named thousands of times."""
    yaml = "val: [" + "val.txt, " * 100_000 + "]\nnames: [a, b]\n"
    path = write_yolo(folder, {"a": ROW, "b": ROW}, yaml=yaml)
    write(folder / "val.txt", "images/val/a.png\n" * 60_000)
    return path


def _coco(text: str | None = None, **changes: Any) -> Case:
    def make(folder: Path, _ready: Ready) -> Path:
        path = write_coco(folder, coco_content())
        content = json.dumps(coco_content(**changes), separators=(",", ":")) if text is None else text
        assert len(content) <= MOST, len(content)
        return write(path, content)

    return on_data(make)


def _annotation(number: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 7, "category_id": 3, "bbox": [1, 1, 9, 9], **more}


def _voc(xml: str, count: int = 1) -> Case:
    def make(folder: Path, _ready: Ready) -> Path:
        path = write_voc(folder, {"a": voc_xml(voc_object())}, {"train": "a", "val": "a"})
        for number in range(count):
            write(folder / "Annotations" / f"{number or 'a'}.xml", xml[:MOST])
        return path

    return on_data(make)


_LAUGHS = "<!DOCTYPE a [<!ENTITY l0 'ha'>" + "".join(
    f"<!ENTITY l{i} '{f'&l{i - 1};' * 10}'>" for i in range(1, 12)
)
_ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)


def _run(file: str, content: str) -> Case:
    """A folder of a run, one file of it replaced."""

    def make(folder: Path, ready: Ready) -> list[list[str]]:
        shutil.copytree(ready.run, folder / "run")
        write(folder / "run" / file, content[:MOST])
        return [["resume", "run"], ["doctor", "run"], ["predict", "run", str(ready.image)]]

    return make


_DEEP = '{"a":' * 1_000_000 + "1" + "}" * 1_000_000

CASES: dict[str, Callable[[], Case]] = {
    "yaml: names, 10 MB": lambda: _yaml("val: images/val\nnames: [" + "a, " * 3_000_000 + "]\n"),
    "yaml: 300,000 names in 2 MB": lambda: _yaml("val: images/val\nnames: [" + "a, " * 600_000 + "]\n"),
    "yaml: keys": lambda: _yaml(
        "val: images/val\nnames: [a]\n" + "".join(f"k{i}: 1\n" for i in range(150_000))
    ),
    "yaml: aliases of aliases": lambda: _yaml(f"{_ALIASES}val: images/val\nnames: *a11\n"),
    "yaml: nested": lambda: _yaml("val: images/val\nnames: " + "[" * 1_000_000),
    "yaml: nested blocks": lambda: _yaml("".join(" " * i + "a:\n" for i in range(1_300))),
    "yaml: one long text": lambda: _yaml('val: images/val\nnames: ["' + "x" * 1_900_000 + '"]\n'),
    "yaml: a wide line of dashes": lambda: _yaml("val: images/val\nnames:\n" + "- - - - - - - - " * 120_000),
    "yaml: anchors": lambda: _yaml(
        "val: images/val\nnames:\n" + "".join(f"- &a{i} x\n" for i in range(150_000))
    ),
    "yaml: nc without end": lambda: _yaml("val: images/val\nnc: " + "9" * 1_900_000),
    "yaml: splits": lambda: _yaml("names: [a]\nval: [" + "images/val, " * 150_000 + "]\n"),
    "yaml: splits of nothing": lambda: _yaml(
        "names: [a]\nval: [" + ", ".join(f"x{i}" for i in range(180_000)) + "]\n"
    ),
    "yaml: globs": lambda: _yaml("names: [a]\nval: [" + "images/**/*.png, " * 110_000 + "]\n"),
    "labels: rows": lambda: _labels(ROW * 600_000),
    "labels: rows that differ": lambda: _labels(
        "".join(f"{i % 2} 0.{i % 9 + 1} 0.5 0.{i % 977 + 1:03} 0.2\n" for i in range(360_000))
    ),
    "labels: broken rows": lambda: _labels("x\n" * 5_000_000),
    "labels: rows out of range": lambda: _labels("9 2 2 2 2\n" * 1_000_000),
    "labels: one row": lambda: _labels("0" + " 0.5" * 2_500_000),
    "labels: polygons": lambda: _labels(("0" + " 0.1 0.2 0.3 0.9" * 100 + "\n") * 6_000),
    "labels: spaces": lambda: _labels(" " * MOST),
    "labels: empty lines": lambda: _labels("\n" * MOST),
    "labels: NULs": lambda: _labels(bytes(MOST)),
    "labels: digits": lambda: _labels("9" * MOST),
    "list: one image, 600,000 times": lambda: _listed("images/val/a.png\n"),
    "list: images that are not there": lambda: _listed("x.png\n"),
    "list: long paths": lambda: _listed("images/" + "../images/" * 400 + "val/a.png\n"),
    "list: one list, 100,000 times": lambda: on_data(_many_lists),
    "coco: 300,000 categories": lambda: _coco(
        categories=[{"id": i, "name": f"{i}"} for i in range(300_000)], annotations=[]
    ),
    "coco: 300,000 names that are one": lambda: _coco(
        categories=[{"id": i, "name": "a"} for i in range(300_000)], annotations=[]
    ),
    "coco: 140,000 annotations": lambda: _coco(annotations=[_annotation(i) for i in range(140_000)]),
    "coco: broken annotations": lambda: _coco(annotations=[_annotation(0, bbox=[1])] * 130_000),
    "coco: annotations of nothing": lambda: _coco(annotations=[{}] * 3_000_000),
    "coco: 130,000 images": lambda: _coco(
        images=[{"id": i, "file_name": "7.png", "height": 60, "width": 80} for i in range(130_000)]
    ),
    "coco: images that are not there": lambda: _coco(
        images=[{"id": i, "file_name": f"{i}.png", "height": 60, "width": 80} for i in range(130_000)]
    ),
    "coco: huge images": lambda: _coco(
        images=[{"id": 7, "file_name": "7.png", "height": 10**9, "width": 10**9}]
    ),
    "coco: a mask of a huge image": lambda: _coco(
        images=[{"id": 7, "file_name": "7.png", "height": 20_000, "width": 20_000}],
        annotations=[
            _annotation(i, segmentation={"size": [20_000, 20_000], "counts": [400_000_000]}, iscrowd=1)
            for i in range(50_000)
        ],
    ),
    "coco: one mask of many runs": lambda: _coco(
        annotations=[_annotation(1, segmentation={"size": [60, 80], "counts": [0] * 4_900_000}, iscrowd=1)]
    ),
    "coco: compressed runs": lambda: _coco(
        annotations=[_annotation(1, segmentation={"size": [60, 80], "counts": "0" * 9_900_000}, iscrowd=1)]
    ),
    "coco: one polygon": lambda: _coco(annotations=[_annotation(1, segmentation=[[1] * 4_900_000])]),
    "coco: polygons": lambda: _coco(
        annotations=[_annotation(1, segmentation=[[1, 1, 9, 1, 9, 9]] * 600_000)]
    ),
    "coco: nested lists": lambda: _coco("[" * MOST),
    "coco: nested objects": lambda: _coco(_DEEP),
    "coco: digits": lambda: _coco('{"images": [{"id": ' + "9" * 9_900_000 + "}]}"),
    "coco: keys": lambda: _coco("{" + ",".join(f'"{i}":0' for i in range(900_000)) + "}"),
    "coco: empty lists": lambda: _coco('{"images": [' + "[]," * 3_300_000 + "[]]}"),
    "coco: one text": lambda: _coco(json.dumps(coco_content(info="x" * 9_900_000))),
    "voc: objects": lambda: _voc(voc_xml(voc_object() * 80_000)),
    "voc: broken objects": lambda: _voc(voc_xml("<object/>" * 1_000_000)),
    "voc: elements": lambda: _voc("<annotation>" + "<a/>" * 2_400_000 + "</annotation>"),
    "voc: nested": lambda: _voc("<annotation>" + "<a>" * 3_000_000),
    "voc: entities": lambda: _voc(_LAUGHS + "]><annotation>&l11;</annotation>"),
    "voc: one text": lambda: _voc("<annotation>" + "x" * 9_900_000 + "</annotation>"),
    "voc: attributes": lambda: _voc("<annotation " + " ".join(f"a{i}='1'" for i in range(700_000)) + "/>"),
    "voc: classes": lambda: _voc(voc_xml("".join(voc_object(f"c{i}") for i in range(75_000)))),
    "voc: 20,000 files": lambda: _voc("<annotation>" + "<a/>" * 100 + "</annotation>", count=20_000),
    "run: nested config": lambda: _run("config.json", _DEEP),
    "run: config": lambda: _run("config.json", "{" + ",".join(f'"k{i}":0' for i in range(900_000)) + "}"),
    "run: recipe": lambda: _run("recipe.json", "[" * MOST),
    "run: history": lambda: _run("metrics.csv", "1,2,3,4,5\n" * 1_000_000),
    "run: history of one line": lambda: _run("metrics.csv", "1," * 5_000_000),
    "run: state": lambda: _run("state.safetensors", "\xff" * 8 + "{" * MOST),
}
