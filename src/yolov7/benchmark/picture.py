"""A benchmark as a bar chart: images per second by runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolov7.benchmark.documents import digits, heading
from yolov7.benchmark.result import BASELINE, Benchmark, Line, Setting
from yolov7.reports.colours import LIGHT
from yolov7.reports.plots import drawing, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WAYS = (
    ("stream", "files to boxes, as a stream", "blue"),
    ("single", "files to boxes, one by one", "teal"),
    ("network", "the network alone", "faint"),
)
"""(field of a line, label, colour), from top to bottom."""
_WIDTH, _ROW, _AROUND, _KEY = 8.0, 0.72, 0.95, 0.7
"""Inches: picture width; bars of a runtime; surroundings of a setting; title and key."""
_BAR = 0.26
"""Height of a bar, as a fraction of a row."""


def bars(result: Benchmark) -> str:
    """Draw an SVG file: the runtimes of each size and batch size, the slowest on top.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    settings = [setting for setting in result.settings if setting.rounds]
    heights = [_ROW * len(_measured(setting)) + _AROUND for setting in settings]
    with drawing((_WIDTH, _KEY + sum(heights))) as figure:
        from matplotlib.patches import Patch

        figure.set_facecolor(LIGHT["paper"])  # readable on pages of any colour
        figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
        figure.suptitle(
            f"{result.variant}, {result.machine.partition(',')[0]}", x=0.01, ha="left", fontweight="bold"
        )
        if settings:
            columns = figure.subplots(len(settings), 1, squeeze=False, height_ratios=heights)
            for axes, setting in zip(columns[:, 0], settings, strict=True):
                _draw(axes, setting)
        key = [Patch(color=LIGHT[colour], label=text) for _, text, colour in WAYS]
        figure.legend(handles=key, loc="outside lower left", ncols=len(key), frameon=False, fontsize=9)
        return svg_of(figure)


def _measured(setting: Setting) -> list[Line]:
    """Lines with timings, the slowest first after the baseline."""
    lines = [line for line in setting.lines if line.network is not None]
    return sorted(lines, key=lambda line: (line.runtime != BASELINE, _fastest(line)))


def _fastest(line: Line) -> float:
    timings = (line.network, line.single, line.stream)
    return max(timing.images_per_second for timing in timings if timing is not None)


def _draw(axes: Axes, setting: Setting) -> None:
    lines = _measured(setting)
    for place, line in enumerate(lines):
        timings = [(getattr(line, way), colour) for way, _, colour in WAYS]
        shown = [(timing, colour) for timing, colour in timings if timing is not None]
        for number, (timing, colour) in enumerate(shown):
            y = place + (number - (len(shown) - 1) / 2) * _BAR
            speed = timing.images_per_second
            axes.barh(y, speed, height=0.9 * _BAR, color=LIGHT[colour], zorder=2)
            times = "" if line.runtime == BASELINE else f"\u2002{timing.ratio:.2f}\u2009×"
            axes.annotate(
                f"{digits(speed)}{times}",
                (speed, y),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=LIGHT["ink"],
                bbox={"facecolor": LIGHT["paper"], "edgecolor": "none", "pad": 0.5},
            )
        if line.runtime == BASELINE:
            axes.axvline(_fastest(line), color=LIGHT["muted"], linewidth=0.9, linestyle=(0, (3, 3)), zorder=1)
    names = [line.runtime for line in lines]
    axes.set_yticks(range(len(lines)), names, color=LIGHT["ink"])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(lines) - 0.45, -0.55)
    axes.set_xlim(0, 1.16 * max(_fastest(line) for line in lines))
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.spines["left"].set_visible(False)
    axes.set_title(heading(setting), loc="left", fontsize=10, color=LIGHT["muted"])
    axes.set_xlabel(f"images per second\u2002(×: times those of {BASELINE})")
