"""Flight recorder and simulator of the Kite market-data feed.

Record every message as it came, look at the recording as tables, play it back as if it were Kite.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kiterec.errors import (
    AuthError,
    CapacityError,
    ConnectionLostError,
    CorruptPartError,
    DecodeError,
    DiskFullError,
    FeedError,
    KiterecError,
    ManifestError,
    NoRecordingError,
    PluginError,
    ReplayError,
    SetupError,
    StaleFeedError,
    StorageError,
    TooManyConnectionsError,
)

if TYPE_CHECKING:
    from kiterec.feed.account import Account
    from kiterec.feed.config import FeedConfig
    from kiterec.feed.manager import TickerManager
    from kiterec.recording import Recording, open  # noqa: A004 - kiterec.open is the door to a recording
    from kiterec.replay.server import ReplayServer
    from kiterec.simulate.market import SyntheticMarket
    from kiterec.ticks.cache import scan_cache, tick_cache
    from kiterec.ticks.decode import decode
    from kiterec.ticks.instruments import InstrumentDump
    from kiterec.ticks.scan import scan_ticks
    from kiterec.wire.packets import Mode

__all__ = [
    "Account",
    "AuthError",
    "CapacityError",
    "ConnectionLostError",
    "CorruptPartError",
    "DecodeError",
    "DiskFullError",
    "FeedConfig",
    "FeedError",
    "InstrumentDump",
    "KiterecError",
    "ManifestError",
    "Mode",
    "NoRecordingError",
    "PluginError",
    "Recording",
    "ReplayError",
    "ReplayServer",
    "SetupError",
    "StaleFeedError",
    "StorageError",
    "SyntheticMarket",
    "TickerManager",
    "TooManyConnectionsError",
    "decode",
    "open",
    "scan_cache",
    "scan_ticks",
    "tick_cache",
]

# Polars, Arrow and websockets are loaded by the first use of a name that needs them (PEP 562).
_HOMES = {
    "Account": "kiterec.feed.account",
    "FeedConfig": "kiterec.feed.config",
    "InstrumentDump": "kiterec.ticks.instruments",
    "Mode": "kiterec.wire.packets",
    "Recording": "kiterec.recording",
    "ReplayServer": "kiterec.replay.server",
    "SyntheticMarket": "kiterec.simulate.market",
    "TickerManager": "kiterec.feed.manager",
    "decode": "kiterec.ticks.decode",
    "open": "kiterec.recording",
    "scan_cache": "kiterec.ticks.cache",
    "scan_ticks": "kiterec.ticks.scan",
    "tick_cache": "kiterec.ticks.cache",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'kiterec' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
