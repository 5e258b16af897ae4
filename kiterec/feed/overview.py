"""How the feed is, in numbers and in a word: looks at every connection and every consumer."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kiterec.clock import NS_PER_S
from kiterec.feed.health import Health, HealthStatus, judge
from kiterec.feed.state import State
from kiterec.feed.stats import ConnectionStats, FeedStats, add_counters, add_rates
from kiterec.feed.subscriptions import account_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kiterec.clock import Clock
    from kiterec.feed.config import FeedConfig
    from kiterec.feed.driver import Driver
    from kiterec.feed.fleet import Fleet
    from kiterec.feed.hub import Hub
    from kiterec.feed.subscriptions import Subscriptions

logger = logging.getLogger(__name__)

_LASTING_LOOKS: Final = 3
"""So many seconds nothing comes for the same cause before that is worth a line: most losses end sooner."""


@dataclass(slots=True, kw_only=True)
class Overview:
    """Takes a sample a second, and answers at any time."""

    config: FeedConfig
    clock: Clock
    fleet: Fleet
    subscriptions: Subscriptions
    hub: Hub
    troubles: Mapping[str, str]
    _dropped: deque[int] | None = None
    _status: HealthStatus = HealthStatus.CRITICAL
    _told_causes: frozenset[str] = frozenset()
    _causes: frozenset[str] = frozenset()
    _seen: int = 0

    def sample(self) -> None:
        """Note the totals of now, for the rates; to be called once a second."""
        now = self.clock.monotonic_ns()
        for driver in self.fleet.running():
            self.fleet.meters[driver.name].sample(now, driver.counters)
        if self._dropped is None:
            self._dropped = deque(maxlen=max(2, round(self.config.health_interval_s) + 1))
        self._dropped.append(self.hub.dropped)

    def stats(self) -> FeedStats:
        """Give the numbers of now."""
        connections = {name: self._connection(driver) for name, driver in self.fleet.drivers.items()}
        accounts = {
            account: add_counters(
                stats.counters for name, stats in connections.items() if account_of(name) == account
            )
            for account in self.fleet.credentials
        }
        return FeedStats(
            connections=connections,
            accounts=accounts,
            total=add_counters(accounts.values()),
            rates=add_rates(stats.rates for stats in connections.values()),
            dropped=self.hub.dropped,
            latency=self.hub.latency().summary(),
        )

    def health(self) -> Health:
        """Judge how the feed is now."""
        return judge(
            {name: self._connection(driver) for name, driver in self.fleet.drivers.items()},
            silence_limit_s=self.config.silence_limit_s,
            why=self.troubles,
            held=any(driver.held for driver in self.fleet.running()),
            dropped=self.hub.dropped - self._dropped[0] if self._dropped else 0,
        )

    def log_health(self, *, due: bool = True) -> None:
        """Write a line when the health has changed; to be called once a second.

        A feed that gives nothing is told soon, and again when the cause is another one.

        Args:
            due: the health interval is over; nothing but a critical health is told before.
        """
        health = self.health()
        if health.status is HealthStatus.CRITICAL:
            self._log_critical(health)
            return
        self._causes, self._seen = frozenset(), 0
        if due and health.status is not self._status:
            self._status, self._told_causes = health.status, frozenset()
            logger.info("%s", _line(health))

    def _log_critical(self, health: Health) -> None:
        causes = frozenset(self.troubles.values()) or frozenset(health.reasons)
        self._seen = self._seen + 1 if causes == self._causes else 1
        self._causes = causes
        if self._seen >= _LASTING_LOOKS and causes != self._told_causes:
            self._status, self._told_causes = health.status, causes
            logger.warning("%s", _line(health))

    def _connection(self, driver: Driver) -> ConnectionStats:
        protocol = driver.protocol
        age_ns = self.clock.monotonic_ns() - protocol.last_heard.monotonic_ns
        return ConnectionStats(
            state=protocol.state,
            epoch=protocol.epoch,
            counters=add_counters([driver.counters]),
            rates=self.fleet.meters[driver.name].rates(),
            instruments=self.subscriptions.count(driver.name),
            pending=protocol.pending,
            last_heard_age_s=age_ns / NS_PER_S if protocol.state is State.OPEN else None,
        )


def _line(health: Health) -> str:
    return f"health={health.status} {'; '.join(health.reasons)}".rstrip()
