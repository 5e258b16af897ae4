"""The fake Kite as its clients see it: the contract that every official client relies on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from kiterec.errors import CorruptPartError, ReplayError
from kiterec.replay.limits import Limits
from kiterec.replay.server import ReplayServer
from kiterec.wire.frames import split_frame
from kiterec.wire.packets import Mode
from kiterec.wire.requests import SetMode, Subscribe, Unsubscribe
from tests.replay.handmade import DEADLINE_S, HandmadeTimeline, eventually, frame, listening, packet, run

CSV = (
    b"instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    b"instrument_type,segment,exchange\n"
    b'408065,1594,INFY,"INFOSYS, LTD",0,,0,0.05,1,EQ,NSE,NSE\n'
    b"128083204,500325,RELIANCE,,0,,0,0.05,1,EQ,BSE,BSE\n"
)


def moving(*tokens: int, frames: int = 5, every_ms: float = 20) -> HandmadeTimeline:
    """Give a timeline of full packets whose last price counts the frames."""
    return HandmadeTimeline(
        [
            (
                n * every_ms,
                0,
                frame(*(packet(184, token, last_price=n + 1, volume_traded=n) for token in tokens)),
            )
            for n in range(frames)
        ],
        csv=CSV,
    )


def test_the_first_message_tells_of_the_instruments() -> None:
    async def main() -> None:
        async with ReplayServer(moving(256)) as server, listening(server.url) as client:
            await client.until(lambda: client.messages)
            meta = json.loads(client.messages[0])
            assert meta["type"] == "instruments_meta"
            assert meta["data"]["count"] == 2

    run(main())


def test_recorded_instruments_meta_is_said_word_for_word_and_once() -> None:
    text = '{"type": "instruments_meta", "data": {"count": 114823, "etag": "W/\\"6a7e998c-9757\\""}}'
    timeline = HandmadeTimeline([(0, 0, text), (1, 0, frame(packet(8, 256)))])

    async def main() -> None:
        async with ReplayServer(timeline) as server, listening(server.url) as client:
            await client.ask(Subscribe((256,)))
            assert await client.until_closed() == (1000, "replay finished")
            assert client.texts == [text]
            assert client.frames == [frame(packet(8, 256))]

    run(main())


def test_heartbeats_come_every_three_seconds_before_any_data_and_after_the_end() -> None:
    async def main() -> None:
        begin = asyncio.get_running_loop().time()
        async with ReplayServer(moving(256), at_end="hold") as server, listening(server.url) as client:
            await client.until(lambda: client.heartbeats)
            assert asyncio.get_running_loop().time() - begin > 2.9
            assert not client.frames
            await client.ask(Subscribe((256,)))
            async with asyncio.timeout(DEADLINE_S):
                await server.finished()
            await client.until(lambda: client.heartbeats == [b"\x00"] * 2)
            assert asyncio.get_running_loop().time() - begin > 5.9
            assert client.close is None

    run(main())


def test_the_modes_of_each_client_decide_what_it_gets() -> None:
    async def main() -> None:
        async with (
            ReplayServer(moving(256, 512, 768), wait_for_clients=3) as server,
            listening(server.url) as first,
            listening(server.url) as second,
            listening(server.url) as third,
        ):
            await first.ask(Subscribe((256,)))
            await second.want(Mode.FULL, 256, 512, 768)
            await third.ask(SetMode(Mode.LTP, (512,)))
            for client in (first, second, third):
                await client.until_closed()
            assert {len(p) for p in first.packets} == {44}
            assert [len(f) for f in second.frames] == [2 + 3 * 186] * 5
            assert first.packets == [packet(44, 256, last_price=n + 1, volume_traded=n) for n in range(5)]
            assert third.packets == [packet(8, 512, last_price=n + 1) for n in range(5)]

    run(main())


def test_a_subscriber_gets_a_snapshot_even_when_nothing_moves() -> None:
    async def main() -> None:
        universe = [frame(packet(184, 256, last_price=7), packet(32, 521, last_price=9))]
        timeline = HandmadeTimeline([(0, 0, frame(packet(8, 512)))], universe=universe)
        async with (
            ReplayServer(timeline, wait_for_clients=0, at_end="hold") as server,
            listening(server.url) as client,
        ):
            await client.ask(Subscribe((256, 521, 999)))
            await client.until(lambda: client.frames)
            assert client.frames == [frame(packet(44, 256, last_price=7), packet(28, 521, last_price=9))]

    run(main())


def test_a_change_of_mode_is_answered_with_a_snapshot_in_that_mode() -> None:
    async def main() -> None:
        universe = [frame(packet(184, 256, last_price=7))]
        timeline = HandmadeTimeline([], universe=universe)
        async with (
            ReplayServer(timeline, wait_for_clients=0, at_end="hold") as server,
            listening(server.url) as client,
        ):
            for number, mode in enumerate((Mode.FULL, Mode.LTP, Mode.QUOTE), start=1):
                await client.ask(SetMode(mode, (256,)))
                await client.until(lambda number=number: len(client.frames) == number)
            assert [len(p) for p in client.packets] == [184, 8, 44]

    run(main())


def test_a_repeated_request_changes_nothing_and_gets_no_second_snapshot() -> None:
    async def main() -> None:
        universe = [frame(packet(184, 256), packet(184, 512))]
        async with (
            ReplayServer(
                HandmadeTimeline([], universe=universe), wait_for_clients=0, at_end="hold"
            ) as server,
            listening(server.url) as client,
        ):
            await client.want(Mode.FULL, 256)
            await client.until(lambda: client.frames)
            await client.want(Mode.FULL, 256)
            await client.ask(Subscribe((256,)), Subscribe((512,)))
            await client.until(lambda: len(client.frames) == 2)
            assert client.packets == [packet(184, 256), packet(44, 512)]

    run(main())


def test_what_is_unsubscribed_is_not_sent() -> None:
    async def main() -> None:
        async with (
            ReplayServer(moving(256, 512)) as server,
            listening(server.url) as client,
        ):
            await client.ask(Subscribe((256, 512)), Unsubscribe((512, 999)))
            await client.until_closed()
            assert {p[:4] for p in client.packets} == {(256).to_bytes(4, "big")}

    run(main())


NONSENSE = (
    "",
    "{}",
    "[1,2]",
    '{"a":"dance","v":[1]}',
    '{"a":"subscribe","v":"x"}',
    '{"a":"mode","v":["most",[1]]}',
    '{"a":"subscribe","v":[-1]}',
    "[" * 50_000,
    '{"a":"subscribe","v":[' + "1," * 100_000 + "1]}",
    b"\x00\x01",
)


def test_nonsense_is_ignored_and_the_client_is_served_on() -> None:
    async def main() -> None:
        async with ReplayServer(moving(256)) as server, listening(server.url) as client:
            await client.ask(*NONSENSE, Subscribe((256,)))
            await client.until_closed()
            assert len(client.frames) == 5
            assert server.stats().ignored_requests == len(NONSENSE)

    run(main())


def test_above_the_limit_the_new_instruments_are_refused_in_kites_words() -> None:
    async def main() -> None:
        tokens = tuple(256 * n for n in range(1, 3001))
        async with ReplayServer(moving(256, 256 * 5000)) as server, listening(server.url) as client:
            await client.ask(Subscribe(tokens), SetMode(Mode.FULL, (256, 256 * 5000)), Subscribe(tokens))
            await client.until_closed()
            errors = [json.loads(text) for text in client.texts if "error" in text]
            assert errors == [{"type": "error", "data": "Can't subscribe to more than 3000 instruments."}]
            assert {p[:4] for p in client.packets} == {(256).to_bytes(4, "big")}
            assert {len(p) for p in client.packets} == {184}

    run(main())


def test_order_updates_come_once_per_client_though_every_recorded_connection_had_them() -> None:
    order = '{"type":"order","data":{"order_id":"1","status":"OPEN"}}'
    plain = '{"type":"message","data":"plain"}'
    error = '{"type":"error","data":"Can\'t subscribe to more than 3000 instruments."}'
    rows = [(0, 0, order), (1, 1, order), (2, 1, plain), (3, 0, error), (4, 0, order), (5, 1, order)]
    timeline = HandmadeTimeline([*rows, (6, 0, frame(packet(8, 256)))], connections=("a", "b"))

    async def main() -> None:
        async with ReplayServer(timeline) as server, listening(server.url) as client:
            await client.ask(Subscribe((256,)))
            await client.until_closed()
            assert client.texts[1:] == [order, plain, order]

    run(main())


def test_pings_are_answered() -> None:
    async def main() -> None:
        async with ReplayServer(moving(256)) as server, listening(server.url) as client:
            async with asyncio.timeout(DEADLINE_S):
                await (await client.socket.ping())

    run(main())


def test_any_query_is_welcome_without_credentials() -> None:
    async def main() -> None:
        async with ReplayServer(moving(256)) as server:
            for url in (
                server.url,
                f"{server.url}/",
                f"{server.url}?uid=1&user_id=XY",
                f"{server.url}/?a=%20",
            ):
                async with connect(url, compression=None, proxy=None) as client:
                    assert "instruments_meta" in await asyncio.wait_for(client.recv(), DEADLINE_S)

    run(main())


@pytest.mark.parametrize(
    "query",
    [
        "",
        "api_key=k",
        "api_key=k&access_token=",
        "api_key=k&access_token=no",
        "api_key=x&access_token=t%2F%2B",
        "access_token=t%2F%2B",
    ],
)
def test_wrong_credentials_are_refused_with_403(query: str) -> None:
    async def main() -> None:
        async with ReplayServer(moving(256), credentials={"k": "t/+"}) as server:
            with pytest.raises(InvalidStatus) as refusal:
                async with listening(server.url, query):
                    pass
            response = refusal.value.response
            assert response.status_code == 403
            assert json.loads(response.body)["error_type"] == "TokenException"
            async with listening(server.url, "access_token=t%2F%2B&uid=7&api_key=k") as client:
                await client.until(lambda: client.messages)
            assert server.stats().refused == {403: 1}

    run(main())


def test_a_fourth_connection_of_an_api_key_is_refused_with_429_until_one_leaves() -> None:
    async def main() -> None:
        async with (
            ReplayServer(moving(256)) as server,
            listening(server.url, "api_key=a"),
            listening(server.url, "api_key=a"),
        ):
            async with listening(server.url, "api_key=a"), listening(server.url, "api_key=b"):
                with pytest.raises(InvalidStatus) as refusal:
                    async with listening(server.url, "api_key=a"):
                        pass
                assert refusal.value.response.status_code == 429
            await eventually(lambda: server.stats().clients == 2)
            async with listening(server.url, "api_key=a") as client:
                await client.until(lambda: client.messages)

    run(main())


def test_a_request_above_the_limit_ends_its_connection_alone() -> None:
    async def main() -> None:
        async with (
            ReplayServer(moving(256), limits=Limits(request_bytes=1000)) as server,
            listening(server.url) as bad,
            listening(server.url) as good,
        ):
            await bad.ask("x" * 1001)
            assert (await bad.until_closed())[0] == 1009
            await good.ask(Subscribe((256,)))
            await good.until_closed()
            assert len(good.frames) == 5

    run(main())


def test_a_port_in_use_is_a_plain_sentence_with_the_next_step() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(ReplayError, match=rf"port {port} of 127\.0\.0\.1 is in use.*--port 0"):
                async with ReplayServer(moving(256), port=port):
                    pass

    run(main())


@pytest.mark.parametrize("speed", [1, None])
def test_a_timeline_that_breaks_ends_the_replay_with_its_error(speed: float | None) -> None:
    async def main() -> None:
        broken = CorruptPartError("part-00000.parquet does not check")
        frames = [frame(packet(8, 256, last_price=price)) for price in range(20)]
        timeline = HandmadeTimeline([(0, 0, each) for each in frames], rows_per_batch=1, fail_at_end=broken)
        async with ReplayServer(timeline, speed=speed) as server, listening(server.url) as client:
            await client.ask(Subscribe((256,)))
            assert await client.until_closed() == (1011, "replay failed")
            assert client.frames == frames, "what came before it is sent"
            with pytest.raises(CorruptPartError):
                await server.finished()
            assert server.stats().state == "failed"

    run(main())


def test_a_client_that_comes_after_the_end_is_told_so() -> None:
    async def main() -> None:
        async with ReplayServer(moving(256), wait_for_clients=0) as server:
            await server.finished()
            async with listening(server.url) as client:
                assert await client.until_closed() == (1000, "replay finished")

    run(main())


def test_leaving_the_server_says_goodbye_and_leaves_no_task() -> None:
    async def main() -> None:
        server = ReplayServer(moving(256, frames=10_000))
        async with contextlib.AsyncExitStack() as replay:
            await replay.enter_async_context(server)
            async with listening(server.url) as client:
                await client.ask(Subscribe((256,)))
                await client.until(lambda: client.frames)
                finished = asyncio.create_task(server.finished())
                await replay.aclose()
                assert await client.until_closed() == (1001, "replay stopped")
                with pytest.raises(ReplayError, match="stopped before its end"):
                    await finished
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_nothing_is_sent_before_its_deadline() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with (
            ReplayServer(moving(256, frames=11, every_ms=100), speed=2.0) as server,
            listening(server.url) as client,
        ):
            begin = loop.time()
            await client.ask(Subscribe((256,)))
            for number in range(1, 12):
                await client.until(lambda number=number: len(client.frames) >= number)
                assert loop.time() - begin > 0.05 * (number - 1)
            stats = server.stats()
            assert stats.lateness is not None
            assert 0 <= stats.lateness.p50_ms <= stats.lateness.max_ms
            assert stats.position_s == 1.0

    run(main())


def test_many_frames_reach_the_client_in_order_at_max_speed() -> None:
    async def main() -> None:
        timeline = moving(256, 512, frames=3000, every_ms=1000)
        timeline._step = 97
        async with ReplayServer(timeline, speed=None) as server, listening(server.url) as client:
            await client.want(Mode.FULL, 256)
            await client.until_closed()
            prices = [int.from_bytes(split_frame(f)[0][4:8], "big") for f in client.frames]
            assert prices == list(range(1, 3001))
            stats = server.stats()
            assert stats.timeline_messages == 3000
            assert stats.lateness is None
            assert stats.achieved_speed is not None

    run(main())


@pytest.mark.parametrize(
    "options",
    [{"speed": 0}, {"speed": -1.0}, {"speed": float("nan")}, {"at_end": "stop"}, {"wait_for_clients": -1}],
)
def test_an_impossible_option_is_refused_before_anything_starts(options: dict) -> None:
    with pytest.raises(ValueError):
        ReplayServer(moving(256), **options)
