"""The page of a training run: outcome, curves, data, configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from yolov7.data.dataset import Dataset
from yolov7.evaluation.run import Evaluation
from yolov7.reports import plots
from yolov7.reports.evaluation import evaluation_sections
from yolov7.reports.history import best_epoch, value
from yolov7.reports.page import Page, Row, Tile, number, percent
from yolov7.reports.pictures import Picture
from yolov7.text import plural

_COLUMNS = (
    ("box", "box", 4),
    ("objectness", "objectness", 4),
    ("classes", "classes", 4),
    ("total", "total", 3),
    ("AP", "AP, %", 1),
    ("AP50", "AP50, %", 1),
    ("learning_rate", "learning rate", 5),
    ("images_per_second", "images/s", 1),
    ("seconds", "seconds", 0),
)
"""Columns of the table of epochs: key in the history, heading, decimals."""

History = Sequence[Mapping[str, Any]]


def training_report(
    title: str,
    subtitle: str = "",
    *,
    facts: Mapping[str, Any],
    configuration: Mapping[str, Any],
    history: History,
    evaluation: Evaluation | None = None,
    training: Dataset | None = None,
    validation: Dataset | None = None,
    pictures: Sequence[Picture] = (),
) -> str:
    """The page as HTML: complete after the first epoch, and before it.

    Args:
        facts: names and values of the network, the data and the machine.
        configuration: all settings; mappings may be nested.
        history: a row per epoch: ``epoch`` and, as far as known, ``box``, ``objectness``, ``classes``,
            ``total``, ``AP``, ``AP50`` (fractions), ``learning_rate``, ``images_per_second``, ``seconds``.
        evaluation: evaluation of the network that is kept.
        training, validation: data sets.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    plots.require_matplotlib()
    page = Page(title, subtitle, kind="Training")
    _outcome(page, history, facts)
    if history:
        _course(page, history)
    if evaluation is not None:
        evaluation_sections(page, evaluation)
    if pictures:
        page.section("Looking inside", "The input of the network, and its response.")
        for heading, caption, image in pictures:
            page.figure(image, caption, title=f"{heading}.", wide=True)
    if training is not None:
        _data(page, training, validation)
    if history:
        _epochs(page, history)
    page.section("Configuration", "All settings, with the defaults filled in.")
    page.facts(configuration)
    return page.to_html()


def _known(history: History, key: str) -> list[float]:
    """Values of a column, without NaN."""
    return [number for row in history if not math.isnan(number := value(row, key))]


def _outcome(page: Page, history: History, facts: Mapping[str, Any]) -> None:
    page.section("Run", "" if history else "No epoch was completed.")
    tiles = []
    if (best := best_epoch(history)) is not None:
        tiles.append(Tile("Best AP", percent(value(best, "AP")).text, "%", f"epoch {best['epoch']:.0f}"))
        tiles.append(Tile("AP50", percent(value(best, "AP50")).text, "%", "of the same epoch"))
    if history:
        tiles.append(Tile("Epochs", f"{len(history):,}"))
        if seconds := _known(history, "seconds"):
            tiles.append(Tile("Time", *_duration(sum(seconds))))
        if speeds := _known(history, "images_per_second"):
            tiles.append(Tile("Speed", f"{np.median(speeds):,.0f}", "images/s", "median of the epochs"))
        page.tiles(tiles)
    page.facts(facts)


def _course(page: Page, history: History) -> None:
    page.section("Course", "Metrics and losses by epoch.")
    if _known(history, "AP"):
        page.figure(
            plots.precision_plot(history),
            "On the validation set. Still rising at the end: more epochs would help. Falling while the "
            "losses fall: the network overfits.",
            title="Average precision.",
        )
    if any(_known(history, key) for key in ("box", "objectness", "classes", "total")):
        page.figure(
            plots.loss_plot(history),
            "On the training set. The scale is logarithmic: equal steps are equal ratios.",
            title="Losses.",
        )
    if _known(history, "learning_rate"):
        page.figure(
            plots.rate_plot(history),
            "Rises during warm-up, then falls along a cosine.",
            title="Learning rate.",
        )
    if _known(history, "images_per_second"):
        page.figure(
            plots.speed_plot(history),
            "Steady is good; a slow first epoch fills caches, dips are other work on the machine.",
            title="Speed.",
        )


def _data(page: Page, training: Dataset, validation: Dataset | None) -> None:
    page.section(
        "Data",
        "Objects per class. Rare classes are learned late; classes without validation objects have no AP.",
    )
    datasets = [training] if validation is None else [training, validation]
    counts = [class_counts(dataset) for dataset in datasets]
    tiles, kinds = [], ("Training", "Validation")
    for kind, dataset, count in zip(kinds, datasets, counts, strict=False):
        empty = plural(sum(len(image) == 0 for image in dataset.images), "image")
        note = f"{plural(int(count.sum()), 'object')}, {empty} without any"
        tiles.append(Tile(kind, f"{len(dataset):,}", "images", note))
    page.tiles(tiles)
    most = max(1, int(counts[0].max(initial=0)))
    rows: list[Row] = [
        [
            name,
            number(int(counts[0][label]), bar=float(counts[0][label]) / most),
            *(number(int(count[label])) for count in counts[1:]),
        ]
        for label, name in enumerate(training.names)
    ]
    page.table(["class", *(kind.lower() for kind in kinds[: len(datasets)])], rows)


def class_counts(dataset: Dataset) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Objects per class, (C,), without crowds."""
    counts = np.zeros(len(dataset.names), np.int64)
    for image in dataset.images:
        counts += np.bincount(image.labels[~image.crowds], minlength=len(counts))
    return counts


def _epochs(page: Page, history: History) -> None:
    page.section("Epochs")
    columns = [column for column in _COLUMNS if _known(history, column[0])]
    rows: list[Row] = [
        [
            number(value(row, "epoch")),
            *(
                percent(value(row, key)) if key in ("AP", "AP50") else number(value(row, key), digits)
                for key, _, digits in columns
            ),
        ]
        for row in history
    ]
    page.table(["epoch", *(heading for _, heading, _ in columns)], rows)


def _duration(seconds: float) -> tuple[str, str]:
    """Duration and its unit."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f}", "hours"
    return (f"{seconds / 60:.1f}", "minutes") if seconds >= 90 else (f"{seconds:.0f}", "seconds")
