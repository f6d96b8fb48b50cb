"""A checkpoint in other formats, each with its certificate.

write beside its place ─ open ─ certify ─┬─ NAME, NAME.parity.json, NAME.parity.txt
                                         └─ beyond the tolerance: NAME.rejected, and the same two files
"""

from __future__ import annotations

import itertools
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from yolov7.artefacts.certificate import LIMIT, Progress, certify
from yolov7.artefacts.documents import (
    Subject,
    document_paths,
    library_versions,
    machine,
    sha256_of,
    size_of,
    write,
)
from yolov7.artefacts.tolerance import TOLERANCES
from yolov7.artefacts.verdict import Certificate
from yolov7.checkpoints.checkpoint import Checkpoint, load_checkpoint
from yolov7.checkpoints.weights import find_weights
from yolov7.data.classes import match_classes
from yolov7.data.dataset import Dataset
from yolov7.errors import DataError, OutputError, UsageError, Yolov7Error
from yolov7.files import exists, explained
from yolov7.inference.backend import TorchBackend
from yolov7.memory import enough_for_images
from yolov7.photos import photos
from yolov7.runtimes.description import Description, ExportOptions
from yolov7.runtimes.formats import find_format
from yolov7.runtimes.runtime import REJECTED, Runtime
from yolov7.runtimes.suppressed import SuppressingBackend
from yolov7.sources.opening import Source, open_source
from yolov7.sources.remote import without_password
from yolov7.thresholds import check_fraction

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exported:
    """What became of one format.

    Attributes:
        format: its name.
        path: the artefact, under its name or the rejected one; None where there is none.
        subject: what is known of the artefact.
        outcome: its certificate; or why it could not be run here.
        error: why there is no artefact.
    """

    format: str
    path: Path | None = None
    subject: Subject | None = None
    outcome: Certificate | str | None = None
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether there is an artefact, and nothing speaks against it."""
        return self.error is None and not (isinstance(self.outcome, Certificate) and not self.outcome.passed)


def export(
    weights: str | os.PathLike[str] | Checkpoint,
    formats: str | Sequence[str],
    out: str | os.PathLike[str] = "runs/export",
    options: ExportOptions | None = None,
    *,
    stem: str | None = None,
    images: Any = None,
    data: Dataset | None = None,
    conf: float = 0.25,
    iou: float = 0.45,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Exported]:
    """Write a checkpoint in other formats, and compare each with torch on real images.

    A format that fails does not keep the others from being made. Ctrl-C leaves no unfinished artefact.

    Args:
        weights: path of any YOLOv7 checkpoint, the folder of a training run, the name of a released
            checkpoint, or a checkpoint in memory.
        formats: names of formats, such as ``onnx``; one or several.
        out: directory for the artefacts; made where it is missing.
        options: what they should be like.
        stem: what the artefacts are called, without their endings; the network's name where not given.
        images: to compare on, anything that prediction takes; of `data` the first where not given; without
            these three photos.
        data: labelled images, to measure AP on.
        conf, iou: thresholds of the detections that are compared.
        overwrite: replace artefacts of the same name.
        progress: told which format is at what, and how far.

    Returns:
        What became of each format, in their order.

    Raises:
        UsageError: no such format, options that the network does not take.
        CheckpointError: not a checkpoint of YOLOv7.
        MissingDependencyError: what a format needs is not installed. Nothing was done.
        OutputError: an artefact is there already. Nothing was done.
        SourceError, DataError: the images cannot be found, the data set does not fit the network.

    >>> [(one.format, one.ok) for one in export("best.pt", "torchscript", "artefacts")]
    [('torchscript', True)]
    """
    runtimes = [
        find_format(name) for name in dict.fromkeys([formats] if isinstance(formats, str) else formats)
    ]
    if not runtimes:
        raise UsageError("no format is given")
    for runtime in runtimes:
        runtime.require(*runtime.writes_with, *(() if runtime.why_not_here() else runtime.runs_with))
    check_fraction("confidence threshold", conf)
    check_fraction("IoU threshold", iou)
    checkpoint = weights if isinstance(weights, Checkpoint) else load_checkpoint(find_weights(weights))
    options = options or ExportOptions()
    stem = stem or checkpoint.model.architecture.name
    said = Description.of(checkpoint, "", options)  # raises where the options do not fit the network
    folder = Path(out)
    targets = [folder / f"{stem}{runtime.suffix}" for runtime in runtimes]
    for path in itertools.chain.from_iterable(map(_outputs, targets)):
        if exists(path) and not overwrite:
            raise OutputError("it exists and is not overwritten", file=path)
    if data is not None:
        match_classes(data.names, checkpoint.names)
        if not any(len(image.boxes) for image in data.images):
            raise DataError("no labelled object: AP cannot be measured", file=data.path)
    proof = _Proof(checkpoint, *_images(images, data), data, conf, iou)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    exported = []
    for runtime, target in zip(runtimes, targets, strict=True):
        report = None if progress is None else partial(_report, progress, runtime.name)
        try:
            with enough_for_images(said.size, said.size):
                exported.append(_export(runtime, target, proof, options, report))
        except Exception as error:  # a vendor's library may raise anything, and the other formats are wanted
            _LOG.info("%s failed", runtime.name, exc_info=True)
            if isinstance(error, OutputError):  # of a temporary path, which is gone
                error = OutputError(error.message, file=target, expected=error.expected, found=error.found)
            text = str(error) if isinstance(error, Yolov7Error) else f"{type(error).__name__}: {error}"
            exported.append(Exported(runtime.name, error=text.strip()))
    return exported


def _report(progress: Progress, format_: str, what: str, done: int, total: int | None) -> None:
    progress(f"{format_}: {what}", done, total)


def _export(
    runtime: Runtime, target: Path, proof: _Proof, options: ExportOptions, progress: Progress | None
) -> Exported:
    """Write and compare one artefact, and give it its name."""
    if progress is not None:
        progress("writing", 0, None)
    with explained(target), tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as name:
        folder = Path(name)
        path = folder / target.name
        runtime.write(proof.checkpoint, path, options)
        outcome: Certificate | str
        if (reason := runtime.why_not_here()) is None:
            outcome, runs_on = proof.of(runtime, path, options.batch, progress)
        else:
            outcome, runs_on = reason, None
        subject = Subject(
            name=target.name,
            sha256=sha256_of(path),
            bytes=size_of(path),
            description=runtime.describe(path),
            runs_on=runs_on,
            libraries=library_versions((*runtime.writes_with, *runtime.runs_with)),
            machine=machine(),
        )
        exported = Exported(runtime.name, target, subject, outcome)
        if not exported.ok:
            exported = replace(exported, path=_rejected(target))
        documents = write(folder, subject, outcome, images=proof.images_called, labels=proof.labels_called)
        # Old ones go where the folder's end is theirs; new ones come last, all at once.
        replaced = folder / "replaced"
        replaced.mkdir()
        assert exported.path is not None
        _move_all(
            [
                *((old, replaced / old.name) for old in _outputs(target) if exists(old)),
                *((new, target.with_name(new.name)) for new in documents),
                (path, exported.path),
            ]
        )
    return exported


def _move_all(moves: Sequence[tuple[Path, Path]]) -> None:
    """Rename all, in their order; or none, where one fails or Ctrl-C comes."""
    done: list[tuple[Path, Path]] = []
    try:
        for old, new in moves:
            old.rename(new)
            done.append((old, new))
    except BaseException:
        for old, new in reversed(done):
            new.rename(old)
        raise


def _outputs(target: Path) -> tuple[Path, ...]:
    """All that an export may leave of one format."""
    return (target, _rejected(target), *document_paths(target))


def _rejected(target: Path) -> Path:
    return target.with_name(target.name + REJECTED)


def _images(images: Any, data: Dataset | None) -> tuple[Source, str]:
    """What to compare on, and what it is called."""
    if images is not None:
        if isinstance(images, Iterator):  # every format wants them
            images = list(itertools.islice(images, LIMIT))
        path = isinstance(images, str | os.PathLike)
        name = Path(without_password(os.fspath(images))).name if path else ""
        return open_source(images), name or "images that were handed in"
    if data is not None:
        return open_source([image.path for image in data.images[:LIMIT]]), _named(data)
    three = photos(purpose="the comparison, where no images are given,")
    return open_source(list(three.values())), "photos of scikit-image: " + ", ".join(three)


def _named(data: Dataset) -> str:
    return f"{data.path.name} ({data.split})"


class _Proof:
    """What every artefact of a checkpoint is held against."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        images: Source,
        called: str,
        data: Dataset | None,
        conf: float,
        iou: float,
    ) -> None:
        self.checkpoint, self.images, self.data = checkpoint, images, data
        self.images_called, self.labels_called = called, None if data is None else _named(data)
        self.conf, self.iou = conf, iou
        self.reference = TorchBackend(checkpoint.model)
        self._ap: dict[object, float] = {}

    def of(
        self, runtime: Runtime, path: Path, batch: int, progress: Progress | None
    ) -> tuple[Certificate, str]:
        """The certificate of an artefact, and what it ran on."""
        candidate = runtime.open(path, exact=True, trust=True)  # as its own runtime runs it
        said = candidate.description
        kind = candidate.shape, isinstance(candidate, SuppressingBackend)
        certificate = certify(
            self.reference,
            candidate,
            self.images,
            names=self.checkpoint.names,
            size=said.size,
            tolerance=TOLERANCES[said.precision],
            conf=self.conf,
            iou=self.iou,
            data=self.data,
            reference_ap=self._ap.get(kind),
            batch_size=max(2, batch),
            progress=progress,
        )
        if certificate.ap is not None:  # once for all artefacts of this kind
            self._ap[kind] = certificate.ap[0]
        return certificate, candidate.runtime
