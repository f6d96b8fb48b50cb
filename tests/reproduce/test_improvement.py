from __future__ import annotations

import pytest

from yolov7.reproduce.improvement import TABLE_IMPROVEMENTS, with_improvements
from yolov7.reproduce.result import Line, Number, Reproduction
from yolov7.reproduce.table import reproduce_table
from yolov7.reproduce.tables import TABLE_1


def numbers_of(line: Line) -> dict[tuple[str, str], float]:
    return {(n.quantity, n.source): n.value for n in line.numbers}


def test_improvements_are_percent_of_the_compared_network() -> None:
    """Of a network that is built here, and of one whose numbers are the paper's alone."""
    result = reproduce_table(TABLE_1, say=lambda _: None)
    lines = {line.label: numbers_of(line) for line in result.lines}
    csp = lines["improvement over YOLOR-CSP"]
    assert csp["parameters_m", "computed"] == pytest.approx(100 * (36.9 - 52.9) / 52.9, abs=0.05)  # -30.2
    assert csp["gflops", "computed"] == pytest.approx(100 * (104.7 - 120.4) / 120.4, abs=0.05)  # -13.0
    assert csp["AP", "paper"] == pytest.approx(51.2 - 50.8)
    tiny = lines["improvement over YOLOv4-tiny-3l"]
    assert tiny["parameters_m", "computed"] == pytest.approx(100 * (6.2 - 8.7) / 8.7, abs=0.05)  # -28.7
    assert tiny["gflops", "computed"] == pytest.approx(100 * (3.5 - 5.2) / 5.2, abs=0.05)  # -32.7
    assert tiny["APs", "paper"] == pytest.approx(10.0 - 10.9)
    assert any("1 - old / new" in note for note in result.notes)


def test_what_the_paper_prints_is_1_minus_old_by_new() -> None:
    """To the digits that it prints; by new / old - 1 most would be off by far more."""
    for one in TABLE_IMPROVEMENTS["table1"]:
        old = TABLE_1.rows[one.over].paper if isinstance(one.over, int) else one.over
        for quantity, printed in one.printed.items():
            ratio = old[quantity] / TABLE_1.rows[one.row].paper[quantity]
            assert 100 * (1 - ratio) == pytest.approx(printed, abs=1.5)


def test_numbers_that_round_to_nothing_are_not_compared() -> None:
    small = (
        Number("gflops", "computed", 0.0),
        Number("AP", "measured", 1.5),
        Number("fps", "measured", 50.0),
    )
    large = (
        Number("gflops", "computed", 0.01),
        Number("AP", "measured", 1.25),
        Number("fps", "measured", 60.0),
    )
    lines = (Line("base", "a", 64, small), Line("aux", "b", 64), Line("partial aux", "c", 64, large))
    shown = with_improvements(Reproduction("table8", "a title", lines, ("a note",)))
    assert shown.lines[:3] == lines
    assert numbers_of(shown.lines[3]) == {("AP", "measured"): -0.25, ("fps", "measured"): 20.0}
    assert (shown.notes[0], len(shown.notes)) == ("a note", 2)
    without = Reproduction("table8", "a title", lines[:2])
    assert with_improvements(without) == without
