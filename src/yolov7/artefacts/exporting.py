"""A checkpoint in other formats, each with its certificate.

write beside its place ─ open ─ certify ─┬─ NAME, NAME.parity.json, NAME.parity.txt
                                         └─ beyond the tolerance: NAME.rejected, and the same two files
"""

from __future__ import annotations

import itertools
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolov7.artefacts.certificate import LIMIT, Progress, certify
from yolov7.artefacts.documents import Subject, document_paths, write
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
from yolov7.thresholds import Thresholds

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exported:
    """Outcome of the export to one format.

    Attributes:
        format: name of the format.
        path: the artefact, rejected or not; None if there is none.
        subject: facts about the artefact.
        outcome: its certificate; or the reason why it could not be run here.
        error: the reason why there is no artefact.
    """

    format: str
    path: Path | None = None
    subject: Subject | None = None
    outcome: Certificate | str | None = None
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether there is an artefact that did not fail its comparison."""
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
        formats: name of a format, such as ``onnx``, or several names.
        out: directory for the artefacts, created if it is missing.
        options: size, batch and precision of the artefacts.
        stem: name of the artefacts without suffix; by default the network's name.
        images: images to compare on, anything that prediction takes; by default the first ones of `data`,
            or else three photos.
        data: labelled images, to measure AP on.
        conf, iou: thresholds of the detections that are compared.
        overwrite: replace artefacts of the same name.
        progress: called with the format and step, the number of images done, and of all if known.

    Raises:
        UsageError: no such format, or options that the network does not take.
        CheckpointError: not a checkpoint of YOLOv7.
        MissingDependencyError: a format needs a library that is not installed. Nothing was done.
        OutputError: an artefact is there already. Nothing was done.
        SourceError, DataError: the images cannot be found, or the data set does not fit the network.

    >>> [(one.format, one.ok) for one in export("best.pt", "torchscript", "artefacts")]
    [('torchscript', True)]
    """
    runtimes = _installed([formats] if isinstance(formats, str) else formats)
    thresholds = Thresholds(conf=conf, iou=iou)
    checkpoint = weights if isinstance(weights, Checkpoint) else load_checkpoint(find_weights(weights))
    options = options or ExportOptions()
    Description.of(checkpoint, "", options)  # raises if the options do not fit the network
    targets = _targets(runtimes, Path(out), stem or checkpoint.model.architecture.name, overwrite)
    proof = _Proof(checkpoint, *_images(images, data), _judging(data, checkpoint), thresholds)
    with explained(out):
        Path(out).mkdir(parents=True, exist_ok=True)
    pairs = zip(runtimes, targets, strict=True)
    return [_attempt(runtime, target, proof, options, progress) for runtime, target in pairs]


def _installed(names: Iterable[str]) -> list[Runtime]:
    """Formats by name, each once. Their libraries are installed."""
    runtimes = [find_format(name) for name in dict.fromkeys(names)]
    if not runtimes:
        raise UsageError("no format is given")
    for runtime in runtimes:
        runtime.require(*runtime.writes_with, *(() if runtime.why_not_here() else runtime.runs_with))
    return runtimes


def _targets(runtimes: Iterable[Runtime], folder: Path, stem: str, overwrite: bool) -> list[Path]:
    """Paths of the artefacts, at which there is nothing unless it may be overwritten."""
    targets = [folder / f"{stem}{runtime.suffix}" for runtime in runtimes]
    for path in itertools.chain.from_iterable(map(_outputs, targets)):
        if exists(path) and not overwrite:
            raise OutputError("it exists and is not overwritten", file=path)
    return targets


def _judging(data: Dataset | None, checkpoint: Checkpoint) -> Dataset | None:
    """Check that AP can be measured on a data set, if there is one."""
    if data is not None:
        match_classes(data.names, checkpoint.names)
        if not any(len(image.boxes) for image in data.images):
            raise DataError("no labelled object: AP cannot be measured", file=data.path)
    return data


def _attempt(
    runtime: Runtime, target: Path, proof: _Proof, options: ExportOptions, progress: Progress | None
) -> Exported:
    """Export to one format. An error is the outcome, since the other formats are still wanted."""

    def report(what: str, done: int, total: int | None) -> None:
        if progress is not None:
            progress(f"{runtime.name}: {what}", done, total)

    try:
        size = options.size or proof.checkpoint.size
        with enough_for_images(size, size):
            return _export(runtime, target, proof, options, report)
    except Exception as error:  # a vendor's library may raise anything
        _LOG.info("%s failed", runtime.name, exc_info=True)
        if isinstance(error, OutputError):  # it names a temporary path, which is gone
            error.file = os.fspath(target)
        text = str(error) if isinstance(error, Yolov7Error) else f"{type(error).__name__}: {error}"
        return Exported(runtime.name, error=text.strip())


def _export(
    runtime: Runtime, target: Path, proof: _Proof, options: ExportOptions, progress: Progress
) -> Exported:
    """Write and compare one artefact, and give it its name."""
    progress("writing", 0, None)
    with explained(target), tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as name:
        folder = Path(name)
        path = folder / target.name
        runtime.write(proof.checkpoint, path, options)
        outcome, runs_on = proof.of(runtime, path, options.batch, progress)
        subject = Subject.of(runtime, path, runs_on)
        rejected = isinstance(outcome, Certificate) and not outcome.passed
        final = _rejected(target) if rejected else target
        documents = write(folder, subject, outcome, images=proof.source, labels=proof.labels)
        # Old files move into the temporary folder and vanish with it; new ones come last, all at once.
        replaced = folder / "replaced"
        replaced.mkdir()
        moves = [(old, replaced / old.name) for old in _outputs(target) if exists(old)]
        moves += [(new, target.with_name(new.name)) for new in documents]
        _move_all([*moves, (path, final)])
    return Exported(runtime.name, final, subject, outcome)


def _move_all(moves: Sequence[tuple[Path, Path]]) -> None:
    """Rename files in their order; if one fails or Ctrl-C comes, rename all back."""
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
    """Paths that an export may write."""
    return (target, _rejected(target), *document_paths(target))


def _rejected(target: Path) -> Path:
    return target.with_name(target.name + REJECTED)


def _images(images: Any, data: Dataset | None) -> tuple[Source, str]:
    """Images to compare on, and their name."""
    if images is not None:
        if isinstance(images, Iterator):  # every format needs them
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


@dataclass
class _Proof:
    """The reference of all artefacts of a checkpoint, and the images of the comparison."""

    checkpoint: Checkpoint
    images: Source
    source: str
    data: Dataset | None
    thresholds: Thresholds
    ap: dict[object, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.labels = None if self.data is None else _named(self.data)
        self.reference = TorchBackend(self.checkpoint.model)

    def of(
        self, runtime: Runtime, path: Path, batch: int, progress: Progress
    ) -> tuple[Certificate | str, str | None]:
        """Certificate of an artefact, and the runtime in words; or the reason why it cannot run here."""
        if (reason := runtime.why_not_here()) is not None:
            return reason, None
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
            thresholds=self.thresholds,
            data=self.data,
            reference_ap=self.ap.get(kind),
            batch_size=max(2, batch),
            progress=progress,
        )
        if certificate.ap is not None:  # once for all artefacts of this kind
            self.ap[kind] = certificate.ap[0]
        return certificate, candidate.runtime
