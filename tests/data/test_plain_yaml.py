"""YAML parser: scalars stay text, and limits hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolov7.data.plain_yaml import MAX_CHARACTERS, MAX_DEPTH, MAX_NODES, read_yaml
from yolov7.errors import DataError

FILE = Path("data.yaml")
WORDS = [
    "yes",
    "No",
    "on",
    "OFF",
    "true",
    "null",
    "Null",
    "~",
    "1e3",
    "1_000",
    "0o17",
    "017",
    "0x1F",
    "1:30",
    "+1",
]
WORDS += ["2001-12-14", "2001-99-99", ".inf", ".NaN", "1.0", "0b1", "=", "é"]


def test_scalars_stay_text() -> None:
    content, lines = read_yaml("names:\n" + "".join(f"- {word}\n" for word in WORDS) + "nc: 0023\n", FILE)
    assert content == {"names": WORDS, "nc": "0023"}
    assert lines == {"names": 1, "nc": len(WORDS) + 2}
    assert read_yaml("a:\nb: ''\nc: [x, 'y: z']\n", FILE)[0] == {"a": None, "b": "", "c": ["x", "y: z"]}
    assert read_yaml("a: !!str 1\nb: !!int '2'\n? c\n: !!seq [d]\n", FILE)[0] == {
        "a": "1",
        "b": "2",
        "c": ["d"],
    }
    assert read_yaml("", FILE)[0] is None
    assert read_yaml("- a: 1\n", FILE)[1] == {}
    assert read_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH, FILE)[0]


def test_aliases_and_merge_keys_are_resolved() -> None:
    text = "base: &base {a: 1, b: 2}\nx: {<<: *base, b: 3}\ny: {<<: [*base, {c: 4}]}\nz: *base\n"
    content = read_yaml(text, FILE)[0]
    assert content["x"] == {"a": "1", "b": "3"}
    assert content["y"] == {"a": "1", "b": "2", "c": "4"}
    assert content["z"] == content["base"]


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


def test_nested_aliases_are_not_copied() -> None:
    content = read_yaml(bomb(100), FILE)[0]
    assert len(content["a99"]) == 10


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: [\n", 3, "not yaml"),
        ("a: 1\nb:\n\tc: 1\n", 3, "not yaml: found character"),
        ("a: 1\nb: x\0y\n", 2, "UTF-8"),
        ("a: caf\x85\x9f\n", 1, "UTF-8"),
        ('a: 1\nb: "\\uD800"\n', 2, "not yaml"),
        (
            "a: 1\nb: 2\na: 3\n",
            3,
            r"the key 'a' is repeated\s+found:    first used in line 1",
        ),
        ("a: 1\n---\nb: 2\n", 2, "a second document"),
        (
            "a: !!python/object/apply:os.system [x]\n",
            1,
            "the tag tag:yaml.org,2002:python/object/apply:os.system",
        ),
        ("a: !!binary aGk=\n", 1, "the tag tag:yaml.org,2002:binary is not supported"),
        ("a: !mine b\n", 1, "the tag !mine"),
        ("a: !!set {b, c}\n", 1, "the tag"),
        ("a: *b\n", 1, "alias|not yaml"),
        ("a: &a [*a]\n", 1, r"the alias \*a has no anchor"),
        ("? [a, b]\n: c\n", 1, "invalid key: not text"),
        ("a: {<<: b}\n", 1, "<< can merge mappings only"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), 1, "more than 32 nested lists"),
        ("a: " + "[" * 6000, 1, "more than 32 nested lists"),
        ("- " * 6000 + "x", 1, "more than 32 nested lists"),
        ("? " * 6000 + "x", 1, "more than 32 nested lists"),
        ("a: [" + "x," * MAX_NODES + "x]", 1, "more than 200,000 values"),
        ("%YAML " + "9" * 5000 + ".1\n---\na: 1\n", 1, "not yaml"),
        ("#" * (MAX_CHARACTERS + 1), None, "too long"),
    ],
)
def test_invalid_yaml_is_refused_with_file_and_line(text: str, line: int | None, message: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        read_yaml(text, FILE)
    assert refused.value.file == "data.yaml"
    assert refused.value.line == line
    assert len(str(refused.value)) < 500


def test_the_number_of_merged_keys_is_limited() -> None:
    keys = ", ".join(f"k{i}: 0" for i in range(2000))
    with pytest.raises(DataError, match="more than 200,000 values"):
        read_yaml(f"a: &a {{{keys}}}\n" + "".join(f"b{i}: {{<<: *a}}\n" for i in range(200)), FILE)
