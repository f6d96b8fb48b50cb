from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from yolov7.data.findings import Defect


@pytest.fixture
def one_defect() -> Callable[..., None]:
    """Check that there is one defect, with this place and a message with these words."""

    def check(defects: tuple[Defect, ...], severity: str, place: Path | str, message: str) -> None:
        assert len(defects) == 1, "\n".join(map(str, defects))
        assert defects[0].severity == severity
        assert str(defects[0]).startswith(f"{place}: "), str(defects[0])
        assert message in defects[0].message

    return check
