"""Clients that mean harm, or are merely broken: they harm themselves, and the others do not notice."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
import sys
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from kiterec.replay.limits import Limits
from kiterec.replay.server import ReplayServer
from kiterec.wire.packets import Mode
from kiterec.wire.requests import SetMode, encode_request
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


def test_several_that_read_nothing_are_cut_off_and_the_other_gets_everything() -> None:
    async def main() -> None:
        limits = Limits(unread_bytes=64 << 20, stall_s=2, connections_per_api_key=4)
        timeline = heavy(frames=150, every_ms=20)
        server = ReplayServer(timeline, speed=None, limits=limits, wait_for_clients=4)
        async with server, listening(server.url) as good:
            await good.want(Mode.FULL, *TOKENS)
            async with Deaf(server.port), Deaf(server.port), Deaf(server.port):
                await good.until_closed()
                assert len(good.frames) == 151
                assert len(server.stats().cut_off) == 3
                assert all("nothing read for 2 s" in why for why in server.stats().cut_off)

    run(main())


def test_a_client_that_reads_is_not_cut_off_where_the_speed_is_out_of_reach() -> None:
    """The client takes 20 MB/s where 9 GB/s are asked for."""

    async def main() -> None:
        server = ReplayServer(heavy(frames=200, every_ms=20), speed=1000)
        options = {"compression": None, "max_size": None, "proxy": None, "max_queue": 1}
        async with server, connect(f"{server.url}/", **options) as slow:
            await slow.send(encode_request(SetMode(Mode.FULL, TOKENS)))
            frames = 0
            async for message in slow:
                frames += len(message) > 100
                await asyncio.sleep(len(message) / 20e6)
            assert (slow.close_code, slow.close_reason) == (1000, "replay finished")
            assert frames == 201
            assert server.stats().cut_off == []

    run(main())


def test_a_client_that_reads_late_gets_all_of_it_before_the_end_of_the_replay() -> None:
    """So much fits into all buffers that the replay is over before the client looks at its second frame."""

    async def main() -> None:
        async with ReplayServer(heavy(frames=30, every_ms=20), speed=None) as server:
            plain = socket.socket()
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            plain.connect(("127.0.0.1", server.port))
            async with connect(f"{server.url}/", compression=None, sock=plain, max_queue=1) as late:
                await late.send(encode_request(SetMode(Mode.FULL, TOKENS)))
                frames = 0
                async for message in late:
                    frames += len(message) > 100
                    await asyncio.sleep(3 * (frames == 1))
                assert (late.close_code, frames) == (1000, 31)

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


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


CONNECTS = int(os.environ.get("KITEREC_CONNECTS", "1000"))
"""10,000 take a minute on a busy machine of two cores."""

CONNECT_OFTEN = """
import contextlib, socket, sys

half = b"GET /?api_key=a HTTP/1.1\\r\\nUpgrade: websocket\\r\\n"
whole = half + (
    b"Host: x\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\\r\\n\\r\\n"
)
for number in range(int(sys.argv[2])):
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60) as connection:
        with contextlib.suppress(OSError):
            connection.sendall((half, half + b"\\r\\n", whole)[number // 5 % 3] if number % 5 == 0 else b"")
"""
"""Connects and leaves: mostly with nothing said, else after half a handshake or a whole one."""


async def connect_often(port: int, times: int) -> None:
    command = (sys.executable, "-c", CONNECT_OFTEN, str(port), str(times))
    attacker = await asyncio.create_subprocess_exec(*command)
    assert await attacker.wait() == 0


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads its own memory from Linux")
def test_thousands_of_connects_in_a_row_leave_nothing_behind_and_disturb_nobody() -> None:
    async def main() -> None:
        rows = [(n, 0, frame(packet(184, 256, last_price=n))) for n in range(3_000)]
        server = ReplayServer(HandmadeTimeline(rows), at_end="hold")
        async with server, listening(server.url, "api_key=good") as good:
            await good.want(Mode.FULL, 256)
            await good.until(lambda: good.frames)
            await connect_often(server.port, CONNECTS // 10)
            before = resident_bytes()
            await connect_often(server.port, CONNECTS)
            await eventually(lambda: server.stats().clients == 1)
            assert resident_bytes() - before < 32 << 20
            await good.until(lambda: len(good.frames) >= 3_000)
            assert [data for data in good.frames if data != good.frames[0]] == [row[2] for row in rows[1:]]
            async with listening(server.url, "api_key=a") as client:
                await client.until(lambda: client.messages)
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


PLAIN = b"GET / HTTP/1.1\r\nHost: x\r\n"
UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
ATTACKS = {
    "a request line of 1 MB": b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n",
    "a header of 1 MB": PLAIN + b"X: " + b"a" * (1 << 20) + b"\r\n\r\n",
    "10,000 headers": PLAIN + b"X: y\r\n" * 10_000 + b"\r\n",
    "a body of 1 MB": PLAIN.replace(b"GET", b"POST") + b"Content-Length: 1048576\r\n\r\n" + b"a" * (1 << 20),
    "a path that climbs": b"GET /../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "an exchange that climbs": b"GET /instruments/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "an upgrade that climbs": b"GET /control/../../etc HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n",
    "half a handshake": PLAIN + UPGRADE,
    "a handshake without a key": PLAIN + UPGRADE + b"\r\n",
    "noise": bytes(range(256)) * 4096,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "nothing": b"",
}


@pytest.mark.parametrize("attack", list(ATTACKS))
def test_bytes_that_are_no_request_disturb_nobody_and_show_no_file(attack: str) -> None:
    async def main() -> None:
        async with ReplayServer(heavy(frames=20, every_ms=5)) as server, listening(server.url) as good:
            open_ = []
            for _ in range(5):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(ATTACKS[attack])
                open_.append((reader, writer))
            await good.want(Mode.FULL, *TOKENS)
            await good.until_closed()
            assert len(good.frames) == 21
            for reader, writer in open_:
                writer.transport.pause_reading()
                assert b"root:" not in reader._buffer
                writer.transport.abort()

    run(main())


BOMBS = (
    '{"a":' * 100_000,
    '{"a":"subscribe","v":' + "[" * 300_000,
    '{"a":"subscribe","v":[' + "9" * 900_000 + "]}",
    '{"a":"mode","v":["full",[' + "1e308," * 40_000 + "1]]}",
    '{"a":"' + "\\u0000" * 100_000 + '","v":[]}',
    '{"a":"subscribe","v":{"__proto__":[1]},"v":[1],"v":' + '"' * 10,
)


@pytest.mark.parametrize("path", ["", "/control"])
def test_bombs_of_json_cost_their_sender_only(path: str) -> None:
    async def main() -> None:
        async with (
            ReplayServer(heavy(frames=20, every_ms=5)) as server,
            listening(server.url + path) as bad,
            listening(server.url) as good,
        ):
            await bad.ask(*BOMBS * 3)
            await good.want(Mode.FULL, *TOKENS)
            await good.until_closed()
            assert len(good.frames) == 21
            if not path:
                await eventually(lambda: server.stats().ignored_requests == 3 * len(BOMBS))

    run(main())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads its own memory from Linux")
def test_all_attacks_again_and_again_take_a_bounded_memory_and_disturb_nobody() -> None:
    """Twenty times all of them, five sockets at once; the attacker's own buffers are in the bound too."""

    async def attack_once(server: ReplayServer) -> None:
        for attack in ATTACKS.values():
            writers = []
            for _ in range(5):
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(attack)
                writers.append(writer)
            async with asyncio.timeout(DEADLINE_S):
                with suppress(OSError):  # the server may have hung up before it had read everything
                    await writers[-1].drain()
            for writer in writers:
                writer.transport.abort()
        for path in ("", "/control"):
            async with listening(server.url + path) as bad:
                await bad.ask(*BOMBS, "x" * (1 << 20))
                with suppress(ConnectionClosed):
                    await bad.socket.send(b"\xff\xfe", text=True)

    async def main() -> None:
        rows = [(n * 2, 0, frame(packet(184, 256, last_price=n))) for n in range(1_000)]
        server = ReplayServer(HandmadeTimeline(rows), at_end="hold")
        async with server, listening(server.url, "api_key=good") as good:
            await good.want(Mode.FULL, 256)
            for _ in range(3):
                await attack_once(server)
            before = most = resident_bytes()
            for _ in range(20):
                await attack_once(server)
                most = max(most, resident_bytes())
            assert most - before < 48 << 20
            await eventually(lambda: server.stats().clients == 1)
            await good.until(lambda: len(good.frames) >= len(rows))
            assert [data for data in good.frames if data != good.frames[0]] == [row[2] for row in rows[1:]]

    run(main())


def test_requests_of_a_megabyte_are_read_to_the_limit_and_no_further() -> None:
    async def main() -> None:
        async with (
            ReplayServer(heavy(frames=20, every_ms=5)) as server,
            listening(server.url) as legal,
            listening(server.url) as large,
            listening(server.url) as good,
        ):
            await legal.ask("x" * (1 << 20))
            await large.ask("x" * ((1 << 20) + 1))
            assert (await large.until_closed())[0] == 1009
            await good.want(Mode.FULL, *TOKENS)
            await good.until_closed()
            assert len(good.frames) == 21
            assert await legal.until_closed() == (1000, "replay finished")

    run(main())


@pytest.mark.parametrize("speed", [1.0, None])
def test_slow_readers_cost_no_more_memory_than_their_bound(speed: float | None) -> None:
    """What one deaf client costs, seen by tracemalloc: its bound and the transport's copies of it."""
    limits = Limits(unread_bytes=8 << 20, stall_s=1)

    async def main() -> None:
        async with (
            ReplayServer(
                heavy(frames=600, every_ms=2), speed=speed, limits=limits, wait_for_clients=2
            ) as server,
            listening(server.url) as good,
        ):
            await good.want(Mode.FULL, TOKENS[0])
            async with Deaf(server.port):
                tracemalloc.start()
                await good.until_closed()
                _, peak = tracemalloc.get_traced_memory()
                assert len(good.frames) == 601
                assert len(server.stats().cut_off) == 1
                assert peak < 48 << 20, f"{peak:,} bytes of 112,000,000"

    try:
        run(main())
    finally:
        tracemalloc.stop()
