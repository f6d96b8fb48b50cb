"""Too little memory is one error, found before or during an allocation."""

from __future__ import annotations

import pytest

from yolov7 import memory
from yolov7.errors import UsageError
from yolov7.memory import enough_for_images


def test_images_larger_than_the_machine_are_refused_before_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "installed_memory", lambda: 3_000_000_000)
    with pytest.raises(UsageError) as refused, enough_for_images(20_000, 10_000, 2):
        raise AssertionError("the block has begun")
    assert str(refused.value).splitlines() == [
        "not enough memory for images of 10000 x 20000 pixels, 2 at a time",
        "  expected: 6.0 GB or more",
        "  found:    3.0 GB in this machine",
    ]
    with enough_for_images(20_000, 10_000):
        pass


def test_a_failed_allocation_is_explained_and_other_errors_pass() -> None:
    with (
        pytest.raises(UsageError, match="not enough memory for tiles of 1 x 1 pixels\n"),
        enough_for_images(1, 1, what="tiles"),
    ):
        raise MemoryError
    with pytest.raises(ValueError, match="another"), enough_for_images(1, 1):
        raise ValueError("another")
