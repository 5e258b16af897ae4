"""What every test gets: logging as it was before, and its turn, the longest files first."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST: Final = (
    "test_docs.py",
    "test_kill_loop.py",
    "ticks/test_memory.py",
    "cli/test_terminal.py",
    "replay/test_hostile.py",
    "cli/test_journey.py",
    "test_recording_elsewhere.py",
    "replay/test_lockstep.py",
    "ticks/test_scan.py",
    "replay/test_pytest_plugin.py",
    "feed/test_examples.py",
    "fuzz/test_fuzz.py",
)
"""They begin, so that none of them is left over at the end; the longest first."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Take half as many again as there are processors: tests that wait for a clock leave theirs to others."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # xdist reads it itself
    count = os.cpu_count() if not hasattr(os, "sched_getaffinity") else len(os.sched_getaffinity(0))
    return -(-(count or 1) * 3 // 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    turns = {Path(__file__).parent / name: turn for turn, name in enumerate(LONGEST)}
    items.sort(key=lambda item: turns.get(item.path, len(turns)))


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(), logging.getLogger("kiterec")]
    before = [(each.level, each.propagate, each.disabled, list(each.handlers)) for each in loggers]
    yield
    for each, (level, propagate, disabled, handlers) in zip(loggers, before, strict=True):
        each.setLevel(level)
        each.propagate, each.disabled, each.handlers = propagate, disabled, handlers
