"""A case: small files that ask for much, and the commands that open them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MOST = 10_000_000
"""Bytes that a file has at most."""


@dataclass(frozen=True)
class Ready:
    """Sound files beside a case's own.

    Attributes:
        weights: a checkpoint.
        image: a picture.
        data: a data set.
        run: a folder of a training run.
    """

    weights: Path
    image: Path
    data: Path
    run: Path


Case = Callable[[Path, Ready], list[list[str]]]
"""Writes its files into an empty folder, and names the commands that open them, to be run in that folder."""


def on_data(make: Callable[[Path, Ready], Path]) -> Case:
    """A data set, opened by every command that takes one."""

    def case(folder: Path, ready: Ready) -> list[list[str]]:
        data = str(make(folder, ready))
        return [["doctor", data], ["val", str(ready.weights), data, "--split", "val"], ["check", data]]

    return case


def on_weights(make: Callable[[Path, Ready], Path]) -> Case:
    """A checkpoint or an artefact, opened by every command that takes one."""

    def case(folder: Path, ready: Ready) -> list[list[str]]:
        weights = str(make(folder, ready))
        return [["doctor", weights], ["predict", weights, str(ready.image), "--save", "none"]]

    return case


def on_source(make: Callable[[Path, Ready], Path]) -> Case:
    """A picture or a video, shown to a network."""

    def case(folder: Path, ready: Ready) -> list[list[str]]:
        return [["predict", str(ready.weights), str(make(folder, ready)), "--save", "none"]]

    return case
