"""Text from elsewhere that is safe to show."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from yolov7.errors import DataError
from yolov7.text import did_you_mean, printable


def test_what_steers_a_terminal_is_escaped():
    assert printable("a\x1b[2Jb\r\n\x00\x9b\u202ec\ud800") == r"a\x1b[2Jb\r\n\x00\x9b\u202ec\ud800"


def test_words_of_all_languages_stay_as_they_are():
    for word in ("Größe", "собака", "可回收物", "كلب", "نیم\u200cفاصله", "👩\u200d🚒", "a b\u00a0c"):
        assert printable(word) == word


@given(st.text(st.characters(exclude_categories=())), st.integers(4, 30))
def test_any_text_is_one_line_that_can_be_encoded_and_is_not_longer_than_the_limit(text: str, limit: int):
    shown = printable(text, limit)
    assert len(shown) <= limit
    shown.encode()
    for whole in (shown, printable(text)):
        assert not any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in whole)


def test_an_error_message_is_safe_and_keeps_its_lines():
    error = DataError("a \x1b[31mred\nclass", file="x\x07.yaml", line=2, expected="one", found="\u202etwo")
    assert str(error) == "x\\x07.yaml:2: a \\x1b[31mred\nclass\n  expected: one\n  found:    \\u202etwo"


def test_the_nearest_choice_is_suggested_whatever_its_case():
    assert did_you_mean("PERSN", ["car", "Person"]) == "; did you mean Person?"
    assert did_you_mean("qqq", ["car", "Person"]) == ""
    assert did_you_mean("confidence", ["iou", "conf"]) == "; did you mean conf?"
    assert did_you_mean("x" * 10**6, ["x" * 100]) != "", "a long word is compared by its beginning"
