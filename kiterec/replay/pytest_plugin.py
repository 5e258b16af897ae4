"""Fixtures for pytest: a recording or a synthetic market that a trading program can connect to.

pytest loads this module in every run wherever kiterec is installed, so nothing heavy is imported here.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kiterec.replay.testing import KiteExchangeFactory, KiteReplayFactory


@pytest.fixture
def kite_replay() -> Iterator[KiteReplayFactory]:
    """Serve recordings as Kite would: `kite_replay(recording, speed="max")` gives a `ServedKite`.

    Each call starts a server on a free port in a thread of its own; all are stopped when the test ends.
    """
    from kiterec.replay.testing import KiteReplayFactory

    with ExitStack() as stack:
        yield KiteReplayFactory(stack)


@pytest.fixture
def kite_exchange() -> Iterator[KiteExchangeFactory]:
    """Serve synthetic markets as Kite would: `kite_exchange(seed=1, instruments=40)` gives a `ServedKite`.

    Each call starts a server on a free port in a thread of its own; all are stopped when the test ends.
    """
    from kiterec.replay.testing import KiteExchangeFactory

    with ExitStack() as stack:
        yield KiteExchangeFactory(stack)
