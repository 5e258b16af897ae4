"""What consumers see: streams of their own, policies, events, ticks, packets, orders."""

from __future__ import annotations

import asyncio
import json

import pytest

from kiterec.errors import SetupError
from kiterec.feed.events import (
    Connected,
    Connecting,
    FeedEvent,
    Gap,
    Lost,
    OrderReceived,
    RetryIn,
    Silent,
    Stopped,
    Subscribed,
    TextReceived,
)
from kiterec.feed.manager import TickerManager
from kiterec.feed.streams import Frame, Policy
from kiterec.wire.frames import join_frame
from kiterec.wire.messages import UnknownText
from kiterec.wire.packets import Mode
from kiterec.wire.transcript import Kind
from tests.feed.exchange import DEADLINE_S, Exchange, Sink, account, packet, quick, run


def quiet() -> Exchange:
    """Give an exchange that says only what the test lets it say."""
    return Exchange(heartbeat_s=None, snapshots=False, greet=False)


def frame(number: int) -> bytes:
    return join_frame([packet(number, Mode.LTP)])


async def take(stream: object, count: int) -> list[object]:
    async with asyncio.timeout(DEADLINE_S):
        return [await anext(stream) for _ in range(count)]  # type: ignore[call-overload]


def test_each_consumer_gets_every_frame_of_the_connections_it_asked_for() -> None:
    async def main() -> None:
        async with quiet() as exchange:
            async with TickerManager([account()], quick(exchange.url, max_connections=2)) as manager:
                merged, again = manager.frames(), manager.frames(account="main")
                single = [manager.frames(connection=f"main-{slot}") for slot in range(2)]
                await manager.ready()
                sessions = [await exchange.session(number) for number in range(2)]
                for number, session in enumerate(sessions):
                    await session.send(frame(number))
                both = await take(merged, 2)
                assert {item.payload for item in both} == {frame(0), frame(1)}
                assert await take(again, 2) == both
                alone = [(await take(stream, 1))[0] for stream in single]
                assert sorted(alone) == sorted(both)
                assert [item.connection for item in alone] == ["main-0", "main-1"]
                assert alone[0].account == "main"
            for stream in (merged, again, *single):
                with pytest.raises(StopAsyncIteration):
                    await anext(stream)
            assert [item async for item in manager.frames()] == []

    run(main())


def test_a_frame_is_shared_and_never_copied() -> None:
    async def main() -> None:
        sink = Sink()
        async with quiet() as exchange, TickerManager([account()], quick(exchange.url), sink=sink) as manager:
            streams = [manager.frames() for _ in range(2)]
            await (await exchange.session()).send(frame(1))
            first, second = [(await take(stream, 1))[0] for stream in streams]
            assert first.payload is second.payload is sink.payloads(Kind.BINARY)[0]

    run(main())


@pytest.mark.parametrize(
    ("policy", "left"), [(Policy.DROP_OLDEST, [7, 8, 9]), (Policy.DROP_NEWEST, [0, 1, 2])]
)
def test_a_slow_consumer_loses_what_its_policy_says_and_knows_how_much(
    policy: Policy, left: list[int]
) -> None:
    async def main() -> None:
        async with quiet() as exchange, TickerManager([account()], quick(exchange.url)) as manager:
            slow = manager.frames(size=3, policy=policy)
            quick_one = manager.frames()
            session = await exchange.session()
            for number in range(10):
                await session.send(frame(number))
            assert [item.payload for item in await take(quick_one, 10)] == [frame(n) for n in range(10)]
            assert [item.payload for item in await take(slow, 3)] == [frame(n) for n in left]
            assert (slow.dropped, slow.delivered, quick_one.dropped) == (7, 3, 0)
            assert manager.stats().dropped == 7
            slow.close()
            assert manager.stats().dropped == 7

    run(main())


def test_a_blocking_consumer_loses_nothing_stops_the_reading_and_is_no_silence() -> None:
    async def main() -> None:
        sink = Sink()
        async with quiet() as exchange:
            config = quick(exchange.url, silence_limit_s=1.0, max_connections=2)
            async with TickerManager([account()], config, sink=sink) as manager:
                blocking = manager.frames(connection="main-0", size=4, policy="block")
                lost = manager.events(connection="main-1")
                await manager.ready()
                session = await exchange.session(0)
                for number in range(100):
                    await session.send(frame(number))
                async with asyncio.timeout(DEADLINE_S):
                    async for event in lost:  # main-1 is as silent as main-0, but is read
                        if isinstance(event, Lost):
                            break
                assert len(sink.payloads(Kind.BINARY)) < 10
                assert any("blocking consumer" in reason for reason in manager.health().reasons)
                assert manager.stats().connections["main-0"].counters.losses == 0
                got = [item.payload for item in await take(blocking, 100)]
                assert got == [frame(number) for number in range(100)]
                assert blocking.dropped == 0
                assert sink.lifecycle(Kind.BACKPRESSURE)

    run(main())


def test_a_consumer_that_leaves_lets_the_others_go_on() -> None:
    async def main() -> None:
        async with quiet() as exchange, TickerManager([account()], quick(exchange.url)) as manager:
            other = manager.frames()
            session = await exchange.session()
            async with manager.frames(size=1, policy="block"):
                for number in range(20):
                    await session.send(frame(number))
                await take(other, 2)
            await take(other, 18)

    run(main())


def test_two_readers_of_one_stream_are_told_apart() -> None:
    async def main() -> None:
        async with quiet() as exchange, TickerManager([account()], quick(exchange.url)) as manager:
            stream = manager.frames()
            first = asyncio.create_task(anext(stream))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="stream of its own"):
                await anext(stream)
            first.cancel()
            await asyncio.wait([first])

    run(main())


def test_reading_can_be_paused_and_resumed_and_leaves_a_row() -> None:
    async def main() -> None:
        sink = Sink()
        async with quiet() as exchange:
            async with TickerManager(
                [account()], quick(exchange.url, silence_limit_s=0.8), sink=sink
            ) as manager:
                await manager.ready()
                manager.pause_reading()
                session = await exchange.session()
                for number in range(50):
                    await session.send(frame(number))
                async with TickerManager(
                    [account("other")], quick(exchange.url, silence_limit_s=1.0)
                ) as other:
                    events = other.events()
                    async with asyncio.timeout(DEADLINE_S):
                        while not isinstance(await anext(events), Lost):
                            assert len(sink.payloads(Kind.BINARY)) <= 1
                assert any("reading stands still" in reason for reason in manager.health().reasons)
                assert manager.stats().total.losses == 0
                manager.resume_reading()
                await sink.has(Kind.BINARY, 50)
            assert sink.payloads(Kind.BINARY) == [frame(number) for number in range(50)]
            row = sink.lifecycle(Kind.BACKPRESSURE)[0]
            assert row["to"] - row["from"] >= 0.8e9

    run(main())


@pytest.mark.parametrize(("sent", "gaps"), [(10, 0), (500, 1)])
def test_a_stop_while_reading_is_paused_takes_what_has_come_and_tells_of_more(sent: int, gaps: int) -> None:
    async def main() -> None:
        sink = Sink()
        async with quiet() as exchange:
            async with TickerManager([account()], quick(exchange.url), sink=sink) as manager:
                await manager.ready()
                session = await exchange.session()
                manager.pause_reading()
                for number in range(sent):
                    await session.send(frame(number))
            taken = sink.payloads(Kind.BINARY)
            assert taken == [frame(number) for number in range(len(taken))]
            assert len(taken) == sent if not gaps else len(taken) < sent
            assert len(sink.lifecycle(Kind.BACKPRESSURE)) == 1
            assert len(sink.lifecycle(Kind.GAP)) == gaps

    run(main())


def test_the_events_of_a_life_come_in_their_order() -> None:
    async def main() -> list[FeedEvent]:
        exchange = Exchange(heartbeat_s=None, greet=False)
        async with exchange:
            manager = TickerManager([account()], quick(exchange.url, silence_limit_s=0.2))
            events = manager.events()
            await manager.subscribe([1])
            async with manager:
                await exchange.session(1)
                exchange.heartbeat_s = 0.01
                await manager.ready()
            return [event async for event in events]

    seen = [type(event) for event in run(main())]
    assert seen[:8] == [Connecting, Connected, Subscribed, Silent, Lost, RetryIn, Connecting, Connected]
    assert Gap in seen
    assert seen[-2:] == [Lost, Stopped]


def test_frames_and_events_share_one_stream_in_their_order() -> None:
    async def main() -> None:
        async with quiet() as exchange:
            manager = TickerManager([account()], quick(exchange.url))
            stream = manager.stream()
            async with manager:
                session = await exchange.session()
                await session.send(frame(1))
                await exchange.until(lambda _: True)
                first = await take(stream, 4)
                session.reset()
                second = await take(stream, 1)
            assert [type(item) for item in first + second] == [Connecting, Connected, Subscribed, Frame, Lost]

    run(main())


def test_a_text_comes_before_what_it_means() -> None:
    async def main() -> None:
        async with quiet() as exchange, TickerManager([account()], quick(exchange.url)) as manager:
            await manager.ready()
            stream = manager.stream()
            await (await exchange.session()).send('{"type":"message","data":"hello"}')
            assert [type(item) for item in await take(stream, 2)] == [Frame, TextReceived]

    run(main())


def test_an_order_on_every_connection_is_delivered_once_with_its_json_untouched() -> None:
    data = {"order_id": "1", "status": "OPEN", "order_timestamp": "2026-11-20 09:15:01", "new_field": [1]}
    text = json.dumps({"type": "order", "data": data})

    async def main() -> None:
        async with quiet() as exchange:
            accounts = [account(), account("other")]
            async with TickerManager(accounts, quick(exchange.url, max_connections=3)) as manager:
                events = manager.events()
                frames = manager.frames(account="main")
                await manager.ready()
                mine = [session for session in exchange.sessions if session.key == "key-of-main"]
                assert len(mine) == 3
                for session in mine:
                    await session.send(text)
                await mine[0].send(text.replace("OPEN", "COMPLETE"))
                await take(frames, 4)
            orders = [event async for event in events if isinstance(event, OrderReceived)]
            assert [order.update.status for order in orders] == ["OPEN", "COMPLETE"]
            assert json.loads(orders[0].update.raw) == data
            assert str(orders[0].update.order_timestamp) == "2026-11-20 03:45:01+00:00"

    run(main())


def test_an_order_with_a_malformed_time_is_an_order_and_the_feed_goes_on() -> None:
    async def main() -> None:
        async with quiet() as exchange, TickerManager([account()], quick(exchange.url)) as manager:
            events, frames = manager.events(), manager.frames()
            session = await exchange.session()
            await session.send('{"type":"order","data":{"order_id":"1","order_timestamp":"yesterday"}}')
            await session.send("not json")
            await session.send(frame(1))
            await take(frames, 3)
            await manager.stop()
            listed = [event async for event in events]
            (order,) = [event for event in listed if isinstance(event, OrderReceived)]
            assert (order.update.order_id, order.update.order_timestamp) == ("1", None)
            assert '"yesterday"' in order.update.raw
            (text,) = [event for event in listed if isinstance(event, TextReceived)]
            assert isinstance(text.message, UnknownText)
            assert text.message.raw == "not json"
            assert manager.stats().total.losses == 0

    run(main())


def test_every_full_packet_of_every_frame_is_given_as_a_view_without_copying() -> None:
    async def main() -> None:
        async with quiet() as exchange, TickerManager([account()], quick(exchange.url)) as manager:
            packets, quotes = manager.full_packets(), manager.full_packets(length=44)
            frames = manager.frames()
            session = await exchange.session()
            await session.send_packets(
                packet(1), packet(2, Mode.QUOTE), packet(3, price=-5), b"odd", packet(4), packet(5, Mode.LTP)
            )
            await session.send_packets(packet(6))
            views = await take(packets, 4)
            assert [view.instrument_token for view in views] == [1, 3, 4, 6]
            assert views[1].last_price == -5
            payload = (await take(frames, 1))[0].payload
            assert views[0].data.obj is payload
            assert [view.instrument_token for view in await take(quotes, 1)] == [2]

    run(main())


def test_packets_can_be_taken_in_batches() -> None:
    async def main() -> None:
        async with quiet() as exchange, TickerManager([account()], quick(exchange.url)) as manager:
            packets = manager.full_packets()
            session = await exchange.session()
            await session.send_packets(*(packet(number) for number in range(10)))
            async with asyncio.timeout(DEADLINE_S):
                batches = [await packets.batch(4) for _ in range(3)]
            assert [[view.instrument_token for view in batch] for batch in batches] == [
                [0, 1, 2, 3],
                [4, 5, 6, 7],
                [8, 9],
            ]
            await manager.stop()
            assert await packets.batch() == []

    run(main())


def test_the_last_packet_of_an_instrument_can_be_asked_for_by_a_late_consumer() -> None:
    async def main() -> None:
        async with quiet() as exchange:
            async with TickerManager([account()], quick(exchange.url, keep_last=True)) as manager:
                frames = manager.frames()
                session = await exchange.session()
                await session.send_packets(packet(7, price=1), packet(7, Mode.LTP, price=2), packet(8))
                await take(frames, 1)
                last = manager.last_packet(7)
                assert last is not None
                assert (last.last_price, last.mode, last.connection) == (2, Mode.LTP, "main-0")
                assert manager.last_packet(9) is None
            with pytest.raises(SetupError, match="keep_last"):
                TickerManager([account()], quick(exchange.url)).last_packet(7)

    run(main())


def test_ticks_are_tables_and_what_gave_no_tick_is_counted() -> None:
    async def main() -> None:
        async with quiet() as exchange, TickerManager([account()], quick(exchange.url)) as manager:
            ticks = manager.ticks()
            session = await exchange.session()
            await session.send_packets(packet(0x101, price=12345), b"odd", packet(0x203, Mode.LTP, price=67))
            async with asyncio.timeout(DEADLINE_S):
                batch = await anext(ticks)
            assert (batch.connection, batch.frames) == ("main-0", 1)
            assert batch.table["instrument_token"].to_list() == [0x101, 0x203]
            # A currency has seven decimals: 67 of the wire are 0.0000067 rupees.
            assert batch.table["last_price"].to_list() == [123.45, 67 / 10_000_000]
            counters = manager.stats().total
            assert (counters.ticks, counters.undecoded, counters.packets) == (2, 1, 3)
            assert (counters.unknown_packets, counters.decode_errors) == (1, 0)
            await session.send(join_frame([packet(0x101), packet(0x201)])[:-100])
            await session.send_packets(packet(0x101))
            ticks_seen = 0
            async with asyncio.timeout(DEADLINE_S):
                while ticks_seen < 2:
                    ticks_seen += (await anext(ticks)).table.height
            counters = manager.stats().total
            assert (counters.ticks, counters.undecoded) == (4, 2)
            assert (counters.unknown_packets, counters.decode_errors) == (1, 1)

    run(main())


def test_raw_only_decodes_nothing() -> None:
    async def main() -> None:
        async with (
            quiet() as exchange,
            TickerManager([account()], quick(exchange.url, raw_only=True)) as manager,
        ):
            with pytest.raises(SetupError, match="raw_only"):
                manager.ticks()

    run(main())


def test_a_decoder_can_be_given() -> None:
    async def main() -> None:
        async with quiet() as exchange:
            seen: list[int] = []

            class Table:
                height = 1

            def decoder(payloads: object, received_at: object) -> Table:
                seen.append(len(payloads))  # type: ignore[arg-type]
                return Table()

            async with TickerManager([account()], quick(exchange.url), decoder=decoder) as manager:  # type: ignore[arg-type]
                ticks = manager.ticks()
                await (await exchange.session()).send(frame(1))
                async with asyncio.timeout(DEADLINE_S):
                    await anext(ticks)
            assert seen == [1]

    run(main())


def test_an_unknown_connection_or_account_is_refused_with_the_known_ones() -> None:
    manager = TickerManager([account()], quick("ws://127.0.0.1:1"))
    with pytest.raises(SetupError, match="main-0"):
        manager.frames(connection="main-7")
    with pytest.raises(SetupError, match="main"):
        manager.frames(account="nobody")
    with pytest.raises(ValueError, match="at least 1"):
        manager.frames(size=0)
    with pytest.raises(ValueError, match="lose"):
        manager.frames(policy="lose")


def test_latency_is_measured_from_the_socket_to_the_consumer() -> None:
    async def main() -> None:
        async with quiet() as exchange, TickerManager([account()], quick(exchange.url)) as manager:
            stream = manager.frames()
            session = await exchange.session()
            for number in range(10):
                await session.send(frame(number))
            await take(stream, 10)
            latency = manager.stats().latency
            assert latency.count == 10
            assert latency.p50_ms is not None
            assert latency.p99_ms is not None
            assert latency.max_ms is not None
            assert 0 < latency.p50_ms <= latency.p99_ms <= latency.max_ms

    run(main())
