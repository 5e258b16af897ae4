"""A recording seen while it runs: what a live view shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kiterec.feed.health import Health
    from kiterec.feed.stats import ConnectionStats
    from kiterec.plugins.runner import PluginStats


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStatus:
    """One connection now.

    Attributes:
        state: where it is in its life, in one word.
        instruments: that it should have.
        frames: binary messages so far, heartbeats included.
        ticks: packets so far.
        received_bytes: of all messages so far.
        frames_per_s: over the last second.
        ticks_per_s: over the last second.
        bytes_per_s: over the last second.
        age_s: since the last message; None when it is not open.
        gaps: stretches missed so far.
    """

    state: str
    instruments: int
    frames: int
    ticks: int
    received_bytes: int
    frames_per_s: float
    ticks_per_s: float
    bytes_per_s: float
    age_s: float | None
    gaps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordStatus:
    """A recording now.

    Attributes:
        path: its folder.
        elapsed_s: since its start.
        left_s: until it ends by itself; None: it does not.
        connections: by name.
        health: of the feed, with the reasons.
        unwritten_bytes: waiting in memory.
        disk_bytes: written so far.
        held: reading stands still, because the disk cannot keep up.
        plugins: by name.
    """

    path: Path
    elapsed_s: float
    left_s: float | None
    connections: Mapping[str, ConnectionStatus]
    health: Health
    unwritten_bytes: int
    disk_bytes: int
    held: bool
    plugins: Mapping[str, PluginStats]


def connection_status(stats: ConnectionStats) -> ConnectionStatus:
    """Give what a view shows of the numbers of a connection."""
    return ConnectionStatus(
        state=stats.state,
        instruments=stats.instruments,
        frames=stats.counters.frames,
        ticks=stats.counters.packets,
        received_bytes=stats.counters.size,
        frames_per_s=stats.rates.frames_1s,
        ticks_per_s=stats.rates.packets_1s,
        bytes_per_s=stats.rates.bytes_1s,
        age_s=stats.last_heard_age_s,
        gaps=stats.counters.gaps,
    )
