"""Reader of the annotations of a COCO json file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolov7.data.labels import LabelCollector, in_fractions, polygon_box
from yolov7.formats import coco_values as values
from yolov7.formats.coco_ledger import Ledger
from yolov7.types import FloatArray

_MAX_AREA = 1e10  # COCO's evaluation ignores larger objects


@dataclass(frozen=True)
class Image:
    """An image listed in the json.

    Attributes:
        image_id: id as written in the json.
        path: image file.
        collector: collector of its labels; None if the file cannot be read.
    """

    image_id: int | str
    path: Path
    collector: LabelCollector | None


class AnnotationReader:
    """Reader of annotations, tolerant of the variants that labelling tools write.

    Args:
        ledger: record of defects.
        images: images by id (`coco_values.identity`).
        labels: label of each category id.
    """

    def __init__(self, ledger: Ledger, images: Mapping[int | str, Image], labels: Mapping[int, int]) -> None:
        self.ledger, self.images, self.labels = ledger, images, labels

    def read(self, annotations: list[Any]) -> None:
        """Add each annotation to its image's collector."""
        seen: set[int | str] = set()
        for index, annotation in enumerate(annotations):
            if not isinstance(annotation, dict):
                message = "annotation is not an object: dropped"
                self.ledger.lose("annotations", index, "annotations that are not objects", message)
                continue
            subject = f"annotation {values.short(annotation.get('id'))}:"
            image = self._image_of(index, annotation, subject)
            label = self._label_of(index, annotation, subject) if image else None
            if image is None or label is None:
                continue
            number = values.identity(annotation.get("id"))
            if number in seen:
                message = f"{subject} another annotation has the same id: kept"
                self.ledger.warn("annotations", index, "annotations with a repeated id: kept", message)
            if number is not None:
                seen.add(number)
            if image.collector is not None:  # else the image was reported
                self._add(index, annotation, subject, label, image.collector)
            else:
                self.ledger.left_out.add("annotations of images that cannot be read", subject[:-1])

    def _image_of(self, index: int, annotation: dict[str, Any], subject: str) -> Image | None:
        given = annotation.get("image_id")
        number = values.identity(given)
        image = None if number is None else self.images.get(number)
        if image is None:
            message = f"{subject} no image has the id {values.short(given)}: dropped"
            self.ledger.lose("annotations", index, "annotations of images that are not listed", message)
        elif type(given) is not type(image.image_id):
            self.ledger.remark(
                "image_id written in another form than the image's id: read as the same", subject[:-1]
            )
        return image

    def _label_of(self, index: int, annotation: dict[str, Any], subject: str) -> int | None:
        given = annotation.get("category_id")
        number = values.whole(given)
        if number is None or number not in self.labels:
            message = f"{subject} no category has the id {values.short(given)}: dropped"
            self.ledger.lose("annotations", index, "annotations of categories that are not listed", message)
            return None
        if not values.is_whole(given):
            self.ledger.remark("category_id written as text or as float: read as an integer", subject[:-1])
        return self.labels[number]

    def _add(
        self, index: int, annotation: dict[str, Any], subject: str, label: int, collector: LabelCollector
    ) -> None:
        """Add one annotation with its bbox, or else the box of its polygon or mask."""
        crowd, clear = values.flag(annotation.get("iscrowd"))
        if not clear:
            meaning = f"iscrowd is neither 0 nor 1: read as {int(crowd)}"
            self.ledger.remark(meaning, subject[:-1])
        parts = annotation.get("segmentation")
        polygon = None if crowd and isinstance(parts, dict) else values.polygon(parts)
        box = self._box(annotation.get("bbox"), parts, polygon, subject)
        if box is None:
            given = values.short(annotation.get("bbox"))
            message = f"{subject} bbox must be [x, y, width, height], not {given}: dropped"
            self.ledger.lose("annotations", index, "annotations without a box of four numbers", message)
            return
        x, y, width, height = box
        if in_fractions((x, y, x + width, y + height), collector.size):
            message = f"{subject} box ({x:g}, {y:g}, {width:g}, {height:g}) lies in the first pixel: "
            message += "fractions of the image instead of pixels? dropped"
            self.ledger.lose("annotations", index, "boxes in fractions of the image", message)
            return
        if polygon is None and isinstance(parts, list) and parts and not crowd:
            problem = "polygon with fewer than 3 points or a value that is not a number: only the box is used"
            self.ledger.warn("annotations", index, "polygons that cannot be read", f"{subject} {problem}")
        area = values.number(annotation.get("area"))
        if area is None or not 0 <= area < _MAX_AREA:
            if annotation.get("area") is not None:
                self.ledger.remark("invalid areas: the area of the box is used", subject[:-1])
            area = width * height
        collector.add(
            label,
            (x, y, x + width, y + height),
            place=index,
            subject=f"{subject} box",
            polygon=None if crowd else polygon,
            crowd=crowd,
            area=area,
        )

    def _box(self, given: Any, parts: Any, polygon: FloatArray | None, subject: str) -> values.Box | None:
        if given is None or given == []:
            mask = values.mask_box(parts)
            if polygon is not None:
                x1, y1, x2, y2 = polygon_box(polygon)
                mask = x1, y1, x2 - x1, y2 - y1
            if mask is not None:
                self.ledger.remark(
                    "annotations without bbox: the box of the polygon or mask is used", subject[:-1]
                )
            return mask
        box = values.bbox(given)
        if box is not None and not (
            isinstance(given, list) and not any(isinstance(side, str) for side in given)
        ):
            self.ledger.remark(
                "boxes written as text or with names: read as x, y, width, height", subject[:-1]
            )
        return box
