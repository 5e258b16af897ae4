"""What can be asked of a running replay: keys, the control channel and programs all call these functions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kiterec.clock import NS_PER_S
from kiterec.replay import engine
from kiterec.replay.timeline import Dated, Measured
from kiterec.replay.transport import Target

if TYPE_CHECKING:
    from kiterec.replay.audience import Audience
    from kiterec.replay.stats import ClientState, ReplayStats, Tally
    from kiterec.replay.timeline import Timeline
    from kiterec.replay.transport import Transport


class ReplayControls:
    """The controls of a replay; a `ReplayServer` has them. Call them on the event loop that serves."""

    def __init__(self, timeline: Timeline, *, transport: Transport, audience: Audience, tally: Tally) -> None:
        self._timeline = timeline
        self._transport = transport
        self._audience = audience
        self._tally = tally
        self._start_ns: int | None = None
        self._length_ns: int | None = None

    def pause(self) -> None:
        """Send nothing more of the timeline until `resume`. Heartbeats go on."""
        self._transport.pause()

    def resume(self) -> None:
        """Go on from where it stands."""
        self._transport.resume()

    def toggle(self) -> None:
        """Pause, or go on."""
        if self._transport.pace.paused:
            self.resume()
        else:
            self.pause()

    def set_speed(self, speed: float | None) -> None:
        """Go on with another speed, None for max; a pause stays one.

        Raises:
            ValueError: the speed is not a positive number.
        """
        self._transport.set_speed(speed)

    async def step(self, frames: int = 1) -> None:
        """Pause, let the next messages out at once that some client gets, and wait until they are out.

        Without any subscribed client each message of the timeline counts. At the end of the timeline there
        may be fewer.

        Raises:
            ValueError: less than one.
        """
        await self._transport.step(frames)

    async def seek(
        self,
        *,
        position_s: float | None = None,
        by_s: float | None = None,
        time_ns: int | None = None,
        seq: int | None = None,
    ) -> float:
        """Go on from another place, forward or back; give exactly one argument.

        What each instrument's state was there is worked out from the messages before, and every client gets
        it as a snapshot. A pause stays one. Going back reads the timeline from its start.

        Args:
            position_s: seconds since the start of the timeline; before the start means the start.
            by_s: seconds from here, back if negative.
            time_ns: recorded wall clock, nanoseconds since the epoch.
            seq: number of the message that is to come next.

        Returns:
            The position that was reached, in seconds; the end of the timeline if the place is past it.

        Raises:
            ValueError: none or several places, or a recorded time where the timeline has none.
            ReplayError: nothing was received at or after the recorded time.
        """
        given = [place for place in (position_s, by_s, time_ns, seq) if place is not None]
        if len(given) != 1:
            raise ValueError(f"a seek goes to one place, got {len(given)}")
        if by_s is not None:
            position_s = self._transport.pace.position_ns() / NS_PER_S + by_s
        if time_ns is not None:
            position_s = await self.position_at(time_ns) / NS_PER_S
        if position_s is not None:
            target = Target(position_ns=max(0, round(position_s * NS_PER_S)))
        else:
            target = Target(seq=max(0, seq or 0))
        return await self._transport.seek(target) / NS_PER_S

    async def position_at(self, time_ns: int) -> int:
        """Give the position of a recorded wall-clock time, ns since the start of the timeline.

        Raises:
            ValueError: the timeline knows no wall clock.
            ReplayError: nothing was received at or after the time.
        """
        timeline = self._timeline
        if isinstance(timeline, Measured):
            return await asyncio.to_thread(timeline.position_at, time_ns)
        if isinstance(timeline, Dated):
            return max(0, time_ns - timeline.start_ns)
        raise ValueError("the timeline has no wall clock; seek by position_s or seq")

    def acknowledge(self, client: str | None = None) -> bool:
        """In lockstep with acknowledgements, say that a client has dealt with its last message; None: each.

        Returns:
            False if nobody waited for that.
        """
        return self._audience.acknowledge(client)

    def clients(self) -> list[ClientState]:
        """Tell who is there, and what each has subscribed to."""
        return self._audience.states()

    def stats(self) -> ReplayStats:
        """Give what the replay has done so far."""
        pace = self._transport.pace
        return self._tally.stats(
            clients=len(self._audience),
            paused=pace.paused,
            speed=pace.speed,
            start_ns=self._start_ns,
            length_ns=self._length_ns,
            transcripts=self._audience.digests(),
        )

    async def _measure(self, *, finds_packets: bool) -> None:
        """Find out when the timeline was, how long it is, and whether its packets are worth machine code."""
        timeline = self._timeline
        if finds_packets:
            await asyncio.to_thread(engine.load_for, timeline)
        if isinstance(timeline, Dated):
            self._start_ns = await asyncio.to_thread(lambda: timeline.start_ns)
        if isinstance(timeline, Measured):
            self._length_ns = await asyncio.to_thread(lambda: timeline.length_ns)
