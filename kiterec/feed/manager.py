"""Every connection of every account, under one roof: start it, say what is wanted, ask how it is."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Self

from kiterec.clock import SYSTEM_CLOCK
from kiterec.errors import SetupError
from kiterec.feed.chronicle import Chronicle
from kiterec.feed.config import FeedConfig
from kiterec.feed.consumers import SeenBefore
from kiterec.feed.events import FeedEvent, Instant, OrderReceived, TextReceived
from kiterec.feed.failover import Failover
from kiterec.feed.fleet import Fleet
from kiterec.feed.hub import Hub
from kiterec.feed.outlets import Outlets
from kiterec.feed.overview import Overview
from kiterec.feed.steps import NewToken
from kiterec.feed.subscriptions import Subscriptions, account_of
from kiterec.feed.waits import Waits
from kiterec.feed.wishes import Wishes
from kiterec.wire.messages import ErrorText
from kiterec.wire.orders import OrderUpdate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from kiterec.clock import Clock
    from kiterec.feed.account import Account, Secret, TokenSource
    from kiterec.feed.consumers import Decoder
    from kiterec.feed.health import Health
    from kiterec.feed.sink import FrameSink
    from kiterec.feed.stats import FeedStats
    from kiterec.wire.messages import TextMessage
    from kiterec.wire.packets import Mode

_CLOCK_INTERVAL_S = 60


class TickerManager(Wishes, Outlets, Waits):
    """All connections of all accounts, kept alive.

    Use it as an async context manager, or call `start` and `stop`. What is wanted may be said before that.

    Args:
        accounts: at least one.
        config: limits and habits.
        sink: takes every row of every connection; None keeps nothing.
        clock: of the host; tests give their own.
        rng: where the jitter of the waits comes from.
        decoder: of frames for `ticks`; None is `kiterec.decode`.

    Raises:
        SetupError: two accounts of the same name or api_key, or fewer accounts than copies.
    """

    def __init__(
        self,
        accounts: Sequence[Account],
        config: FeedConfig | None = None,
        *,
        sink: FrameSink | None = None,
        clock: Clock = SYSTEM_CLOCK,
        rng: random.Random | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        self.config = config or FeedConfig()
        subscriptions = Subscriptions(
            capacity=self.config.max_instruments_per_connection, copies=self.config.copies
        )
        fleet = Fleet(
            self.config,
            subscriptions,
            sink=sink,
            clock=clock,
            rng=rng or random.Random(),  # noqa: S311 -- jitter is no secret
            on_event=self._on_event,
            on_text=self._on_text,
        )
        Waits.__init__(self, fleet, Chronicle())
        Wishes.__init__(self, self.config, fleet, subscriptions)
        Outlets.__init__(self, self.config, fleet, Hub(fleet.drivers, clock.monotonic_ns), decoder)
        self._overview = Overview(
            config=self.config,
            clock=clock,
            fleet=fleet,
            subscriptions=subscriptions,
            hub=self._hub,
            troubles=self._chronicle.troubles,
        )
        self._failover = Failover(
            subscriptions,
            after_s=self.config.failover_after_s,
            tell=self._tell_holders,
            publish=self._on_event,
        )
        self._clock = clock
        self._seen_before = SeenBefore()
        self._started = False
        self._paused = False
        self._upkeep: asyncio.Task[None] | None = None
        self._add_all(accounts)

    def _add_all(self, accounts: Sequence[Account]) -> None:
        if len(accounts) < max(1, self.config.copies):
            raise SetupError(
                f"{len(accounts)} accounts for {self.config.copies} copies of each instrument; "
                "give at least one account for each copy"
            )
        for account in accounts:
            self._fleet.add(account)
        self._hub.route()

    # --- life ---

    async def start(self) -> None:
        """Start every connection, and return at once; `ready` waits for them.

        Raises:
            SetupError: it was started before.
        """
        if self._started:
            raise SetupError("this manager was started before; make a new one for a new run")
        self._started = True
        for driver in self._fleet.drivers.values():
            self._fleet.launch(driver)
        self._upkeep = asyncio.create_task(self._look_after(), name="kiterec upkeep")

    async def stop(self) -> None:
        """Close every connection and wait until no task or socket is left; may be called in any state."""
        if self._stopped or not self._started:
            self._stopped = True
            self._hub.end()
            self._ring()
            return
        self._stopped = True
        if self._upkeep is not None:
            self._upkeep.cancel()
            await asyncio.wait([self._upkeep])
        await self._fleet.end(list(self._fleet.drivers))
        self._hub.end()
        self._ring()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # --- accounts ---

    async def add_account(self, account: Account) -> None:
        """Add an account while running; its connections start at once.

        Raises:
            SetupError: its name or api_key is there already.
        """
        drivers = self._fleet.add(account)
        self._hub.route()
        if self._started and not self._stopped:
            for driver in drivers:
                if self._paused:
                    driver.hold(self)
                self._fleet.launch(driver)

    async def remove_account(self, name: str) -> tuple[int, ...]:
        """Close the connections of an account and forget it.

        Its instruments go where there is room; those that find none are given back, and nobody has them.

        Raises:
            SetupError: there is no such account.
        """
        await self._fleet.end([driver.name for driver in self._fleet.of_account(name)])
        homeless: dict[Mode, list[int]] = {}
        for connection in self._fleet.forget(name):
            for token, mode in self._subscriptions.remove_connection(connection).items():
                homeless.setdefault(mode, []).append(token)
            self._chronicle.troubles.pop(connection, None)
        self._hub.route()
        lost: list[int] = []
        for mode, tokens in homeless.items():
            lost += (await self.subscribe(tokens, mode, partial=True)).refused
        self._ring()
        return tuple(lost)

    def set_access_token(self, account: str, token: str | Secret | TokenSource) -> None:
        """Use another access token from the next connect on; connections that were refused come back at once.

        Raises:
            SetupError: there is no such account.
        """
        drivers = self._fleet.of_account(account)
        credentials = self._fleet.credentials[account]
        credentials.replace(token)
        for driver in drivers:
            driver.protocol.renewable = credentials.renewable
            driver.apply(NewToken())

    # --- reading ---

    def pause_reading(self) -> None:
        """Stop reading every socket: TCP slows the server, and nothing is lost. For back-pressure."""
        self._paused = True
        for driver in self._fleet.running():
            driver.hold(self)

    def resume_reading(self) -> None:
        """Read again; each connection writes a `backpressure` row with both ends."""
        self._paused = False
        for driver in self._fleet.running():
            driver.release(self)

    # --- how it is ---

    def stats(self) -> FeedStats:
        """Give the numbers of now."""
        return self._overview.stats()

    def health(self) -> Health:
        """Judge how the feed is now."""
        return self._overview.health()

    async def _look_after(self) -> None:
        seconds = 0
        while True:
            self._each_second(seconds)
            seconds += 1
            await asyncio.sleep(1)

    def _each_second(self, seconds: int) -> None:
        self._overview.sample()
        self._failover.look(self._fleet.running(), self._clock.monotonic_ns())
        if seconds and seconds % _CLOCK_INTERVAL_S == 0:
            for driver in self._fleet.running():
                self._fleet.write_clock(driver)
        self._overview.log_health(due=seconds % max(1, round(self.config.health_interval_s)) == 0)

    # --- what the connections say ---

    def _on_event(self, event: FeedEvent) -> None:
        self._chronicle.note(event)
        self._hub.publish(event)
        self._ring()

    def _on_text(self, connection: str, message: TextMessage, at: Instant) -> None:
        if isinstance(message, OrderUpdate):
            if not self._seen_before(account_of(connection), message.raw):
                self._on_event(OrderReceived(connection=connection, at=at, update=message))
        elif not isinstance(message, ErrorText):  # an error text is a `Refused` event already
            self._on_event(TextReceived(connection=connection, at=at, message=message))
