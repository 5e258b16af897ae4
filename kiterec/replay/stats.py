"""What a replay has done so far: position, achieved speed, lateness, and what went to whom."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from kiterec.clock import NS_PER_MS, NS_PER_S
from kiterec.wire.packets import Mode  # noqa: TC001 -- msgspec reads the annotations when it runs

if TYPE_CHECKING:
    import numpy.typing as npt

_REMEMBERED: Final = 1 << 16


class Lateness(msgspec.Struct, frozen=True, kw_only=True):
    """How long after its deadline a message had been written to the sockets of all clients, in milliseconds.

    p50 and p99 are over the last 65,536 sendings, max over all.
    """

    p50_ms: float
    p99_ms: float
    max_ms: float


class ReplayStats(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of a replay.

    Attributes:
        state: `waiting` for clients, `running`, `paused`, `finished` or `failed`.
        position_s: seconds of the timeline that are out, or were jumped over.
        seq: number of the last message that is out, -1 before the first.
        time_ns: the recorded wall clock there, in nanoseconds since the epoch; None when it is not known.
        length_s: seconds that the timeline lasts; None when it is not known, or endless.
        speed: the factor that is asked for; None is max.
        rounds: how often it has begun anew, with `loop`.
        elapsed_s: real seconds that its clock has run, without pauses.
        achieved_speed: seconds of the timeline that it ran through per real second, without what was jumped
            over; None before the start.
        lateness: None at speed max, which has no deadlines, and before the first message.
        timeline_messages: rows of the timeline that are done.
        clients: open connections.
        sent_messages: over all clients, heartbeats and snapshots included.
        sent_bytes: of their payloads.
        ignored_requests: requests that nobody could understand.
        refused: refused connections by HTTP status.
        cut_off: a sentence for each client that did not read.
        transcripts: in lockstep, a SHA-256 over everything that was sent to each client, by its name: kind,
            length and bytes of each message, without heartbeats. Empty otherwise.
    """

    state: str
    position_s: float
    seq: int
    time_ns: int | None
    length_s: float | None
    speed: float | None
    rounds: int
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
    transcripts: dict[str, str]


class ClientState(msgspec.Struct, frozen=True, kw_only=True):
    """One client that is there.

    Attributes:
        name: as in logs; the number counts the admitted connections.
        modes: what it has subscribed to: mode by instrument_token.
    """

    name: str
    modes: dict[int, Mode]


class Tally:
    """The running counts; all are written on the event loop."""

    def __init__(self) -> None:
        self.state = "waiting"
        self.position_ns = 0
        self.seq = -1
        self.elapsed_ns = 0
        self.played_ns = 0
        self.rounds = 0
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

    def stats(
        self,
        *,
        clients: int,
        paused: bool,
        speed: float | None,
        start_ns: int | None,
        length_ns: int | None,
        transcripts: dict[str, str],
    ) -> ReplayStats:
        """Give the picture."""
        return ReplayStats(
            state="paused" if paused and self.state in {"waiting", "running"} else self.state,
            position_s=self.position_ns / NS_PER_S,
            seq=self.seq,
            time_ns=None if start_ns is None else start_ns + self.position_ns,
            length_s=None if length_ns is None else length_ns / NS_PER_S,
            speed=speed,
            rounds=self.rounds,
            elapsed_s=self.elapsed_ns / NS_PER_S,
            achieved_speed=self.played_ns / self.elapsed_ns if self.elapsed_ns else None,
            lateness=self._lateness(),
            timeline_messages=self.timeline_messages,
            clients=clients,
            sent_messages=self.sent_messages,
            sent_bytes=self.sent_bytes,
            ignored_requests=self.ignored_requests,
            refused=dict(self.refused),
            cut_off=list(self.cut_off),
            transcripts=transcripts,
        )

    def late_ms(self) -> npt.NDArray[np.float64]:
        """Give how late the latest sendings were, in their order."""
        kept = self._late_ns[: self._sendings]
        return np.roll(kept, -self._sendings if self._sendings > _REMEMBERED else 0) / NS_PER_MS

    def _lateness(self) -> Lateness | None:
        if not self._sendings:
            return None
        p50, p99 = np.percentile(self._late_ns[: self._sendings], (50, 99)) / NS_PER_MS
        return Lateness(p50_ms=float(p50), p99_ms=float(p99), max_ms=self._latest_ns / NS_PER_MS)
