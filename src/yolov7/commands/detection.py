"""Commands that use a trained network: on pictures and videos, and on labelled images to measure it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from yolov7.console import complain, counted, metrics_table, progress_bar, say, show
from yolov7.errors import UsageError, Yolov7Error
from yolov7.options import Commas, OptionalCommas, Sources, Switch, weight_file

if TYPE_CHECKING:
    from yolov7.inference.output import SinkOptions
    from yolov7.inference.predictor import Predictor
    from yolov7.inference.tally import RunTally
    from yolov7.sources.frames import Frame
    from yolov7.sources.opening import Source


def predict(
    weights: str,
    sources: Sources,
    /,
    *,
    fresh: Switch = False,
    out: Path = Path("runs/predict"),
    save: Commas = ("pictures",),
    conf: float = 0.25,
    iou: float = 0.45,
    size: int | None = None,
    classes: OptionalCommas = None,
    agnostic: Switch = False,
    augment: Switch = False,
    half: Switch = False,
    runtime: str | None = None,
    trust_artefact: Switch = False,
    device: str | None = None,
    batch_size: int = 1,
    every: int = 1,
    frames: int | None = None,
    duration: float | None = None,
    line_width: float | None = None,
    hide_labels: Switch = False,
    hide_scores: Switch = False,
    blur: Switch = False,
    only_found: Switch = False,
    reduced: Switch = False,
    max_detections: int = 300,
    centred: Switch = False,
) -> int:
    """Find objects in images and videos.

    Parameters
    ----------
    weights:
        Any YOLOv7 checkpoint or exported artefact, the folder of a run, or the name of a released checkpoint.
    sources:
        Images, folders, globs, videos, URLs, RTSP streams, a webcam's number, a .txt list, or - for
        standard input (an image, or a path or URL in each line).
    fresh:
        WEIGHTS is the name of a network, such as yolov7-tiny, with fresh weights, which find nothing.
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
        Only these, comma-separated names or numbers. A comma in a name is written \\,.
    agnostic:
        Boxes suppress those of other classes too.
    augment:
        Look at each image three times, mirrored and scaled: slower, a little better.
    half:
        16 bits: float16 on a GPU, bfloat16 on a CPU.
    runtime:
        torch; the name of a format such as openvino; or auto, the fastest that is right on this machine.
    trust_artefact:
        You know who made this artefact: its runtime may run whatever is in it.
    device:
        cpu, cuda, cuda:1, mps; a GPU where there is one by default.
    batch_size:
        Images that go through the network together.
    every:
        Of a video take every n-th frame.
    frames:
        Stop each video or stream after so many frames.
    duration:
        Stop each video or stream after so many seconds.
    line_width:
        Pixels of the boxes' lines; grows with the picture by default.
    hide_labels:
        Draw boxes without names.
    hide_scores:
        Draw boxes without scores.
    blur:
        Make what is inside the boxes unrecognisable, in pictures, crops and video: coarse squares instead.
    only_found:
        No pictures of images in which nothing was found.
    reduced:
        Decode JPEGs that are much larger than the network's input at a half, a quarter or an eighth of their
        size: faster for photos of many pixels. Not with pictures, crops or video, which need all of them.
    max_detections:
        At most so many an image.
    centred:
        Pad images on all sides, as the released tool does: the network sees the same pixels. Its boxes are
        up to 0.75 pixel of the network off on the way back, which is not repeated.
    """
    from yolov7.drawing import Style
    from yolov7.inference.output import SinkOptions
    from yolov7.loading import load
    from yolov7.sources.opening import open_source

    kinds = [kind for kind in save if kind != "none"]
    drawn = {"pictures", "crops", "video"} & set(kinds)
    if blur and not drawn:
        raise UsageError("nothing to blur", expected="--save pictures, crops or video with --blur")
    if reduced and drawn:
        raise UsageError(
            "pictures need all pixels",
            expected="--save txt,json,csv or none with --reduced",
            found=min(drawn),
        )
    options = SinkOptions(Style(line_width, not hide_labels, not hide_scores, blur), only_found)
    source = open_source(
        sources if len(sources) > 1 else sources[0], every=every, frames=frames, duration=duration
    )
    predictor = load(
        weight_file(weights, fresh=fresh),
        fresh=fresh,
        runtime=runtime,
        trust=trust_artefact,
        parallel=1 if source.live or batch_size > 1 or source.total == 1 else min(8, os.cpu_count() or 1),
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
    if reduced:
        source = source.reduced(predictor.size)
    return _predict(predictor, source, kinds, out, options, batch_size)


def _predict(
    predictor: Predictor, source: Source, kinds: list[str], out: Path, options: SinkOptions, batch_size: int
) -> int:
    """Work through a source, tell what is found, and count. Exit status: 1 where something was left out."""
    from yolov7.files import new_run_directory
    from yolov7.inference.sinks import open_sinks
    from yolov7.inference.tally import RunTally
    from yolov7.types import Detections

    directory = new_run_directory(out) if kinds else None
    tally = RunTally()

    def not_written(error: Yolov7Error) -> None:
        if tally.fail(error):
            complain(f"error: {error}")

    with (
        open_sinks(kinds, directory or out, predictor.names, options, not_written) as sinks,
        progress_bar() as progress,
    ):
        task = progress.add_task("detecting", total=source.total)

        def skip(frame: Frame) -> None:
            tally.skip(frame)
            sinks.write(frame, Detections.empty(predictor.names))
            progress.advance(task)
            complain(f"skipped: {frame.error}")

        with _interruptible(source, tally):
            for result in predictor.predict(source, batch_size=batch_size, on_error=skip):
                sinks.write(result.frame, result.detections)
                tally.add(result)
                progress.advance(task)
                video = result.frame.video
                place = "" if video is None else f" frame {video.number} at {video.time:.2f} s"
                show(f"{result.source}{place}: {counted(result.detections)}")
    say(f"{tally}" + (f", results in {directory}" if directory else ""))
    return 1 if tally.skipped or tally.failed else 0


@contextmanager
def _interruptible(source: Source, tally: RunTally) -> Iterator[None]:
    """End by Ctrl-C or SIGTERM: for a camera, which has no other end, as for a file at its last frame."""

    def terminate(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    mine = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, terminate) if mine else None
    try:
        yield
    except KeyboardInterrupt:
        if not (source.live or tally.live):
            raise
    finally:
        if mine:
            signal.signal(signal.SIGTERM, before)


class Terminated(KeyboardInterrupt):
    """SIGTERM."""


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
    runtime: str | None = None,
    trust_artefact: Switch = False,
    device: str | None = None,
    json_: Annotated[Path | None, Parameter(name="--json", show_default=False)] = None,
    predictions: Annotated[Path | None, Parameter(show_default=False)] = None,
    report: Annotated[Path | None, Parameter(show_default=False)] = None,
    per_class: Switch = False,
    images: Annotated[Path | None, Parameter(show_default=False)] = None,
    released_mapping: Switch = False,
) -> int:
    """Measure a detector on labelled images by the COCO protocol.

    Parameters
    ----------
    weights:
        Any YOLOv7 checkpoint or exported artefact, the folder of a run, or the name of a released checkpoint.
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
    runtime:
        torch; the name of a format such as openvino; or auto, the fastest that is right on this machine.
    trust_artefact:
        You know who made this artefact: its runtime may run whatever is in it.
    device:
        cpu, cuda, cuda:1, mps; a GPU where there is one by default.
    json_:
        Write the metrics here, as fractions; - prints them instead of the table.
    predictions:
        Write the detections here, in the form that the COCO server takes.
    report:
        Directory for report.html, which shows it all, and metrics.json; where it holds some already, DIR-2.
    per_class:
        Print a row for each class.
    images:
        Folder of the images of a COCO json, where they are not found beside it.
    released_mapping:
        Map boxes back to the image as the released evaluation does, half a pixel of the network off where
        padding is odd: to repeat published numbers, which are lower for it.
    """
    from yolov7.evaluating import evaluate
    from yolov7.files import new_run_directory

    directory = None if report is None else new_run_directory(report)
    with progress_bar() as progress:
        task = progress.add_task("evaluating", total=None)
        outcome = evaluate(
            weight_file(weights),
            data,
            split=split,
            size=size,
            batch_size=batch_size,
            conf=conf,
            iou=iou,
            augment=augment,
            half=half,
            runtime=runtime,
            trust=trust_artefact,
            device=device,
            predictions=predictions,
            report=directory,
            images=images,
            released_mapping=released_mapping,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
            say=say,
        )
    document = json.dumps(outcome.to_dict(), indent=2)
    if json_ == Path("-"):
        show(document)
    else:
        metrics_table(outcome, per_class=per_class)
    if json_ not in (None, Path("-")):
        from yolov7.files import write_file

        write_file(json_, document.encode())
    if directory is not None:
        say(f"report: {directory / 'report.html'}")
    return 1 if outcome.defects else 0
