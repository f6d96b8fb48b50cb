"""Commands that run a trained network: `predict` and `val`."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from yolov7.console import complain, metrics_table, progress_bar, say, show
from yolov7.errors import UsageError, Yolov7Error
from yolov7.files import new_run_directory, write_file
from yolov7.options import (
    Commas,
    Confidence,
    Fresh,
    Iou,
    NetworkOptions,
    OptionalCommas,
    ReleasedMapping,
    Sources,
    Switch,
    Weights,
    option_group,
    weight_file,
)

if TYPE_CHECKING:
    from yolov7.inference.predictor import Predictor
    from yolov7.results.output import SinkOptions
    from yolov7.results.tally import RunTally
    from yolov7.sources.frames import Frame
    from yolov7.sources.opening import Source


@option_group("Detections")
@dataclass(frozen=True)
class ThresholdOptions:
    r"""Detections that are kept; fields are arguments of :func:`yolov7.load`.

    Attributes:
        classes: the only classes wanted, comma-separated names or numbers; a comma in a name is written \\,
        agnostic: let boxes suppress those of other classes too.
        max_detections: maximum number of detections per image.
    """

    conf: Confidence = 0.25
    iou: Iou = 0.45
    classes: OptionalCommas = None
    agnostic: Switch = False
    max_detections: int = 300


@option_group("Videos")
@dataclass(frozen=True)
class VideoOptions:
    """Frames to take; fields are arguments of :func:`yolov7.sources.opening.open_source`.

    Attributes:
        every: use every n-th frame.
        frames: maximum number of frames per video or stream.
        duration: maximum seconds per video or stream.
    """

    every: int = 1
    frames: int | None = None
    duration: float | None = None


@option_group("Pictures")
@dataclass(frozen=True)
class PictureOptions:
    """Look of pictures, crops and videos.

    Attributes:
        line_width: width of the boxes' lines, pixels; default: grows with the picture.
        hide_labels: draw boxes without class names.
        hide_scores: draw boxes without scores.
        blur: pixelate the inside of the boxes, in pictures, crops and videos.
        only_found: write no pictures of images without detections.
    """

    line_width: float | None = None
    hide_labels: Switch = False
    hide_scores: Switch = False
    blur: Switch = False
    only_found: Switch = False

    def for_sinks(self) -> SinkOptions:
        from yolov7.drawing import Style
        from yolov7.results.output import SinkOptions

        style = Style(self.line_width, not self.hide_labels, not self.hide_scores, self.blur)
        return SinkOptions(style, self.only_found)


def predict(
    weights: Weights,
    sources: Sources,
    /,
    *,
    fresh: Fresh = False,
    out: Path = Path("runs/predict"),
    save: Commas = ("pictures",),
    batch_size: int = 1,
    reduced: Switch = False,
    centred: Switch = False,
    thresholds: ThresholdOptions = ThresholdOptions(),
    network: NetworkOptions = NetworkOptions(),
    videos: VideoOptions = VideoOptions(),
    pictures: PictureOptions = PictureOptions(),
) -> int:
    """Detect objects in images and videos.

    Args:
        sources: images, folders, globs, videos, URLs, RTSP streams, a webcam's number, a .txt list, or - for
            standard input (an image, or a path or URL per line).
        out: directory of the results; DIR-2, DIR-3, ... if it is not empty.
        save: comma-separated: pictures, txt, json, csv, crops, video; or none.
        batch_size: images per forward pass.
        reduced: decode JPEGs much larger than the network's input at a half, a quarter or an eighth of their
            size: faster. Not with pictures, crops or video, which need all pixels.
        centred: pad images on all sides, as the released tool does: the network sees the same pixels. The
            released tool's boxes are up to 0.75 input pixels off; these are not.
    """
    from yolov7.loading import load
    from yolov7.sources.opening import open_source

    kinds = [kind for kind in save if kind != "none"]
    drawn = {"pictures", "crops", "video"} & set(kinds)
    if pictures.blur and not drawn:
        raise UsageError("nothing to blur", expected="--save pictures, crops or video with --blur")
    if reduced and drawn:
        expected = "--save txt,json,csv or none with --reduced"
        raise UsageError("pictures need all pixels", expected=expected, found=min(drawn))
    source = open_source(sources if len(sources) > 1 else sources[0], **asdict(videos))
    single = source.live or batch_size > 1 or source.total == 1
    predictor = load(
        weight_file(weights, fresh=fresh),
        fresh=fresh,
        parallel=1 if single else min(8, os.cpu_count() or 1),
        centred=centred,
        **asdict(network),
        **asdict(thresholds),
    )
    if reduced:
        source = source.reduced(predictor.size)
    return _predict(predictor, source, kinds, out, pictures.for_sinks(), batch_size)


def _predict(
    predictor: Predictor, source: Source, kinds: list[str], out: Path, options: SinkOptions, batch_size: int
) -> int:
    """Detect in every frame and print the detections. -> exit status, 1 if anything was left out"""
    from yolov7.results.sinks import open_sinks
    from yolov7.results.tally import RunTally
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
                show(f"{result.source}{place}: {result.detections.summary()}")
    say(f"{tally}" + (f", results in {directory}" if directory else ""))
    return 1 if tally.skipped or tally.failed else 0


@contextmanager
def _interruptible(source: Source, tally: RunTally) -> Iterator[None]:
    """Let Ctrl-C or SIGTERM end a live source like the last frame of a file."""

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
    weights: Weights,
    data: Path,
    /,
    *,
    split: str = "val",
    images: Path | None = None,
    batch_size: int | None = None,
    conf: Confidence = 0.001,
    iou: Iou = 0.65,
    released_mapping: ReleasedMapping = False,
    json_: Annotated[Path | None, Parameter(name="--json")] = None,
    predictions: Path | None = None,
    report: Path | None = None,
    per_class: Switch = False,
    network: NetworkOptions = NetworkOptions(),
) -> int:
    """Evaluate a detector on labelled images by the COCO protocol.

    Args:
        data: data.yaml, COCO json, or the folder of a data set (COCO, YOLO, Pascal VOC).
        split: part of the data set.
        images: image folder of a COCO json, if the images are not beside it.
        batch_size: images per forward pass; default: 32 at 640 pixels, fewer at more.
        json_: file for the metrics, as fractions; - prints them instead of the table.
        predictions: file for the detections, in the format of the COCO server.
        report: directory for report.html, with curves and the worst images, and metrics.json; DIR-2, DIR-3,
            ... if it is not empty.
        per_class: print a row per class.
    """
    from yolov7.evaluating import evaluate

    directory = None if report is None else new_run_directory(report)
    with progress_bar() as progress:
        task = progress.add_task("evaluating", total=None)
        outcome = evaluate(
            weight_file(weights),
            data,
            split=split,
            images=images,
            batch_size=batch_size,
            conf=conf,
            iou=iou,
            released_mapping=released_mapping,
            predictions=predictions,
            report=directory,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
            say=say,
            **asdict(network),
        )
    document = json.dumps(outcome.to_dict(), indent=2)
    if json_ == Path("-"):
        show(document)
    else:
        metrics_table(outcome, per_class=per_class)
        if json_ is not None:
            write_file(json_, document.encode())
    if directory is not None:
        say(f"report: {directory / 'report.html'}")
    return 1 if outcome.defects else 0
