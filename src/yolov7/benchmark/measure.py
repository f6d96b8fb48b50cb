"""The benchmark: all runtimes in turn, round by round, so that ratios hold while the machine's speed drifts.

for each size and batch:
    each runtime      a process of its own (start, memory), then opened here
    a round           every runtime's turn, then the processor's peak; the next round in reverse order
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yolov7.artefacts.documents import library_versions, machine
from yolov7.benchmark.contenders import Contender, Wanted
from yolov7.benchmark.files import WIDTH, Photos, cut_photos, read_photos
from yolov7.benchmark.floor import flops_per_pixel, peak_of, peaks
from yolov7.benchmark.fresh import fresh as fresh_process
from yolov7.benchmark.fresh import one_line
from yolov7.benchmark.result import BASELINE, Benchmark, Line, Setting
from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.checkpoints.weights import find_weights
from yolov7.errors import UsageError
from yolov7.inference.backend import TorchBackend, default_device, find_device
from yolov7.inference.speed import inputs_for
from yolov7.loading import find_artefact, load, open_checkpoint
from yolov7.memory import enough_for_images
from yolov7.models.detector import fuse
from yolov7.runtimes.formats import FORMATS
from yolov7.runtimes.runtime import precision_of
from yolov7.thresholds import PREDICTION

MOST_PARALLEL = 8

Progress = Callable[[str, int, int | None], None]
"""Callback with the current work, its round, and the number of rounds if known."""


def benchmark(
    weights: str | os.PathLike[str],
    runtimes: Sequence[str],
    *,
    fresh: bool = False,
    sizes: Sequence[int] = (),
    batches: Sequence[int] = (1,),
    images: Any = None,
    count: int = 20,
    rounds: int = 5,
    device: str | None = None,
    trust: bool = False,
    progress: Progress | None = None,
) -> Benchmark:
    """Time a network on several runtimes, beside torch in its plainest form.

    A runtime that cannot run gets a line with the reason. Ctrl-C ends early; what was measured is returned.

    Args:
        weights: any checkpoint, the folder of a run, or the name of a released checkpoint.
        runtimes: ``auto``, ``torch``, formats, each but auto also with ``+half``; or artefacts.
        fresh: ``weights`` is the name of a network, with fresh weights.
        sizes: longest sides of the images, pixels; default: the checkpoint's.
        batches: images per forward pass.
        images: image files: folder, glob, paths; default: crops of scikit-image's photos.
        count: number of images.
        rounds: measured rounds, after one to warm up.
        device, trust: see :func:`yolov7.load`.

    Raises:
        UsageError: an invalid argument.
        MissingDependencyError: no images are given, and scikit-image is not installed.
        CheckpointError, DownloadError, SourceError: weights or images cannot be read.
    """
    if not fresh and find_artefact(Path(weights)) is not None:
        raise UsageError("weights are a checkpoint; artefacts go among the runtimes", found=weights)
    for name, numbers in (("sizes", sizes), ("batches", batches), ("rounds", [rounds]), ("count", [count])):
        if any(number < 1 for number in numbers):
            raise UsageError(f"{name} must be at least 1", found=", ".join(map(str, numbers)))
    wanted = [Wanted.named(name, trust=trust) for name in dict.fromkeys(runtimes) if name != BASELINE]
    where = find_device(device or default_device())
    with tempfile.TemporaryDirectory(prefix="yolov7-benchmark-") as folder:
        path, checkpoint = _open(weights, Path(folder), fresh)
        sizes = sizes or (checkpoint.size,)
        photos = _photos(images, count, Path(folder), sizes, batches)
        pairs = product(dict.fromkeys(sizes), dict.fromkeys(batches))
        begun = (BenchmarkSetting(checkpoint, path, photos, *pair, where) for pair in pairs)
        settings, interrupted = _measure_all(begun, wanted, rounds, progress)
    return Benchmark(
        weights=os.fspath(weights) if fresh else path.name,
        variant=checkpoint.model.architecture.name,
        classes=checkpoint.model.classes,
        images=photos.described,
        machine=machine(),
        threads=torch.get_num_threads(),
        libraries=_libraries(wanted),
        settings=tuple(settings),
        interrupted=interrupted,
    )


def _open(weights: str | os.PathLike[str], folder: Path, fresh: bool) -> tuple[Path, Checkpoint]:
    """Weight file and checkpoint; fresh weights are saved in the folder."""
    if not fresh:
        path = find_weights(weights)
        return path, open_checkpoint(path)
    path = folder / f"{os.fspath(weights)}.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # equal weights in every run, so that cached artefacts of them are found
        checkpoint = open_checkpoint(weights, fresh=True)
    checkpoint.save(path)
    return path, checkpoint


def _photos(images: Any, count: int, folder: Path, sizes: Sequence[int], batches: Sequence[int]) -> Photos:
    if images is not None:
        return read_photos(images, count)
    with enough_for_images(max(sizes), max(sizes), max(batches)):
        return cut_photos(folder / "photos", count, max(WIDTH, *sizes))


def _measure_all(
    begun: Iterable[BenchmarkSetting], wanted: Sequence[Wanted], rounds: int, progress: Progress | None
) -> tuple[list[Setting], bool]:
    """Results of each size and batch size, and whether Ctrl-C ended them early."""
    settings = []
    try:
        for setting in begun:
            try:
                setting.open(wanted, progress)
                setting.run(rounds, progress)
            finally:
                settings.append(setting.result())
    except KeyboardInterrupt:
        return settings, True
    return settings, False


def _libraries(wanted: Sequence[Wanted]) -> dict[str, str]:
    """Versions of the libraries that take part."""
    formats = [found for one in wanted if (found := one.format) is not None]
    if any(one.runtime == "auto" for one in wanted):
        formats += [FORMATS["openvino"], FORMATS["onnx"]]
    vendors = [module for found in formats for module in found.runs_with]
    return library_versions(("yolov7", "torch", "numpy", "cv2", *vendors))


class BenchmarkSetting:
    """Measurement of all runtimes at one size, the longest side of the images in pixels, and batch size."""

    def __init__(
        self, checkpoint: Checkpoint, path: Path, photos: Photos, size: int, batch: int, device: torch.device
    ) -> None:
        self.path = path
        self.size, self.batch, self.device = size, batch, device
        self.parallel = min(MOST_PARALLEL, os.cpu_count() or 1) if batch == 1 else 1
        whole = -(-len(photos.paths) // batch) * batch  # the last batch is filled up from the first
        self.photos = Photos(
            list(islice(cycle(photos.paths), whole)), list(islice(cycle(photos.images), whole))
        )
        self.flops_per_pixel = flops_per_pixel(checkpoint.model)
        self.baseline = self._baseline(checkpoint)
        self.others: list[Contender | Line] = []
        self.rounds = 0
        self.peaks: dict[str, float] = {}

    def open(self, wanted: Sequence[Wanted], progress: Progress | None = None) -> None:
        """Start each runtime in a process of its own, then open it here."""
        for one in wanted:
            if progress is not None:
                progress(f"{self._place}: starting {one.label}", 0, None)
            try:
                one.check()
                self.others.append(self._opened(one))
            except Exception as error:  # a vendor's library may raise anything
                self.others.append(Line(one.label, error=one_line(error)))

    def run(self, rounds: int, progress: Progress | None = None) -> None:
        """Measure rounds, after one to warm up."""
        for number in range(rounds + 1):
            contenders = [self.baseline, *(one for one in self.others if isinstance(one, Contender))]
            # Alternating order: a machine that becomes slower all the time favours none.
            for contender in contenders if number % 2 else contenders[::-1]:
                if progress is not None:
                    progress(f"{self._place}: {contender.line.runtime}", number, rounds)
                try:
                    contender.measure_round(self.photos.paths, self.batch, counts=number > 0)
                except Exception as error:
                    if contender is self.baseline:
                        raise
                    failed = replace(contender.line, error=one_line(error))
                    self.others[self.others.index(contender)] = failed
            if number:
                for precision, speed in peaks(self.device).items():
                    self.peaks[precision] = max(speed, self.peaks.get(precision, 0.0))
            self.rounds = number

    def result(self) -> Setting:
        """Results of the completed rounds."""
        images = len(self.photos.paths)
        base = [images / sum(seconds) for seconds in self.baseline.network_rounds[: self.rounds]]

        def line(one: Contender | Line) -> Line:
            if isinstance(one, Line):
                return one
            return one.result(self.rounds, images, self.batch, base, self._floor(one))

        return Setting(
            size=self.size,
            batch=self.batch,
            parallel=self.parallel,
            rounds=self.rounds,
            gflop=self.flops_per_pixel * self.baseline.pixels / images / 1e9,
            peaks={precision: speed / 1e9 for precision, speed in self.peaks.items()},
            lines=tuple(map(line, (self.baseline, *self.others))),
        )

    @property
    def _place(self) -> str:
        return f"{self.size} pixels, batch {self.batch}"

    def _baseline(self, checkpoint: Checkpoint) -> Contender:
        """torch in float32, in its default memory format: the fused network alone, on ready float images."""
        backend = TorchBackend(checkpoint.model, self.device)
        ready = inputs_for(backend, self.photos.images, self.size, self.batch)
        inputs = [backend.to_input(images).contiguous() for images in ready]
        model = fuse(checkpoint.model).to(self.device)
        # torch's stubs do not know the argument.
        model = model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

        @torch.inference_mode()
        def call(images: Tensor) -> object:
            return model(images)

        line = Line(BASELINE, f"{backend.runtime}, default memory format, network alone", "float32")
        return Contender(line, call, inputs, backend.device)

    def _opened(self, one: Wanted) -> Contender:
        options = one.options(self.size, self.device)
        weights = one.artefact or str(self.path)
        few = self.photos.paths[: max(4, 2 * self.batch)]  # more photos need no more memory
        fresh = fresh_process(weights, few, self.batch, options)
        single = load(weights, **options)
        backend, stream = single.backend, single
        if self.parallel > 1 and not isinstance(backend, TorchBackend):
            stream = load(weights, parallel=self.parallel, **options)
        where = backend.device if isinstance(backend, TorchBackend) else torch.device("cpu")
        line = Line(one.label, backend.runtime, precision_of(backend), fresh=fresh)
        inputs = inputs_for(backend, self.photos.images, self.size, self.batch)
        return Contender(line, lambda images: backend(images, PREDICTION.conf), inputs, where, single, stream)

    def _floor(self, one: Contender) -> float | None:
        """Least seconds for all photos in a contender's precision; None if its device has no peak."""
        if not self.peaks or one.device.type != self.device.type:
            return None
        return self.flops_per_pixel * one.pixels / peak_of(one.line.precision, self.peaks)
