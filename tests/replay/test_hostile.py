"""Clients that mean harm, or are merely broken: they harm themselves, and the others do not notice."""

from __future__ import annotations

import asyncio
import logging
from typing import Self

import pytest

from kiterec.replay.limits import Limits
from kiterec.replay.server import ReplayServer
from kiterec.wire.packets import Mode
from tests.replay.handmade import DEADLINE_S, HandmadeTimeline, eventually, frame, listening, packet, run

TOKENS = tuple(256 * n for n in range(1, 1001))


def heavy(*, frames: int, every_ms: float) -> HandmadeTimeline:
    """Give frames of 186 kB."""
    whole = frame(*(packet(184, token) for token in TOKENS))
    last = frame(packet(184, TOKENS[0], last_price=1))
    rows = [(n * every_ms, 0, whole) for n in range(frames)]
    return HandmadeTimeline([*rows, (frames * every_ms, 0, last)], rows_per_batch=10)


class Deaf:
    """A client that subscribes to everything and reads nothing more."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1024)
        self._writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await self._reader.readuntil(b"\r\n\r\n")
        text = ('{"a":"mode","v":["full",[' + ",".join(map(str, TOKENS)) + "]]}").encode()
        self._writer.write(b"\x81\xfe" + len(text).to_bytes(2, "big") + b"\0\0\0\0" + text)
        self._writer.transport.pause_reading()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._writer.transport.abort()


@pytest.mark.parametrize("speed", [1.0, None])
def test_a_client_that_reads_nothing_is_cut_off_with_a_reason_and_the_other_gets_everything(
    speed: float | None,
) -> None:
    async def main() -> None:
        limits = Limits(unread_bytes=12_000_000, stall_s=1)
        server = ReplayServer(heavy(frames=150, every_ms=20), speed=speed, limits=limits, wait_for_clients=2)
        async with server, listening(server.url) as good:
            await good.want(Mode.FULL, *TOKENS)
            async with Deaf(server.port):
                await good.until_closed()
                assert len(good.frames) == 151
                (why,) = server.stats().cut_off
                assert "client-2" in why
                assert "unread" in why

    run(main())


def test_sockets_that_say_nothing_are_bounded_and_do_not_hold_the_server_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kiterec.replay.server._HANDSHAKE_S", 3 * DEADLINE_S)

    async def main() -> None:
        async with ReplayServer(heavy(frames=1, every_ms=1), limits=Limits(connections=8)) as server:
            silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(20)]
            ends = [asyncio.create_task(reader.read()) for reader, _ in silent]
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            await eventually(lambda: sum(end.done() for end in ends) >= 12)
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.wait(ends)
        for end in ends:
            end.exception()
        for _, writer in silent:
            writer.close()

    run(main())


def test_hundreds_of_connects_in_a_row_leave_nothing_behind() -> None:
    async def main() -> None:
        server = ReplayServer(heavy(frames=1, every_ms=1))
        async with server:
            for _ in range(200):
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(b"GET /?api_key=a HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")
                writer.close()
            for _ in range(30):
                async with listening(server.url, "api_key=a") as client:
                    await client.until(lambda client=client: client.messages)
            await eventually(lambda: server.stats().clients == 0)
            async with listening(server.url, "api_key=a") as client:
                await client.want(Mode.FULL, TOKENS[0])
                await client.until_closed()
                assert len(client.frames) == 2
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_invalid_utf8_ends_only_its_own_connection() -> None:
    async def main() -> None:
        async with (
            ReplayServer(heavy(frames=1, every_ms=1)) as server,
            listening(server.url) as bad,
            listening(server.url) as good,
        ):
            await bad.socket.send(b"\xff\xfe", text=True)
            assert (await bad.until_closed())[0] == 1007
            await good.want(Mode.LTP, TOKENS[0])
            await good.until_closed()
            assert good.packets == [packet(8, TOKENS[0]), packet(8, TOKENS[0], last_price=1)]

    run(main())


@pytest.mark.parametrize(
    "request_line", ["GET /?{} HTTP/1.1", "GET /?{}", "BREW /?{} HTTP/9", "POST /?{} HTTP/1.1"]
)
def test_no_log_line_shows_what_is_in_the_url(caplog: pytest.LogCaptureFixture, request_line: str) -> None:
    secret = "api_key=kkkk1111&access_token=ssss2222"

    async def main() -> None:
        async with ReplayServer(heavy(frames=1, every_ms=1), credentials={"other": "x"}) as server:
            logging.getLogger("kiterec.replay.wire").setLevel(logging.DEBUG)  # as a curious user would
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            head = request_line.format(secret)
            writer.write(f"{head}\r\nUpgrade: websocket\r\n\r\n".encode())
            await asyncio.wait_for(reader.read(), DEADLINE_S)
            writer.close()
            await writer.wait_closed()
        async with (
            ReplayServer(heavy(frames=1, every_ms=1), credentials={"kkkk1111": "ssss2222"}) as server,
            listening(server.url, secret, logger=logging.getLogger("quiet")) as client,
        ):
            await client.want(Mode.LTP, TOKENS[0])
            await client.until_closed()
            assert "ssss2222" not in repr(server) + repr(vars(server))

    logging.getLogger("quiet").setLevel(logging.CRITICAL)
    with caplog.at_level(logging.DEBUG):
        run(main())
    assert caplog.records
    for record in caplog.records:
        shown = logging.Formatter().format(record)
        assert "ssss2222" not in shown
        assert "kkkk1111" not in shown
