"""Commands that write a network in other formats, and time it on other runtimes."""

from __future__ import annotations

import json
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from yolov7.console import benchmark_table, export_table, progress_bar, say, show
from yolov7.files import new_run_directory, write_file
from yolov7.options import (
    CheckpointName,
    Commas,
    Confidence,
    Device,
    Fresh,
    Iou,
    JsonSwitch,
    Numbers,
    Switch,
    Trust,
    option_group,
    weight_file,
)

if TYPE_CHECKING:
    from yolov7.benchmark.result import Benchmark


@option_group("Artefacts")
@dataclass(frozen=True)
class ArtefactOptions:
    """Properties of the artefacts.

    Attributes:
        size: side of the square images that an artefact takes, pixels; default: the checkpoint's.
        batch_size: images that an artefact takes at once.
        dynamic: take any number of images of any size (multiples of the network's stride).
        half: 16-bit weights: half the file, nearly the same detections.
        calibration: folder of some dozens of representative images, for openvino-int8.
    """

    size: int | None = None
    batch_size: int = 1
    dynamic: Switch = False
    half: Switch = False
    calibration: Path | None = None


@option_group("Comparison with torch")
@dataclass(frozen=True)
class ComparisonOptions:
    """Images and thresholds of the comparison.

    Attributes:
        images: images to compare on, the first 100: files, a folder, a video...; default: those of DATA, else
            three photos (pip install 'open-yolov7[demo]').
        data: labelled images to evaluate both on: data.yaml, COCO json, or a data set's folder.
        split: part of the data set.
    """

    images: str | None = None
    data: Path | None = None
    split: str = "val"
    conf: Confidence = 0.25
    iou: Iou = 0.45


def export(
    weights: CheckpointName,
    /,
    *,
    fresh: Fresh = False,
    format_: Annotated[Commas, Parameter(name="--format")] = ("onnx",),
    out: Path = Path("runs/export"),
    overwrite: Switch = False,
    artefacts: ArtefactOptions = ArtefactOptions(),
    comparison: ComparisonOptions = ComparisonOptions(),
) -> int:
    """Write a network in other formats, each compared with torch on real images.

    NAME.parity.txt and NAME.parity.json report how far the detections differ. An artefact that differs too
    much is named NAME.rejected, and the exit status is 1.

    Args:
        format_: comma-separated: onnx, onnx-nms (NMS inside), onnx-end-to-end (from image bytes to boxes),
            openvino, openvino-int8 (INT8), tensorrt, torchscript, torch-export, ncnn, litert, coreml.
        out: directory of the artefacts, named after the weights: best.pt becomes best.onnx, best.openvino...
        overwrite: replace artefacts of the same name.
    """
    from yolov7.artefacts.exporting import export as export_checkpoint
    from yolov7.formats.opening import open_dataset
    from yolov7.loading import open_checkpoint
    from yolov7.runtimes.description import ExportOptions
    from yolov7.runtimes.formats import find_format

    for name in format_:  # fails before the weights are read
        find_format(name)
    file = weight_file(weights, fresh=fresh)
    with progress_bar() as progress:
        task = progress.add_task("reading", total=None)

        def report(what: str, done: int, total: int | None) -> None:
            if progress.disable and progress.tasks[task].description != what:
                say(what)
            progress.update(task, description=what, completed=done, total=total)

        results = export_checkpoint(
            open_checkpoint(file, fresh=fresh),
            format_,
            out,
            ExportOptions(*astuple(artefacts)),
            stem=Path(file).stem,
            images=comparison.images,
            data=None if comparison.data is None else open_dataset(comparison.data, comparison.split),
            conf=comparison.conf,
            iou=comparison.iou,
            overwrite=overwrite,
            progress=report,
        )
    export_table(results)
    return 0 if all(result.ok for result in results) else 1


@option_group("Workload")
@dataclass(frozen=True)
class WorkloadOptions:
    """Images and repetitions; fields are arguments of :func:`yolov7.benchmark.measure.benchmark`.

    Attributes:
        sizes: longest sides of the scaled images, comma-separated pixels; default: the checkpoint's.
        batches: batch sizes, comma-separated.
        images: image files: a folder, a glob, paths; default: crops of three photos
            (pip install 'open-yolov7[demo]').
        count: number of images to use.
        rounds: measured rounds of each runtime, after one warm-up round.
    """

    sizes: Annotated[Numbers, Parameter(show_default=False)] = ()
    batches: Numbers = (1,)
    images: str | None = None
    count: int = 20
    rounds: int = 5


def benchmark(
    weights: CheckpointName,
    /,
    *,
    fresh: Fresh = False,
    runtimes: Commas = ("auto", "torch", "openvino", "onnx"),
    device: Device = None,
    trust: Trust = False,
    json_: JsonSwitch = False,
    out: Path | None = None,
    markdown: Path | None = None,
    workload: WorkloadOptions = WorkloadOptions(),
) -> int:
    """Time a network on this machine: runtimes side by side, in turn, beside the processor's floor.

    Measures one call of the network, one file to its boxes, a stream of files, and the start and memory of a
    process. Each is compared with plain torch running the network alone. Ctrl-C ends early and shows the
    results so far.

    Args:
        runtimes: comma-separated: auto, torch, names of formats, each but auto also with +half appended for
            16 bits; or paths of artefacts, such as one in INT8.
        json_: print JSON instead of tables.
        out: directory for benchmark.json, benchmark.md and benchmark.svg; DIR-2, DIR-3, ... if it is
            not empty.
        markdown: your own page: the part between this network's marks is replaced, and a picture goes to
            images/ beside it.
    """
    from yolov7.benchmark.measure import benchmark as measure
    from yolov7.reports.plots import require_matplotlib

    if out is not None or markdown is not None:
        require_matplotlib("the benchmark's picture")
    directory = None if out is None else new_run_directory(out)
    with progress_bar() as progress:
        task = progress.add_task("reading", total=None)
        result = measure(
            weight_file(weights, fresh=fresh),
            runtimes,
            fresh=fresh,
            device=device,
            trust=trust,
            progress=lambda what, done, total: progress.update(
                task, description=what, completed=done, total=total
            ),
            **asdict(workload),
        )
    if json_:
        show(json.dumps(result.to_dict(), indent=2))
    else:
        benchmark_table(result)
    _write(result, directory, markdown)
    if result.interrupted:
        return 130
    asked = [line for setting in result.settings for line in setting.lines[1:]]
    return 1 if asked and all(line.error is not None for line in asked) else 0


def _write(result: Benchmark, directory: Path | None, page: Path | None) -> None:
    """Write a benchmark's files into a directory, and into the page of a user."""
    from yolov7.benchmark.documents import rewrite, to_markdown
    from yolov7.benchmark.picture import bars

    if directory is not None:
        picture = directory / "benchmark.svg"
        write_file(directory / "benchmark.json", (json.dumps(result.to_dict(), indent=2) + "\n").encode())
        write_file(picture, bars(result).encode())
        write_file(directory / "benchmark.md", to_markdown(result, picture.name).encode())
        say(f"results in {directory}")
    if page is not None:
        picture = page.parent / "images" / f"benchmark-{result.variant}.svg"
        write_file(picture, bars(result).encode())
        rewrite(page, result, f"images/{picture.name}")
        say(f"rewritten: {page}, {picture}")
