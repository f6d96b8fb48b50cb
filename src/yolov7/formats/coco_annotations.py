"""Reader of the annotations of a COCO json file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yolov7.data.labels import LabelCollector, polygon_box
from yolov7.formats import coco_values as values
from yolov7.formats.coco_ledger import Ledger
from yolov7.types import FloatArray

_MAX_AREA = 1e10  # square pixels; COCO's evaluation ignores larger objects


@dataclass
class AnnotationReader:
    """Reader of annotations, tolerant of the variants that annotation tools write."""

    ledger: Ledger
    images: Mapping[int | str, LabelCollector | None]  # by id (`coco_values.identity`); None if unreadable
    labels: Mapping[int, int]  # by category id

    def read(self, annotations: list[Any]) -> None:
        """Add each annotation to its image's collector."""
        seen: set[int | str] = set()
        for index, annotation in enumerate(annotations):
            if not isinstance(annotation, dict):
                self._lose(index, "annotations that are not objects", "annotation is not an object: dropped")
                continue
            subject = f"annotation {values.short(annotation.get('id'))}"
            found = self._resolve(index, annotation, subject)
            if found is None:
                continue
            number = values.identity(annotation.get("id"))
            if number in seen:
                message = f"{subject}: another annotation has the same id: kept"
                self.ledger.warn("annotations", index, "annotations with a repeated id: kept", message)
            if number is not None:
                seen.add(number)
            label, collector = found
            if collector is None:  # the image itself was reported
                self.ledger.findings.leave_out("annotations of images that cannot be read", subject)
            else:
                self._add(index, annotation, subject, label, collector)

    def _lose(self, index: int, kind: str, message: str) -> None:
        self.ledger.lose("annotations", index, kind, message)

    def _resolve(
        self, index: int, annotation: dict[str, Any], subject: str
    ) -> tuple[int, LabelCollector | None] | None:
        """Find the label and the image of an annotation; report it if one of them is not listed."""
        image, category = annotation.get("image_id"), annotation.get("category_id")
        image_id, category_id = values.identity(image), values.whole(category)
        if image_id is None or image_id not in self.images:
            message = f"{subject}: no image has the id {values.short(image)}: dropped"
            self._lose(index, "annotations of images that are not listed", message)
            return None
        collector = self.images[image_id]
        if collector is not None and type(image) is not type(collector.image_id):
            remark = "image_id written differently from the image's id: read as the same"
            self.ledger.remark(remark, subject)
        if category_id is None or category_id not in self.labels:
            message = f"{subject}: no category has the id {values.short(category)}: dropped"
            self._lose(index, "annotations of categories that are not listed", message)
            return None
        if not values.is_whole(category):
            self.ledger.remark("category_id written as text or as float: read as an integer", subject)
        return self.labels[category_id], collector

    def _add(
        self, index: int, annotation: dict[str, Any], subject: str, label: int, collector: LabelCollector
    ) -> None:
        """Add one annotation with its bbox, else with the box of its polygon or mask."""
        crowd, clear = values.flag(annotation.get("iscrowd"))
        if not clear:
            self.ledger.remark(f"iscrowd is neither 0 nor 1: read as {int(crowd)}", subject)
        given, parts = annotation.get("bbox"), annotation.get("segmentation")
        polygon = None if crowd and isinstance(parts, dict) else values.polygon(parts)
        box = self._box(given, parts, polygon, subject)
        if box is None:
            message = f"{subject}: bbox must be [x, y, width, height], not {values.short(given)}: dropped"
            return self._lose(index, "annotations without a box of four numbers", message)
        x, y, width, height = box
        if polygon is None and isinstance(parts, list) and parts and not crowd:
            problem = "polygon with fewer than 3 points or a value that is not a number: only the box is used"
            self.ledger.warn("annotations", index, "polygons that cannot be read", f"{subject}: {problem}")
        area = values.number(annotation.get("area"))
        if area is None or not 0 <= area < _MAX_AREA:
            if annotation.get("area") is not None:
                self.ledger.remark("invalid areas: the area of the box is used", subject)
            area = width * height
        return collector.add(
            label,
            (x, y, x + width, y + height),
            place=index,
            subject=f"{subject}: box",
            polygon=None if crowd else polygon,
            crowd=crowd,
            area=area,
            in_pixels=True,
        )

    def _box(self, given: Any, parts: Any, polygon: FloatArray | None, subject: str) -> values.Box | None:
        if given is None or given == []:
            box = values.mask_box(parts)
            if polygon is not None:
                x1, y1, x2, y2 = polygon_box(polygon)
                box = x1, y1, x2 - x1, y2 - y1
            remark = "annotations without bbox: the box of the polygon or mask is used"
        else:
            box = values.bbox(given)
            if isinstance(given, list) and not any(isinstance(side, str) for side in given):
                return box
            remark = "boxes written as text or with names: read as x, y, width, height"
        if box is not None:
            self.ledger.remark(remark, subject)
        return box
