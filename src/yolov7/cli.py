"""The command line. Commands import what they need inside, so that --help is quick.

Results go to standard output, everything else to standard error. Exit status: 0 done, 1 an error of
``yolov7.errors`` (or images that had to be skipped), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter

from yolov7.commands.detection import predict, val
from yolov7.commands.inspection import convert, doctor, models
from yolov7.commands.learning import demo, train
from yolov7.commands.research import reproduce
from yolov7.commands.shipping import benchmark, export
from yolov7.errors import UsageError, Yolov7Error
from yolov7.options import Switch

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


for command in (models, doctor, convert, predict, val, export, benchmark, demo, reproduce):
    app.command(command)
# Lists of a run's configuration are options that are repeated, without a switch to empty them.
app.command(train, default_parameter=Parameter(negative_iterable=()))


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
