"""Options that several commands share: their types, help texts and the conversion of their values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Group, Parameter, Token

from yolov7.console import progress_bar, say
from yolov7.errors import UsageError
from yolov7.files import is_file

STANDARD_INPUT = ".//-"
"""Placeholder of a lone ``-`` on its way through the parser, which would take it for an option."""


def split_commas(text: str) -> tuple[str, ...]:
    r"""Split at commas; one after a backslash is part of a name.

    >>> split_commas(r"person, red\, ripe")
    ('person', 'red, ripe')
    """
    parts = re.split(r"(?<!\\),", text)
    return tuple(part.strip().replace(r"\,", ",") for part in parts if part.strip())


def _split_commas(_type: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    parts = tuple(part for token in tokens for part in split_commas(token.value))
    if not parts:
        raise UsageError(f"{tokens[0].keyword} is empty", expected="a value, or several with commas between")
    return parts


def _split_numbers(type_: Any, tokens: Sequence[Token]) -> tuple[int, ...]:
    return tuple(int(part) for part in _split_commas(type_, tokens))


def _sources(_type: Any, tokens: Sequence[Token]) -> list[str]:
    return ["-" if token.value == STANDARD_INPUT else token.value for token in tokens]


def _joined(values: Sequence[Any]) -> str:
    return ",".join(map(str, values))


_SWITCH = Parameter(negative="", show_default=False)
_COMMAS = Parameter(converter=_split_commas, n_tokens=1, negative="", show_default=_joined)


def option_group(title: str) -> Parameter:
    """Decorator of a dataclass whose fields are options, shown under this title in --help."""
    return Parameter(name="*", group=Group(title, sort_key=0))  # sort_key: above the options of all commands


Switch = Annotated[bool, _SWITCH]
JsonSwitch = Annotated[bool, Parameter(name="--json"), _SWITCH]
Commas = Annotated[tuple[str, ...], _COMMAS]
Numbers = Annotated[tuple[int, ...], _COMMAS, Parameter(converter=_split_numbers)]
OptionalCommas = Annotated[tuple[str, ...] | None, _COMMAS, Parameter(show_default=False)]

Weights = Annotated[
    str,
    Parameter(
        help="any YOLOv7 checkpoint or exported artefact, the folder of a run, or the name of a released "
        "checkpoint."
    ),
]
CheckpointName = Annotated[
    str, Parameter(help="any YOLOv7 checkpoint, the folder of a run, or the name of a released checkpoint.")
]
Fresh = Annotated[
    bool,
    _SWITCH,
    Parameter(help="create the network called WEIGHTS, such as yolov7-tiny, untrained: it detects nothing."),
]
Sources = Annotated[list[str], Parameter(name="SOURCE", converter=_sources)]
Size = Annotated[
    int | None, Parameter(help="longest side of the scaled images, pixels; default: the checkpoint's.")
]
Device = Annotated[
    str | None, Parameter(help="device of torch: cpu, cuda, cuda:1 or mps; default: a GPU if there is one.")
]
Trust = Annotated[
    bool,
    _SWITCH,
    Parameter(
        name="--trust-artefact",
        help="run artefacts that may contain any code, because you know who made them.",
    ),
]
Confidence = Annotated[float, Parameter(help="confidence that a detection must exceed, 0 to 1.")]
Iou = Annotated[float, Parameter(help="IoU above which NMS drops the lower-scoring of two boxes, 0 to 1.")]
ReleasedMapping = Annotated[
    bool,
    _SWITCH,
    Parameter(
        help="map boxes back to the image as the released evaluation does, up to half a pixel off: AP is "
        "lower, comparable with published numbers."
    ),
]


@option_group("Network")
@dataclass(frozen=True)
class NetworkOptions:
    """Runtime, device and precision of the network; fields are arguments of :func:`yolov7.load`.

    Attributes:
        runtime: torch; the name of a format such as openvino; or auto, the fastest that agrees with torch
            on this machine.
        half: 16 bits: float16 on a GPU, bfloat16 on a CPU.
        augment: test-time augmentation: each image three times, mirrored and scaled; slower, a little better.
    """

    size: Size = None
    runtime: str | None = None
    device: Device = None
    half: Switch = False
    augment: Switch = False
    trust: Trust = False


def weight_file(weights: str, *, fresh: bool = False) -> str:
    """Path of the weights that a user names, see :func:`yolov7.checkpoints.weights.find_weights`.

    A released checkpoint is downloaded. If fresh, the name is that of a network, and returned unchanged.

    Raises:
        CheckpointError: there is no such file.
        DownloadError: a released checkpoint cannot be fetched.
    """
    if fresh or is_file(weights):
        return weights
    from yolov7.checkpoints.weights import find_weights

    with progress_bar() as progress:
        task = None

        def report(done: int, total: int | None) -> None:
            nonlocal task
            task = progress.add_task("downloading", total=None) if task is None else task
            progress.update(task, completed=done, total=total)

        return str(find_weights(weights, say=say, progress=report))
