"""A training run as a page: what came of it, how it went, what it learned from, and how it was set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from yolov7.data.dataset import Dataset
from yolov7.evaluation.run import Evaluation
from yolov7.reports import plots
from yolov7.reports.evaluation import evaluation_sections
from yolov7.reports.history import best_epoch
from yolov7.reports.page import Cell, Page, Tile, number, percent
from yolov7.text import plural
from yolov7.types import Image

_COLUMNS = (
    ("box", "box", 4),
    ("objectness", "objectness", 4),
    ("classes", "classes", 4),
    ("total", "total", 3),
    ("AP", "AP", 1),
    ("AP50", "AP50", 1),
    ("learning_rate", "learning rate", 5),
    ("images_per_second", "images/s", 1),
    ("seconds", "seconds", 0),
)
"""Of the history: key, heading, decimals; AP and AP50 are shown in percent."""


def training_report(
    title: str,
    subtitle: str = "",
    *,
    facts: Mapping[str, Any],
    configuration: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    evaluation: Evaluation | None = None,
    training: Dataset | None = None,
    validation: Dataset | None = None,
    pictures: Sequence[tuple[str, str, Image]] = (),
) -> str:
    """The whole page of a training run, as HTML; complete after the first epoch, and without any.

    Args:
        title: what was trained, on what.
        subtitle: a sentence about it.
        facts: of the network, the data and the machine.
        configuration: all settings; mappings may hold mappings.
        history: a row for each epoch: ``epoch`` and whatever is known of ``box``, ``objectness``,
            ``classes``, ``total``, ``AP``, ``AP50`` (fractions), ``learning_rate``, ``images_per_second``,
            ``seconds``.
        evaluation: of the network that is kept, on `validation`.
        training: what it learned from.
        validation: what it was measured on.
        pictures: heading, what to look for, the picture.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    plots.require_matplotlib()
    page = Page(title, subtitle, kind="Training")
    _outcome(page, history, facts)
    if history:
        _course(page, history)
    if evaluation is not None and validation is not None:
        evaluation_sections(page, evaluation, validation)
    if pictures:
        page.section("Looking inside", "What the network was given, and what it makes of it.")
        for heading, caption, image in pictures:
            page.figure(image, caption, title=f"{heading}.", wide=True)
    if training is not None:
        _data(page, training, validation)
    if history:
        _epochs(page, history)
    page.section("Configuration", "All settings, with the defaults filled in.")
    page.facts(configuration)
    return page.to_html()


def _outcome(page: Page, history: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> None:
    page.section("Run", "" if history else "No epoch was completed.")
    tiles = []
    best = best_epoch(history)
    if best is not None:
        tiles.append(Tile("Best AP", percent(_value(best, "AP")).text, "%", f"epoch {best['epoch']:.0f}"))
        tiles.append(Tile("AP50", percent(_value(best, "AP50")).text, "%", "of the same epoch"))
    if history:
        seconds = [value for row in history if not math.isnan(value := _value(row, "seconds"))]
        speeds = [value for row in history if not math.isnan(value := _value(row, "images_per_second"))]
        tiles.append(Tile("Epochs", f"{len(history):,}"))
        if seconds:
            tiles.append(Tile("Time", *_duration(sum(seconds))))
        if speeds:
            tiles.append(Tile("Speed", f"{np.median(speeds):,.0f}", "images/s", "median of the epochs"))
        page.tiles(tiles)
    page.facts(facts)


def _course(page: Page, history: Sequence[Mapping[str, Any]]) -> None:
    page.section("Course", "How it went, epoch by epoch.")
    keys = {key for row in history for key in row if not math.isnan(_value(row, key))}
    if "AP" in keys:
        page.figure(
            plots.precision_plot(history),
            "Measured on images that it does not learn from. Still rising at the end: more "
            "epochs would help. Falling while the losses fall: it learns its samples by heart.",
            title="Average precision.",
        )
    if keys & {"box", "objectness", "classes", "total"}:
        page.figure(
            plots.loss_plot(history),
            "Of the samples that it learns from. The scale is logarithmic: equal steps are equal ratios.",
            title="Losses.",
        )
    if "learning_rate" in keys:
        page.figure(
            plots.rate_plot(history),
            "Rises while the network warms up, then falls along a cosine.",
            title="Learning rate.",
        )
    if "images_per_second" in keys:
        page.figure(
            plots.speed_plot(history),
            "Steady is good; a slow first epoch fills caches, dips are other work on the machine.",
            title="Speed.",
        )


def _data(page: Page, training: Dataset, validation: Dataset | None) -> None:
    page.section(
        "Data", "Objects of each class. Rare classes are learned late; classes absent here are not measured."
    )
    datasets = [training] if validation is None else [training, validation]
    counts = [class_counts(dataset) for dataset in datasets]
    page.tiles(
        [
            Tile(
                name,
                f"{len(dataset):,}",
                "images",
                f"{plural(int(count.sum()), 'object')}, {plural(_empty(dataset), 'image')} without any",
            )
            for name, dataset, count in zip(
                ("To learn from", "To measure on"), datasets, counts, strict=False
            )
        ]
    )
    most = max(1, int(counts[0].max(initial=0)))
    rows: list[list[str | Cell]] = [
        [
            name,
            number(int(counts[0][label]), bar=float(counts[0][label]) / most),
            *(number(int(count[label])) for count in counts[1:]),
        ]
        for label, name in enumerate(training.names)
    ]
    page.table(["class", "to learn from", "to measure on"][: len(rows[0])] if rows else ["class"], rows)


def class_counts(dataset: Dataset) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Objects of each class, (C,); crowds are not counted."""
    counts = np.zeros(len(dataset.names), np.int64)
    for image in dataset.images:
        counts += np.bincount(image.labels[~image.crowds], minlength=len(counts))
    return counts


def _epochs(page: Page, history: Sequence[Mapping[str, Any]]) -> None:
    page.section("Epochs")
    columns = [
        column for column in _COLUMNS if any(not math.isnan(_value(row, column[0])) for row in history)
    ]
    rows: list[list[str | Cell]] = [
        [
            number(_value(row, "epoch")),
            *(
                percent(_value(row, key)) if key in ("AP", "AP50") else number(_value(row, key), digits)
                for key, _, digits in columns
            ),
        ]
        for row in history
    ]
    page.table(["epoch", *(heading for _, heading, _ in columns)], rows)


def _empty(dataset: Dataset) -> int:
    return sum(len(image) == 0 for image in dataset.images)


def _duration(seconds: float) -> tuple[str, str]:
    """A length of time and its unit."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f}", "hours"
    return (f"{seconds / 60:.1f}", "minutes") if seconds >= 90 else (f"{seconds:.0f}", "seconds")


def _value(row: Mapping[str, Any], key: str) -> float:
    value = row.get(key)
    return float(value) if isinstance(value, (int, float)) else math.nan
