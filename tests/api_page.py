"""docs/api.md, written from the signatures and docstrings of everything in ``yolov7.__all__``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import yolov7

PAGE = Path(__file__).parents[1] / "docs/api.md"
HEAD = """# Everything public

`import yolov7` gives these names, and no others are promised to stay.
Written by `scripts/api-page` from the code; the tests run the examples, in a folder with
a checkpoint `best.pt`, `photos/` and a `data.yaml`.
"""
ROLE = re.compile(r":\w+:`~?(?:[\w.]+\.)?(\w+)`")
ITEM = re.compile(r"^    (?=\S)", re.MULTILINE)
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises):\n((?:    .*\n?|\n(?=    ))+)", re.MULTILINE)
EXAMPLE = re.compile(r"(?:^>>> .*\n(?:.+\n?)*)+", re.MULTILINE)


def page() -> str:
    """The whole page."""
    names = sorted(yolov7.__all__, key=str.casefold)
    index = " · ".join(f"[{name}](#{name.lower()})" for name in names)
    return "\n".join([HEAD, index, *(_entry(name, getattr(yolov7, name)) for name in names)])


def _entry(name: str, value: type | Callable[..., object]) -> str:
    text = [f"\n## {name}\n", _code(name + _signature(value)), _markdown(inspect.getdoc(value) or "")]
    members = list(_members(value)) if inspect.isclass(value) else []
    if members:
        text += ["", "| member | |", "|---|---|", *members]
    return "\n".join(text)


def _signature(value: type | Callable[..., object]) -> str:
    """One parameter a line where one line has no room for all."""
    signature = inspect.signature(value)
    parts, star = [], False
    for each in signature.parameters.values():
        if each.kind is each.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        default = "" if each.default is each.empty else f" = {_default(each.default)}"
        parts.append(f"{each.name}: {each.annotation}{default}")
    result = "" if signature.return_annotation in (signature.empty, None) else signature.return_annotation
    after = f") -> {result}" if result else ")"
    line = f"({', '.join(parts)}{after}"
    return line if len(line) <= 80 else "(\n" + "".join(f"    {part},\n" for part in parts) + after


def _default(value: object) -> str:
    if str(value) == "<factory>":
        return "..."
    return value.__name__ if callable(value) else repr(value)


def _markdown(doc: str) -> str:
    doc = EXAMPLE.sub(lambda found: _code(found[0].rstrip()) + "\n", _plain(doc))
    return SECTION.sub(lambda found: f"**{found[1]}**\n\n{ITEM.sub('- ', found[2])}", doc).rstrip()


def _plain(doc: str) -> str:
    """Markdown's quotes for those of docstrings."""
    return ROLE.sub(r"`\1`", doc).replace("``", "`")


def _code(text: str) -> str:
    return f"```python\n{text}\n```\n"


def _members(value: type) -> Iterator[str]:
    for name, member in vars(value).items():
        first = (inspect.getdoc(getattr(value, name)) or "").split("\n\n")[0].replace("\n", " ")
        member = getattr(member, "fget", None) or getattr(member, "__func__", member)  # property, classmethod
        if name.startswith("_") or getattr(member, "__qualname__", "") != f"{value.__name__}.{name}":
            continue
        called = "" if isinstance(vars(value)[name], property) else "()"
        yield f"| `{name}{called}` | {_plain(first)} |"


if __name__ == "__main__":
    PAGE.write_text(page())
