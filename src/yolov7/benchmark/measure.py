"""The benchmark itself: all runtimes in turn, round by round, so that ratios hold where the speed drifts.

for each size and batch:
    each runtime      a process of its own (start, memory), then opened here
    a round           every runtime's turn, then the processor's peak; the next one backwards
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch

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
from yolov7.inference.backend import default_device, find_device
from yolov7.loading import find_artefact, open_checkpoint
from yolov7.memory import enough_for_images
from yolov7.runtimes.formats import FORMATS

MOST_PARALLEL = 8

Progress = Callable[[str, int, int | None], None]
"""Told what is being done, which round of it, and of how many where that is known."""


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

    What cannot run is a line that says why. Ctrl-C ends it early: what was measured until then is given back.

    Args:
        weights: path of any checkpoint, the folder of a run, or the name of a released checkpoint.
        runtimes: ``auto``, ``torch``, formats such as ``openvino``, each but auto also with ``+half`` behind
            it; or paths of artefacts.
        fresh: ``weights`` is the name of a network, with fresh weights.
        sizes: longest sides of the images, pixels; the checkpoint's own where not given.
        batches: numbers of images that go through together.
        images: image files: folder, glob, paths; photos of scikit-image where not given.
        count: images to take of them.
        rounds: turns of each runtime that count; one more warms up.
        device: of torch; a GPU where there is one.
        trust: artefacts may run whatever is in them: see :func:`yolov7.load`.
        progress: told how far it is.

    Raises:
        UsageError: arguments that cannot be.
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
    # Fresh weights are the same every time, and so are their artefacts in the cache.
    with torch.random.fork_rng(devices=[]), tempfile.TemporaryDirectory(prefix="yolov7-benchmark-") as folder:
        torch.manual_seed(0)
        path = Path(folder, f"{weights}.safetensors") if fresh else find_weights(weights)
        checkpoint = open_checkpoint(weights if fresh else path, fresh=fresh)
        if fresh:
            checkpoint.save(path)
        sizes = sizes or (checkpoint.size,)
        if images is None:
            with enough_for_images(max(sizes), max(sizes), max(batches)):
                photos = cut_photos(Path(folder, "photos"), count, max(WIDTH, *sizes))
        else:
            photos = read_photos(images, count)
        settings, interrupted = [], False
        try:
            for size, batch in itertools.product(dict.fromkeys(sizes), dict.fromkeys(batches)):
                contest = Contest(checkpoint, path, photos, size, batch, where)
                try:
                    contest.open(wanted, progress)
                    contest.run(rounds, progress)
                finally:
                    settings.append(contest.result())
        except KeyboardInterrupt:
            interrupted = True
    formats = [found for one in wanted if (found := one.format) is not None]
    if "auto" in runtimes:
        formats += [FORMATS["openvino"], FORMATS["onnx"]]
    vendors = [module for found in formats for module in found.runs_with]
    return Benchmark(
        weights=os.fspath(weights) if fresh else path.name,
        variant=checkpoint.model.architecture.name,
        classes=checkpoint.model.classes,
        images=photos.described,
        machine=machine(),
        threads=torch.get_num_threads(),
        libraries=library_versions(("yolov7", "torch", "numpy", "cv2", *vendors)),
        settings=tuple(settings),
        interrupted=interrupted,
    )


class Contest:
    """All runtimes at one size and batch.

    Args:
        checkpoint: the network.
        path: of its file.
        photos: to measure on.
        size: longest side of the images, pixels.
        batch: images that go through together.
        device: of torch.
    """

    def __init__(
        self, checkpoint: Checkpoint, path: Path, photos: Photos, size: int, batch: int, device: torch.device
    ) -> None:
        self.path = path
        self.size, self.batch, self.device = size, batch, device
        self.parallel = min(MOST_PARALLEL, os.cpu_count() or 1) if batch == 1 else 1
        whole = -(-len(photos.paths) // batch) * batch  # what the last batch lacks comes from the first
        self.photos = Photos(
            list(islice(cycle(photos.paths), whole)), list(islice(cycle(photos.images), whole))
        )
        self.flops_per_pixel = flops_per_pixel(checkpoint.model)
        self.baseline = Contender.baseline(checkpoint, self.photos, size, batch, device)
        self.others: list[Contender | Line] = []
        self.rounds = 0
        self.peaks: dict[str, float] = {}

    def open(self, wanted: Sequence[Wanted], progress: Progress | None = None) -> None:
        """Start each runtime in a process of its own, then here."""
        for one in wanted:
            if progress is not None:
                progress(f"{self._place}: starting {one.label}", 0, None)
            try:
                one.check()
                self.others.append(self._opened(one))
            except Exception as error:  # a vendor's library may raise anything, and the others are wanted
                self.others.append(Line(one.label, error=one_line(error)))

    def run(self, rounds: int, progress: Progress | None = None) -> None:
        """Rounds in which each has its turn; the first warms up and does not count."""
        for number in range(rounds + 1):
            contenders = [self.baseline, *(one for one in self.others if isinstance(one, Contender))]
            # There and back: a machine that becomes slower all the time favours none.
            for contender in contenders if number % 2 else contenders[::-1]:
                if progress is not None:
                    progress(f"{self._place}: {contender.line.runtime}", number, rounds)
                try:
                    contender.turn(self.photos.paths, self.batch, counts=number > 0)
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
        """What the completed rounds say."""
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

    def _opened(self, one: Wanted) -> Contender:
        options = one.options(self.size, self.device)
        few = self.photos.paths[: max(4, 2 * self.batch)]  # more need no more memory
        return Contender.opened(
            one,
            self.path,
            self.photos,
            size=self.size,
            batch=self.batch,
            device=self.device,
            parallel=self.parallel,
            fresh=fresh_process(one.artefact or str(self.path), few, self.batch, options),
        )

    def _floor(self, one: Contender) -> float | None:
        """Seconds for all photos that no network in its precision can beat, where it runs on the device."""
        if not self.peaks or one.device.type != self.device.type:
            return None
        return self.flops_per_pixel * one.pixels / peak_of(one.line.precision, self.peaks)
