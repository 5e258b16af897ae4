"""The journey's centre: from the feed to the store, and to the plugins beside it."""

from __future__ import annotations

from kiterec.record.config import RecordConfig
from kiterec.record.recorder import Recorder
from kiterec.record.result import Ending, RecordResult
from kiterec.record.settings import Settings, read_settings
from kiterec.record.status import ConnectionStatus, RecordStatus

__all__ = [
    "ConnectionStatus",
    "Ending",
    "RecordConfig",
    "RecordResult",
    "RecordStatus",
    "Recorder",
    "Settings",
    "read_settings",
]
