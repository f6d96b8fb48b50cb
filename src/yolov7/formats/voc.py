"""Reader of Pascal VOC data sets.

    Annotations/*.xml  JPEGImages/*  ImageSets/Main/<split>.txt    devkit, or annotations/ and images/
    images/train/*.xml beside the images, images/test/...         loose, one folder per split

Corners are used as written: the devkit counts pixels from 1, but most tools count edges from 0: a difference
of one pixel at the left and the top. Classes are sorted by name over all splits, so that labels agree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from yolov7.data.dataset import UNDIVIDED, Dataset, Layout
from yolov7.data.findings import Defect, Findings
from yolov7.data.folders import is_hidden, subfolders
from yolov7.data.labels import LabelCollector, readable_images
from yolov7.data.text_files import read_text
from yolov7.errors import DataError
from yolov7.files import is_folder
from yolov7.formats.voc_xml import Document, VocAnnotation, number, read_document
from yolov7.images.kinds import FOREIGN_SUFFIXES, IMAGE_SUFFIXES, left_out_as
from yolov7.text import printable

_FOLDERS = (
    ("Annotations", "JPEGImages"),
    ("Annotations", "images"),
    ("annotations", "images"),
    ("labels", "images"),
)
"""Folders of xml files and of their images, both searched recursively."""


class _Member(NamedTuple):
    """Name in a split, with its image and xml file."""

    name: str  # stem
    images: tuple[Path, ...] = ()  # none, or several that differ in their suffix
    xmls: tuple[Path, ...] = ()  # likewise
    foreign: tuple[Path, ...] = ()  # files of image formats that are not supported
    listed: tuple[Path, int] | None = None  # list file that names it, and the line

    @property
    def xml(self) -> Path | None:
        """First xml file, or None."""
        return self.xmls[0] if self.xmls else None


@dataclass(frozen=True)
class _Splits:
    """Images and xml files of each split of a folder."""

    path: Path
    members: dict[str, tuple[_Member, ...]]  # images of each split, from a list in ImageSets/Main or a folder
    defects: dict[str, tuple[Defect, ...]] = field(default_factory=dict)  # problems of each split's list

    @cached_property
    def annotations(self) -> dict[Path, Document]:
        """Contents of the xml files of all splits."""
        files = {member.xml for members in self.members.values() for member in members if member.xml}
        return {file: read_document(file) for file in sorted(files)}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Class names of all splits, sorted."""
        readable = [document.annotation for document in self.annotations.values() if document.annotation]
        return tuple(
            sorted({item.name for annotation in readable for item in annotation.objects if item.name})
        )

    def read(self, split: str) -> Dataset:
        if not self.names:
            raise self._no_object()
        findings = Findings(self.defects.get(split, ()))
        members = self._members_by_image(split, findings)
        labels = {name: label for label, name in enumerate(self.names)}
        images = []
        for path, image_id, size in readable_images(list(members), findings):
            xml = members[path].xml
            collector = LabelCollector(path, image_id, size, xml or path, findings)
            if xml is not None:
                document = self.annotations[xml]
                findings.include(document.defects)
                if document.annotation is None:
                    findings.leave_out("images whose xml file cannot be read", xml)
                    continue  # objects unknown
                _collect(document.annotation, collector, labels)
            images.append(collector.labelled_image())
        for name in self.names:
            if name != printable(name):
                findings.warning(self.path, f"the class name {name!r} has control characters")
        return Dataset(
            path=self.path,
            kind="voc",
            split=split,
            names=self.names,
            category_ids=tuple(range(len(self.names))),
            images=tuple(images),
            defects=findings.defects,
            unlabelled=sum(members[image.path].xml is None for image in images),
            left_out=findings.left_out,
        )

    def _members_by_image(self, split: str, findings: Findings) -> dict[Path, _Member]:
        """Choose the image of each member; report members without one."""
        chosen = {}
        for member in self.members[split]:
            for file in member.foreign:
                findings.leave_out(left_out_as(file), file)
            if member.images:
                chosen[self._image_of(member, findings)] = member
            elif not member.foreign:
                file, line = member.listed or (member.xmls[0], None)
                message = f"no image for {member.name}"
                findings.lose("names without an image", file, message, line, member.name)
            elif member.xml or member.listed:  # labels are lost, or a list names the image
                message = f"{left_out_as(member.foreign[0])}; convert them to JPEG or PNG: left out"
                findings.error(member.foreign[0], message)
        return chosen

    def _no_object(self) -> DataError:
        """Build the error for a data set without objects; the reason is the first defect of the files."""
        documents = self.annotations.values()
        broken = sum(document.annotation is None for document in documents)
        defects = [defect for document in documents for defect in document.defects]
        first = min(defects, key=lambda defect: defect.severity != "error", default=None)  # errors come first
        if first is None:
            return DataError("no object in any xml file", file=self.path)
        return DataError(
            f"no object in any xml file; {broken} of {len(documents)} cannot be read, the first problem: "
            f"{first.message}",
            file=first.file,
            line=first.line,
        )

    def _image_of(self, member: _Member, findings: Findings) -> Path:
        """Choose a member's image: the one that the xml file names, else the first; report the others."""
        document = self.annotations[member.xml] if member.xml else None
        named = document.annotation.filename if document and document.annotation else ""
        chosen = next((path for path in member.images if path.name == named), member.images[0])
        for other in (*member.images, *member.xmls):
            if other not in (chosen, member.xml):
                kept = chosen if other in member.images else member.xml
                message = f"shares its name with {kept}, which is used: left out"
                findings.lose("files that share the name of another", other, message)
        return chosen


def find_layout(path: Path) -> Layout | None:
    """Find a Pascal VOC data set, or images with such xml files; None for any other path."""
    splits = _find_splits(path)
    return None if splits is None else Layout(tuple(splits.members), splits.read)


def _find_splits(path: Path) -> _Splits | None:
    """Recognise the devkit's folders, or images and xml files in a folder or in subfolders, one per split."""
    if not is_folder(path):
        return None
    for xmls, images in _FOLDERS:
        if any((path / xmls).rglob("*.xml")) and is_folder(path / images):
            return _devkit(path, path / xmls, path / images)
    if members := _loose_members(path):
        return _Splits(path, {UNDIVIDED: members})
    for base in (path, path / "images"):
        loose = ((folder.name, _loose_members(folder)) for folder in subfolders(base))
        if splits := {split: members for split, members in loose if members}:
            return _Splits(path, splits)
    return None


def _devkit(path: Path, xml_folder: Path, image_folder: Path) -> _Splits:
    known = _members(image_folder, xml_folder, "**/*")
    lists = sorted((path / "ImageSets" / "Main").glob("*.txt"))
    # Lists such as aeroplane_train.txt cover a single class.
    lists = [file for file in lists if not re.fullmatch(r".+_(train|val|trainval|test)", file.stem)]
    if not lists:
        return _Splits(path, {UNDIVIDED: tuple(known.values())})
    members, defects = {}, {}
    for file in lists:
        findings = Findings()
        named: dict[str, _Member] = {}
        for line, text in enumerate(read_text(file, findings).splitlines(), 1):
            if name := _listed_name(text.strip(), known.keys()):
                if name in named:
                    findings.warning(file, f"{name} is listed again", line)
                else:
                    named[name] = known.get(name, _Member(name))._replace(listed=(file, line))
        members[file.stem] = tuple(named.values())
        defects[file.stem] = findings.defects
    return _Splits(path, members, defects)


def _listed_name(text: str, known: Set[str]) -> str:
    """Read the image name of a list line, which may also have a folder, a suffix, or 1 or -1 after it."""
    shorter = re.sub(r"\s+-?[01]$", "", text)
    last = shorter.replace("\\", "/").rsplit("/", 1)[-1]
    stem = last.rsplit(".", 1)[0]
    return next((name for name in (text, shorter, last, stem) if name in known), shorter)


def _loose_members(folder: Path) -> tuple[_Member, ...]:
    """Images and xml files of one folder; none unless at least one image has an xml file."""
    members = tuple(_members(folder, folder).values())
    return members if any(member.xmls and (member.images or member.foreign) for member in members) else ()


def _members(image_folder: Path, xml_folder: Path, pattern: str = "*") -> dict[str, _Member]:
    """Pair images and xml files by their stems."""
    images = _by_stem(image_folder, IMAGE_SUFFIXES, pattern)
    foreign = _by_stem(image_folder, FOREIGN_SUFFIXES.keys(), pattern)
    xmls = _by_stem(xml_folder, {".xml"}, pattern)
    return {
        name: _Member(name, images.get(name, ()), xmls.get(name, ()), foreign.get(name, ()))
        for name in sorted(images.keys() | xmls.keys() | foreign.keys())
    }


def _by_stem(folder: Path, suffixes: Set[str], pattern: str) -> dict[str, tuple[Path, ...]]:
    """Files of a folder by stem; several if only the suffix differs."""
    stems: dict[str, list[Path]] = {}
    for path in sorted(folder.glob(pattern)):
        if path.suffix.lower() in suffixes and not any(map(is_hidden, path.relative_to(folder).parts)):
            stems.setdefault(path.stem, []).append(path)
    return {stem: tuple(paths) for stem, paths in stems.items()}


def _collect(annotation: VocAnnotation, collector: LabelCollector, labels: Mapping[str, int]) -> None:
    if annotation.size not in (None, collector.size, (0, 0)) and None not in annotation.size:
        message = "the image is listed as {1:g} x {0:g}, but is {3} x {2}: its boxes may not fit"
        collector.report("warning", annotation.size_line, message, *annotation.size, *collector.size)
    for item in annotation.objects:
        if not item.name or item.corners is None:
            collector.report("error", item.line, "object without name or bndbox: dropped")
            continue
        wrong = [f"{key} {text[:40]!r}" for key, text in item.corners.items() if number(text) is None]
        if wrong:
            message = "{}: {} is not a number: dropped"
            collector.report("error", item.box_line, message, item.name, ", ".join(wrong))
            continue
        x1, y1, x2, y2 = (float(text) for text in item.corners.values())
        collector.add(
            labels[item.name], (x1, y1, x2, y2), place=item.box_line, subject=item.name, in_pixels=True
        )
