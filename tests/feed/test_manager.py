"""The manager against a real server: what is wanted is told, moved, counted and judged."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from kiterec.errors import CapacityError, SetupError
from kiterec.feed.events import Gap, Moved
from kiterec.feed.health import HealthStatus
from kiterec.feed.manager import TickerManager
from kiterec.feed.state import State
from kiterec.wire.packets import Mode
from kiterec.wire.requests import SetMode, Subscribe, Unsubscribe
from kiterec.wire.transcript import Kind
from tests.feed.exchange import DEADLINE_S, Exchange, Sink, account, of_kind, packet, quick, run


def test_a_subscription_is_told_and_its_frames_reach_the_sink() -> None:
    async def main() -> None:
        sink = Sink()
        async with (
            Exchange() as exchange,
            TickerManager([account()], quick(exchange.url), sink=sink) as manager,
        ):
            await manager.subscribe([408065, 256265], Mode.FULL)
            session = await exchange.session()
            await exchange.until(lambda _: len(session.requests) == 2)
            await sink.until(lambda sink: any(len(frame) > 100 for frame in sink.payloads(Kind.BINARY)))
        kinds = [row.kind for _, row in sink.rows]
        assert kinds[:2] == [Kind.CLOCK, Kind.CONNECTED]
        assert kinds[-1] is Kind.DISCONNECTED
        assert sink.lifecycle(Kind.DISCONNECTED)[0]["wanted"] is True
        assert sink.payloads(Kind.SENT) == [
            b'{"a":"subscribe","v":[408065,256265]}',
            b'{"a":"mode","v":["full",[408065,256265]]}',
        ]
        times = [row.monotonic_ns for _, row in sink.rows]
        assert times == sorted(times)

    run(main())


def test_everything_changes_at_run_time_without_a_reconnect() -> None:
    async def main() -> None:
        async with Exchange() as exchange, TickerManager([account()], quick(exchange.url)) as manager:
            session = await exchange.session()
            await manager.ready()
            await manager.subscribe([1, 2, 3, 3])
            await manager.set_mode([1], "full")
            await manager.subscribe([2], Mode.LTP)  # known: its mode changes
            report = await manager.unsubscribe([3, 99])
            assert (report.changed, report.ignored) == ((3,), (99,))
            assert (await manager.set_mode([99], Mode.FULL)).ignored == (99,)
            await exchange.until(lambda _: session.modes == {1: Mode.FULL, 2: Mode.LTP})
            assert session.requests[0] == Subscribe((1, 2, 3))
            assert session.requests[1:4] == [
                SetMode(Mode.FULL, (1,)),
                SetMode(Mode.LTP, (2,)),
                Unsubscribe((3,)),
            ]
            assert manager.distribution() == {"main": {"main-0": {Mode.FULL: 1, Mode.LTP: 1}}}
            assert len(exchange.sessions) == 1

    run(main())


def test_unsubscribing_in_many_batches_forgets_nothing() -> None:
    async def main() -> None:
        async with Exchange() as exchange, TickerManager([account()], quick(exchange.url)) as manager:
            session = await exchange.session()
            await manager.subscribe(range(100))
            for token in range(0, 90, 10):
                report = await manager.unsubscribe(range(token, token + 10))
                assert (len(report.changed), report.ignored) == (10, ())
            await exchange.until(lambda _: sorted(session.modes) == list(range(90, 100)))
            assert sum(manager.distribution()["main"]["main-0"].values()) == 10

    run(main())


def test_a_connection_that_was_emptied_and_filled_again_gives_every_frame_once() -> None:
    async def main() -> None:
        sink = Sink()
        exchange = Exchange(heartbeat_s=None, snapshots=False, greet=False)
        async with exchange, TickerManager([account()], quick(exchange.url), sink=sink) as manager:
            frames = manager.frames()
            session = await exchange.session()
            for _ in range(3):
                await manager.subscribe([1])
                await exchange.until(lambda _: session.modes == {1: Mode.QUOTE})
                await manager.unsubscribe([1])
                await exchange.until(lambda _: session.modes == {})
            for price in range(5):
                await session.send_packets(packet(1, price=price))
            await session.send("done")
            async with asyncio.timeout(DEADLINE_S):
                got = [await anext(frames) for _ in range(6)]
            assert len({item.payload for item in got}) == 6
            assert len(sink.payloads(Kind.BINARY)) == 5
            assert len(exchange.sessions) == 1

    run(main())


def test_instruments_are_spread_over_all_connections_of_all_accounts() -> None:
    async def main() -> None:
        async with Exchange() as exchange:
            accounts = [account("a"), account("b")]
            async with TickerManager(accounts, quick(exchange.url, max_connections=3)) as manager:
                await manager.subscribe(range(1, 61), Mode.LTP)
                await manager.ready()
                await exchange.until(lambda exchange: sum(len(s.modes) for s in exchange.sessions) == 60)
                assert [len(session.modes) for session in exchange.sessions] == [10] * 6
                assert sorted(token for session in exchange.sessions for token in session.modes) == list(
                    range(1, 61)
                )
                manual = await manager.subscribe([100, 101], account="b")
                assert {names[0].partition("-")[0] for names in manual.placed.values()} == {"b"}
                with pytest.raises(SetupError, match="nobody"):
                    await manager.subscribe([102], account="nobody")

    run(main())


def test_capacity_is_enforced_inside_one_batch_before_anything_is_told() -> None:
    async def main() -> None:
        async with Exchange() as exchange:
            config = quick(exchange.url, max_connections=2, max_instruments_per_connection=5)
            async with TickerManager([account()], config) as manager:
                await manager.ready()
                with pytest.raises(CapacityError, match="11 instruments asked for, room for 10"):
                    await manager.subscribe(range(11))
                report = await manager.subscribe(range(11), partial=True)
                assert (len(report.placed), report.refused) == (10, (10,))
                await exchange.until(lambda exchange: sum(len(s.modes) for s in exchange.sessions) == 10)
                assert [len(session.modes) for session in exchange.sessions] == [5, 5]

    run(main())


def test_a_refused_account_gets_no_new_instruments() -> None:
    async def main() -> None:
        async with Exchange() as exchange:
            exchange.tokens = {"good"}
            accounts = [account("a", token="good"), account("b", token="bad")]
            async with TickerManager(accounts, quick(exchange.url)) as manager:
                await manager.ready()
                report = await manager.subscribe(range(4))
                assert set(report.placed.values()) == {("a-0",)}
                assert manager.health().status is HealthStatus.DEGRADED
                assert any("b-0 is refused" in reason for reason in manager.health().reasons)

    run(main())


def test_an_account_can_be_added_and_removed_while_running() -> None:
    async def main() -> None:
        async with Exchange() as exchange, TickerManager([account("a")], quick(exchange.url)) as manager:
            await manager.subscribe(range(10), Mode.FULL)
            frames = manager.frames()
            await manager.add_account(account("b"))
            with pytest.raises(SetupError):
                await manager.add_account(account("b"))
            await manager.ready()
            await manager.subscribe(range(10, 14), account="b")
            await exchange.until(lambda exchange: sum(len(s.modes) for s in exchange.sessions) == 14)
            async with asyncio.timeout(DEADLINE_S):
                while (await anext(frames)).account != "b":
                    pass
            assert await manager.remove_account("a") == ()
            assert manager.distribution() == {"b": {"b-0": {Mode.QUOTE: 4, Mode.FULL: 10}}}
            other = next(session for session in exchange.sessions if session.key == "key-of-b")
            await exchange.until(lambda _: len(other.modes) == 14)
            assert other.modes[3] is Mode.FULL
            with pytest.raises(SetupError, match="no account is called 'a'"):
                await manager.remove_account("a")

    run(main())


def test_what_a_removed_account_held_and_nobody_has_room_for_is_given_back() -> None:
    async def main() -> None:
        async with Exchange() as exchange:
            config = quick(exchange.url, max_instruments_per_connection=5)
            async with TickerManager([account("a"), account("b")], config) as manager:
                await manager.subscribe(range(8))
                assert len(await manager.remove_account("a")) == 3

    run(main())


def test_a_lost_connection_lends_its_instruments_and_gets_them_back() -> None:
    async def main() -> None:
        async with Exchange() as exchange:
            accounts = [account("a"), account("b", token="bad-later")]
            async with TickerManager(accounts, quick(exchange.url, failover_after_s=0.05)) as manager:
                events = manager.events()
                await manager.subscribe(range(10), Mode.FULL)
                await manager.ready()
                exchange.tokens = {"token"}
                sessions = {session.key: session for session in exchange.sessions}
                sessions["key-of-b"].reset()
                left = sessions["key-of-a"]
                await exchange.until(lambda _: len(left.modes) == 10)
                assert set(left.modes.values()) == {Mode.FULL}
                manager.set_access_token("b", "token")
                await exchange.until(lambda exchange: len(left.modes) == 5 and len(exchange.sessions) == 3)
                await exchange.until(lambda exchange: len(exchange.sessions[2].modes) == 5)
            moves = of_kind([event async for event in events], Moved)
            assert [(m.connection, m.target, len(m.tokens), m.returned) for m in moves] == [
                ("b-0", "a-0", 5, False),
                ("a-0", "b-0", 5, True),
            ]

    run(main())


def test_redundancy_holds_every_instrument_on_two_accounts_and_keeps_both() -> None:
    async def main() -> None:
        sink = Sink()
        async with Exchange() as exchange:
            accounts = [account("a"), account("b")]
            async with TickerManager(accounts, quick(exchange.url, copies=2), sink=sink) as manager:
                frames = manager.frames()
                await manager.subscribe([1, 2])
                await exchange.until(lambda exchange: [len(s.modes) for s in exchange.sessions] == [2, 2])
                tags = set()
                async with asyncio.timeout(DEADLINE_S):
                    while tags != {"a", "b"}:
                        item = await anext(frames)
                        if item.kind is Kind.BINARY and len(item.payload) > 44:
                            tags.add(item.account)
                for name in ("a-0", "b-0"):
                    assert any(len(frame) > 44 for frame in sink.payloads(Kind.BINARY, name))

    run(main())


def test_stats_count_by_connection_account_and_in_all() -> None:
    async def main() -> None:
        exchange = Exchange(heartbeat_s=None, snapshots=False, greet=False)
        async with exchange:
            accounts = [account("a"), account("b")]
            async with TickerManager(accounts, quick(exchange.url)) as manager:
                frames = manager.frames()
                await manager.subscribe([1, 2, 3])
                await manager.ready()
                for session in exchange.sessions:
                    await session.send_packets(packet(1), packet(2))
                    await session.send(b"\0")
                    await session.send("{}")
                async with asyncio.timeout(DEADLINE_S):
                    for _ in range(6):
                        await anext(frames)
                stats = manager.stats()
                for counters in (stats.accounts["a"], stats.connections["b-0"].counters):
                    assert (counters.frames, counters.packets, counters.heartbeats, counters.texts) == (
                        2,
                        2,
                        1,
                        1,
                    )
                    assert counters.size == 2 + 2 * 186 + 1 + 2
                assert (stats.total.frames, stats.total.connects) == (4, 2)
                assert stats.connections["a-0"].state is State.OPEN
                assert [stats.connections[name].instruments for name in ("a-0", "b-0")] == [2, 1]

    run(main())


def test_health_says_what_is_wrong_and_recovers() -> None:
    async def main() -> None:
        async with Exchange() as exchange, TickerManager([account()], quick(exchange.url)) as manager:
            assert manager.health().status is HealthStatus.CRITICAL
            await manager.ready()
            assert manager.health().status is HealthStatus.HEALTHY
            assert manager.health().reasons == ()
            exchange.answers.extend([503] * 5)
            (await exchange.session()).reset()
            await exchange.until(lambda exchange: len(exchange.requests) >= 3)
            assert manager.health().status is HealthStatus.CRITICAL
            assert "503" in manager.health().reasons[0]
            await exchange.session(1)
            await manager.ready()
            assert manager.health().status is HealthStatus.HEALTHY

    run(main())


def test_a_consumer_waiting_while_the_connection_is_lost_is_told_and_goes_on() -> None:
    async def main() -> None:
        async with Exchange() as exchange, TickerManager([account()], quick(exchange.url)) as manager:
            stream = manager.stream()
            await manager.subscribe([1])
            await manager.ready()
            (await exchange.session()).reset()
            seen_gap = False
            async with asyncio.timeout(DEADLINE_S):
                async for item in stream:
                    seen_gap = seen_gap or isinstance(item, Gap)
                    if seen_gap and not isinstance(item, Gap):
                        break

    run(main())


def test_a_manager_lives_once() -> None:
    async def main() -> None:
        async with Exchange() as exchange, TickerManager([account()], quick(exchange.url)) as manager:
            with pytest.raises(SetupError, match="started before"):
                await manager.start()

    run(main())


def open_files() -> int:
    """Count the open files of this process, sockets among them; 0 where the system does not tell."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def test_a_thousand_losses_leave_no_task_no_socket_and_no_memory_behind() -> None:
    async def main() -> None:
        exchange = Exchange(heartbeat_s=None, snapshots=False)

        async def lose(times: int) -> tuple[int, int, int]:
            for _ in range(times):
                await exchange.until(lambda exchange: [len(s.modes) for s in exchange.sessions] == [10])
                exchange.requests.clear()
                exchange.sessions.pop().reset()
            await exchange.until(lambda exchange: [len(s.modes) for s in exchange.sessions] == [10])
            await manager.ready()
            gc.collect()
            ours = [task for task in asyncio.all_tasks() if task.get_name().startswith("kiterec")]
            return len(ours), open_files(), len(gc.get_objects())

        async with exchange:
            config = quick(exchange.url, backoff_initial_s=0.0001, backoff_max_s=0.0001)
            async with TickerManager([account()], config) as manager:
                await manager.subscribe(range(10))
                tasks, files, objects = await lose(100)
                after = await lose(900)
                assert tasks == 3  # upkeep, the driver, and its epoch
                assert after[0] == tasks
                assert abs(after[1] - files) <= 2  # the server may not have dropped its last ones yet
                assert after[2] < objects * 1.1
                assert manager.stats().total.losses == 1000

    run(main())
