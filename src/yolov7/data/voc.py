"""Pascal VOC xml -> labelled images.

    Annotations/*.xml  JPEGImages/*  ImageSets/Main/<split>.txt    devkit, or annotations/ and images/
    images/train/*.xml beside the images, images/test/...         loose, a folder a split

The corners are taken as they stand: the devkit counts pixels from 1, but the tools that most files come from
write edges from 0; the difference is one pixel at the left and at the top. Classes are in alphabetical order
over all splits, so that a label means the same in each.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from xml.parsers import expat

from yolov7.data.images import IMAGE_SUFFIXES
from yolov7.data.labels import Defect, LabelCollector, decode_text, image_ids, image_sizes, read_text
from yolov7.data.layout import UNDIVIDED, Dataset
from yolov7.errors import DataError


@dataclass(frozen=True)
class VocLayout:
    """Which images and xml files belong to which split."""

    path: Path
    members: dict[str, tuple[_Member, ...]]

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the lists in ImageSets/Main, or of the folders."""
        return tuple(self.members)

    @cached_property
    def annotations(self) -> dict[Path, _Document]:
        """Each xml file of all splits."""
        files = {member.xml for members in self.members.values() for member in members if member.xml}
        return {file: _read(file) for file in sorted(files)}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Class names of all splits, sorted."""
        roots = [document.root for document in self.annotations.values() if document.root]
        return tuple(
            sorted({name for root in roots for item in root.all("object") if (name := item.text("name"))})
        )

    def read(self, split: str) -> Dataset:
        """Read the split's xml files and the headers of its images."""
        defects: list[Defect] = []
        if not self.names:
            raise DataError("no object in any xml file", file=self.path)
        present: list[_Member] = []
        for member in self.members[split]:
            if member.image is None:
                defects.append(
                    Defect(str(member.source), member.line, f"no image for {member.name}", "error")
                )
            else:
                present.append(member)
        paths = [member.image for member in present if member.image]
        images, unlabelled = [], 0
        for member, path, number, size in zip(
            present, paths, image_ids(paths), image_sizes(paths), strict=True
        ):
            if isinstance(size, str):
                defects.append(Defect(str(path), None, f"{size}: left out", "error"))
                continue
            collector = LabelCollector(member.xml or path, size, defects)
            if member.xml is None:
                unlabelled += 1
            else:
                document = self.annotations[member.xml]
                defects += document.defects
                if document.root is None:
                    continue  # what is in the image is not known
                _collect(document.root, collector, self.names)
            images.append(collector.labelled_image(path, number))
        return Dataset(
            path=self.path,
            kind="voc",
            split=split,
            names=self.names,
            category_ids=tuple(range(len(self.names))),
            images=tuple(images),
            defects=tuple(defects),
            unlabelled=unlabelled,
        )


@dataclass(frozen=True)
class _Member:
    """An image of a split; image or xml may be missing. `source` and `line` say where it is named."""

    name: str
    image: Path | None
    xml: Path | None
    source: Path
    line: int | None = None


def find_layout(path: Path) -> VocLayout | None:
    """The devkit's folders; or a folder of images and xml files, or its subfolders (one a split)."""
    if not path.is_dir():
        return None
    for xmls, images in (("Annotations", "JPEGImages"), ("Annotations", "images"), ("annotations", "images")):
        if any((path / xmls).glob("*.xml")) and (path / images).is_dir():
            return VocLayout(path, _devkit_members(path, path / xmls, path / images))
    if members := _loose_members(path):
        return VocLayout(path, {UNDIVIDED: members})
    for base in (path, path / "images"):
        splits = {folder.name: _loose_members(folder) for folder in sorted(base.glob("*")) if folder.is_dir()}
        if any(splits.values()):
            return VocLayout(path, {split: members for split, members in splits.items() if members})
    return None


def _devkit_members(path: Path, xml_folder: Path, image_folder: Path) -> dict[str, tuple[_Member, ...]]:
    images, xmls = _by_stem(image_folder, IMAGE_SUFFIXES), _by_stem(xml_folder, {".xml"})
    lists = sorted((path / "ImageSets" / "Main").glob("*.txt"))
    # aeroplane_train.txt and the like say in which images of train a class is.
    lists = [file for file in lists if not re.fullmatch(r".+_(train|val|trainval|test)", file.stem)]
    if not lists:
        return {UNDIVIDED: _pair(images, xmls)}
    members = {}
    for file in lists:
        lines = read_text(file, []).splitlines()
        named = {line.split()[0]: number for number, line in enumerate(lines, 1) if line.strip()}
        members[file.stem] = tuple(
            _Member(name, images.get(name), xmls.get(name), file, line) for name, line in named.items()
        )
    return members


def _loose_members(folder: Path) -> tuple[_Member, ...]:
    """Images and xml files of one folder; none unless at least two belong together."""
    images, xmls = _by_stem(folder, IMAGE_SUFFIXES), _by_stem(folder, {".xml"})
    return _pair(images, xmls) if images.keys() & xmls.keys() else ()


def _pair(images: dict[str, Path], xmls: dict[str, Path]) -> tuple[_Member, ...]:
    return tuple(
        _Member(name, images.get(name), xmls.get(name), xmls.get(name) or images[name])
        for name in sorted(images.keys() | xmls.keys())
    )


def _by_stem(folder: Path, suffixes: set[str] | frozenset[str]) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*")) if path.suffix.lower() in suffixes}


def _collect(root: _Element, collector: LabelCollector, names: tuple[str, ...]) -> None:
    size = root.first("size")
    if size is not None:
        claimed = size.number("height"), size.number("width")
        height, width = collector.size
        if claimed != (height, width) and claimed != (0, 0) and None not in claimed:
            collector.warning(
                f"the image is said to be {claimed[1]:g} x {claimed[0]:g}, but is {width} x {height}: "
                "its boxes may not fit",
                size.line,
            )
    for item in root.all("object"):
        name, corners = item.text("name"), item.first("bndbox")
        if not name or corners is None:
            collector.error("an object without name and bndbox: dropped", item.line)
            continue
        box = [corners.number(key) for key in ("xmin", "ymin", "xmax", "ymax")]
        x1, y1, x2, y2 = (math.nan if value is None else value for value in box)
        collector.add(names.index(name), (x1, y1, x2, y2), place=corners.line, subject=name)


@dataclass
class _Element:
    """An xml element that knows its line, which the standard library's do not."""

    tag: str
    line: int
    content: str = ""
    children: list[_Element] = field(default_factory=list)

    def all(self, tag: str) -> list[_Element]:
        return [child for child in self.children if child.tag == tag]

    def first(self, tag: str) -> _Element | None:
        return next((child for child in self.children if child.tag == tag), None)

    def text(self, tag: str) -> str:
        child = self.first(tag)
        return child.content.strip() if child else ""

    def number(self, tag: str) -> float | None:
        try:
            return float(self.text(tag))
        except ValueError:
            return None


@dataclass(frozen=True)
class _Document:
    """An xml file: its root, or None where it cannot be read; and what is wrong with it."""

    root: _Element | None
    defects: tuple[Defect, ...]


def _read(file: Path) -> _Document:
    defects: list[Defect] = []
    try:
        data = file.read_bytes()
        declared = re.match(rb"\s*<\?xml[^>]*encoding=[\"']([\w.-]+)", data)
        text = decode_text(data, file, defects, declared[1].decode() if declared else "utf-8-sig")
        return _Document(_parse(text), tuple(defects))
    except expat.ExpatError as error:
        message = f"not xml: {expat.ErrorString(error.code)}: image left out"
        defects.append(Defect(str(file), error.lineno, message, "error"))
    except (OSError, DataError) as error:
        defects.append(Defect(str(file), None, f"{error}: image left out", "error"))
    return _Document(None, tuple(defects))


def _parse(text: str) -> _Element:
    """The root of an xml text. Document types, and with them entities, are refused."""
    parser = expat.ParserCreate()
    top = _Element("", 0)
    stack = [top]

    def start(tag: str, _: object) -> None:
        element = _Element(tag, parser.CurrentLineNumber)
        stack[-1].children.append(element)
        stack.append(element)

    def end(_: str) -> None:
        stack.pop()

    def characters(content: str) -> None:
        stack[-1].content += content

    def refuse(*_: object) -> None:
        raise DataError("a document type is not accepted in xml: it can hide bombs of entities")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = refuse
    parser.buffer_text = True
    parser.Parse(text, True)
    return top.children[0]
