"""What the log says of a feed that is not as it should be: once for each reason, soon, and not for ever."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING

import pytest

from kiterec.errors import AuthError, SetupError
from kiterec.feed.health import HealthStatus, judge
from kiterec.feed.manager import TickerManager
from kiterec.feed.state import State
from tests.feed.exchange import DEADLINE_S, Exchange, account, quick, run
from tests.feed.test_stats import stats

if TYPE_CHECKING:
    from collections.abc import Callable


def warnings(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    found = [record for record in caplog.records if record.levelno >= logging.WARNING]
    return [record.getMessage() for record in found if words in record.getMessage()]


async def holds(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_feed_that_nobody_listens_to_says_so_once_and_is_soon_critical(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    async def main() -> None:
        config = quick(f"ws://127.0.0.1:{port}", max_connections=3)
        async with TickerManager([account()], config):
            await holds(lambda: warnings(caplog, "health=critical"))

    with caplog.at_level(logging.INFO, "kiterec"):
        run(main())
    reason = f"nobody listens at 127.0.0.1:{port}"
    (told,) = warnings(caplog, f"{reason}; trying again with back-off")
    assert told.startswith("connection=main-")
    (health,) = warnings(caplog, "health=critical")
    assert health.count(reason) == 1
    assert "main-0, main-1 and main-2 are " in health


def test_another_cause_of_a_critical_feed_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Exchange() as exchange:
            exchange.answers.extend([503] * 100_000)
            async with TickerManager([account()], quick(exchange.url, health_interval_s=1)):
                await holds(lambda: warnings(caplog, "health=critical"))
                exchange.answers.clear()
                exchange.answers.extend([502] * 100_000)
                await holds(lambda: len(warnings(caplog, "health=critical")) == 2)
                exchange.answers.clear()
                await holds(lambda: "health=healthy" in caplog.messages)  # no reason, and no blank for one

    with caplog.at_level(logging.INFO, "kiterec"):
        run(main())
    assert [("503" in line, "502" in line) for line in warnings(caplog, "health=critical")] == [
        (True, False),
        (False, True),
    ]
    assert len(warnings(caplog, "trying again with back-off")) == 2


def test_a_reason_is_told_again_after_the_connection_had_worked(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Exchange() as exchange, TickerManager([account()], quick(exchange.url)) as manager:
            for number in range(2):
                await exchange.session(number)
                exchange.answers.extend([503] * 3)
                exchange.sessions[number].reset()
                await exchange.session(number + 1)
            await manager.ready()

    run(main())
    assert len(warnings(caplog, "HTTP 503, expected 101; trying again")) == 2


@pytest.mark.parametrize(
    ("status", "words"), [(403, "refused the access token"), (429, "too many connections")]
)
def test_a_refusal_is_told_once_for_each_account(
    status: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Exchange() as exchange:
            exchange.answers.extend([status] * 100_000)
            config = quick(exchange.url, max_connections=3, max_attempts=50 if status == 403 else None)
            async with TickerManager([account("a"), account("b")], config) as manager:
                if status == 403:
                    with pytest.raises(AuthError):
                        await manager.ready()
                else:
                    await exchange.until(lambda exchange: len(exchange.requests) > 30)

    run(main())
    told = [line for line in warnings(caplog, words) if not line.startswith("health=")]
    assert sorted(line.partition("-")[0] for line in told) == ["connection=a", "connection=b"]


def test_another_access_token_that_is_refused_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Exchange() as exchange:
            exchange.tokens = set()
            async with TickerManager([account()], quick(exchange.url, max_connections=3)) as manager:
                for number in range(2):
                    with pytest.raises(AuthError):
                        await manager.ready()
                    assert len(warnings(caplog, "refused the access token")) == number + 1
                    manager.set_access_token("main", "another")

    run(main())


def test_a_cause_is_named_once_for_all_its_connections() -> None:
    down = {f"main-{slot}": stats(State.WAITING, age=None) for slot in range(2)}
    down["main-1"] = stats(State.CONNECTING, age=None)
    health = judge(down, silence_limit_s=10, why=dict.fromkeys(down, "it rains"), held=False)
    assert health.status is HealthStatus.CRITICAL
    assert health.reasons == ("main-0 and main-1 are waiting or connecting: it rains",)


def test_connections_that_would_carry_nothing_are_never_opened() -> None:
    async def main() -> None:
        async with Exchange() as exchange:
            manager = TickerManager([account("a"), account("b")], quick(exchange.url, max_connections=3))
            await manager.subscribe([1, 2])
            assert manager.drop_idle() == ("a-2", "b-0", "b-1", "b-2")
            async with manager:
                await manager.ready()
                assert len(exchange.requests) == 2
                assert list(manager.stats().connections) == ["a-0", "a-1"]
                manager.set_access_token("b", "another")
                with pytest.raises(SetupError, match="before the start only"):
                    manager.drop_idle()
                assert await manager.remove_account("b") == ()

    run(main())
