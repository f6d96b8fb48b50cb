"""The kinds of files: good ones of each, small, and how the commands open them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow

from tests.checkpoints.test_checkpoint import network_of
from tests.formats.small_sets import (
    coco_content,
    voc_object,
    voc_xml,
    write,
    write_coco,
    write_voc,
    write_yolo,
)
from tests.fuzz import mutations
from tests.fuzz.mutations import Inside, record
from tests.golden.keyed import golden_network, keyed_state_dict
from tests.runtimes.lively import lively, noise
from tests.untrusted.hostile import exported, torchscript, written
from yolov7.commands.inspection import doctor
from yolov7.formats.opening import find_layout, open_dataset
from yolov7.images.reading import decoding_bytes, image_size, read_frames, read_image
from yolov7.loading import load
from yolov7.models.detector import create
from yolov7.models.zoo import find_architecture
from yolov7.runtimes.description import ExportOptions
from yolov7.runtimes.formats import find_format
from yolov7.training.config import TrainConfig
from yolov7.training.prepare import prepare
from yolov7.training.record import find_run, store, stored
from yolov7.training.state import SafeState, find_past


@dataclass(frozen=True)
class Kind:
    """Files of one kind.

    Attributes:
        make: writes good ones into a folder.
        files: patterns of those that are changed.
        open: opens what a changed file belongs to.
        inside: parts that are changed by themselves, by how the file's name ends.
    """

    make: Callable[[Path], None]
    files: Sequence[str]
    open: Callable[[Path], None]
    inside: Mapping[str, Sequence[Inside]] = field(default_factory=dict)


def _open_dataset(path: Path) -> None:
    doctor(str(path))
    for split in find_layout(path).splits:
        dataset = open_dataset(path, split)
        dataset.account()
        for index in range(min(4, len(dataset))):
            dataset[index]


def _open_checkpoint(path: Path) -> None:
    doctor(str(path))
    doctor(str(path), json_=True)


def _open_artefact(path: Path) -> None:
    load(path.parent if path.suffix == ".xml" else path)(noise(64, 48))


def _open_image(path: Path) -> None:
    decoding_bytes(path)
    try:
        size = image_size(path)
    finally:  # whatever the header says
        image = read_image(path)
    assert size == image.shape[:2], f"{size} in the header, {image.shape} when read"
    if path.suffix in (".gif", ".webp", ".png"):
        list(islice(read_frames(path), 4))


def _open_run(path: Path) -> None:
    directory = find_run(path.parent)
    if path.name == "state.safetensors":
        SafeState().load_checkpoint(path)
    stored(TrainConfig(resume=directory), None, directory)
    find_past(directory)


def _yaml(folder: Path) -> None:
    labels = {"a": "0 .5 .5 .2 .2\n", "b": "1 .1 .1 .1 .1 .3 .2\n"}
    full = "path: .\ntrain: images/val\nval: [images/val]\nnc: 2\nnames: {0: cat, 1: 'd: og'}\n"
    write_yolo(folder / "short", labels)
    write_yolo(folder / "full", labels, yaml=full)
    write_yolo(
        folder / "list", labels, yaml="# a comment\nval: val.txt\nnames: {0: a, 1: b}\nx: &x [1]\ny: *x\n"
    )
    write(folder / "list" / "val.txt", "./images/val/a.png\nimages/val/b.png\n")


def _labels(folder: Path) -> None:
    labels = {
        "a": "0 .5 .5 .2 .2\n1 .25 .25 .125 .5\n",
        "b": "1 .1 .1 .4 .1 .3 .2 .2 .4\n\n",
        "c": "\ufeff0 0.1 0.2 1e-1 2e-2\r\n",
    }
    write_yolo(folder, labels, yaml="val: val.txt\nnames: [cat, dog]\n")
    write(folder / "val.txt", "./images/val/a.png\n# b\nimages/val/b.png\nimages/val/c.png\n")


def _coco(folder: Path) -> None:
    polygons = [[10, 10, 20, 10, 20, 25.5]]
    runs = {"size": [60, 80], "counts": [100, 20, 4680]}
    rows = [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 10, 20, 30], "segmentation": polygons},
        {
            "id": 2,
            "image_id": 5,
            "category_id": 1,
            "bbox": [0, 0, 8, 6],
            "area": 48,
            "iscrowd": 1,
            "segmentation": runs,
        },
        {
            "id": 3,
            "image_id": 5,
            "category_id": 1,
            "bbox": [0, 0, 80, 60],
            "segmentation": {"size": [60, 80], "counts": "0d02"},
        },
    ]
    write_coco(folder / "plain", coco_content())
    write_coco(folder / "rich", coco_content(annotations=rows, licenses=[], info={}))


def _voc(folder: Path) -> None:
    box = voc_object(box=("1.5", 2, "30", 40)).replace(
        "</object>", "<difficult>1</difficult><part><name>x</name></part></object>"
    )
    xmls = {
        "a": voc_xml(voc_object(), voc_object("cat")),
        "b": '<?xml version="1.0" encoding="utf-8"?>' + voc_xml(box),
    }
    write_voc(folder, xmls, {"train": "a", "val": "a\nb"})


def _images(folder: Path) -> None:
    folder.mkdir(parents=True)
    picture = Pillow.fromarray(noise(33, 47))
    exif = Pillow.Exif()
    exif[0x0112] = 6
    picture.save(folder / "turned.jpg", exif=exif)
    picture.convert("CMYK").save(folder / "cmyk.jpg", progressive=True)
    for mode, name in (
        ("RGB", "a.png"),
        ("P", "p.png"),
        ("RGBA", "rgba.png"),
        ("RGB", "a.bmp"),
        ("L", "l.bmp"),
        ("RGB", "a.webp"),
    ):
        picture.convert(mode).save(folder / name)
    Pillow.fromarray(noise(9, 9)[..., 0].astype(np.uint16) * 255).save(folder / "deep.png")
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        picture.save(folder / f"{compression}.tif", compression=compression)
    Pillow.fromarray(noise(9, 9)[..., 0].astype(np.float32) / 255).save(folder / "float.tiff")
    for name in ("moving.gif", "moving.webp", "moving.png"):
        picture.save(folder / name, save_all=True, append_images=[picture.rotate(90), picture.rotate(180)])


def _safetensors(folder: Path) -> None:
    folder.mkdir(parents=True)
    lively(width=0.125).save(folder / "a.safetensors")
    lively(width=0.125).save(folder / "half.safetensors", half=True)


def _pickled(folder: Path) -> None:
    folder.mkdir(parents=True)
    architecture = find_architecture("yolov7-tiny")
    state = keyed_state_dict(golden_network("yolov7-tiny")[0], architecture.anchors)
    network = network_of(state, names=["a"] * 80, nc=80).half()
    tree = {"model": network, "epoch": 3, "optimizer": None, "opt": Namespace(a=1)}
    torch.save(tree, folder / "a.pt")
    torch.save(tree, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(
        {"state_dict": create(architecture).half().state_dict(), "x": np.float64(1.5)}, folder / "own.pt"
    )


def _artefact(folder: Path) -> None:
    folder.mkdir(parents=True)
    checkpoint = lively(width=0.125, size=64)
    written(folder, "a.torchscript", torchscript())
    written(folder, "a.pt2", exported())
    for runtime in map(find_format, ("onnx", "openvino")):
        runtime.write(checkpoint, folder / f"a{runtime.suffix}", ExportOptions(size=64))


def _run(folder: Path) -> None:
    data = write_yolo(folder / "data", dict.fromkeys("ab", "0 .5 .5 .2 .2\n"), split="train")
    config = TrainConfig(
        data=data, size=64, width=0.125, set=("epochs=3",), accelerator="cpu", report=False, auto_anchor=False
    )
    directory = folder / "run"
    directory.mkdir()
    store(prepare(config, None, lambda _: None), directory)
    lively(width=0.125).save(directory / "last.safetensors")
    row = {"epoch": 1, "seconds": 2.5, "ap": 0.25}
    state = {
        "epoch": 0,
        "global_step": 4,
        "pytorch-lightning_version": "2.0",
        "state_dict": {"weight": torch.ones(2, 3)},
        "loops": {"fit_loop": {"epoch_progress": {"current": {"processed": 1}}, "state_dict": {}}},
        "callbacks": {"Keeper": {"history": [row], "spent": 2.5, "images": 1}},
        "optimizer_states": [
            {
                "state": {0: {"momentum_buffer": torch.ones(2, 3)}},
                "param_groups": [{"lr": 0.1, "params": (0,)}],
            }
        ],
        "lr_schedulers": [],
        "gradients": {"weight": torch.zeros(2, 3)},
    }
    SafeState().save_checkpoint(state, directory / "state.safetensors")


def _root(path: Path, beside: str) -> Path:
    """The folder above a file that has such a folder in it."""
    return next(parent for parent in path.parents if (parent / beside).is_dir())


KINDS = {
    "yaml": Kind(_yaml, ["*/data.yaml"], _open_dataset),
    "coco": Kind(_coco, ["*/instances.json"], _open_dataset),
    "voc": Kind(
        _voc,
        ["Annotations/*.xml", "ImageSets/Main/*.txt"],
        lambda path: _open_dataset(_root(path, "Annotations")),
    ),
    "labels": Kind(
        _labels,
        ["labels/val/*.txt", "val.txt"],
        lambda path: _open_dataset(_root(path, "images") / "data.yaml"),
    ),
    "images": Kind(_images, ["*"], _open_image, {".png": [mutations.PNG]}),
    "safetensors": Kind(_safetensors, ["*"], _open_checkpoint, {".safetensors": [mutations.HEADER]}),
    "pickled": Kind(_pickled, ["*.pt", "*.pth"], _open_checkpoint, {".pt": record("data.pkl")}),
    "artefacts": Kind(
        _artefact,
        ["*.onnx", "*.torchscript", "*.pt2", "*.openvino/*.xml"],
        _open_artefact,
        {
            ".onnx": [mutations.ONNX],
            ".torchscript": record("open-yolov7", "data.pkl", ".py"),
            ".pt2": record("open-yolov7", "model.json"),
        },
    ),
    "run": Kind(
        _run, ["run/*.json", "run/state.safetensors"], _open_run, {".safetensors": [mutations.STATE]}
    ),
}
