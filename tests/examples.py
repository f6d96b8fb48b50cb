"""Number of examples of a property test whose examples take long."""

from __future__ import annotations

from hypothesis import settings


def examples(count: int) -> int:
    """All of them with `scripts/check --slow`, a quarter otherwise."""
    return count if settings.get_current_profile_name() == "long" else count // 4
