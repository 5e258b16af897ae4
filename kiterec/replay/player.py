"""Sends a batch of the timeline: each message when it is due, and all that is due by now at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.clock import NS_PER_MS, NS_PER_S
from kiterec.replay.timeline import TimelineKind
from kiterec.wire.transcript import read_lifecycle

if TYPE_CHECKING:
    from kiterec.replay.audience import Audience
    from kiterec.replay.lockstep import Lockstep
    from kiterec.replay.market import Market, MarketBatch
    from kiterec.replay.stats import Tally
    from kiterec.replay.timeline import TimelineBatch
    from kiterec.replay.transport import Target, Transport

STEP_BYTES: Final = 2 << 20
"""At most so much is sent before requests are heard again."""

BEHIND_NS: Final = NS_PER_S
"""A replay late by this much of its timeline, and by this at a speed below 1, waits for its clients, so that
catching up does not fill their buffers."""

WORTH_PREPARING_NS: Final = 2 * NS_PER_MS
"""With more time than this before a deadline, the messages are made before it."""

LATE_NS: Final = NS_PER_MS
"""A replay later than this sends all that is due by now, not just what was made."""


class Player:
    """Plays batches to the audience.

    Args:
        market: the state to keep; None in exact mode, which needs none.
        audience: to whom.
        transport: the clock and its buttons.
        tally: the server's counts.
        skip_idle_ns: a longer silence of the timeline is shortened to this; None: none is.
        lockstep: what waits for the clients before each message; None: nothing does.
        disconnects: replay recorded disconnects.
    """

    def __init__(
        self,
        *,
        market: Market | None,
        audience: Audience,
        transport: Transport,
        tally: Tally,
        skip_idle_ns: int | None,
        lockstep: Lockstep | None,
        disconnects: bool,
    ) -> None:
        self._market = market
        self._audience = audience
        self._transport = transport
        self._tally = tally
        self._skip_idle_ns = skip_idle_ns
        self._lockstep = lockstep
        self._disconnects = disconnects

    async def play(self, batch: MarketBatch, begin: int) -> tuple[int, Target | None]:
        """Send a batch from a row on.

        Returns:
            The row before which it stopped, and the place that somebody asked for; None: it is over.
        """
        due_ns = batch.source.due_ns
        ends_lost = self._ends_lost(batch.source)
        while begin < len(due_ns):
            if self._lockstep is not None:
                await self._lockstep.settle()
            self._skip_idle(int(due_ns[begin]))
            prepared = self._prepare(batch, begin)
            late_ns = await self._transport.until(int(due_ns[begin]))
            if (target := self._transport.take_target()) is not None:
                return begin, target
            end = self._end(batch, begin, prepared if late_ns <= LATE_NS else None)
            self._send(batch, begin, end)
            self._note_lateness(int(due_ns[begin]))
            if ends_lost and end == len(due_ns):
                self._audience.lose(batch, end - 1)
            begin = end
            await self._wait_for_readers(late_ns)
        return begin, None

    def skip(self, batch: MarketBatch, begin: int, end: int) -> None:
        """Go past messages without sending them."""
        if self._market is not None:
            self._market.advance(batch, end)
        if end > begin:
            self._tally.position_ns, self._tally.seq = batch.due_ns(end - 1), batch.seq(end - 1)

    def _ends_lost(self, batch: TimelineBatch) -> bool:
        """Tell whether a batch ends with the loss of a connection that wanted to live: losses end batches."""
        if not self._disconnects or batch.kind[-1] != TimelineKind.DISCONNECT:
            return False
        return not read_lifecycle(batch.payloads[-1].as_py()).get("wanted")

    def _skip_idle(self, due_ns: int) -> None:
        limit, pace = self._skip_idle_ns, self._transport.pace
        if limit is not None and due_ns - pace.position_ns() > limit:
            pace.start(due_ns - limit)

    def _prepare(self, batch: MarketBatch, begin: int) -> int | None:
        """Make what is due at the next instant, if there is time; give its end."""
        due_ns, pace = batch.source.due_ns, self._transport.pace
        if self._lockstep or pace.paused or pace.wait_ns(int(due_ns[begin])) < WORTH_PREPARING_NS:
            return None
        end = int(np.searchsorted(due_ns, due_ns[begin], side="right"))
        end = min(end, _step_end(batch, begin))
        self._audience.prepare(batch, begin, end)
        return end

    def _end(self, batch: MarketBatch, begin: int, prepared: int | None) -> int:
        """Give the end of what is sent at once: one message in steps, what was made, or all that is due."""
        if self._lockstep or self._transport.steps:
            return begin + 1
        if prepared is not None:
            return prepared
        end = min(_step_end(batch, begin), len(batch.source))
        if (reached := self._transport.pace.reached_ns()) is not None:
            end = min(end, int(np.searchsorted(batch.source.due_ns, reached, side="right")))
        return max(begin + 1, end)

    def _send(self, batch: MarketBatch, begin: int, end: int) -> None:
        tally, transport = self._tally, self._transport
        self.skip(batch, begin, end)
        transport.pace.reach(tally.position_ns)
        sent = self._audience.deliver(batch, begin, end)
        tally.timeline_messages += end - begin
        tally.elapsed_ns, tally.played_ns = transport.pace.elapsed_ns(), transport.pace.played_ns()
        # A step is a message that somebody gets.
        if transport.steps and (sent or not self._audience.listens()):
            transport.stepped()

    def _note_lateness(self, due_ns: int) -> None:
        """Note how late the messages are that have just been written."""
        pace = self._transport.pace
        if pace.speed is not None and not pace.paused:
            self._tally.note_lateness(-pace.wait_ns(due_ns))

    async def _wait_for_readers(self, late_ns: int) -> None:
        """Let clients catch up where nothing else keeps the replay from running ahead of them."""
        speed = self._transport.pace.speed
        if speed is None or late_ns * max(speed, 1) > BEHIND_NS:
            await self._audience.drained()


def _step_end(batch: MarketBatch, begin: int) -> int:
    """Give the end of what is sent at once at most: about two megabytes."""
    before = batch.bytes_before()
    return max(begin + 1, int(np.searchsorted(before, before[begin] + STEP_BYTES)) - 1)
