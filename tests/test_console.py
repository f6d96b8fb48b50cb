"""Tables and lines on a terminal: nothing is cut, nothing is markup, nothing steers."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import sys
import termios
from collections import Counter
from pathlib import Path

import pytest

from tests.evaluation.scenes import detected, evaluated, labelled
from yolov7 import console
from yolov7.console import _Table, complain, metrics_table, models_table, say, show
from yolov7.data.dataset import Dataset
from yolov7.models import zoo
from yolov7.reproduce.counting import beside_the_paper


def cells_of(text: str) -> list[str]:
    return text.split()


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_tables_fit_the_terminal_and_are_whole(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    headings = ("name", *(f"heading{i}\nof{i}" for i in range(12)))
    rows = [(f"row{r}", *(f"{r}{i:06}" for i in range(12))) for r in range(3)]
    table = _Table(*headings)
    for row in rows:
        table.add(*row)
    table.show()
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= columns
    assert "…" not in text
    found = text.split()
    for cell in (*(cell for row in rows for cell in row[1:]), *(f"heading{i}" for i in range(12))):
        assert found.count(cell) == 1
    parts = found.count("name")
    assert (parts == 1) == (columns == 200)
    assert all(found.count(f"row{r}") == parts for r in range(3))


def test_redirected_output_is_wide_whatever_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    controller, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 40, 0, 0))
    with os.fdopen(controller, "rb"), os.fdopen(terminal, "w") as screen, io.StringIO() as redirected:
        monkeypatch.setattr(sys, "__stdout__", screen)
        monkeypatch.setattr(sys, "stdout", redirected)
        table = _Table("name", "value")
        table.add("a" * 200, "1")
        table.show()
        assert "a" * 200 in redirected.getvalue()


def test_long_names_go_on_below(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    table = _Table("class", "AP", "AP50", "objects")
    name = "a" * 70 + "猫" * 30 + "z"
    table.add(name, "12.3", "45.6", "7,890")
    table.show()
    lines = capsys.readouterr().out.splitlines()
    assert "".join(line.split("  ")[0].strip() for line in lines[1:]) == name
    assert "12.3  45.6    7,890" in lines[1]


def test_the_most_confused_classes_fit_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each image has one object at one place: the pairs can be counted without any matching."""
    monkeypatch.setenv("COLUMNS", "80")
    names = ("cat", "dog", "a class of a very long name " * 4 + "\x1b[2J", "bird", "fish")
    box = 10, 10, 60, 60
    times = {(0, 1): 9, (1, 0): 7, (2, 3): 1200, (3, 4): 3, (4, 0): 2, (4, 1): 1, (0, 0): 11, (3, 3): 50}
    pairs = [pair for pair, count in times.items() for _ in range(count)]
    objects = Counter(truth for truth, _ in pairs)

    def told(conf: float) -> str:
        images = tuple(labelled([box], [truth], image_id=i) for i, (truth, _) in enumerate(pairs))
        found = {i: detected((box, conf, label), names=names) for i, (_, label) in enumerate(pairs)}
        dataset = Dataset(Path("data"), "coco", "val", names, (), images, ())
        metrics_table(evaluated(dataset, found), per_class=False)
        return capsys.readouterr().out

    text = told(0.9)
    table = text[text.index("most often confused") :]
    assert max(map(len, text.splitlines())) <= 80
    rows = [line.split()[-2:] for line in table.splitlines() if " found as " in line or "1,200" in line]
    expected = sorted(((n, pair) for pair, n in times.items() if pair[0] != pair[1]), reverse=True)[:5]
    assert rows == [[f"{n:,}", f"{100 * n / objects[truth]:.1f}"] for n, (truth, _) in expected]
    for n, (truth, label) in expected[1:]:
        assert f"{names[truth]} found as {names[label]}" in table, n
    assert "fish found as dog" not in table, "the sixth"
    assert "\x1b" not in text
    assert "confused" not in told(0.2), "nobody sees these"


def test_the_networks_fit_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    few = ("yolov7-tiny-silu", "yolov7-x-rep-unplanned")
    models_table([beside_the_paper(zoo.find_architecture(name)) for name in few])
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for word in (*few, "6,227,101", "6,219,709", "the paper", "unfolded", "13.8"):
        assert word in text
    headings = text.split("yolov7-tiny-silu")[0].splitlines()
    assert "variant" not in headings[-1]


NAMES = ("[/red] b [bold]", "dog [front]", "[unknown]", ":smile:", "\x1b[31mred\x1b[0m", "\u202eevil", "a\nb")


@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown_as_they_are_and_steer_nothing(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = ascii(name)[1:-1] if name not in NAMES[:4] else name
    table = _Table("class", "boxes")
    table.add(name, 3)
    table.show()
    assert capsys.readouterr().out.splitlines()[1].startswith(f"{shown}  ")
    show(name.replace("\n", "\x07"))
    say(name)
    complain(name)
    told = capsys.readouterr()
    assert not set("\x1b\u202e\x07") & set(told.out + told.err)
    if "\n" not in name:
        assert told.out == f"{shown}\n"
        assert told.err == 2 * f"{shown}\n"


def test_notes_break_between_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    console._note("word " * 50)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 60
    assert text.split() == ["word"] * 50
