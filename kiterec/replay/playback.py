"""The replay itself: takes the market through the timeline, from wherever it is asked to begin."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kiterec.clock import NS_PER_MS, NS_PER_S
from kiterec.replay.checkpoints import Checkpoints, Place
from kiterec.replay.client import SNAPSHOT_DELAY_S
from kiterec.replay.lockstep import Lockstep
from kiterec.replay.market import MarketBatch
from kiterec.replay.player import Player
from kiterec.replay.reading import read_ahead
from kiterec.replay.rebased import RebasedTimeline
from kiterec.replay.timeline import Resumable
from kiterec.replay.transport import Target

if TYPE_CHECKING:
    from kiterec.replay.audience import Audience
    from kiterec.replay.market import Market
    from kiterec.replay.reading import Read
    from kiterec.replay.stats import Tally
    from kiterec.replay.timeline import Timeline
    from kiterec.replay.transport import Transport

logger = logging.getLogger(__name__)

GRID_NS: Final = 250 * NS_PER_MS
"""A loop begins anew this long after its last message, as Kite's next frame would come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Which part of a timeline is served, and how its time passes.

    Attributes:
        begin_ns: since the timeline's start; the state at it is rebuilt from what comes before.
        end_ns: excluded; None: to the timeline's end.
        skip_idle_ns: a longer silence of the timeline is shortened to this; None: none is.
    """

    begin_ns: int = 0
    end_ns: int | None = None
    skip_idle_ns: int | None = None


class Playback:
    """Goes through a timeline, once or more often.

    Args:
        timeline: what to serve.
        market: the state to keep; None in exact mode, which needs none.
        audience: to whom.
        transport: the clock and its buttons.
        tally: the server's counts.
        stretch: which part.
        lockstep: send a message only when each client has taken the one before.
        disconnects: replay recorded disconnects.
        patience_s: how long lockstep waits for its clients; None: for ever.
    """

    def __init__(
        self,
        timeline: Timeline,
        *,
        market: Market | None,
        audience: Audience,
        transport: Transport,
        tally: Tally,
        stretch: Stretch,
        lockstep: bool,
        disconnects: bool,
        patience_s: float | None = None,
    ) -> None:
        self._timeline = timeline
        self._market = market
        self._audience = audience
        self._transport = transport
        self._tally = tally
        self._stretch = stretch
        # A client's requests come one after another: the first frame meets all of them.
        self._quiet_s = 0 if market is None else SNAPSHOT_DELAY_S
        self._in_lockstep = lockstep
        steps = Lockstep(audience, transport.pace, quiet_s=self._quiet_s, patience_s=patience_s)
        self._player = Player(
            market=market,
            audience=audience,
            transport=transport,
            tally=tally,
            skip_idle_ns=stretch.skip_idle_ns,
            lockstep=steps if lockstep else None,
            disconnects=disconnects,
        )
        self._clean = True
        self._checkpoints = Checkpoints()
        self._resumable = isinstance(timeline, Resumable)
        self._rebased = timeline if isinstance(timeline, RebasedTimeline) else None

    @property
    def beginning(self) -> Target:
        """Give where the stretch begins."""
        return Target(position_ns=self._stretch.begin_ns)

    async def run(self, target: Target) -> Target | None:
        """Serve the timeline from a place to its end; give another place if the way there goes back."""
        self._tally.state = "waiting" if self._clean else "running"
        place = None if self._clean else self._go_back(target)
        self._clean = False
        back = await self._through(target, place)
        if back is None:
            await self._audience.drained(ended=True)
        return back

    def _go_back(self, target: Target) -> Place | None:
        """Make the market what it was at the last known place before the target; None: at the start."""
        checkpoint = self._checkpoints.before(target)
        if self._market is not None:
            if checkpoint is None or checkpoint.memory is None:
                self._market.reset(self._timeline.universe)
            else:
                self._market.recall(checkpoint.memory)
        self._tally.seq = -1 if checkpoint is None else checkpoint.place.seq - 1
        return None if checkpoint is None else checkpoint.place

    def end(self, *, stays: bool) -> None:
        """Say that nothing more comes, unless somebody goes back.

        Args:
            stays: the clients are kept.
        """
        self._audience.timeline_ended(stays=stays)
        self._transport.ended()
        tally = self._tally
        tally.state = "finished"
        logger.info(
            "replay finished messages=%d seconds=%.3f took=%.3f",
            tally.timeline_messages, tally.position_ns / NS_PER_S, tally.elapsed_ns / NS_PER_S,
        )  # fmt: skip

    async def pause_before_next_round(self) -> Target:
        """Wait as long as Kite would between two frames; give where to go on."""
        if self._tally.seq < 0:
            await asyncio.sleep(GRID_NS / NS_PER_S)
        elif not self._transport.steps:
            await self._transport.until(self._tally.position_ns + GRID_NS)
        self._tally.rounds += 1
        if self._rebased is not None:
            self._rebased.begin_now(self._stretch.begin_ns)
        return self._transport.take_target() or self.beginning

    async def _through(self, target: Target | None, place: Place | None) -> Target | None:
        reading = read_ahead(
            self._timeline,
            index=None if self._market is None else self._market.index,
            wire=not self._in_lockstep,
            end_ns=self._stretch.end_ns,
            place=place,
            hurried=lambda: self._transport.pace.speed is None,
        )
        passed_ns = 0 if place is None else place.due_ns
        async with contextlib.aclosing(reading) as batches:
            async for read in batches:
                if self._resumable:
                    self._checkpoints.offer(Place(read.first_seq, passed_ns), self._market)
                passed_ns = int(read.source.due_ns[-1])
                batch = self._enter(read)
                begin = 0
                if target is not None:
                    begin = target.row(read.source)
                    self._player.skip(batch, 0, begin)
                    if begin == len(read.source):
                        continue
                    await self._arrive(target, batch, begin)
                target = await self._play(batch, begin)
                if target is not None and not target.is_ahead(self._tally):
                    return target
        if target is not None:
            await self._arrive(target, None, 0)
        return self._transport.take_target()

    def _enter(self, read: Read) -> MarketBatch:
        if self._market is None or read.packets is None:
            return MarketBatch.untouched(read.source, wire=read.wire)
        return self._market.enter(read.source, read.packets, wire=read.wire)

    async def _play(self, batch: MarketBatch, begin: int) -> Target | None:
        """Send a batch; give the place that somebody asked for, unless it is in the batch and was gone to."""
        while True:
            begin, target = await self._player.play(batch, begin)
            if target is None or not target.is_ahead(self._tally):
                return target
            row = max(begin, target.row(batch.source))
            self._player.skip(batch, begin, row)
            if row == len(batch.source):
                return target
            begin = row
            await self._arrive(target, batch, begin)

    async def _arrive(self, target: Target, batch: MarketBatch | None, begin: int) -> None:
        """Begin to play at a place; the first time, when the clients are there."""
        tally, pace = self._tally, self._transport.pace
        position_ns = tally.position_ns
        if batch is not None:
            position_ns = batch.due_ns(begin) if target.position_ns is None else target.position_ns
        tally.position_ns = position_ns
        first = tally.state == "waiting"
        if position_ns or not first:
            self._audience.show_state()
        if first:
            await self._audience.gathered(quiet_s=self._quiet_s)
            self._begin_now(position_ns)
            tally.state = "running"
            pace.forget()
            logger.info(
                "replay started clients=%d speed=%s position=%.3f",
                len(self._audience), pace.speed or "max", position_ns / NS_PER_S,
            )  # fmt: skip
        self._transport.arrived(position_ns)

    def _begin_now(self, position_ns: int) -> None:
        """Where times are moved, do it anew: the clients may have kept us waiting since the first reading."""
        if self._rebased is None:
            return
        target = self._transport.take_target()  # somebody may have asked for another place meanwhile
        if target is None and self._rebased.begin_now(position_ns):
            target = Target(position_ns=position_ns)
        if target is not None:
            self._transport.seek(target)
