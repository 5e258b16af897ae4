"""What a replay has done so far: position, achieved speed, lateness, and what went to whom."""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec
import numpy as np

from kiterec.clock import NS_PER_MS, NS_PER_S

_REMEMBERED: Final = 4096


class Lateness(msgspec.Struct, frozen=True, kw_only=True):
    """How long after its deadline a message was handed to the clients' sockets, in milliseconds.

    p50 and p99 are over the last 4,096 sendings, max over all.
    """

    p50_ms: float
    p99_ms: float
    max_ms: float


class ReplayStats(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of a replay.

    Attributes:
        state: `waiting` for clients, `running`, `finished` or `failed`.
        position_s: seconds of the timeline that are out.
        elapsed_s: real seconds since its clock started.
        achieved_speed: the quotient; None before the start.
        lateness: None at speed max, which has no deadlines, and before the first message.
        timeline_messages: rows of the timeline that are done.
        clients: open connections.
        sent_messages: over all clients, heartbeats and snapshots included.
        sent_bytes: of their payloads.
        ignored_requests: requests that nobody could understand.
        refused: refused connections by HTTP status.
        cut_off: a sentence for each client that did not read.
    """

    state: str
    position_s: float
    elapsed_s: float
    achieved_speed: float | None
    lateness: Lateness | None
    timeline_messages: int
    clients: int
    sent_messages: int
    sent_bytes: int
    ignored_requests: int
    refused: dict[int, int]
    cut_off: list[str]


class Tally:
    """The running counts; all are written on the event loop."""

    def __init__(self) -> None:
        self.state = "waiting"
        self.position_ns = 0
        self.seq = -1
        self.elapsed_ns = 0
        self.timeline_messages = 0
        self.sent_messages = 0
        self.sent_bytes = 0
        self.ignored_requests = 0
        self.refused: Counter[int] = Counter()
        self.cut_off: list[str] = []
        self._late_ns = np.zeros(_REMEMBERED, np.int64)
        self._sendings = 0
        self._latest_ns = 0

    def note_lateness(self, late_ns: int) -> None:
        """Count one sending."""
        self._late_ns[self._sendings % _REMEMBERED] = late_ns
        self._sendings += 1
        self._latest_ns = max(self._latest_ns, late_ns)

    def stats(self, *, clients: int) -> ReplayStats:
        """Give the picture."""
        return ReplayStats(
            state=self.state,
            position_s=self.position_ns / NS_PER_S,
            elapsed_s=self.elapsed_ns / NS_PER_S,
            achieved_speed=self.position_ns / self.elapsed_ns if self.elapsed_ns else None,
            lateness=self._lateness(),
            timeline_messages=self.timeline_messages,
            clients=clients,
            sent_messages=self.sent_messages,
            sent_bytes=self.sent_bytes,
            ignored_requests=self.ignored_requests,
            refused=dict(self.refused),
            cut_off=list(self.cut_off),
        )

    def _lateness(self) -> Lateness | None:
        if not self._sendings:
            return None
        p50, p99 = np.percentile(self._late_ns[: self._sendings], (50, 99)) / NS_PER_MS
        return Lateness(p50_ms=float(p50), p99_ms=float(p99), max_ms=self._latest_ns / NS_PER_MS)
