"""Record of what the readers found."""

from __future__ import annotations

from pathlib import Path

from yolov7.data.findings import MOST_LISTED, Defect, Findings, LeftOut


def test_losses_are_defects_and_counted_by_reason() -> None:
    findings = Findings([Defect("a.yaml", 1, "odd", "warning")])
    findings.leave_out("hidden", Path("a/.x.jpg"))
    findings.leave_out("hidden", Path("a/.y.jpg"), 1199)
    findings.lose("not listed", "a.json", "annotation 7: dropped", 3, "annotation 7")
    findings.lose("unreadable", Path("b.jpg"), "empty: left out")
    assert findings.left_out == (
        LeftOut("hidden", 1200, "a/.x.jpg"),
        LeftOut("not listed", 1, "annotation 7"),
        LeftOut("unreadable", 1, "b.jpg"),
    )
    assert [(str(defect), defect.severity) for defect in findings.defects] == [
        ("a.yaml:1: odd", "warning"),
        ("a.json:3: annotation 7: dropped", "error"),
        ("b.jpg: empty: left out", "error"),
    ]


def test_defects_of_a_kind_are_listed_up_to_the_limit() -> None:
    findings = Findings()
    for number in range(MOST_LISTED + 5):
        findings.error("a.txt" if number == 0 else "b.txt", "bad", number, "errors in a.jpg")
        findings.error("c.txt", "bad", number)
    findings.warning("a.txt", "odd", kind="errors in a.jpg")
    assert len(findings.defects) == 2 * MOST_LISTED + 5 + 1 + 1
    assert findings.defects[-1] == Defect("a.txt", None, "5 more errors in a.jpg", "error")
