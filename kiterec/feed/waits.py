"""What a user can wait for: a condition, that all is subscribed, the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kiterec.feed.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from kiterec.errors import FeedError
    from kiterec.feed.chronicle import Chronicle
    from kiterec.feed.fleet import Fleet


class Waits:
    """The waiting side of a manager."""

    def __init__(self, fleet: Fleet, chronicle: Chronicle) -> None:
        self._fleet = fleet
        self._chronicle = chronicle
        self._news = asyncio.Event()
        self._stopped = False

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; it is looked at after each event of the feed."""
        while not condition():
            await self._news.wait()

    async def ready(self) -> None:
        """Wait until each connection is open and was told all that is wanted, or can never be.

        Raises:
            AuthError: every access token is refused.
            ConnectionLostError: every connection was given up.
            TooManyConnectionsError: likewise, and the last failure was a 429.
            StaleFeedError: likewise, and the last failure was silence.
        """
        await self.until(
            lambda: (
                self._stopped
                or all(
                    driver.protocol.hopeless
                    or (driver.protocol.state is State.OPEN and not driver.protocol.pending)
                    for driver in self._fleet.drivers.values()
                )
            )
        )
        if error := self.failure():
            raise error

    async def ended(self) -> FeedError | None:
        """Wait until nothing comes any more: None after `stop`, else why every connection is at its end."""
        await self.until(lambda: self._stopped or self.failure() is not None)
        return self.failure()

    def failure(self) -> FeedError | None:
        """Give the reason why nothing can come any more; None while something can, and after `stop`."""
        drivers = list(self._fleet.drivers.values())
        if self._stopped or not drivers or not all(driver.protocol.hopeless for driver in drivers):
            return None
        refused = (driver for driver in drivers if driver.protocol.state is State.REFUSED)
        return self._chronicle.error(next(refused, drivers[0]).name)

    def _ring(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
