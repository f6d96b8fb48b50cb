"""Opening of data sets of any format by their path.

open_dataset("coco/annotations/instances_val2017.json")     COCO, one file
open_dataset("coco", split="val")                           COCO, annotations/instances_val*.json
open_dataset("data.yaml", split="train")                    YOLO
open_dataset("VOC2007", split="trainval")                   Pascal VOC, or xml files beside the images
"""

from __future__ import annotations

import os
from pathlib import Path

from yolov7.data.dataset import Dataset, Layout, choose_split
from yolov7.data.folders import is_disk_or_home, subfolders
from yolov7.errors import DataError
from yolov7.files import exists
from yolov7.formats import coco, voc, yolo_layouts


def find_layout(path: str | os.PathLike[str], *, images: str | os.PathLike[str] | None = None) -> Layout:
    """Recognise a data set; arguments as for `open_dataset`.

    Raises:
        DataError: there is no data set, or several.
    """
    root = Path(path)
    if not exists(root):
        raise DataError("no such file or folder", file=path)
    folder = None if images is None else Path(images)
    if (layout := _layout_at(root, folder)) is not None:
        return layout
    below = [] if is_disk_or_home(root) else subfolders(root)
    inside = [(path.name, found) for path in below if (found := _layout_at(path, folder))]
    if len(inside) > 1:
        names = ", ".join(name for name, _ in inside[:10])
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


def open_dataset(
    path: str | os.PathLike[str], split: str = "val", *, images: str | os.PathLike[str] | None = None
) -> Dataset:
    """Open one split of a data set of any format. Labels are read and checked now, images on access.

    Args:
        path: COCO json file, YOLO data.yaml, or folder that holds a data set of any format.
        split: "train", "val", "test" or the data set's own name; "all" or "val" if it is undivided.
        images: image folder of a COCO json file, if it is not found by itself.

    Raises:
        DataError: there is no data set, no such split, or no readable image.
    """
    layout = find_layout(path, images=images)
    dataset = layout.read(choose_split(split, layout.splits, path))
    if not dataset.images:
        raise DataError(
            "no readable image" + "".join(f"\n  {defect}" for defect in dataset.defects[:5]),
            file=path,
        )
    return dataset
