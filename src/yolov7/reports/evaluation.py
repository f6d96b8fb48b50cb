"""The page of an evaluation: metrics, curves, confused classes and the worst images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolov7.errors import SourceError
from yolov7.evaluation.confusion import ConfusionMatrix
from yolov7.evaluation.curves import ConfidenceCurves, confidence_curves
from yolov7.evaluation.matching import Judgement
from yolov7.evaluation.run import Evaluation
from yolov7.images.reading import read_image
from yolov7.reports import plots, worst
from yolov7.reports.page import Page, Row, Tile, number, percent
from yolov7.text import plural

CONF = 0.25
"""Confidence threshold of the detections whose mistakes are counted one by one."""
_WORST, _CONFUSED = 12, 12
"""Worst images and confused pairs of classes that are shown."""

_MEANINGS = (
    ("AP", "average precision: mean over IoU 0.50 to 0.95 and over classes"),
    ("AP50", "at IoU 0.50: rough boxes are good enough"),
    ("AP75", "at IoU 0.75: boxes must fit well"),
    ("APs", "small objects, below 32 × 32 pixels"),
    ("APm", "medium objects"),
    ("APl", "large objects, above 96 × 96 pixels"),
    ("AR1", "average recall with one detection per image"),
    ("AR10", "with 10"),
    ("AR100", "with 100"),
    ("ARs", "with 100, small objects"),
    ("ARm", "with 100, medium objects"),
    ("ARl", "with 100, large objects"),
)


def evaluation_report(title: str, subtitle: str, evaluation: Evaluation, facts: Mapping[str, Any]) -> str:
    """The page as HTML, with facts about the conditions; the worst images are read again from the data set.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    page = Page(title, subtitle, kind="Evaluation")
    evaluation_sections(page, evaluation)
    page.section("Conditions", "Settings and versions behind these numbers.")
    page.facts(facts)
    return page.to_html()


def evaluation_sections(page: Page, evaluation: Evaluation) -> None:
    """Append metrics, curves, classes, confusions and the worst images to a page.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    images, names = evaluation.dataset.images, evaluation.dataset.names
    matrix = evaluation.confusion(CONF)
    _metrics_and_curves(page, evaluation, confidence_curves(images, evaluation.by_image, names))
    _classes(page, evaluation, matrix)
    _confusions(page, matrix)
    _worst(page, evaluation.judgements(CONF), names)
    if evaluation.defects:
        page.section("Left out", "Images that could not be decoded; the numbers are without them.")
        defects: list[Row] = [[Path(defect.file).name, defect.message] for defect in evaluation.defects]
        page.table(["file", "problem"], defects)


def _metrics_and_curves(page: Page, evaluation: Evaluation, curves: ConfidenceCurves) -> None:
    confidence, f1 = curves.best
    page.section("Result", "The COCO metrics: the same numbers as pycocotools gives.")
    page.tiles(
        [
            Tile("AP", percent(evaluation.AP).text, "%", "IoU 0.50:0.95"),
            Tile("AP50", percent(evaluation.AP50).text, "%", "IoU 0.50"),
            Tile("AP75", percent(evaluation.AP75).text, "%", "IoU 0.75"),
            Tile(
                "Best F1",
                "–" if math.isnan(f1) else f"{f1:.2f}",
                "",
                f"at confidence {confidence:.2f}" * (f1 > 0),
            ),
            Tile("Images", f"{evaluation.images:,}", "", plural(evaluation.boxes, "object")),
        ]
    )
    rows: list[Row] = [[name, percent(getattr(evaluation, name), bar=True), text] for name, text in _MEANINGS]
    page.table(["metric", "%", "what it measures"], rows, sortable=False)
    page.section("Precision and recall", "How many detections are right, and how many objects are found.")
    page.figure(
        plots.precision_recall_plot(evaluation.precision_recall),
        "The further a curve reaches to the upper right the better; the area below it is the AP. One that "
        "ends early has objects that are never found, at any confidence.",
        title="Precision against recall.",
    )
    advice = (
        ""
        if math.isnan(f1) or f1 < 0.1 or confidence < 0.01  # too weak a network to advise on
        else f" For the best balance of the two, run with --conf {confidence:.2f}."
    )
    page.figure(
        plots.confidence_plot(curves),
        "A higher threshold drops wrong detections, and right ones too; F1 is the harmonic mean of precision "
        f"and recall (IoU 0.50).{advice}",
        title="Choice of the confidence threshold.",
    )


def _classes(page: Page, evaluation: Evaluation, matrix: ConfusionMatrix) -> None:
    found, objects = matrix.counts.sum(axis=0), matrix.counts.sum(axis=1)
    ranked = sorted(enumerate(evaluation.per_class), key=lambda item: (math.isnan(item[1].AP), -item[1].AP))
    rows: list[Row] = [
        [
            one.name,
            percent(one.AP, bar=True),
            percent(one.AP50),
            percent(matrix.counts[label, label] / found[label] if found[label] else math.nan),
            percent(matrix.counts[label, label] / max(1, objects[label])),
            number(one.boxes),
        ]
        for label, one in ranked
        if one.boxes
    ]
    page.section("Classes", "Best first. Classes without an object here are left out.")
    page.table(
        ["class", "AP", "AP50", "precision", "recall", "objects"],
        rows,
        f"Percent. Precision and recall: of detections above confidence {CONF:g}, at IoU 0.50. "
        "With few objects a number says little.",
    )


def _confusions(page: Page, matrix: ConfusionMatrix) -> None:
    counts = matrix.counts
    page.section(
        "Confusions",
        f"How each object was classified: by detections above confidence {CONF:g} with an IoU of at least "
        "0.50, of any class.",
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
        "The last column holds missed objects, the last row detections in the background. Squares off the "
        "diagonal are confusions.",
        title="Confusion matrix.",
        wide=crowded,
        fine=crowded,
    )
    pairs = matrix.most_frequent(_CONFUSED)
    if pairs:
        page.table(
            ["truth", "found as", "times", "% of the class"],
            [[pair.truth, pair.found, number(pair.count), percent(pair.share, bar=True)] for pair in pairs],
            "The classes that are confused most often.",
            wide=crowded,
        )


def _worst(page: Page, judgements: list[Judgement], names: tuple[str, ...]) -> None:
    chosen = worst.worst(judgements, _WORST)
    if not chosen:
        return
    page.section(
        "Worst images",
        f"By detections above confidence {CONF:g}, at IoU 0.50. A missed object costs 1, a false detection "
        "its confidence, a confused object both; the images with the highest cost come first. Look for "
        "what they have in common, and for objects without a label.",
        gallery=True,
    )
    page.key(worst.STYLES)
    for judgement in chosen:
        try:
            image = read_image(judgement.image.path)
        except SourceError:  # it could be read during the evaluation: the disk has gone since
            continue
        page.figure(
            worst.picture(judgement, image, names),
            worst.in_words(judgement, names),
            title=f"{judgement.image.path.name}:",
        )


def _share(label: str, count: int, objects: int) -> Tile:
    share = percent(count / objects if objects else math.nan).text
    return Tile(label, share, "%", f"{count:,} of {objects:,} objects")
