"""Links of docs/paper.md to the lines where names are defined; run as a program, this mends their numbers."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import NamedTuple

from yolov7.console import say

PAGE = Path(__file__).parents[1] / "docs" / "paper.md"
LINK = re.compile(r"\[`(?P<name>[\w.]+)`\]\((?P<path>[^)#\s]+)#L(?P<line>\d+)\)")
"""[`Class.method`](../path/to/file.py#L12), the path from the page's folder."""


class Mended(NamedTuple):
    """A page whose links lead where its names are defined.

    Attributes:
        text: the page.
        moved: what was wrong with the links that are right now.
        lost: what is wrong with those that are left as they were: no file, or no such name in it.
    """

    text: str
    moved: list[str]
    lost: list[str]


def line_of(path: Path, name: str) -> int:
    """The line where a module defines a function, a class or a constant, or ``Class.method``, from 1.

    Raises:
        LookupError: there is no such file, or no such name in it.
    """
    if not path.is_file():
        raise LookupError(f"there is no file {path.name} for `{name}`")
    body = ast.parse(path.read_text()).body
    line = 0
    for part in name.split("."):
        found = next((node for node in body if part in _names_defined_by(node)), None)
        if found is None:
            raise LookupError(f"{path.name} does not define `{name}`")
        line = found.lineno
        body = found.body if isinstance(found, ast.ClassDef) else []
    return line


def _names_defined_by(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def mended(page: Path) -> Mended:
    """The page with the right line in every link."""
    text = page.read_text()
    moved: list[str] = []
    lost: list[str] = []

    def mend(link: re.Match[str]) -> str:
        name, path = link["name"], link["path"]
        here = f"{page.name}:{text.count(chr(10), 0, link.start()) + 1}"
        try:
            line = line_of(page.parent / path, name)
        except LookupError as error:
            lost.append(f"{here}: {error}")
            return link[0]
        if line != int(link["line"]):
            moved.append(f"{here}: `{name}` is in line {line} of {path}, not in line {link['line']}")
        return f"[`{name}`]({path}#L{line})"

    return Mended(LINK.sub(mend, text), moved, lost)


def main() -> None:
    page = mended(PAGE)
    PAGE.write_text(page.text)
    for fault in page.lost:
        say(fault)
    say(f"{PAGE.name}: {len(page.moved)} links mended, {len(page.lost)} lead nowhere")
    sys.exit(1 if page.lost else 0)


if __name__ == "__main__":
    main()
