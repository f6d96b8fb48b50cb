"""No file under 10 MB takes more than 1.5 GB or 30 s to be read or refused: every kind, every command."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.bounds.case import Ready
from tests.bounds.commands import Commands
from tests.bounds.table import CASES, faults, prepared

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="measured with what Linux says of a process"),
]


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    with Commands() as running:
        yield running


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    return prepared(tmp_path_factory.mktemp("sound") / "files")


@pytest.mark.parametrize("name", CASES)
def test_a_small_file_is_read_or_refused_within_bounds(
    name: str, commands: Commands, ready: Ready, tmp_path: Path
) -> None:
    outcomes = {tokens[0]: commands.run(tmp_path, tokens) for tokens in CASES[name]()(tmp_path, ready)}
    assert {command: found for command, outcome in outcomes.items() if (found := faults(name, outcome))} == {}
