"""How long work says how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with what is done and what there is in all, in the same unit, now and then."""


def tell(progress: Progress | None, done: int, total: int) -> None:
    """Say how far it is, if anybody wants to know; never more than all."""
    if progress is not None and total > 0:
        progress(min(done, total), total)
