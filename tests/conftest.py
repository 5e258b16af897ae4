"""What every test gets: logging as it was before, whatever a command that ran in this process has set."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(), logging.getLogger("kiterec")]
    before = [(each.level, each.propagate, each.disabled, list(each.handlers)) for each in loggers]
    yield
    for each, (level, propagate, disabled, handlers) in zip(loggers, before, strict=True):
        each.setLevel(level)
        each.propagate, each.disabled, each.handlers = propagate, disabled, handlers
