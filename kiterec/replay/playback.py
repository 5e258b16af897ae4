"""The replay itself: takes the timeline through time and hands what is due to the audience."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.clock import NS_PER_MS, NS_PER_S
from kiterec.errors import ReplayError
from kiterec.replay.checkpoints import Checkpoints, Place
from kiterec.replay.client import SNAPSHOT_DELAY_S
from kiterec.replay.market import MarketBatch
from kiterec.replay.reading import read_ahead
from kiterec.replay.rebased import RebasedTimeline
from kiterec.replay.timeline import Resumable, TimelineKind
from kiterec.replay.transport import Target
from kiterec.wire.transcript import read_lifecycle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kiterec.replay.audience import Audience
    from kiterec.replay.market import Market
    from kiterec.replay.reading import Read
    from kiterec.replay.stats import Tally
    from kiterec.replay.timeline import Timeline, TimelineBatch
    from kiterec.replay.transport import Transport

logger = logging.getLogger(__name__)

STEP_BYTES: Final = 2 << 20
"""At most so much is sent before requests are heard again."""

BEHIND_NS: Final = NS_PER_S
"""A replay late by this much of its timeline, and by this at a speed below 1, waits for its clients, so that
catching up does not fill their buffers."""

WORTH_PREPARING_NS: Final = 2 * NS_PER_MS
"""With more time than this before a deadline, the messages are made before it."""

LATE_NS: Final = NS_PER_MS
"""A replay later than this sends all that is due by now, not just what was made."""

LOOK_AGAIN_S: Final = 0.05
"""How often a paused replay looks whether it still is, when the patience of lockstep is over."""

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
        self._lockstep = lockstep
        self._disconnects = disconnects
        self._patience_s = patience_s
        # A client's requests come one after another: the first frame meets all of them.
        self._quiet_s = 0 if market is None else SNAPSHOT_DELAY_S
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
            wire=not self._lockstep,
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
                    self._skip(batch, 0, begin)
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

    def _skip(self, batch: MarketBatch, begin: int, end: int) -> None:
        """Go past messages without sending them."""
        if self._market is not None:
            self._market.advance(batch, end)
        if end > begin:
            self._tally.position_ns, self._tally.seq = batch.due_ns(end - 1), batch.seq(end - 1)

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

    async def _play(self, batch: MarketBatch, begin: int) -> Target | None:
        """Send a batch; give the place that somebody asked for, unless it is in the batch and was gone to."""
        due_ns = batch.source.due_ns
        losses = self._losses(batch.source)
        transport, audience = self._transport, self._audience
        while begin < len(due_ns):
            if self._lockstep:
                await self._settle()
            self._skip_idle(int(due_ns[begin]))
            together = self._prepare(batch, begin)
            late_ns = await transport.until(int(due_ns[begin]))
            if (target := transport.take_target()) is not None:
                if not target.is_ahead(self._tally):
                    return target
                row = max(begin, target.row(batch.source))
                self._skip(batch, begin, row)
                if row == len(due_ns):
                    return target
                begin = row
                await self._arrive(target, batch, begin)
                continue
            end = begin + 1
            if not (self._lockstep or transport.steps):
                end = self._portion(batch, begin) if together is None or late_ns > LATE_NS else together
            end = next((row + 1 for row in losses if begin <= row < end), end)
            self._send(batch, begin, end)
            self._note_lateness(int(due_ns[begin]))
            if end - 1 in losses:
                audience.lose(batch, end - 1)
            begin = end
            speed = transport.pace.speed
            if speed is None or late_ns * max(speed, 1) > BEHIND_NS:
                await audience.drained()
        return None

    def _prepare(self, batch: MarketBatch, begin: int) -> int | None:
        """Make what is due at the next instant, if there is time; give its end."""
        due_ns, pace = batch.source.due_ns, self._transport.pace
        if self._lockstep or pace.paused or pace.wait_ns(int(due_ns[begin])) < WORTH_PREPARING_NS:
            return None
        end = int(np.searchsorted(due_ns, due_ns[begin], side="right"))
        end = min(end, self._step_end(batch, begin))
        self._audience.prepare(batch, begin, end)
        return end

    def _losses(self, batch: TimelineBatch) -> list[int]:
        """Give the rows at which a connection was lost that wanted to live."""
        if not self._disconnects:
            return []
        rows = np.flatnonzero(batch.kind == TimelineKind.DISCONNECT).tolist()
        return [row for row in rows if not read_lifecycle(batch.payloads[row].as_py()).get("wanted")]

    def _step_end(self, batch: MarketBatch, begin: int) -> int:
        """Give the end of what is sent at once at most: about two megabytes."""
        before = batch.bytes_before()
        return max(begin + 1, int(np.searchsorted(before, before[begin] + STEP_BYTES)) - 1)

    def _portion(self, batch: MarketBatch, begin: int) -> int:
        """Give the end of what is due by now and is sent at once."""
        end = min(self._step_end(batch, begin), len(batch.source))
        if (reached := self._transport.pace.reached_ns()) is not None:
            end = min(end, int(np.searchsorted(batch.source.due_ns, reached, side="right")))
        return max(begin + 1, end)

    def _send(self, batch: MarketBatch, begin: int, end: int) -> None:
        tally, transport = self._tally, self._transport
        if self._market is not None:
            self._market.advance(batch, end)
        tally.position_ns, tally.seq = batch.due_ns(end - 1), batch.seq(end - 1)
        transport.pace.reach(tally.position_ns)
        sent = self._audience.deliver(batch, begin, end)
        tally.timeline_messages += end - begin
        tally.elapsed_ns, tally.played_ns = transport.pace.elapsed_ns(), transport.pace.played_ns()
        # A step is a message that somebody gets.
        if transport.steps and (sent or not self._audience.listens()):
            transport.stepped()

    async def _settle(self) -> None:
        """Wait until every client has taken everything, and each that is expected is there."""
        audience = self._audience
        await self._patiently(audience.taken)
        await self._patiently(lambda: audience.gathered(quiet_s=self._quiet_s))
        while audience.send_pending_snapshots():
            await self._patiently(audience.taken)

    async def _patiently(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Wait for the clients, but not for ever; time in which the replay is paused does not count.

        Raises:
            ReplayError: one keeps the others waiting for too long.
        """
        pace = self._transport.pace
        if self._patience_s is None:
            return await wait()
        end_ns = pace.elapsed_ns() + int(self._patience_s * NS_PER_S)
        while True:
            left_s = (end_ns - pace.elapsed_ns()) / NS_PER_S
            try:
                async with asyncio.timeout(max(left_s, LOOK_AGAIN_S)):
                    return await wait()
            except TimeoutError:
                if pace.elapsed_ns() >= end_ns and not pace.paused:
                    raise ReplayError(
                        f"lockstep has waited {self._patience_s:g} s for {self._audience.awaited()}; look at "
                        "what keeps that program, or allow more with --lockstep-timeout"
                    ) from None

    def _skip_idle(self, due_ns: int) -> None:
        limit, pace = self._stretch.skip_idle_ns, self._transport.pace
        if limit is not None and due_ns - pace.position_ns() > limit:
            pace.start(due_ns - limit)

    def _note_lateness(self, due_ns: int) -> None:
        """Note how late the messages are that have just been written."""
        pace = self._transport.pace
        if pace.speed is not None and not pace.paused:
            self._tally.note_lateness(-pace.wait_ns(due_ns))
