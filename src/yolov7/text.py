"""Text for messages: safe to print, counted, listed, or with a suggestion."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

_STEERING = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control characters, such as ESC
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"  # invisible, or right to left
    "\ud800-\udfff\ufff9-\uffff"  # surrogates, and code points without a character
    "\U000e0000-\U000e0fff"  # tags, invisible
    "]"
)
"""Characters to escape. The joiners U+200C and U+200D are allowed: Persian words and emoji need them."""


def printable(text: object, limit: int | None = None, *, keep: str = "") -> str:
    r"""Escape characters that control a terminal, are invisible, or cannot be encoded.

    Args:
        text: value, converted by ``str``.
        limit: longest result in characters; a longer one is cut and ends in ``...``.
        keep: characters that are not escaped, such as ``"\n"``.

    >>> printable("dog\x1b[2J")
    'dog\\x1b[2J'
    >>> printable("a" * 20, limit=8)
    'aaaaa...'
    """
    shown = str(text)
    if limit is not None:
        shown = shown[: limit + 1]
    shown = _STEERING.sub(lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], shown)
    return shown if limit is None or len(shown) <= limit else shown[: limit - 3] + "..."


def plural(count: int, one: str, many: str | None = None) -> str:
    """Number with its noun in singular or plural.

    >>> plural(1, "image"), plural(2000, "class", "classes")
    ('1 image', '2,000 classes')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(words: Sequence[str], limit: int = 12) -> str:
    """Words separated by commas; those beyond `limit` are counted.

    >>> listed(["cat", "dog", "cow"], limit=2)
    'cat, dog and 1 more'
    """
    shown = ", ".join(words[:limit])
    return shown if len(words) <= limit else f"{shown} and {len(words) - limit:,} more"


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Suggestion of the most similar choice, to append to a message; empty if none is similar.

    >>> did_you_mean("persn", ["car", "person"])
    '; did you mean person?'
    >>> did_you_mean("tree", ["car", "person"])
    ''
    """
    by_lower = {choice.casefold(): choice for choice in choices}
    typed = word.casefold()[:100]
    near = difflib.get_close_matches(typed, by_lower, n=1)
    if not near and len(typed) > 2:  # a shorter or longer form, such as conf and confidence
        longer = (choice for choice in by_lower if len(choice) > 2)
        near = [choice for choice in longer if choice.startswith(typed) or typed.startswith(choice)][:1]
    return f"; did you mean {printable(by_lower[near[0]], 100)}?" if near else ""


def first_line(error: BaseException) -> str:
    """First line of an error's message, or its type if it has none.

    >>> first_line(ValueError("bad shape\\n  in node 7")), first_line(MemoryError())
    ('bad shape', 'MemoryError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
