"""The certificate as files beside its artefact: NAME.parity.json for programs, .txt for people."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from yolov7.artefacts.verdict import Certificate, Check
from yolov7.files import sha256_of_file, write_file
from yolov7.runtimes.description import Description
from yolov7.runtimes.runtime import Runtime
from yolov7.text import plural

NOT_RUN = "not run on this machine"
VERSION = 2
"""Version of the JSON format; version 1 had another key for a tolerance's margin."""


@dataclass(frozen=True)
class Subject:
    """Facts about an artefact.

    Attributes:
        name: file name.
        sha256: digest of its content, see :func:`sha256_of`.
        bytes: size of all its files.
        description: the description inside.
        runs_on: runtime in words; None if it was not run.
        libraries: versions of the libraries that wrote and ran it.
        machine: processor, GPU and system.
    """

    name: str
    sha256: str
    bytes: int
    description: Description
    runs_on: str | None
    libraries: dict[str, str]
    machine: str

    @classmethod
    def of(cls, runtime: Runtime, path: Path, runs_on: str | None) -> Subject:
        """Find the facts about an artefact that lies at a path, under its own name."""
        libraries = library_versions((*runtime.writes_with, *runtime.runs_with))
        sha256, size, said = sha256_of(path), size_of(path), runtime.describe(path)
        return cls(path.name, sha256, size, said, runs_on, libraries, machine())


def to_dict(subject: Subject, outcome: Certificate | str, images: str, labels: str | None) -> dict[str, Any]:
    """Certificate as JSON types.

    Args:
        subject: the artefact.
        outcome: its certificate; or the reason why it was not run.
        images: source of the images that were compared.
        labels: source of the labelled images, if any.
    """
    about = {"version": VERSION, "verdict": verdict(outcome), "artefact": asdict(subject)}
    if isinstance(outcome, str):
        return {**about, "reason": outcome}
    return {**about, "source": {"images": images, "labels": labels}, **outcome.to_dict()}


def is_certified(artefact: Path) -> bool:
    """Whether a certificate beside an artefact says that its present content passed."""
    page, _ = document_paths(artefact)
    try:
        said = json.loads(page.read_bytes())
        return bool(said["verdict"] == "passed" and said["artefact"]["sha256"] == sha256_of(artefact))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def verdict(outcome: Certificate | str) -> str:
    """Verdict in a few words."""
    if isinstance(outcome, str):
        return NOT_RUN
    return "passed" if outcome.passed else "rejected"


def to_text(subject: Subject, outcome: Certificate | str, images: str, labels: str | None) -> str:
    """Certificate as a page for people. Arguments as in :func:`to_dict`."""
    said = subject.description
    shape = "any batch, any size" if said.shape is None else "{} x 3 x {} x {}".format(*said.shape)
    classes = plural(len(said.names), "class", "classes")
    facts = [
        ("artefact", f"{subject.name}: {said.format}, {said.precision}, {subject.bytes:,} bytes"),
        ("sha256", subject.sha256),
        ("network", f"{said.variant}, {classes}, at {said.size} pixels; input {shape}"),
        ("made by", _listed(said.made_by)),
        ("libraries", _listed(subject.libraries) or "none but torch"),
        ("machine", subject.machine),
    ]
    lines = [f"Parity of {subject.name}: {verdict(outcome)}", ""]
    if isinstance(outcome, str):
        lines += [*_columns(facts), "", f"{outcome[0].upper()}{outcome[1:]}."]
        lines += ["It was written but not compared with torch: its detections are unverified."]
        return "\n".join(lines) + "\n"
    facts += [
        ("run on", f"{subject.runs_on}; compared with torch, float32"),
        ("images", f"{outcome.images} of {images}; confidence above {outcome.conf:g}, IoU {outcome.iou:g}"),
        ("found", "{:,} by torch, {:,} by the artefact".format(*outcome.found)),
        ("", f"{outcome.pairs:,} by both, {outcome.lost} lost, {outcome.gained} gained,"),
        ("", f"{outcome.on_threshold} on the threshold (decided by less than {outcome.tolerance.margin:g})"),
    ]
    if (whole := outcome.whole) is not None:
        facts += [
            ("whole path", "the same images as they come, scaled and padded by the artefact itself:"),
            ("", f"{whole.pairs:,} by both, {whole.lost} lost, {whole.gained} gained,"),
            ("", f"{whole.on_threshold} on the threshold (less than {whole.tolerance.margin:g})"),
        ]
    if outcome.ap is not None:
        aps = "{:.4f} of torch, {:.4f} of the artefact".format(*outcome.ap)
        facts.append(("AP", f"{aps}, on {plural(outcome.labelled, 'image')} of {labels}"))
        if outcome.suppresses:
            facts.append(("", f"(both after the NMS inside the artefact, IoU {outcome.iou:g})"))
    tolerances = [outcome.tolerance] if whole is None else [outcome.tolerance, whole.tolerance]
    lines += [*_columns(facts), "", *_verdict_table(outcome.checks), ""]
    lines += ["Differences" + " " * 33 + "median      95 %   largest", *_spreads("", outcome)]
    lines += [] if whole is None else _spreads("whole path: ", whole)
    lines += ["", *(f"Allowed for {one.precision}: {one.reason}." for one in tolerances)]
    if not outcome.checks[0].ok:
        lines += ["", TOO_FEW.format("Nothing" if outcome.pairs == 0 else "Too little")]
    wholly = () if whole is None else whole.examples
    parts = (
        ("Most different:", outcome.examples),
        ("Most different, whole path:", wholly),
        ("Skipped:", outcome.skipped),
    )
    for heading, texts in parts:
        lines += ["", heading, *(f"  {text}" for text in texts)] if texts else []
    return "\n".join(lines) + "\n"


TOO_FEW = (
    "{} is proven: the two have too few detections in common. Give --images with more objects that the\n"
    "network knows, or a lower --conf."
)


def write(
    folder: Path, subject: Subject, outcome: Certificate | str, *, images: str, labels: str | None
) -> tuple[Path, Path]:
    """Write both files beside an artefact: (json, text). Arguments as in :func:`to_dict`.

    Raises:
        OutputError: they cannot be written.
    """
    page, text = document_paths(folder / subject.name)
    write_file(page, (json.dumps(to_dict(subject, outcome, images, labels), indent=2) + "\n").encode())
    write_file(text, to_text(subject, outcome, images, labels).encode())
    return page, text


def document_paths(artefact: Path) -> tuple[Path, Path]:
    """Paths of an artefact's certificate: (json, text)."""
    name = f"{artefact.name}.parity"
    return artefact.with_name(f"{name}.json"), artefact.with_name(f"{name}.txt")


# -- facts ----------------------------------------------------------------------------------------------


def sha256_of(artefact: Path) -> str:
    """SHA-256 of a file; of a directory: ``find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum``."""
    if artefact.is_file():
        return sha256_of_file(artefact)
    paths = sorted(f"./{path.relative_to(artefact).as_posix()}" for path in _files(artefact))
    lines = "".join(f"{sha256_of_file(artefact / path)}  {path}\n" for path in paths)
    return hashlib.sha256(lines.encode()).hexdigest()


def size_of(artefact: Path) -> int:
    """Bytes of a file, or of all files of a directory."""
    return sum(path.stat().st_size for path in _files(artefact))


def library_versions(modules: Iterable[str]) -> dict[str, str]:
    """Versions of the packages of modules, as far as they are installed."""
    known = metadata.packages_distributions()
    packages = (known.get(module.partition(".")[0], [""])[0] for module in modules)
    return {package: metadata.version(package) for package in dict.fromkeys(packages) if package}


def machine() -> str:
    """Processor, cores, GPU and system of this machine, in words."""
    processor = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.is_file():
        named = (
            line.partition(":")[2].strip() for line in cpus.read_text().splitlines() if "model name" in line
        )
        processor = next(named, processor)
    parts = [f"{processor}, {os.cpu_count()} cores", f"{platform.system()} {platform.machine()}"]
    if torch.cuda.is_available():
        parts.insert(1, torch.cuda.get_device_name())
    return ", ".join(parts)


def _files(artefact: Path) -> list[Path]:
    return [artefact] if artefact.is_file() else [path for path in artefact.rglob("*") if path.is_file()]


# -- layout ---------------------------------------------------------------------------------------------


def _columns(facts: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{name:<12}{text}" for name, text in facts]


def _verdict_table(checks: Sequence[Check]) -> list[str]:
    rows = [("", "measured", "allowed", "ok")]
    for check in checks:
        least = "at least " if check.at_least else ""
        allowed = "any" if check.allowed is None else f"{least}{check.allowed:g}"
        rows.append((check.what, f"{check.measured:.4g}", allowed, "yes" if check.ok else "NO"))
    return [f"{what:<43}{measured:>12}{allowed:>12}   {ok}" for what, measured, allowed, ok in rows]


def _spreads(prefix: str, outcome: Certificate) -> list[str]:
    rows = (("boxes, pixels of the image", outcome.box), ("scores", outcome.score))
    return [
        f"  {prefix + what:<40}{one.median:>8.3g}{one.percentile_95:>10.3g}{one.largest:>10.3g}"
        for what, one in rows
    ]


def _listed(versions: Any) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
