"""Options that several commands have, and what their values turn into."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token

from yolov7.console import progress_bar, say
from yolov7.files import is_file

STANDARD_INPUT = ".//-"
"""Stands for a lone ``-`` until a command has it: the parser takes every hyphen for that of an option."""


def split_commas(text: str) -> tuple[str, ...]:
    r"""The parts between commas; a backslash before a comma makes it a part of the name.

    >>> split_commas(r"person, red\, ripe")
    ('person', 'red, ripe')
    """
    parts = re.split(r"(?<!\\),", text)
    return tuple(part.strip().replace(r"\,", ",") for part in parts if part.strip())


def _split_commas(_type: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    return tuple(part for token in tokens for part in split_commas(token.value))


def _split_numbers(type_: Any, tokens: Sequence[Token]) -> tuple[int, ...]:
    return tuple(int(part) for part in _split_commas(type_, tokens))


def _sources(_type: Any, tokens: Sequence[Token]) -> list[str]:
    return ["-" if token.value == STANDARD_INPUT else token.value for token in tokens]


Sources = Annotated[list[str], Parameter(name="SOURCE", converter=_sources)]
Switch = Annotated[bool, Parameter(negative="", show_default=False)]
AllSwitch = Annotated[bool, Parameter(name="--all", negative="", show_default=False)]
JsonSwitch = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]
Commas = Annotated[tuple[str, ...], Parameter(converter=_split_commas, n_tokens=1, negative="")]
Numbers = Annotated[tuple[int, ...], Parameter(converter=_split_numbers, n_tokens=1, negative="")]
OptionalCommas = Annotated[
    tuple[str, ...] | None, Parameter(converter=_split_commas, n_tokens=1, negative="", show_default=False)
]


def weight_file(weights: str, *, fresh: bool = False) -> str:
    """The path of what a person typed for weights; a released checkpoint is downloaded.

    Args:
        weights: see :func:`yolov7.checkpoints.weights.find_weights`.
        fresh: it is the name of a network, and stays one.
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
