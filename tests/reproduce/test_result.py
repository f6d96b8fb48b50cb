from __future__ import annotations

from yolov7.reproduce.result import Line, Number, Reproduction


def test_spread_is_half_the_distance_between_extremes() -> None:
    assert Number("AP", "measured", 2.0, (1.0, 2.0, 3.0)).spread == 1.0
    assert Number("AP", "measured", 2.0, (2.0,)).spread is None
    assert Number("AP", "paper", 2.0).spread is None


def test_columns_keep_sources_of_a_quantity_together() -> None:
    first = Line("a", "n", 64, (Number("AP", "paper", 1.0), Number("fps", "paper", 2.0)))
    second = Line("b", "n", 64, (Number("AP", "measured", 3.0),))
    result = Reproduction("table0", "Title", (first, second))
    assert result.columns == (("AP", "paper"), ("AP", "measured"), ("fps", "paper"))


def test_json_says_where_each_number_comes_from() -> None:
    line = Line("a", "n", 64, (Number("AP", "paper", 1.0), Number("AP", "measured", 2.0, (1.5, 2.5))), "why")
    (described,) = Reproduction("table0", "Title", (line,), ("note",)).to_dict()["lines"]
    assert described["numbers"] == {"AP": {"paper": 1.0, "measured": 2.0, "measured_each": [1.5, 2.5]}}
    assert described["note"] == "why"
