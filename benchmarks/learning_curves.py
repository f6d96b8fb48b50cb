"""AP by epoch of runs, drawn and in numbers: which way of training learns better, and how sure that is.

    python benchmarks/learning_curves.py bf16=runs/a-0,runs/a-1 float32=runs/b-0 --out curves.png
        [--data DATA --split test]

Runs of one label are seeds of one setting: a thin line each, their mean thick. With --data the best
checkpoint of each run is measured by the COCO protocol, as `yolov7 train` does at its end; the table has the
means and, behind the sign, half of the distance between the extremes.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from pathlib import Path

from yolov7.evaluating import evaluate

QUANTITIES = ("AP", "AP50", "AP75")


def history(run: Path) -> list[dict[str, float]]:
    """A row for each epoch of a run; those that were measured have an AP."""
    with (run / "metrics.csv").open(newline="") as file:
        return [{key: float(text) for key, text in row.items() if text} for row in csv.DictReader(file)]


def draw(settings: dict[str, list[Path]], out: Path) -> None:
    """AP and AP50 side by side."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axes, quantity in zip(figure.subplots(1, 2), ("AP", "AP50"), strict=True):
        for number, (label, runs) in enumerate(settings.items()):
            colour = f"C{number}"
            curves = [[row for row in history(run) if "AP" in row] for run in runs]
            for curve in curves:
                axes.plot(
                    [row["epoch"] for row in curve],
                    [100 * row[quantity] for row in curve],
                    color=colour,
                    linewidth=0.7,
                    alpha=0.5,
                )
            together = list(zip(*curves, strict=False))  # as far as the shortest goes
            axes.plot(
                [rows[0]["epoch"] for rows in together],
                [100 * statistics.mean(row[quantity] for row in rows) for rows in together],
                color=colour,
                linewidth=2,
                label=label,
            )
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"{quantity}, %")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.savefig(out, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="+", metavar="LABEL=RUN,RUN", help="runs of one setting")
    parser.add_argument("--out", type=Path, help="picture of the curves")
    parser.add_argument("--data", help="labelled images to measure best.safetensors on")
    parser.add_argument("--split", default="val")
    options = parser.parse_args()
    settings = {}
    for setting in options.settings:
        label, _, runs = setting.rpartition("=")
        settings[label or runs] = [Path(run) for run in runs.split(",")]
    if options.out:
        draw(settings, options.out)
    for label, runs in settings.items():
        times = [sum(row["seconds"] for row in history(run)) / 60 for run in runs]
        print(f"{label}: {len(runs)} runs, {statistics.mean(times):.0f} minutes of training each")
        if options.data:
            found = [evaluate(run / "best.safetensors", options.data, split=options.split) for run in runs]
            for quantity in QUANTITIES:
                each = [getattr(metrics, quantity) for metrics in found]
                spread = (max(each) - min(each)) / 2
                listed = " ".join(f"{value:.3f}" for value in each)
                print(f"  {quantity:<5} {statistics.mean(each):.3f} ±{spread:.3f}   ({listed})")


if __name__ == "__main__":
    main()
