"""Make text that came from a file, a network or an argument safe to show."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

_STEERING = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control characters, ESC among them
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"  # invisible, or turn the direction
    "\ud800-\udfff\ufff9-\uffff"  # halves of characters, and what is no character
    "\U000e0000-\U000e0fff"  # tags, invisible
    "]"
)
"""Without the joiners U+200C and U+200D: Persian words and emoji need them."""


def printable(text: object, limit: int | None = None, *, keep: str = "") -> str:
    r"""Escape every character that steers a terminal, hides, or cannot be encoded.

    Args:
        text: anything; its ``str`` is taken.
        limit: longest result in characters; what is longer ends in ``...``.
        keep: characters that stay as they are, such as ``"\n"``.

    >>> printable("dog\x1b[2J")
    'dog\\x1b[2J'
    >>> printable("a" * 20, limit=8)
    'aaaaa...'
    """
    shown = str(text)
    if limit is not None:
        shown = shown[: limit + 1]
    shown = _STEERING.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), shown)
    return shown if limit is None or len(shown) <= limit else shown[: limit - 3] + "..."


def _begins(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _escape(character: str) -> str:
    return ascii(character)[1:-1]


def plural(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun, which may have further words before it.

    >>> plural(1, "image"), plural(2000, "class", "classes")
    ('1 image', '2,000 classes')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(words: Sequence[str], limit: int = 12) -> str:
    """Words with commas between them; those beyond `limit` are counted.

    >>> listed(["cat", "dog", "cow"], limit=2)
    'cat, dog and 1 more'
    """
    shown = ", ".join(words[:limit])
    return shown if len(words) <= limit else f"{shown} and {len(words) - limit:,} more"


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """The choice that was probably meant, as an addition to a message; nothing where none is near.

    >>> did_you_mean("persn", ["car", "person"])
    '; did you mean person?'
    >>> did_you_mean("tree", ["car", "person"])
    ''
    """
    by_lower = {choice.casefold(): choice for choice in choices}
    typed = word.casefold()[:100]
    near = difflib.get_close_matches(typed, by_lower, n=1)
    if not near and len(typed) > 2:  # a shorter or longer form, such as conf and confidence
        near = [choice for choice in by_lower if len(choice) > 2 and _begins(choice, typed)][:1]
    return f"; did you mean {printable(by_lower[near[0]], 100)}?" if near else ""


def first_line(error: BaseException) -> str:
    """First line of an error of a library, or the error's type if it says nothing.

    >>> first_line(ValueError("bad shape\\n  in node 7")), first_line(MemoryError())
    ('bad shape', 'MemoryError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
