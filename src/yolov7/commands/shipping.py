"""Commands that bring a trained network to where it is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from yolov7.console import benchmark_table, export_table, progress_bar, say, show
from yolov7.errors import UsageError
from yolov7.options import Commas, JsonSwitch, Numbers, Switch, weight_file

if TYPE_CHECKING:
    from yolov7.benchmark.result import Benchmark


def export(
    weights: str,
    /,
    *,
    fresh: Switch = False,
    format_: Annotated[Commas, Parameter(name="--format")] = ("onnx",),
    out: Path = Path("runs/export"),
    size: int | None = None,
    batch_size: int = 1,
    dynamic: Switch = False,
    half: Switch = False,
    calibration: Annotated[Path | None, Parameter(show_default=False)] = None,
    images: str | None = None,
    data: Path | None = None,
    split: str = "val",
    conf: float = 0.25,
    iou: float = 0.45,
    overwrite: Switch = False,
) -> int:
    """Write a network in other formats, each with proof that it finds what it finds here.

    Every artefact is run on real images beside torch. NAME.parity.txt and NAME.parity.json say how far the
    two are apart. What is too far away is named NAME.rejected, and the exit status is 1.

    Parameters
    ----------
    weights:
        Any YOLOv7 checkpoint, the folder of a run, or the name of a released checkpoint.
    fresh:
        WEIGHTS is the name of a network, such as yolov7-tiny, with fresh weights, which find nothing.
    format_:
        Comma-separated: onnx, onnx-nms (suppression inside), onnx-end-to-end (from image bytes to boxes),
        openvino, openvino-int8 (8 bits), tensorrt, torchscript, torch-export, ncnn, litert, coreml.
    out:
        Directory for the artefacts, named after the weights: best.pt becomes best.onnx, best.openvino...
    size:
        Side of the square images that artefacts take, pixels; the checkpoint's own by default.
    batch_size:
        Images that an artefact takes at once.
    dynamic:
        Artefacts take any number of images of any size (multiples of the network's stride).
    half:
        16-bit weights: half the file, nearly the same detections.
    calibration:
        Folder with some dozens of images like those it will see: what openvino-int8 needs.
    images:
        Images to compare on, the first 100: files, a folder, a video... Those of DATA by default, else three
        photos (pip install 'open-yolov7[demo]').
    data:
        Labelled images, to measure AP before and after: data.yaml, COCO json, or a data set's folder.
    split:
        Part of the data set.
    conf:
        Confidence that a detection must exceed to be compared, 0 to 1.
    iou:
        Overlap above which the lesser of two boxes goes, 0 to 1.
    overwrite:
        Replace artefacts of the same name.
    """
    from yolov7.artefacts.exporting import export as export_checkpoint
    from yolov7.formats.opening import open_dataset
    from yolov7.loading import open_checkpoint
    from yolov7.runtimes.description import ExportOptions
    from yolov7.runtimes.formats import find_format

    if not format_:
        raise UsageError("no format is given", expected="--format onnx, or several with commas between them")
    for name in format_:  # known before the weights are read
        find_format(name)
    file = weight_file(weights, fresh=fresh)
    options = ExportOptions(size, batch_size, dynamic, half, calibration)
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
            options,
            stem=Path(file).stem,
            images=images,
            data=None if data is None else open_dataset(data, split),
            conf=conf,
            iou=iou,
            overwrite=overwrite,
            progress=report,
        )
    export_table(results)
    return 0 if all(result.ok for result in results) else 1


def benchmark(
    weights: str,
    /,
    *,
    fresh: Switch = False,
    runtimes: Commas = ("auto", "torch", "openvino", "onnx"),
    sizes: Annotated[Numbers, Parameter(show_default=False)] = (),
    batches: Numbers = (1,),
    images: str | None = None,
    count: int = 20,
    rounds: int = 5,
    device: str | None = None,
    trust_artefact: Switch = False,
    json_: JsonSwitch = False,
    out: Annotated[Path | None, Parameter(show_default=False)] = None,
    markdown: Annotated[Path | None, Parameter(show_default=False)] = None,
) -> int:
    """Time a network on this machine: runtimes side by side, in turn, beside the processor's floor.

    For each: a call of the network; a file to its boxes; a stream of files; the start of a process and its
    memory. All are held against torch in its plainest form doing the network alone. Ctrl-C ends early: what
    was measured until then is shown.

    Parameters
    ----------
    weights:
        Any YOLOv7 checkpoint, the folder of a run, or the name of a released checkpoint.
    fresh:
        WEIGHTS is the name of a network, such as yolov7-tiny, with fresh weights: speed does not need others.
    runtimes:
        Comma-separated: auto, torch, names of formats, each but auto also with +half behind it for 16 bits;
        or paths of artefacts, such as one in 8 bits.
    sizes:
        Longest sides that images are scaled to, comma-separated pixels; the checkpoint's own by default.
    batches:
        Images that go through the network together, comma-separated numbers.
    images:
        Image files: a folder, a glob, paths. Without them, parts of three photos
        (pip install 'open-yolov7[demo]').
    count:
        Images to take of them.
    rounds:
        Turns of each runtime that count; one more warms up.
    device:
        Where torch runs: cpu, cuda, cuda:1, mps; a GPU where there is one by default.
    trust_artefact:
        You know who made the artefacts among them: their runtimes may run whatever is in them.
    json_:
        Print JSON instead of tables.
    out:
        Directory for benchmark.json, benchmark.md and benchmark.svg; where it holds some already, DIR-2.
    markdown:
        A page of yours: what stands there between the marks of this network is replaced; a picture goes to
        images/ beside it.
    """
    from yolov7.benchmark.documents import rewrite, to_markdown
    from yolov7.benchmark.measure import benchmark as measure
    from yolov7.benchmark.picture import bars
    from yolov7.files import new_run_directory, write_file
    from yolov7.reports.plots import require_matplotlib

    if out is not None or markdown is not None:
        require_matplotlib("the benchmark's picture")
    directory = None if out is None else new_run_directory(out)
    with progress_bar() as progress:
        task = progress.add_task("reading", total=None)

        def report(what: str, done: int, total: int | None) -> None:
            progress.update(task, description=what, completed=done, total=total)

        result = measure(
            weight_file(weights, fresh=fresh),
            runtimes,
            fresh=fresh,
            sizes=sizes,
            batches=batches,
            images=images,
            count=count,
            rounds=rounds,
            device=device,
            trust=trust_artefact,
            progress=report,
        )
    if json_:
        show(json.dumps(result.to_dict(), indent=2))
    else:
        benchmark_table(result)
    if directory is not None:
        picture = directory / "benchmark.svg"
        write_file(directory / "benchmark.json", (json.dumps(result.to_dict(), indent=2) + "\n").encode())
        write_file(picture, bars(result).encode())
        write_file(directory / "benchmark.md", to_markdown(result, picture.name).encode())
        say(f"results in {directory}")
    if markdown is not None:
        picture = markdown.parent / "images" / f"benchmark-{result.variant}.svg"
        write_file(picture, bars(result).encode())
        rewrite(markdown, result, f"images/{picture.name}")
        say(f"rewritten: {markdown}, {picture}")
    return _status(result)


def _status(result: Benchmark) -> int:
    """Of an interruption, as of any other; 1 where nothing that was asked for could be measured."""
    if result.interrupted:
        return 130
    asked = [line for setting in result.settings for line in setting.lines[1:]]
    return 1 if asked and all(line.error is not None for line in asked) else 0
