"""The buttons of a replay (pause, resume, step, speed, seek) and the wait until a message is due."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.clock import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from kiterec.replay.checkpoints import Place
    from kiterec.replay.pace import Pace
    from kiterec.replay.stats import Tally
    from kiterec.replay.timeline import TimelineBatch

TIMER_NS: Final = 5 * NS_PER_MS // 2
"""epoll waits whole milliseconds and wakes late: the last stretch is spent asking the clock."""


@dataclass(frozen=True, slots=True)
class Target:
    """A place in a timeline: just before the first message at or after an instant, or of a number.

    Attributes:
        position_ns: since the timeline's start; None: by number.
        seq: number of the message; read where there is no instant.
    """

    position_ns: int | None = None
    seq: int = 0

    def is_ahead(self, tally: Tally) -> bool:
        """Tell whether the place can be reached without going back."""
        if self.position_ns is not None:
            return self.position_ns > tally.position_ns
        return self.seq > tally.seq

    def is_behind(self, place: Place) -> bool:
        """Tell whether the first message at this target is none of those before a place."""
        if self.position_ns is not None:
            return place.due_ns < self.position_ns
        return place.seq <= self.seq

    def row(self, batch: TimelineBatch) -> int:
        """Give the first row of the batch that is not before the place; its length if all are."""
        if self.position_ns is not None or batch.seq is None:
            return int(np.searchsorted(batch.due_ns, self.position_ns or 0))
        return int(np.searchsorted(batch.seq, np.uint64(self.seq)))


class Transport:
    """What can be asked of a running replay. All is called on the event loop, and nothing here sends.

    Args:
        pace: the clock.
    """

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.steps = 0
        self._target: Target | None = None
        self._news = asyncio.Event()
        self._arrivals: list[asyncio.Future[int]] = []
        self._stepped: list[asyncio.Future[None]] = []

    def pause(self) -> None:
        """Send nothing more of the timeline until `resume`, nor what was asked for by step and is not out."""
        if not self.pace.paused:
            self.pace.pause()
        self._end_steps()
        self._news.set()

    def resume(self) -> None:
        """Go on."""
        if self.pace.paused:
            self.pace.resume()
        self._end_steps()
        self._news.set()

    def set_speed(self, speed: float | None) -> None:
        """Go on with another speed, None for max; a pause stays one.

        Raises:
            ValueError: the speed is not a positive number.
        """
        self.pace.set_speed(speed)
        self._news.set()

    def step(self, frames: int) -> asyncio.Future[None]:
        """Pause, and let so many messages out now; gives a future that is done when they are out.

        Raises:
            ValueError: less than one message.
        """
        if frames < 1:
            raise ValueError(f"a step is one frame or more, got {frames}")
        if not self.pace.paused:
            self.pace.pause()
        self.steps += frames
        stepped = asyncio.get_running_loop().create_future()
        self._stepped.append(stepped)
        self._news.set()
        return stepped

    def seek(self, target: Target) -> asyncio.Future[int]:
        """Go somewhere else; gives a future of the position that is reached then, ns.

        A seek that is overtaken by another is done when that one is.
        """
        self._target = target
        arrival = asyncio.get_running_loop().create_future()
        self._arrivals.append(arrival)
        self._news.set()
        return arrival

    def take_target(self) -> Target | None:
        """Give the place that was asked for since the last call."""
        target, self._target = self._target, None
        return target

    def arrived(self, position_ns: int) -> None:
        """Say that the replay goes on from here."""
        self.pace.start(position_ns)
        if self._target is not None:
            return  # somebody has asked for yet another place meanwhile
        arrivals, self._arrivals = self._arrivals, []
        for arrival in arrivals:
            if not arrival.done():
                arrival.set_result(position_ns)

    def stepped(self) -> None:
        """Say that one message is out that a step asked for."""
        self.steps -= 1
        if not self.steps:
            self._end_steps()

    def ended(self) -> None:
        """Say that no message is left: nobody waits for steps any more."""
        self._end_steps()

    async def asked(self) -> Target:
        """Wait until somebody asks for another place."""
        while (target := self.take_target()) is None:
            self._news.clear()
            await self._news.wait()
        return target

    async def until(self, due_ns: int) -> int:
        """Wait until a message is due, or a step or a seek is asked for; give how late it is, ns.

        The loop gets its turn also without a wait: requests are heard, heartbeats go out.
        """
        pace = self.pace
        pace.expect(due_ns)
        await asyncio.sleep(0)
        while self._target is None and not self.steps:
            self._news.clear()
            if pace.paused:
                await self._news.wait()
            elif (wait_ns := pace.wait_ns(due_ns)) <= 0:
                return -wait_ns
            elif wait_ns <= TIMER_NS:
                await asyncio.sleep(0)
            else:
                await self._news_within((wait_ns - TIMER_NS) / NS_PER_S)
        return 0

    async def _news_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    def _end_steps(self) -> None:
        self.steps = 0
        stepped, self._stepped = self._stepped, []
        for each in stepped:
            if not each.done():
                each.set_result(None)
