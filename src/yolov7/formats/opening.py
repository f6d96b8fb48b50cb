"""Opening of data sets by their path alone, in any of the usual formats.

open_dataset("coco/annotations/instances_val2017.json")     COCO, one file
open_dataset("coco", split="val")                           COCO, annotations/instances_val*.json
open_dataset("data.yaml", split="train")                    YOLO
open_dataset("VOC2007", split="trainval")                   Pascal VOC, or xml files beside the images
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from yolov7.data.dataset import Dataset, Layout, choose_split
from yolov7.data.folders import is_hidden
from yolov7.data.labels import Defect, LabelledImage
from yolov7.errors import DataError
from yolov7.files import exists, is_folder
from yolov7.formats import coco, voc, yolo_layouts

__all__ = ["Dataset", "Defect", "LabelledImage", "Layout", "find_layout", "match_classes", "open_dataset"]


def find_layout(path: str | os.PathLike[str], *, images: str | os.PathLike[str] | None = None) -> Layout:
    """Recognise a data set.

    Args:
        path: COCO json file, YOLO data.yaml, or folder that holds a data set of any format.
        images: image folder of a COCO json file, if it cannot be found.

    Raises:
        DataError: there is no data set, or several.
    """
    root = Path(path)
    if not exists(root):
        raise DataError("no such file or folder", file=path)
    folder = None if images is None else Path(images)
    if (layout := _layout_at(root, folder)) is not None:
        return layout
    inside = [(below, found) for below in _subfolders(root) if (found := _layout_at(below, folder))]
    if len(inside) > 1:
        names = ", ".join(below.name for below, _ in inside[:10])
        raise DataError("several data sets here; name one of them", file=path, found=names)
    if inside:
        return inside[0][1]
    raise DataError(
        "no data set here",
        file=path,
        expected="a COCO json file, a YOLO data.yaml, a Pascal VOC folder, or a folder with one of these",
        found=yolo_layouts.what_is_missing(root),
    )


def _layout_at(path: Path, images: Path | None) -> Layout | None:
    other = yolo_layouts.find_layout(path) or voc.find_layout(path)
    if other is not None and images is not None:
        raise DataError("the image folder can be given for COCO json only", file=path, found=images)
    return other or coco.find_layout(path, images=images)


def _subfolders(path: Path) -> list[Path]:
    if not is_folder(path) or path.resolve() in (Path(path.resolve().anchor), Path.home()):
        return []
    try:
        return sorted(below for below in path.iterdir() if is_folder(below) and not is_hidden(below.name))
    except OSError:
        return []


def open_dataset(
    path: str | os.PathLike[str], split: str = "val", *, images: str | os.PathLike[str] | None = None
) -> Dataset:
    """Open one split of a data set of any format. Labels are read and checked now, images on access.

    Args:
        path: COCO json file, YOLO data.yaml, or folder that holds a data set of any format.
        split: "train", "val", "test" or the data set's own name; "all" or "val" if it is undivided.
        images: image folder of a COCO json file, if it cannot be found.

    Raises:
        DataError: there is no data set, no such split, or no readable image.
    """
    layout = find_layout(path, images=images)
    dataset = layout.read(choose_split(split, layout.splits, path))
    if not dataset.images:
        raise DataError(
            "no image that can be read" + "".join(f"\n  {defect}" for defect in dataset.defects[:5]),
            file=path,
        )
    return dataset


def match_classes(
    dataset_names: Sequence[str], model_names: Sequence[str], needed: Sequence[bool] | None = None
) -> tuple[int, ...]:
    """Map each label of a model to the data set's label of the same name, or to -1.

    Case, spaces and underscores are ignored. The model may have more classes than the data set, not fewer. A
    model whose names are just numbers is matched by order.

    Args:
        dataset_names: class names of the data set by label.
        model_names: class names of the model by label.
        needed: for each class of the data set, whether the model must have it, such as those with a box; all
            by default.

    >>> match_classes(["shapes", "cat", "dog"], ["Dog", "cat", "cow"], [False, True, True])
    (2, 1, -1)

    Raises:
        DataError: the model lacks a needed class, or several classes share a name.
    """
    wanted = [_plain_name(name) for name in dataset_names]
    known = [_plain_name(name) for name in model_names]
    if wanted == known or (len(wanted) == len(known) and all(name.isdecimal() for name in known)):
        return tuple(range(len(known)))
    unknown = set(wanted) - set(known)
    missing = [
        name
        for name, plain, is_needed in zip(dataset_names, wanted, needed or [True] * len(wanted), strict=True)
        if plain in unknown and is_needed
    ]
    if missing:
        raise DataError(
            f"{len(missing)} of the data set's {len(wanted)} classes are unknown to the model",
            expected="the model's classes: " + _listed(model_names),
            found="of the data set only: " + _listed(missing),
        )
    for names, plain_names in ((dataset_names, wanted), (model_names, known)):
        times = Counter(plain_names)
        repeated = sorted(
            {
                name
                for name, plain in zip(names, plain_names, strict=True)
                if times[plain] > 1 and plain not in unknown
            }
        )
        if repeated:
            raise DataError(
                "class names that stand for several classes cannot be matched", found=_listed(repeated)
            )
    label_of = {name: label for label, name in enumerate(wanted)}
    return tuple(label_of.get(name, -1) for name in known)


def _plain_name(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())


def _listed(names: Sequence[str], limit: int = 12) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
