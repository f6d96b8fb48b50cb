"""The command line. Commands import their dependencies inside, so that --help is quick.

Results go to standard output, everything else to standard error. Exit status: 0 done, 1 an error of
``yolov7.errors`` (or images that had to be skipped), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter, UnknownCommandError, UnknownOptionError

from yolov7.commands import hints
from yolov7.commands.detection import Terminated, predict, val
from yolov7.commands.inspection import convert, doctor, models
from yolov7.commands.learning import demo, train
from yolov7.commands.research import reproduce
from yolov7.commands.shipping import benchmark, export
from yolov7.console import complain
from yolov7.errors import SourceError, UsageError, Yolov7Error
from yolov7.options import STANDARD_INPUT, Switch
from yolov7.quiet import ignore_damage_warnings

app = App(
    name="yolov7",
    help="YOLOv7 detectors: detect objects in images and videos, train, evaluate, export, inspect.",
    version_flags=["--version"],
    version=lambda: _version(),
)
app.meta.group_parameters = Group("For every command")


def _version() -> str:
    from importlib.metadata import version

    return version("open-yolov7")


for command in (models, doctor, convert, val, export, benchmark, demo, reproduce):
    app.command(command)
app.command(predict, usage="Usage: yolov7 predict WEIGHTS SOURCE... [OPTIONS]")
# A list in a run's configuration is a repeated option, without a switch that empties it.
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

    Args:
        quiet: print results and errors only.
        verbose: print notes too.
        offline: download nothing.
        debug: show the traceback of an error.
    """
    level = logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("yolov7").setLevel(level)
    ignore_damage_warnings()
    if offline:
        os.environ["YOLOV7_OFFLINE"] = "1"
    try:
        return app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except Yolov7Error as error:
        if debug:
            raise
        hint = hints.comma_hint(tokens) if isinstance(error, UsageError | SourceError) else ""
        complain(f"error: {error}" + (f"\n{hint}" if hint else ""))
        return 2 if isinstance(error, UsageError) else 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    tokens = sys.argv[1:] if arguments is None else list(arguments)
    try:
        status = app.meta(
            [STANDARD_INPUT if token == "-" else token for token in tokens],
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except CycloptsError as error:
        complain(_wrong_usage(error, tokens))
        status = 2
    except KeyboardInterrupt as interruption:
        complain("\ninterrupted")
        status = 143 if isinstance(interruption, Terminated) else 130
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status if isinstance(status, int) else 0)


def _wrong_usage(error: CycloptsError, tokens: Sequence[str]) -> str:
    """Message with a suggestion and the command's --help."""
    message, hint = str(error), ""
    if isinstance(error, UnknownOptionError):
        option = error.token.keyword or error.token.value
        known = [name for argument in error.argument_collection for name in argument.names if argument.parse]
        message, hint = f"unknown option: {option}", hints.option_hint(option, known)
    elif isinstance(error, UnknownCommandError) and error.unused_tokens:
        hint = hints.command_hint(error.unused_tokens[0], [name for name in app if not name.startswith("-")])
    elif error.unused_tokens:
        message = f"nothing to do with: {' '.join(error.unused_tokens)}"
        hint = hints.comma_hint(tokens)
    command = " ".join(("yolov7", *(error.command_chain or ())))
    return (
        f"error: {message.replace(STANDARD_INPUT, '-')}\n"
        + f"{hint}\n" * bool(hint)
        + f"\nSee: {command} --help"
    )
