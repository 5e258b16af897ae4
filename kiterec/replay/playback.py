"""The replay itself: takes the timeline through time and hands what is due to the audience."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.clock import NS_PER_MS, NS_PER_S
from kiterec.replay.client import SNAPSHOT_DELAY_S
from kiterec.replay.market import MarketBatch
from kiterec.replay.reading import read_ahead

if TYPE_CHECKING:
    from kiterec.replay.audience import Audience
    from kiterec.replay.market import Market
    from kiterec.replay.pace import Pace
    from kiterec.replay.packet_batch import PacketBatch
    from kiterec.replay.stats import Tally
    from kiterec.replay.timeline import Timeline, TimelineBatch

logger = logging.getLogger(__name__)

STEP_BYTES: Final = 1 << 20
"""At most so much is sent before requests are heard again."""

TIMER_NS: Final = NS_PER_MS
"""epoll wakes up to this much late, so the last stretch before a deadline is spent asking the clock."""

BEHIND_NS: Final = NS_PER_S
"""A replay this late waits for its clients, so that catching up does not fill their buffers."""


class Playback:
    """One run through a timeline.

    Args:
        timeline: what to serve.
        market: the state to keep; None in exact mode, which needs none.
        audience: to whom.
        pace: when.
        tally: the server's counts.
    """

    def __init__(
        self, timeline: Timeline, *, market: Market | None, audience: Audience, pace: Pace, tally: Tally
    ) -> None:
        self._timeline = timeline
        self._market = market
        self._audience = audience
        self._pace = pace
        self._tally = tally

    async def run(self) -> None:
        """Wait for the clients, then serve the timeline to its end."""
        tally = self._tally
        async with contextlib.aclosing(
            read_ahead(self._timeline, packets=self._market is not None)
        ) as batches:
            # A client's requests come one after another: the first frame meets all of them.
            await self._audience.gathered(quiet_s=0 if self._market is None else SNAPSHOT_DELAY_S)
            async for batch, packets in batches:
                entered = self._enter(batch, packets)
                if tally.state == "waiting":
                    self._start()
                await self._play(entered)
        await self._audience.drained()
        self._audience.timeline_ended()
        tally.state = "finished"
        logger.info(
            "replay finished messages=%d seconds=%.3f took=%.3f",
            tally.timeline_messages,
            tally.position_ns / NS_PER_S,
            tally.elapsed_ns / NS_PER_S,
        )

    def _start(self) -> None:
        self._tally.state = "running"
        self._pace.start(0)
        logger.info("replay started clients=%d speed=%s", len(self._audience), self._pace.speed or "max")

    def _enter(self, batch: TimelineBatch, packets: PacketBatch | None) -> MarketBatch:
        if self._market is None or packets is None:
            return MarketBatch.untouched(batch)
        return self._market.enter(batch, packets)

    async def _play(self, batch: MarketBatch) -> None:
        due_ns = batch.source.due_ns
        bytes_before = batch.bytes_before()
        begin = 0
        while begin < len(due_ns):
            late_ns = await self._wait_for(int(due_ns[begin]))
            end = int(np.searchsorted(bytes_before, bytes_before[begin] + STEP_BYTES))
            if (reached := self._pace.reached_ns()) is not None:
                end = min(end, int(np.searchsorted(due_ns, reached, side="right")))
                self._tally.note_lateness(late_ns)
            end = max(begin + 1, min(end, len(due_ns)))
            if self._market is not None:
                self._market.advance(batch, begin, end)
            self._tally.position_ns, self._tally.seq = int(due_ns[end - 1]), batch.seq(end - 1)
            self._audience.deliver(batch, begin, end)
            self._tally.timeline_messages += end - begin
            self._tally.elapsed_ns = self._pace.elapsed_ns()
            begin = end
            if self._pace.speed is None or late_ns > BEHIND_NS:
                await self._audience.drained()

    async def _wait_for(self, due_ns: int) -> int:
        """Wait until an instant of the timeline; give how late it is by then."""
        # Also without a wait the loop gets its turn: requests are heard, heartbeats go out.
        await asyncio.sleep(max(0, self._pace.wait_ns(due_ns) - TIMER_NS) / NS_PER_S)
        while self._pace.wait_ns(due_ns) > 0:  # noqa: ASYNC110 -- no event tells the time so exactly
            await asyncio.sleep(0)
        return -self._pace.wait_ns(due_ns)
