"""Curves and heat maps as SVG, in the colours of the page."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from yolov7.errors import MissingDependencyError
from yolov7.evaluation.confusion import ConfusionMatrix
from yolov7.evaluation.curves import CONFIDENCES, RECALLS, ConfidenceCurves, PrecisionRecall
from yolov7.reports.colours import LIGHT, SERIES
from yolov7.reports.history import value
from yolov7.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Dash = Literal["-", "--", ":"]
Entry = tuple[str, float, Dash, str]
"""Legend entry: colour, line width, line style, text."""
Curve = npt.NDArray[np.float64]

_SIZE = (5.0, 3.5)
"""Inches of a plot that stands beside another."""
_FEW_CLASSES = 8
"""Most classes with a colour and a legend entry each; more become thin grey lines."""
_LONGEST_NAME = 22
CELLS_WITH_NUMBERS = 16
"""Most rows of a confusion matrix with numbers in its cells."""
_SHADES = 20


def require_matplotlib(purpose: str = "a report") -> None:
    """Check for matplotlib before hours of work for a purpose, which the message names.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingDependencyError("matplotlib", purpose=purpose, extra="train")


def precision_recall_plot(curves: PrecisionRecall) -> str:
    """Plot precision against recall: means at IoU 0.50, 0.75 and 0.50:0.95, and each class at 0.50."""
    with drawing() as figure:
        axes = _unit_axes(figure, "recall", "precision")
        at_half = curves.at(0.5)
        measured = [label for label in range(len(curves.names)) if not np.isnan(at_half[:, label]).any()]
        few = 1 < len(measured) <= _FEW_CLASSES
        measured.sort(key=lambda label: -float(at_half[:, label].mean()))
        names: list[Entry] = []
        for place, label in enumerate(measured if len(measured) > 1 else ()):
            curve = at_half[:, label]
            if few:
                _line(axes, RECALLS, curve, SERIES[place], width=1.3)
                names.append((SERIES[place], 1.3, "-", _with_area(curves.names[label], curve)))
            else:
                _line(axes, RECALLS, curve, "faint", width=0.7, alpha=0.55)
        if not few and len(measured) > 1:
            names.append(("faint", 0.9, "-", "each class, IoU 0.50"))
        # If classes take the colours, the means differ by their dashes.
        dashes: tuple[Dash, ...] = ("-", "--", ":") if few else ("-",) * 3
        thresholds = (("mean, IoU 0.50", 0.5), ("mean, IoU 0.75", 0.75), ("mean, 0.50:0.95", None))
        means: list[Entry] = []
        for (text, iou), dash, hue in zip(thresholds, dashes, SERIES, strict=False):
            colour, curve = "ink" if few else hue, curves.mean(iou)
            _line(axes, RECALLS, curve, colour, width=2.2, dash=dash)
            means.append((colour, 2.2, dash, _with_area(text, curve)))
        _legend(axes, means + names)
        return svg_of(figure)


def _with_area(text: str, curve: Curve) -> str:
    """Append the AP in percent, which is the area below the curve."""
    return f"{_short(text)}\u2002{100 * curve.mean():.1f}"


def confidence_plot(curves: ConfidenceCurves) -> str:
    """Plot mean F1, precision and recall against confidence, with the best F1 marked."""
    with drawing() as figure:
        axes = _unit_axes(figure, "confidence", "mean over classes")
        for f1 in curves.f1:
            if not np.isnan(f1).all():
                _line(axes, CONFIDENCES, f1, "faint", width=0.7, alpha=0.55)
        series = (
            ("precision", curves.mean_precision, "teal", 1.5),
            ("recall", curves.mean_recall, "orange", 1.5),
            ("F1", curves.mean_f1, "blue", 2.4),
        )
        for _, values, colour, width in series:
            _line(axes, CONFIDENCES, values, colour, width=width)
        confidence, best = curves.best
        if not math.isnan(best):
            axes.axvline(confidence, color=LIGHT["muted"], linewidth=0.9, linestyle=(0, (3, 3)), zorder=1)
            paper = {"facecolor": LIGHT["paper"], "edgecolor": "none", "alpha": 0.75, "pad": 1.5}
            side, shift = ("right", -8) if confidence > 0.6 else ("left", 8)
            text = f"F1 {best:.2f} at {confidence:.2f}"
            _mark(axes, confidence, best, "blue", text, ha=side, xytext=(shift, 8), bbox=paper, zorder=6)
        entries: list[Entry] = [(colour, width, "-", text) for text, _, colour, width in reversed(series)]
        _legend(axes, [*entries, ("faint", 0.9, "-", "F1 of each class")])
        return svg_of(figure)


def confusion_plot(matrix: ConfusionMatrix) -> str:
    """Plot the confusion matrix as a heat map: rows are the truth, shades the share of the row.

    Above CELLS_WITH_NUMBERS rows, classes without objects and detections are left out.
    """
    shown = np.arange(len(matrix.labels))
    if len(shown) > CELLS_WITH_NUMBERS:
        occurs = (matrix.counts.sum(axis=0) + matrix.counts.sum(axis=1)) > 0
        occurs[-1] = True
        shown = np.flatnonzero(occurs)
    counts, shares = matrix.counts[np.ix_(shown, shown)], matrix.shares[np.ix_(shown, shown)]
    names = [_short(matrix.labels[index]) for index in shown]
    rows = len(shown)
    side = max(4.6, 1.6 + (0.5 if rows <= CELLS_WITH_NUMBERS else 0.145) * rows)
    letters = 9.5 if rows <= CELLS_WITH_NUMBERS else 7.5
    with drawing((side, side)) as figure:
        axes = figure.add_subplot()
        _heat_map(axes, shares)
        if rows <= CELLS_WITH_NUMBERS:
            for (i, j), count in np.ndenumerate(counts):
                if count:
                    ink = LIGHT["paper"] if shares[i, j] > 0.55 else LIGHT["ink"]
                    axes.text(j, i, f"{count:,}", ha="center", va="center", color=ink, fontsize=letters)
        axes.set(xlim=(-0.5, rows - 0.5), ylim=(rows - 0.5, -0.5), aspect="equal")
        axes.set(xlabel="found as", ylabel="truth")
        axes.set_xticks(range(rows), names, rotation=90, fontsize=letters)
        axes.set_yticks(range(rows), names, fontsize=letters)
        borders = np.arange(rows + 1) - 0.5
        axes.set_xticks(borders, minor=True)
        axes.set_yticks(borders, minor=True)
        axes.tick_params(which="both", length=0)
        axes.grid(visible=False)
        axes.grid(visible=True, axis="both", which="minor", color=LIGHT["line"], linewidth=0.5)
        axes.spines[:].set_visible(False)
        axes.axhline(rows - 1.5, color=LIGHT["muted"], linewidth=0.8)  # the background's row and column
        axes.axvline(rows - 1.5, color=LIGHT["muted"], linewidth=0.8)
        return svg_of(figure)


def loss_plot(history: Sequence[Mapping[str, Any]]) -> str:
    """Plot the losses against epochs, on a logarithmic scale."""
    parts = (("box", "blue", 1.6), ("objectness", "orange", 1.6), ("classes", "teal", 1.6))
    return _history_plot(history, (*parts, ("total", "ink", 2.2)), "loss", logarithmic=True)


def precision_plot(history: Sequence[Mapping[str, Any]]) -> str:
    """Plot AP and AP50 in percent against epochs, with the best AP marked."""
    percents = [{**row, **{key: 100 * value(row, key) for key in ("AP", "AP50")}} for row in history]
    return _history_plot(percents, (("AP50", "teal", 1.6), ("AP", "blue", 2.2)), "%", mark="AP")


def rate_plot(history: Sequence[Mapping[str, Any]]) -> str:
    """Plot the learning rate against epochs."""
    return _history_plot(history, (("learning_rate", "violet", 2.0),), "learning rate")


def speed_plot(history: Sequence[Mapping[str, Any]]) -> str:
    """Plot images per second against epochs."""
    return _history_plot(history, (("images_per_second", "green", 2.0),), "images per second")


def _history_plot(
    history: Sequence[Mapping[str, Any]],
    series: Sequence[tuple[str, str, float]],
    axis: str,
    *,
    logarithmic: bool = False,
    mark: str = "",
) -> str:
    """Plot columns (key, colour, line width) of the history against epochs; gaps are bridged."""
    epochs = np.array([value(row, "epoch") for row in history])
    with drawing() as figure:
        from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

        axes = figure.add_subplot()
        entries: list[Entry] = []
        for column, colour, width in series:
            values = np.array([value(row, column) for row in history])
            known = np.isfinite(values) & (not logarithmic or values > 0)
            if not known.any():
                continue
            dots = "o" if known.sum() <= 12 else ""
            _line(axes, epochs[known], values[known], colour, width=width, marker=dots)
            entries.append((colour, width, "-", column))
            if column == mark:
                best = int(np.argmax(np.where(known, values, -np.inf)))
                text = f"{values[best]:.1f}"
                _mark(axes, epochs[best], values[best], colour, text, ha="center", xytext=(0, 8))
        axes.set(xlabel="epoch", ylabel=axis)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if logarithmic and entries:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        else:
            axes.set_ylim(bottom=0)
        axes.margins(x=0.02)
        if len(series) > 1:
            _legend(axes, entries, above=True)
        return svg_of(figure)


def _heat_map(axes: Axes, shares: Curve) -> None:
    """Draw squares of one colour, more opaque for higher shares; as vectors they follow the page's theme."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    square = np.asarray(Path.unit_rectangle().vertices) - 0.5
    shades = np.ceil(np.sqrt(shares) * _SHADES).astype(int)  # the square root makes rare confusions visible
    for shade in range(1, _SHADES + 1):
        squares = [Path(square + np.array((j, i)), closed=True) for i, j in np.argwhere(shades == shade)]
        if squares:
            path = Path.make_compound_path(*squares)
            alpha = (shade / _SHADES) ** 1.4
            axes.add_patch(PathPatch(path, facecolor=LIGHT["blue"], alpha=alpha, linewidth=0, zorder=2))


@contextmanager
def drawing(size: tuple[float, float] = _SIZE) -> Iterator[Figure]:
    """Create a figure in the common style, which applies until the context ends."""
    require_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure

    look: Any = {
        "svg.fonttype": "none",  # text stays text: searchable, and in the page's font
        "svg.hashsalt": "open-yolov7",  # equal plots are equal files
        "text.parse_math": False,  # a class may be called $x$
        "font.size": 10,
        "text.color": LIGHT["ink"],
        "axes.labelcolor": LIGHT["muted"],
        "axes.edgecolor": LIGHT["faint"],
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.unicode_minus": False,
        "grid.color": LIGHT["line"],
        "grid.linewidth": 0.8,
        "xtick.color": LIGHT["faint"],
        "ytick.color": LIGHT["faint"],
        "xtick.labelcolor": LIGHT["muted"],
        "ytick.labelcolor": LIGHT["muted"],
        "lines.solid_capstyle": "round",
        "lines.solid_joinstyle": "round",
        "figure.facecolor": "none",
    }
    with matplotlib.rc_context(look), warnings.catch_warnings():
        # matplotlib measures text in a font of its own; the browser's has these glyphs.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        yield Figure(figsize=size, layout="constrained")


def svg_of(figure: Figure) -> str:
    """Content of the SVG file."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def _unit_axes(figure: Figure, across: str, up: str) -> Axes:
    """Axes from 0 to 1 in both directions."""
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=across, ylabel=up)
    return axes


def _line(
    axes: Axes,
    x: Curve,
    y: Curve,
    colour: str,
    *,
    width: float,
    dash: Dash = "-",
    alpha: float = 1.0,
    marker: str = "",
) -> None:
    axes.plot(
        x, y, dash, color=LIGHT[colour], linewidth=width, alpha=alpha, marker=marker, markersize=width * 2
    )


def _mark(axes: Axes, x: float, y: float, colour: str, text: str, **look: Any) -> None:
    """Draw a dot, with a text beside it in bold."""
    axes.plot([x], [y], "o", color=LIGHT[colour], markersize=6.5, zorder=5)
    axes.annotate(text, (x, y), textcoords="offset points", color=LIGHT["ink"], fontweight="bold", **look)


def _legend(axes: Axes, entries: Sequence[Entry], *, above: bool = False) -> None:
    """Draw a legend where there is most room, or in a row above the plot."""
    from matplotlib.lines import Line2D

    if not entries:
        return
    handles = [
        Line2D([], [], color=LIGHT[c], linewidth=width, linestyle=dash) for c, width, dash, _ in entries
    ]
    # Texts are set afterwards, because a legend omits labels that begin with an underscore.
    where: dict[str, Any] = {"loc": "best"}
    if above:  # curves fill the plot
        where = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": len(handles), "borderaxespad": 0.2}
    legend = axes.legend(handles, ["M" * 8] * len(handles), fontsize=9, handlelength=1.6, **where)
    legend.get_frame().set(facecolor=LIGHT["paper"], edgecolor="none", alpha=0.8)
    for text, (*_, label) in zip(legend.get_texts(), entries, strict=True):
        text.set_text(_short(label, 30))


def _short(name: str, longest: int = _LONGEST_NAME) -> str:
    name = printable(name)
    return name if len(name) <= longest else name[: longest - 1] + "…"
