"""What each official client needs of a server, need by need."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from kiterec.replay.client import HEARTBEAT_S
from kiterec.replay.server import ReplayServer
from kiterec.wire.frames import HEARTBEAT, is_heartbeat, split_frame
from kiterec.wire.packets import LAYOUTS, Mode
from kiterec.wire.requests import SetMode, Subscribe
from tests.replay.handmade import DEADLINE_S, HandmadeTimeline, frame, listening, packet, run
from tests.replay.test_time import counting, prices


def test_js_offers_deflate_and_is_served_without() -> None:
    async def main() -> None:
        async with ReplayServer(counting(2), speed=None) as server:
            options = {"extensions": [ClientPerMessageDeflateFactory()]}
            async with listening(server.url, **options) as client:
                assert client.socket.protocol.extensions == []
                await client.want(Mode.FULL, 256)
                await client.until_closed()
                assert prices(client)[-2:] == [1, 2]

    run(main())


def test_js_go_and_net_hear_a_heartbeat_within_five_seconds_in_every_state() -> None:
    async def hear(state: str) -> None:
        server = ReplayServer(counting(2), speed=None, at_end="hold", paused=state != "after the end")
        async with server, listening(server.url) as client:
            if state != "before any data":
                await client.want(Mode.LTP, 256)
            if state == "paused":
                await server.step()
            await client.until(lambda: client.heartbeats)
            assert client.messages[-1] == HEARTBEAT == b"\x00", state

    async def main() -> None:
        async with asyncio.TaskGroup() as states:
            for state in ("before any data", "paused", "after the end"):
                states.create_task(hear(state))

    assert HEARTBEAT_S < 5 / 1.5
    run(main())


def test_java_sends_pings_and_wants_pongs_also_while_paused() -> None:
    async def main() -> None:
        async with ReplayServer(counting(2), paused=True) as server, listening(server.url) as client:
            for _ in range(3):
                async with asyncio.timeout(DEADLINE_S):
                    await (await client.socket.ping(b"java"))

    run(main())


@pytest.mark.parametrize("subprotocols", [None, ["kite"]])
@pytest.mark.parametrize("query", ["", "api_key=x&access_token=y&uid=1&user-agent=kiteconnect-php", "%%%"])
def test_any_query_header_and_subprotocol_is_accepted(query: str, subprotocols: list | None) -> None:
    async def main() -> None:
        headers = {"X-Kite-Version": "3", "User-Agent": "kiteconnect", "Origin": "http://localhost"}
        async with (
            ReplayServer(counting(2)) as server,
            connect(
                f"{server.url}?{query}", additional_headers=headers, subprotocols=subprotocols, proxy=None
            ) as client,
        ):
            assert json.loads(await asyncio.wait_for(client.recv(), DEADLINE_S))["type"] == "instruments_meta"

    run(main())


def test_php_reconnects_when_the_close_code_is_not_1000() -> None:
    async def main() -> None:
        server = ReplayServer(counting(2))
        async with server, listening(server.url) as client:
            await client.until(lambda: client.messages)
            await server.__aexit__(None, None, None)
            assert (await client.until_closed())[0] == 1001

    run(main())


def test_python_subscribes_anew_on_reconnect_and_goes_on_from_the_present_state() -> None:
    async def main() -> None:
        server = ReplayServer(counting(6), paused=True)
        async with server:
            for known in (0, 3):
                async with listening(server.url) as client:
                    await client.ask(Subscribe((256,)), SetMode(Mode.FULL, (256,)))
                    if known:
                        await client.until(lambda known=known: known in prices(client))
                    await server.step(3)
                    await client.until(lambda known=known: prices(client)[-1:] == [known + 3])
                    client.socket.transport.abort()

    run(main())


def test_python_keeps_trying_after_a_403_and_is_let_in_with_the_right_token() -> None:
    async def main() -> None:
        async with ReplayServer(counting(2), speed=None, credentials={"k": "right"}) as server:
            for _ in range(20):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(f"{server.url}?api_key=k&access_token=old", proxy=None)
                assert refused.value.response.status_code == 403
            async with listening(server.url, "api_key=k&access_token=right") as client:
                await client.want(Mode.LTP, 256)
                await client.until_closed()
                assert prices(client)[-1] == 2
            assert server.stats().refused == {403: 20}

    run(main())


def test_js_gets_nothing_on_a_new_connection_until_it_asks() -> None:
    async def main() -> None:
        server = ReplayServer(counting(6), paused=True)
        async with server, listening(server.url) as first:
            await first.want(Mode.FULL, 256)
            await server.step(3)
            await first.until(lambda: prices(first)[-1:] == [3])
            async with listening(server.url) as second:
                await server.step()
                async with asyncio.timeout(DEADLINE_S):
                    await (await second.socket.ping())
                assert second.frames == []
                await second.want(Mode.FULL, 256)
                await second.until(lambda: prices(second) == [4])

    run(main())


def test_an_instrument_that_does_not_exist_is_answered_with_silence() -> None:
    async def main() -> None:
        async with ReplayServer(counting(3), speed=None) as server, listening(server.url) as client:
            await client.ask(Subscribe((999 << 8,)), SetMode(Mode.FULL, (999 << 8,)))
            await client.want(Mode.LTP, 256)
            await client.until_closed()
            assert prices(client)[-3:] == [1, 2, 3]
            assert {int.from_bytes(part[:4]) for part in client.packets} == {256}
            assert [json.loads(text)["type"] for text in client.texts] == ["instruments_meta"]

    run(main())


def test_only_the_five_lengths_and_only_json_with_a_type_are_sent() -> None:
    """Whatever was recorded."""
    tokens = dict(zip(LAYOUTS, range(256, 256 + len(LAYOUTS)), strict=True))
    known = [packet(length, token) for length, token in tokens.items()]
    order = '{"type":"order","data":{}}'
    later = '{"type":"of a later day","data":1}'
    rows: list[bytes | str] = [
        frame(*known), frame(known[0], bytes(16), known[1]), frame(*known)[:-1], b"\x00\x05", b"\xff" * 9,
        "hello", '{"no":"type"}', '{"type":7}', '["type"]', "null", "", order, later, frame(*known),
    ]  # fmt: skip

    async def main() -> None:
        timeline = HandmadeTimeline([(n, 0, message) for n, message in enumerate(rows)])
        async with ReplayServer(timeline, speed=None) as server, listening(server.url) as client:
            await client.want(Mode.FULL, *tokens.values())
            await client.until_closed()
            binary = [m for m in client.messages if isinstance(m, bytes) and not is_heartbeat(m)]
            packets = [part for data in binary for part in split_frame(data)]
            assert {len(part) for part in packets} == set(LAYOUTS)
            assert [data for data in binary if data == frame(*known)], "whole frames come as they are"
            assert client.texts[0].startswith('{"type":"instruments_meta"')
            assert client.texts[1:] == [order, later]

    run(main())


@pytest.mark.parametrize("mode", list(Mode))
def test_a_mode_alone_subscribes_and_asking_again_changes_nothing(mode: Mode) -> None:
    async def main() -> None:
        universe = [frame(packet(184, 256, last_price=5))]
        timeline = HandmadeTimeline([(0, 0, frame(packet(184, 256, last_price=6)))], universe=universe)
        async with ReplayServer(timeline, paused=True) as server, listening(server.url) as client:
            await client.ask(SetMode(mode, (256,)))
            await client.until(lambda: client.frames)
            await client.ask(*[SetMode(mode, (256,)), Subscribe((256,))] * 5)
            await server.step()
            await client.until_closed()
            assert prices(client) == [5, 6]
            assert len({len(p) for p in client.packets}) == 1

    run(main())
