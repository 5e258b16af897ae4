"""All connections of all accounts: made, started, and ended together."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from kiterec.errors import SetupError
from kiterec.feed.account import Credentials
from kiterec.feed.backoff import Backoff
from kiterec.feed.driver import Driver
from kiterec.feed.protocol import ConnectionProtocol
from kiterec.feed.state import State
from kiterec.feed.stats import RateMeter
from kiterec.feed.subscriptions import account_of
from kiterec.wire.transcript import Kind, Row, lifecycle_payload

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from kiterec.clock import Clock
    from kiterec.feed.account import Account
    from kiterec.feed.config import FeedConfig
    from kiterec.feed.events import FeedEvent, Instant
    from kiterec.feed.sink import FrameSink
    from kiterec.feed.subscriptions import Subscriptions
    from kiterec.wire.messages import TextMessage

logger = logging.getLogger(__name__)

_GRACE_S = 5.0
_AFTER_FAULT_S = 0.1


class Fleet:
    """The drivers of every connection, by name; main-0, main-1 and main-2 belong to the account main."""

    def __init__(
        self,
        config: FeedConfig,
        subscriptions: Subscriptions,
        *,
        sink: FrameSink | None,
        clock: Clock,
        rng: random.Random,
        on_event: Callable[[FeedEvent], None],
        on_text: Callable[[str, TextMessage, Instant], None],
    ) -> None:
        self.drivers: dict[str, Driver] = {}
        self.meters: dict[str, RateMeter] = {}
        self.credentials: dict[str, Credentials] = {}
        self._config = config
        self._subscriptions = subscriptions
        self._sink = sink
        self._clock = clock
        self._rng = rng
        self._on_event = on_event
        self._on_text = on_text
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def add(self, account: Account) -> list[Driver]:
        """Make the connections of one more account; they do not run yet.

        Raises:
            SetupError: an account of this name, or with this api_key, is there already.
        """
        if account.name in self.credentials:
            raise SetupError(f"two accounts are called {account.name}; give each a name of its own")
        for other in self.credentials.values():
            if other.api_key == account.api_key:
                raise SetupError(
                    f"accounts {other.account.name} and {account.name} have the same api_key; "
                    "its 3 connections cannot be had twice"
                )
        credentials = self.credentials[account.name] = Credentials(account)
        slots = range(self._config.max_connections)
        return [self._driver(f"{account.name}-{slot}", credentials) for slot in slots]

    def of_account(self, account: str) -> list[Driver]:
        """Give the connections of an account.

        Raises:
            SetupError: there is no such account.
        """
        if account not in self.credentials:
            known = ", ".join(self.credentials) or "none"
            raise SetupError(f"no account is called {account!r}, known ones: {known}")
        return [driver for name, driver in self.drivers.items() if account_of(name) == account]

    def launch(self, driver: Driver) -> None:
        """Let a connection live."""
        self.write_clock(driver)
        self._tasks[driver.name] = asyncio.create_task(self._run(driver), name=f"kiterec {driver.name}")

    def running(self) -> Iterator[Driver]:
        """Give the connections that live."""
        return (driver for driver in self.drivers.values() if driver.name in self._tasks)

    async def end(self, names: list[str]) -> None:
        """Stop these connections and wait until nothing of them is left."""
        for name in names:
            if name in self._tasks:
                self.drivers[name].stop()
        tasks = [self._tasks.pop(name) for name in names if name in self._tasks]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._config.close_timeout_s * 2 + _GRACE_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def forget(self, account: str) -> list[str]:
        """Drop an account whose connections have ended; give their names."""
        names = [driver.name for driver in self.of_account(account)]
        for name in names:
            self.drop(name)
        del self.credentials[account]
        return names

    def drop(self, name: str) -> None:
        """Forget a connection that does not run."""
        del self.drivers[name], self.meters[name]

    def write_clock(self, driver: Driver) -> None:
        """Write how the two clocks stand to each other, and how long it took to read them."""
        before = self._clock.monotonic_ns()
        wall = self._clock.now_ns()
        after = self._clock.monotonic_ns()
        payload = lifecycle_payload(wall_ns=wall, monotonic_ns=before, uncertainty_ns=after - before)
        driver.scribe.write(Row(wall, before, Kind.CLOCK, payload))

    def _driver(self, name: str, credentials: Credentials) -> Driver:
        config = self._config
        protocol = ConnectionProtocol(
            name,
            config,
            self._subscriptions.add_connection(name),
            backoff=Backoff(initial_s=config.backoff_initial_s, max_s=config.backoff_max_s, rng=self._rng),
            renewable=credentials.renewable,
        )
        driver = self.drivers[name] = Driver(
            protocol,
            config,
            credentials,
            sink=self._sink,
            clock=self._clock,
            on_event=self._on_event,
            on_text=self._on_text,
        )
        self.meters[name] = RateMeter()
        return driver

    async def _run(self, driver: Driver) -> None:
        while driver.protocol.state is not State.STOPPED:
            try:
                await driver.run()
            except Exception:
                logger.exception(
                    "connection=%s a fault of kiterec itself; it is taken for a loss", driver.name
                )
                driver.recover()
                await asyncio.sleep(_AFTER_FAULT_S)
