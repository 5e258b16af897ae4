"""One recording for all tests that only read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.upkeep.market_recordings import market, record, rows

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a recording of ten seconds, two connections, several parts each."""
    made = market()
    out = tmp_path_factory.mktemp("whole")
    return record(out, rows(made), dump=made.instruments_csv(), part_bytes=20_000, rows_at_once=15)
