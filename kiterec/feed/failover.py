"""Instruments of a connection that stays down move to others, and come back with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiterec.clock import NS_PER_S
from kiterec.feed.events import Moved
from kiterec.feed.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kiterec.feed.driver import Driver
    from kiterec.feed.events import FeedEvent
    from kiterec.feed.subscriptions import Move, Subscriptions


class Failover:
    """Looks at the connections once a second.

    Args:
        after_s: how long a connection may be down; None never moves anything.
        tell: tells these connections to look at these instruments again.
        publish: takes the `Moved` events.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        *,
        after_s: float | None,
        tell: Callable[[dict[int, tuple[str, ...]]], None],
        publish: Callable[[FeedEvent], None],
    ) -> None:
        self._subscriptions = subscriptions
        self._after_ns = None if after_s is None else int(after_s * NS_PER_S)
        self._tell = tell
        self._publish = publish
        self._down_since: dict[str, int] = {}

    def look(self, drivers: Iterable[Driver], monotonic_ns: int) -> None:
        """Move what has been down for too long; bring back what can be."""
        if self._after_ns is None:
            return
        listed = list(drivers)
        working = [driver.name for driver in listed if driver.protocol.state is State.OPEN]
        for driver in listed:
            if driver.protocol.state is State.OPEN:
                self._down_since.pop(driver.name, None)
                if self._subscriptions.has_lent(driver.name):
                    self._say(driver, self._subscriptions.give_back(driver.name), returned=True)
                continue
            since = self._down_since.setdefault(driver.name, monotonic_ns)
            if monotonic_ns - since >= self._after_ns and working:
                self._say(driver, self._subscriptions.lend(driver.name, eligible=working), returned=False)

    def _say(self, driver: Driver, moves: list[Move], *, returned: bool) -> None:
        at = driver.instant()
        for move in moves:
            both = (move.source, move.target)
            self._tell(dict.fromkeys(move.tokens, both))
            self._publish(
                Moved(
                    connection=move.source, at=at, target=move.target, tokens=move.tokens, returned=returned
                )
            )
