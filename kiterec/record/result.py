"""How a recording ended, and whether something of it is missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kiterec.errors import KiterecError
    from kiterec.plugins.runner import PluginStats
    from kiterec.store.summary import Summary


class Ending(StrEnum):
    """Why a recording ended."""

    STOPPED = "stopped"
    SCHEDULE = "schedule"
    FEED = "feed"
    STORAGE = "storage"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordResult:
    """A recording that has ended.

    Attributes:
        path: its folder.
        ending: why it ended.
        summary: what it holds; None when it could not be closed as it should.
        failure: the error that ended it; None when it ended as it should.
        lost: a sentence for each thing that is missing or damaged; empty when all is there.
        plugins: how each plugin did; what a plugin lost is not lost to the recording.
    """

    path: Path
    ending: Ending
    summary: Summary | None
    failure: KiterecError | None = None
    lost: tuple[str, ...] = ()
    plugins: Mapping[str, PluginStats] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """Give 0 when all is there, 3 when something was lost or is damaged."""
        return 3 if self.failure is not None or self.lost else 0
