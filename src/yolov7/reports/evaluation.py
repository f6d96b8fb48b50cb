"""An evaluation as a page: what was measured, what is mixed up, where it fails."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolov7.data.dataset import Dataset
from yolov7.errors import SourceError
from yolov7.evaluation.coco import Metrics
from yolov7.evaluation.confusion import ConfusionMatrix, confusion_matrix
from yolov7.evaluation.curves import ConfidenceCurves, confidence_curves
from yolov7.evaluation.matching import Judgement, judge
from yolov7.evaluation.run import Evaluation
from yolov7.images.reading import read_image
from yolov7.reports import plots, worst
from yolov7.reports.page import Cell, Page, Tile, number, percent

CONF = 0.25
"""Confidence of the detections that count as shown, where mistakes are counted one by one."""

Row = list[str | Cell]

_MEANINGS = (
    ("AP", "average precision: mean over IoU 0.50 to 0.95 and over classes"),
    ("AP50", "boxes that overlap the object by half are good enough"),
    ("AP75", "boxes must fit well"),
    ("APs", "objects smaller than 32 × 32 pixels"),
    ("APm", "objects between"),
    ("APl", "objects larger than 96 × 96 pixels"),
    ("AR1", "average recall: objects found by the best detection of an image alone"),
    ("AR10", "by the best 10"),
    ("AR100", "by the best 100"),
    ("ARs", "by the best 100, small objects"),
    ("ARm", "by the best 100, medium objects"),
    ("ARl", "by the best 100, large objects"),
)


def evaluation_report(
    title: str, subtitle: str, outcome: Evaluation, dataset: Dataset, facts: Mapping[str, Any]
) -> str:
    """The whole page of an evaluation, as HTML.

    Args:
        title: what was evaluated.
        subtitle: a sentence about it.
        outcome: what was measured.
        dataset: the ground truth.
        facts: how it was measured: names and values.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    page = Page(title, subtitle, kind="Evaluation")
    evaluation_sections(page, outcome, dataset)
    page.section("Conditions", "What these numbers belong to.")
    page.facts(facts)
    return page.to_html()


def evaluation_sections(
    page: Page, outcome: Evaluation, dataset: Dataset, *, conf: float = CONF, worst_count: int = 12
) -> None:
    """What an evaluation found: metrics, curves, classes, confusions, and the worst images.

    Args:
        page: it grows by these sections.
        outcome: what was measured.
        dataset: the ground truth; the worst images are read again.
        conf: confidence of the detections that count as shown, where mistakes are counted one by one.
        worst_count: how many of the worst images to show.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    curves = confidence_curves(dataset.images, outcome.by_image, dataset.names)
    judgements = judge(dataset.images, outcome.by_image, conf=conf)
    matrix = confusion_matrix(judgements, dataset.names)
    _metrics(page, outcome, curves)
    _curves(page, outcome, curves)
    _classes(page, outcome, matrix, conf)
    _confusions(page, matrix, conf)
    _worst(page, judgements, dataset.names, conf, worst_count)
    _left_out(page, outcome)


def headline(metrics: Metrics, curves: ConfidenceCurves) -> list[Tile]:
    """The numbers to be seen first."""
    confidence, f1 = curves.best
    return [
        Tile("AP", percent(metrics.AP).text, "%", "IoU 0.50:0.95"),
        Tile("AP50", percent(metrics.AP50).text, "%", "IoU 0.50"),
        Tile("AP75", percent(metrics.AP75).text, "%", "IoU 0.75"),
        Tile(
            "Best F1",
            "–" if math.isnan(f1) else f"{f1:.2f}",
            "",
            f"at confidence {confidence:.2f}" * (f1 > 0),
        ),
        Tile("Images", f"{metrics.images:,}", "", f"{metrics.boxes:,} objects"),
    ]


def _metrics(page: Page, outcome: Evaluation, curves: ConfidenceCurves) -> None:
    metrics = outcome
    page.section("Result", "The COCO metrics: the same numbers as pycocotools gives.")
    page.tiles(headline(metrics, curves))
    rows: list[Row] = [[name, percent(getattr(metrics, name), bar=True), text] for name, text in _MEANINGS]
    page.table(["metric", "%", "what it measures"], rows, sortable=False)


def _curves(page: Page, outcome: Evaluation, curves: ConfidenceCurves) -> None:
    page.section("Precision and recall", "How many detections are right, and how many objects are found.")
    page.figure(
        plots.precision_recall_plot(outcome.precision_recall),
        "The further a curve reaches to the upper right the better; the area below it is the AP. One that "
        "ends early belongs to objects that are never found, whatever the confidence.",
        title="Precision against recall.",
    )
    confidence, f1 = curves.best
    advice = (
        ""
        if math.isnan(f1) or f1 < 0.1 or confidence < 0.01  # nothing to go by yet
        else f" For as many right as possible with as few wrong, run with --conf {confidence:.2f}."
    )
    page.figure(
        plots.confidence_plot(curves),
        "Asking for more confidence drops wrong detections and right ones; F1 weighs one against the other "
        f"(IoU 0.50).{advice}",
        title="What a threshold does.",
    )


def _classes(page: Page, metrics: Metrics, matrix: ConfusionMatrix, conf: float) -> None:
    rows: list[Row] = []
    for label, one in enumerate(metrics.per_class):
        if not one.boxes:
            continue
        right = matrix.counts[label, label]
        found = matrix.counts[:, label].sum()
        rows.append(
            [
                one.name,
                percent(one.AP, bar=True),
                percent(one.AP50),
                percent(right / found if found else math.nan),
                percent(right / max(1, matrix.counts[label].sum())),
                number(one.boxes),
            ]
        )
    rows.sort(key=lambda row: -_sort_value(row[1]))
    page.section("Classes", "Best first. Classes of which there is no object here are left out.")
    page.table(
        ["class", "AP", "AP50", "precision", "recall", "objects"],
        rows,
        f"Percent. Precision and recall are those of the detections above confidence {conf:g}, at IoU 0.50. "
        "With few objects a number says little.",
    )


def _confusions(page: Page, matrix: ConfusionMatrix, conf: float) -> None:
    counts = matrix.counts
    page.section(
        "Confusions",
        f"What became of each object: detections above confidence {conf:g} that overlap it by half, "
        "whatever their class.",
    )
    objects, right = int(counts[:-1].sum()), int(counts[:-1, :-1].trace())
    mistaken, missed = int(counts[:-1, :-1].sum()) - right, int(counts[:-1, -1].sum())
    page.tiles(
        [
            _share("Right", right, objects),
            _share("Mistaken for another class", mistaken, objects),
            _share("Missed", missed, objects),
            Tile("False detections", f"{int(counts[-1].sum()):,}", "", "where no object is left"),
        ]
    )
    crowded = len(matrix.names) > plots.CELLS_WITH_NUMBERS
    page.figure(
        plots.confusion_plot(matrix),
        "Each row is a class and what its objects were found as; the deeper a square, the larger its share. "
        "The last column holds what was missed, the last row what was seen in plain background. Off the "
        "diagonal is what the detector mixes up.",
        title="Confusion matrix.",
        wide=crowded,
        fine=crowded,
    )
    pairs = matrix.most_frequent(12)
    if pairs:
        page.table(
            ["truth", "found as", "times", "% of the class"],
            [[pair.truth, pair.found, number(pair.count), percent(pair.share, bar=True)] for pair in pairs],
            "The classes that are mixed up most often.",
            wide=crowded,
        )


def _worst(page: Page, judgements: list[Judgement], names: tuple[str, ...], conf: float, count: int) -> None:
    chosen = worst.worst(judgements, count)
    if not chosen:
        return
    page.section(
        "Worst images",
        f"By detections above confidence {conf:g}, at IoU 0.50. A missed object costs 1, a false detection "
        "its confidence, an object taken for another both; the images that cost most come first. Look for "
        "what they have in common, and for objects that the labels lack.",
        gallery=True,
    )
    page.key([(style.meaning, style.colour, style.dashed) for style in worst.STYLES])
    for judgement in chosen:
        try:
            image = read_image(judgement.image.path)
        except SourceError:  # it could be read during the evaluation: a disk that has gone since
            continue
        page.figure(
            worst.picture(judgement, image, names),
            worst.in_words(judgement, names),
            title=f"{judgement.image.path.name}:",
        )


def _left_out(page: Page, outcome: Evaluation) -> None:
    if outcome.defects:
        page.section("Left out", "Images that could not be decoded; the numbers are without them.")
        page.table(
            ["file", "problem"], [[Path(defect.file).name, defect.message] for defect in outcome.defects]
        )


def _share(label: str, count: int, objects: int) -> Tile:
    share = percent(count / objects if objects else math.nan).text
    return Tile(label, share, "%", f"{count:,} of {objects:,} objects")


def _sort_value(cell: str | Cell) -> float:
    return cell.value if isinstance(cell, Cell) and cell.value is not None else -math.inf
