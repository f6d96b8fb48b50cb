"""docs/paper.md has a row for all of the paper, and its links and commands lead where they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.paper_links import LINK, PAGE, line_of, mended
from yolov7.cli import app
from yolov7.reproduce.tables import TABLES

TEXT = PAGE.read_text()
PARTS = {
    "Section": (
        *("1", "2", "2.1", "2.2", "2.3", "3", "3.1", "3.2", "4", "4.1", "4.2", "4.3"),
        *("5", "5.1", "5.2", "5.3", "5.4", "5.4.1", "5.4.2", "5.4.3", "6", "7", "8"),
    ),
    "Figure": tuple(str(number) for number in range(1, 12)),
    "Table": tuple(str(number) for number in range(1, 11)),
}
COMMANDS = re.findall(r"`yolov7 (.+?)`", TEXT)


@pytest.mark.parametrize("kind", PARTS)
def test_each_part_of_the_paper_has_a_row_in_its_order(kind: str) -> None:
    rows = re.findall(rf"^\| {kind} ([\d.]+) \| [^|]+ \| [^|]+ \|$", TEXT, re.MULTILINE)
    assert tuple(rows) == PARTS[kind]


def test_links_lead_to_the_line_that_defines_the_name() -> None:
    page = mended(PAGE)
    assert page.lost == []
    assert page.moved == [], "run scripts/paper-links"


def test_links_without_a_line_lead_to_a_file_and_those_with_one_name_what_they_show() -> None:
    links = re.findall(r"\]\((?!http)([^)]+)\)", TEXT)
    assert [link for link in links if not (PAGE.parent / link.partition("#")[0]).is_file()] == []
    assert len(LINK.findall(TEXT)) == sum("#" in link for link in links) > 0


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command: str) -> None:
    _, bound, *_ = app.parse_args(shlex.split(command), exit_on_error=False, print_error=False)
    assert bound.arguments or command == "models"


def test_every_table_and_figure_that_is_reproduced_has_its_command() -> None:
    named = {shlex.split(command)[1] for command in COMMANDS if command.startswith("reproduce")}
    assert named == {*(table.name for table in TABLES), "table10", "figure8"}


# -- finding and mending --------------------------------------------------------------------------------

MODULE = '''"""Docs."""
import functools

LIMIT: int = 3
SMALL = LARGE = 1

class Block:
    width = 4
    depth: int
    @functools.cache
    def build(self):
        def inner(): ...

def build(): ...
'''


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "module.py"
    path.write_text(MODULE)
    return path


@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("LIMIT", "LIMIT: int"),
        ("LARGE", "SMALL = LARGE"),
        ("Block", "class Block"),
        ("Block.width", "    width"),
        ("Block.depth", "    depth"),
        ("Block.build", "    def build"),
        ("build", "def build"),
    ],
)
def test_a_definition_is_found(module: Path, name: str, starts: str) -> None:
    assert MODULE.splitlines()[line_of(module, name) - 1].startswith(starts)


@pytest.mark.parametrize("name", ["width", "inner", "build.inner", "Block.missing", "functools"])
def test_what_a_module_does_not_define_is_not_found(module: Path, name: str) -> None:
    with pytest.raises(LookupError, match=rf"module\.py does not define `{re.escape(name)}`"):
        line_of(module, name)


def test_a_page_is_mended_and_what_cannot_be_is_told(module: Path) -> None:
    page = module.with_name("page.md")
    right, gone, nowhere = "[`LIMIT`](module.py#L4)", "[`gone`](module.py#L1)", "[`x`](no.py#L1)"
    page.write_text(f"{right}\n\n[`Block.build`](module.py#L2), {gone}, {nowhere}\n")
    found = mended(page)
    assert found.text == f"{right}\n\n[`Block.build`](module.py#L11), {gone}, {nowhere}\n"
    assert found.moved == ["page.md:3: `Block.build` is in line 11 of module.py, not in line 2"]
    assert found.lost == [
        "page.md:3: module.py does not define `gone`",
        "page.md:3: there is no file no.py for `x`",
    ]
