"""Numbers and health: rates that fall to zero, and reasons that go when their cause has gone."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from kiterec.clock import NS_PER_S
from kiterec.feed.counters import Counters
from kiterec.feed.health import HealthStatus, judge
from kiterec.feed.manager import TickerManager
from kiterec.feed.state import State
from kiterec.feed.stats import ConnectionStats, RateMeter, Rates
from kiterec.wire.frames import join_frame
from kiterec.wire.packets import Mode
from tests.feed.exchange import DEADLINE_S, Exchange, account, packet, quick, run


def test_rates_fall_to_zero_when_nothing_comes() -> None:
    meter, counters = RateMeter(), Counters()
    assert meter.rates() == Rates()
    for second in range(180):
        if second < 60:
            counters.frames += 4
            counters.packets += 400
            counters.size += 4000
        meter.sample(second * NS_PER_S + second * 1_000_000, counters)
        if second == 59:
            rates = meter.rates()
            assert round(rates.frames_1s, 1) == round(rates.frames_60s, 1) == 4.0
            assert round(rates.packets_1s) == 400
            assert 3900 < rates.bytes_60s < 4100
        if second == 61:
            assert meter.rates().frames_1s == 0
            assert meter.rates().frames_60s > 3
    assert meter.rates() == Rates()


def stats(state: State = State.OPEN, *, age: float | None = 0.0, pending: int = 0) -> ConnectionStats:
    return ConnectionStats(
        state=state,
        epoch=1,
        counters=Counters(),
        rates=Rates(),
        instruments=5,
        pending=pending,
        last_heard_age_s=age,
    )


def status(*connections: ConnectionStats, held: bool = False, dropped: int = 0) -> tuple[HealthStatus, str]:
    named = {f"main-{slot}": each for slot, each in enumerate(connections)}
    health = judge(named, silence_limit_s=10, why={"main-1": "it is raining"}, held=held, dropped=dropped)
    return health.status, "; ".join(health.reasons)


def test_health_is_the_worst_of_what_is_and_names_it() -> None:
    fine = stats()
    assert status(fine, fine) == (HealthStatus.HEALTHY, "")
    assert status(fine, stats(State.WAITING, age=None)) == (
        HealthStatus.DEGRADED,
        "main-1 is waiting: it is raining",
    )
    assert status(stats(State.REFUSED, age=None))[0] is HealthStatus.CRITICAL
    assert status() == (HealthStatus.CRITICAL, "there is no connection")
    assert "said nothing for 6.0 s" in status(fine, stats(age=6.0))[1]
    assert status(stats(age=6.0), held=True)[1].startswith("reading stands still")
    assert "7 instruments still to be told" in status(stats(pending=7))[1]
    assert "lost 1,000 items" in status(fine, dropped=1000)[1]


def test_drops_of_a_slow_consumer_are_seen_in_the_health_and_forgotten_when_they_end() -> None:
    async def main() -> None:
        exchange = Exchange(heartbeat_s=None, snapshots=False, greet=False)
        async with exchange:
            config = quick(exchange.url, health_interval_s=20)
            async with TickerManager([account()], config) as manager:
                slow, other = manager.frames(size=1), manager.frames()
                await manager.ready()
                session = await exchange.session()
                for number in range(10):
                    await session.send(join_frame([packet(number, Mode.LTP)]))
                async with asyncio.timeout(DEADLINE_S):
                    for _ in range(10):
                        await anext(other)
                assert slow.dropped == 9
                assert any("lost 9 items" in reason for reason in manager.health().reasons)
                for _ in range(21):  # seconds, of which the health looks at the last 20
                    manager._overview.sample()
                assert manager.health().status is HealthStatus.HEALTHY

    run(main())


def test_every_test_that_the_documentation_names_exists() -> None:
    root = Path(__file__).parents[2]
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (root / "docs" / "feed.md").read_text())
    assert len(named) > 30
    for file, test in named:
        assert f"def {test}(" in (root / "tests" / "feed" / file).read_text(), f"{file}::{test}"
