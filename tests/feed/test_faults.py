"""Each fault that the network and the server can do, from a real server on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import socket
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from kiterec.errors import AuthError, ConnectionLostError, StaleFeedError, TooManyConnectionsError
from kiterec.feed.health import HealthStatus
from kiterec.feed.manager import TickerManager
from kiterec.feed.state import State
from kiterec.wire.frames import HEARTBEAT, MAX_FRAME_BYTES, join_frame
from kiterec.wire.packets import Mode
from kiterec.wire.transcript import Kind
from tests.feed.exchange import DEADLINE_S, Exchange, Session, Sink, account, packet, quick, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKENS = {1: Mode.FULL, 2: Mode.QUOTE, 3: Mode.LTP}


@contextlib.asynccontextmanager
async def feed(exchange: Exchange, **changes: Any) -> AsyncIterator[tuple[TickerManager, Sink]]:
    """Give a running manager that wants three instruments in three modes, and has been told so."""
    sink = Sink()
    async with TickerManager([account()], quick(exchange.url, **changes), sink=sink) as manager:
        for token, mode in TOKENS.items():
            await manager.subscribe([token], mode)
        yield manager, sink


async def told(exchange: Exchange, number: int) -> Session:
    session = await exchange.session(number)
    await exchange.until(lambda _: session.modes == TOKENS)
    return session


def state(manager: TickerManager) -> str:
    return manager.stats().connections["main-0"].state


async def _reset(session: Session) -> None:
    session.reset()


async def _hang_up(session: Session) -> None:
    session.hang_up()


def _close(code: int) -> Any:
    async def close(session: Session) -> None:
        await session.close(code, "because")

    return close


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (_reset, 1006, "reset"),
        (_hang_up, 1006, "without a close frame"),
        (_close(1000), 1000, "code 1000: because"),
        (_close(1001), 1001, "code 1001"),
        (_close(1011), 1011, "code 1011"),
        (_close(4000), 4000, "code 4000"),
    ],
    ids=["tcp reset", "no close frame", "1000", "1001", "1011", "4000"],
)
def test_a_lost_connection_comes_back_in_the_right_modes_with_a_gap(
    fault: Any, code: int, words: str
) -> None:
    async def main() -> None:
        async with Exchange() as exchange, feed(exchange) as (manager, sink):
            await fault(await told(exchange, 0))
            await told(exchange, 1)
            await sink.has(Kind.GAP)
            lost = sink.lifecycle(Kind.DISCONNECTED)[0]
            assert (lost["code"], lost["wanted"]) == (code, False)
            assert words in lost["reason"]
            gap = sink.lifecycle(Kind.GAP)[0]
            assert gap["from"] <= gap["to"]
            assert gap["reason"] == lost["reason"]
            await manager.ready()
            assert manager.health().status is HealthStatus.HEALTHY

    run(main())


def test_silence_of_an_open_socket_is_noticed_in_real_time() -> None:
    async def main() -> None:
        exchange = Exchange(heartbeat_s=0.02)
        async with exchange, feed(exchange, silence_limit_s=0.4) as (_, sink):
            await told(exchange, 0)
            exchange.heartbeat_s = None
            await sink.has(Kind.DISCONNECTED)
            exchange.heartbeat_s = 0.02
            await told(exchange, 1)
            await sink.has(Kind.GAP)
        kinds = [row for _, row in sink.rows if row.kind in {Kind.BINARY, Kind.TEXT, Kind.DISCONNECTED}]
        end = next(index for index, row in enumerate(kinds) if row.kind is Kind.DISCONNECTED)
        silent_s = (kinds[end].monotonic_ns - kinds[end - 1].monotonic_ns) / 1e9
        assert silent_s >= 0.4
        assert "nothing was heard" in sink.lifecycle(Kind.DISCONNECTED)[0]["reason"]

    run(main())


def test_a_heartbeat_alone_keeps_a_connection() -> None:
    async def main() -> None:
        exchange = Exchange(heartbeat_s=0.1, greet=False, snapshots=False)
        async with exchange, feed(exchange, silence_limit_s=1) as (manager, sink):
            await sink.until(lambda sink: sink.payloads(Kind.BINARY).count(HEARTBEAT) >= 16)
            counters = manager.stats().total
            assert counters.heartbeats == counters.frames
            assert (counters.losses, counters.packets) == (0, 0)

    run(main())


def test_a_server_that_accepts_and_never_speaks_is_left() -> None:
    async def main() -> None:
        exchange = Exchange(heartbeat_s=None, greet=False, snapshots=False)
        async with exchange, feed(exchange, silence_limit_s=0.2) as (_, sink):
            await exchange.session(2)
            assert len(sink.lifecycle(Kind.DISCONNECTED)) >= 2

    run(main())


def test_a_tcp_server_that_never_answers_the_handshake_is_left() -> None:
    async def main() -> None:
        connects = 0
        again = asyncio.Event()

        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connects
            connects += 1
            if connects == 2:
                again.set()
            await reader.read(-1)
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with TickerManager([account()], quick(url, connect_timeout_s=0.1)) as manager:
            async with asyncio.timeout(DEADLINE_S):
                await again.wait()
            assert any("longer than 0.1 s" in reason for reason in manager.health().reasons)
            assert manager.health().status is HealthStatus.CRITICAL
        server.close()
        await server.wait_closed()

    run(main())


def test_a_server_that_stops_reading_is_left() -> None:
    async def main() -> None:
        exchange = Exchange(heartbeat_s=0.02)
        async with exchange, feed(exchange, silence_limit_s=0.5) as (manager, _):
            session = await told(exchange, 0)
            exchange.heartbeat_s = None
            session.websocket.transport.pause_reading()
            await manager.subscribe(range(100, 3000), Mode.FULL)
            second = await exchange.session(1)
            exchange.heartbeat_s = 0.02
            await exchange.until(lambda _: len(second.modes) == 2903)

    run(main())


def test_403_at_the_first_connect_ends_it_with_a_plain_sentence() -> None:
    async def main() -> None:
        async with Exchange() as exchange:
            exchange.tokens = {"other"}
            sink = Sink()
            async with TickerManager(
                [account()], quick(exchange.url, max_connections=3), sink=sink
            ) as manager:
                with pytest.raises(AuthError, match=r"account main: .*403.*log in again"):
                    await manager.ready()
                failure = await manager.ended()
                assert isinstance(failure, AuthError)
                assert len(exchange.requests) <= 3
                assert manager.health().status is HealthStatus.CRITICAL
                assert [row["status"] for row in sink.lifecycle(Kind.REFUSED)] == [403] * 3

                exchange.tokens = {"fresh"}
                manager.set_access_token("main", "fresh")
                await manager.ready()
                assert manager.health().status is HealthStatus.HEALTHY

    run(main())


def test_403_at_a_reconnect_ends_it_and_does_not_touch_the_stream_that_lives() -> None:
    async def main() -> None:
        sink = Sink()
        async with (
            Exchange() as exchange,
            TickerManager([account()], quick(exchange.url, max_connections=2), sink=sink) as manager,
        ):
            await manager.ready()
            exchange.tokens = set()  # 06:00: the token is dead, the streams live on
            (await exchange.session(0)).reset()
            await sink.has(Kind.REFUSED)
            states = [stats.state for stats in manager.stats().connections.values()]
            assert sorted(states) == [State.OPEN, State.REFUSED]
            assert manager.health().status is HealthStatus.DEGRADED
            seen = manager.stats().total.heartbeats
            await sink.until(lambda _: manager.stats().total.heartbeats > seen + 5)
            assert len(exchange.requests) == 3

    run(main())


def test_a_callable_is_asked_at_each_connect_so_a_new_token_needs_no_restart() -> None:
    async def main() -> None:
        tokens = iter(["old", "old", "old", "new"])
        async with Exchange() as exchange:
            exchange.tokens = {"new"}
            accounts = [account(token=lambda: next(tokens))]
            async with TickerManager(accounts, quick(exchange.url)) as manager:
                await manager.ready()
            assert len(exchange.requests) == 2  # "old" was tried once only

    run(main())


def test_a_source_given_at_run_time_is_asked_again_after_a_403() -> None:
    async def main() -> None:
        async with Exchange() as exchange:
            exchange.tokens = {"third"}
            async with TickerManager([account(token="first")], quick(exchange.url)) as manager:
                assert isinstance(await manager.ended(), AuthError)
                tokens = iter(["second", "second", "third"])
                manager.set_access_token("main", lambda: next(tokens))
                await manager.ready()
            assert len(exchange.requests) == 3  # each token once

    run(main())


def test_429_is_waited_out_until_there_is_room() -> None:
    async def main() -> None:
        async with Exchange() as exchange:
            exchange.answers.extend([429, 429])
            async with feed(exchange) as (manager, sink):
                await told(exchange, 0)
                await manager.ready()
                refused = sink.lifecycle(Kind.REFUSED)
                assert [row["status"] for row in refused] == [429, 429]
                assert "too many connections" in refused[0]["reason"]

    run(main())


def test_an_end_after_max_attempts_is_the_error_of_the_last_failure() -> None:
    async def main() -> None:
        async with Exchange(heartbeat_s=None, greet=False) as exchange:
            exchange.answers.extend([429] * 5)
            with pytest.raises(TooManyConnectionsError, match=r"main-0: gave up after 2 attempts.*too many"):
                await _gives_up_raising(exchange.url)
            exchange.answers.clear()
            async with TickerManager(
                [account()], quick(exchange.url, max_attempts=2, silence_limit_s=0.1)
            ) as manager:
                assert isinstance(await manager.ended(), StaleFeedError)

    run(main())


async def _gives_up_raising(url: str) -> None:
    async with TickerManager([account()], quick(url, max_attempts=2)) as manager:
        await manager.ready()


@pytest.mark.parametrize("status", [400, 500, 503])
def test_other_answers_are_tried_again(status: int) -> None:
    async def main() -> None:
        async with Exchange() as exchange:
            exchange.answers.append(status)
            async with feed(exchange) as (manager, sink):
                await told(exchange, 0)
                await sink.has(Kind.GAP)
                assert str(status) in sink.lifecycle(Kind.GAP)[0]["reason"]
                await manager.ready()

    run(main())


def test_a_redirect_is_not_followed_for_it_would_take_the_secrets_elsewhere() -> None:
    async def main() -> None:
        async with Exchange() as exchange, Exchange() as elsewhere:
            exchange.location = f"{elsewhere.url}/?api_key=x&access_token=y"
            exchange.answers.append(302)
            async with feed(exchange) as (manager, sink):
                await told(exchange, 0)
                await sink.has(Kind.GAP)
                assert "HTTP 302" in sink.lifecycle(Kind.GAP)[0]["reason"]
                await manager.ready()
            assert elsewhere.requests == []

    run(main())


@contextlib.asynccontextmanager
async def http_proxy(status: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Give a proxy that answers CONNECT with a status, and passes everything on after 200."""
    asked: list[bytes] = []

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head)
        writer.write(b"HTTP/1.1 " + status + b"\r\n\r\n")
        if not status.startswith(b"200"):
            writer.close()
            return
        host, _, port = head.split()[1].decode().partition(":")
        upstream, onward = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pipe(reader, onward), pipe(upstream, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://me:S3CRET@127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        await server.wait_closed()


def test_a_proxy_is_used_when_it_is_asked_for() -> None:
    async def main() -> None:
        async with Exchange() as exchange, http_proxy(b"200 OK") as (proxy, asked):
            async with feed(exchange, proxy=proxy):
                await told(exchange, 0)
            assert asked[0].startswith(b"CONNECT 127.0.0.1:")
            assert b"Proxy-Authorization: Basic" in asked[0]

    run(main())


def test_a_proxy_that_refuses_is_named_without_its_password() -> None:
    async def main() -> str:
        async with http_proxy(b"407 Proxy Authentication Required") as (proxy, _):
            return await _gives_up("ws://127.0.0.1:9", proxy=proxy)

    words = run(main())
    assert "the proxy did not let us through" in words
    assert "S3CRET" not in words


def test_a_jump_of_the_wall_clock_by_an_hour_costs_nothing() -> None:
    class Jumping:
        shift_ns = 0
        monotonic_ns = staticmethod(time.monotonic_ns)

        def now_ns(self) -> int:
            return time.time_ns() + self.shift_ns

    async def main() -> None:
        clock, sink = Jumping(), Sink()
        async with Exchange(heartbeat_s=0.01) as exchange:
            config = quick(exchange.url)
            async with TickerManager([account()], config, sink=sink, clock=clock) as manager:
                for hours in (1, -1, 0):
                    clock.shift_ns = hours * 3600 * 10**9
                    await sink.has(Kind.BINARY, len(sink.payloads(Kind.BINARY)) + 10)
                assert manager.stats().total.losses == 0
                assert manager.health().status is HealthStatus.HEALTHY
        rows = [row for _, row in sink.rows]
        steady = [row.monotonic_ns for row in rows]
        assert steady == sorted(steady)
        wall = [row.received_at for row in rows]
        assert max(wall) - min(wall) > 7000 * 10**9

    run(main())


async def _gives_up(url: str, **changes: Any) -> str:
    async with TickerManager([account()], quick(url, max_attempts=2, **changes)) as manager:
        with pytest.raises(ConnectionLostError) as caught:
            await manager.ready()
    return str(caught.value)


def test_a_name_that_does_not_exist_is_named() -> None:
    assert "kite.invalid cannot be resolved" in run(_gives_up("ws://kite.invalid"))


def test_a_port_where_nobody_listens_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert f"nobody listens at 127.0.0.1:{port}" in run(_gives_up(f"ws://127.0.0.1:{port}"))


async def _says_once(words: bytes, scheme: str) -> str:
    """Give the failure of a connect to a server that answers anything with these words."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(words)
        await writer.drain()
        await reader.read(-1)  # until the client has left: a close before that would be a reset
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        return await _gives_up(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        server.close()
        await server.wait_closed()


def test_a_failure_of_tls_is_named() -> None:
    assert "TLS with 127.0.0.1" in run(_says_once(b"no TLS is spoken here\r\n", "wss"))


def test_a_server_that_speaks_no_websocket_is_named() -> None:
    assert "does not speak WebSocket" in run(_says_once(b"220 mail.example ready\r\n\r\n", "ws"))


def test_a_text_that_is_no_utf8_ends_the_connection_as_the_standard_asks_and_it_comes_back() -> None:
    async def main() -> None:
        async with Exchange() as exchange, feed(exchange) as (_, sink):
            session = await told(exchange, 0)
            await session.websocket.send(b"\xff\xfe", text=True)
            await told(exchange, 1)
            lost = sink.lifecycle(Kind.DISCONNECTED)[0]
            assert lost["code"] == 1007
            assert "broke the WebSocket protocol" in lost["reason"]

    run(main())


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "{}",
        '{"data": 1}',
        "[]",
        '{"type": "new"}',
        '{"type":"order","data":{"order_timestamp":"x"}}',
    ],
)
def test_a_strange_text_is_kept_and_harms_nothing(text: str) -> None:
    async def main() -> None:
        async with Exchange() as exchange, feed(exchange) as (manager, sink):
            session = await told(exchange, 0)
            await session.send(text)
            await session.send_packets(packet(7))
            await sink.until(lambda sink: join_frame([packet(7)]) in sink.payloads(Kind.BINARY))
            assert text.encode() in sink.payloads(Kind.TEXT)
            assert manager.stats().total.losses == 0

    run(main())


def test_the_error_text_on_too_many_instruments_is_reported_and_the_connection_stays() -> None:
    async def main() -> None:
        words = "Can't subscribe to more than 3000 instruments."
        async with Exchange() as exchange, feed(exchange) as (manager, sink):
            session = await told(exchange, 0)
            await session.send(f'{{"type":"error","data":"{words}"}}')
            await sink.has(Kind.REFUSED)
            assert sink.lifecycle(Kind.REFUSED) == [{"reason": words}]
            assert state(manager) is State.OPEN

    run(main())


def test_garbage_is_kept_byte_for_byte() -> None:
    async def main() -> None:
        seed = 7
        rng = random.Random(seed)
        garbage = [rng.randbytes(rng.randrange(1, 300)) for _ in range(200)]
        async with Exchange(snapshots=False, heartbeat_s=None) as exchange, feed(exchange) as (manager, sink):
            session = await told(exchange, 0)
            for frame in garbage:
                await session.send(frame)
            await sink.has(Kind.BINARY, 200)
            assert sink.payloads(Kind.BINARY) == garbage, f"seed {seed}"
            assert manager.stats().total.losses == 0

    run(main())


def test_the_largest_frame_of_the_wire_is_taken() -> None:
    async def main() -> None:
        frame = join_frame([packet(token) for token in range(3000)])
        assert len(frame) == MAX_FRAME_BYTES == 558_002
        async with Exchange() as exchange, feed(exchange) as (manager, sink):
            session = await told(exchange, 0)
            await session.send(frame)
            await sink.until(lambda sink: frame in sink.payloads(Kind.BINARY))
            assert manager.stats().total.packets >= 3000

    run(main())


def test_a_frame_below_our_own_limit_is_kept_though_no_kite_sends_it() -> None:
    async def main() -> None:
        frame = bytes(12_000_000)
        async with Exchange() as exchange, feed(exchange) as (manager, sink):
            await (await told(exchange, 0)).send(frame)
            await sink.until(lambda sink: frame in sink.payloads(Kind.BINARY))
            assert manager.stats().total.losses == 0

    run(main())


def test_a_frame_of_20_mb_is_refused_and_the_connection_renewed() -> None:
    async def main() -> None:
        async with Exchange() as exchange, feed(exchange) as (_, sink):
            session = await told(exchange, 0)
            with contextlib.suppress(Exception):
                await session.send(bytes(20_000_000))
            await told(exchange, 1)
            await sink.has(Kind.GAP)
            lost = sink.lifecycle(Kind.DISCONNECTED)[0]
            assert lost["code"] == 1009
            assert "more than 16,777,216 bytes" in lost["reason"]

    run(main())


def test_a_sink_that_fails_costs_no_connection_and_is_counted_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Full:
        def append(self, connection: str, row: Any) -> None:
            raise OSError("no space")

    async def main() -> None:
        async with (
            Exchange() as exchange,
            TickerManager([account()], quick(exchange.url), sink=Full()) as manager,
        ):
            frames = manager.frames()
            async with asyncio.timeout(DEADLINE_S):
                for _ in range(10):
                    await anext(frames)
            (await exchange.session(0)).reset()
            await exchange.session(1)
            await manager.ready()
            total = manager.stats().total
            assert total.unwritten >= 10
            assert total.losses == 1  # the reset
            assert any("could not be written" in reason for reason in manager.health().reasons)

    with caplog.at_level(logging.ERROR):
        run(main())
    assert "the sink does not take rows: OSError" in caplog.text
    assert len(caplog.records) < 10


def test_a_listener_that_fails_renews_the_connection_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Exchange() as exchange, TickerManager([account()], quick(exchange.url)) as manager:
            failed: list[int] = []

            def fail_once(connection: str, row: Any) -> None:
                if not failed:
                    failed.append(1)
                    raise RuntimeError("a fault of ours")

            manager._hub.tap(fail_once)
            await exchange.session(1)
            await manager.ready()

    with caplog.at_level(logging.ERROR):
        run(main())
    assert "could not take a message" in caplog.text


def test_a_fault_of_our_own_is_logged_and_taken_for_a_loss(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Exchange() as exchange:
            sink = Sink()
            manager = TickerManager([account()], quick(exchange.url), sink=sink)
            driver = manager._fleet.drivers["main-0"]
            send, faults = driver._send, [1, 1]

            async def broken(text: str) -> None:
                if faults:
                    faults.pop()
                    raise RuntimeError("a fault of ours")
                await send(text)

            driver._send = broken  # type: ignore[method-assign]
            async with manager:
                for token, mode in TOKENS.items():
                    await manager.subscribe([token], mode)
                await exchange.until(lambda exchange: any(s.modes == TOKENS for s in exchange.sessions))
                await manager.ready()
            assert "fault of kiterec itself" in sink.lifecycle(Kind.DISCONNECTED)[0]["reason"]
            assert len(sink.lifecycle(Kind.GAP)) >= 1

    with caplog.at_level(logging.ERROR):
        run(main())
    assert "RuntimeError: a fault of ours" in caplog.text


async def _connecting(exchange: Exchange) -> None:
    await asyncio.sleep(0)


async def _open(exchange: Exchange) -> None:
    await told(exchange, 0)


async def _waiting(exchange: Exchange) -> None:
    session = await told(exchange, 0)
    exchange.answers.extend([500] * 1000)
    session.reset()
    await exchange.until(lambda exchange: len(exchange.requests) >= 2)


async def _refused(exchange: Exchange) -> None:
    session = await told(exchange, 0)
    exchange.answers.append(403)
    session.reset()
    await exchange.until(lambda exchange: len(exchange.requests) >= 2)


async def _never_closes(exchange: Exchange) -> None:
    (await told(exchange, 0)).websocket.transport.pause_reading()


@pytest.mark.parametrize("reach", [_connecting, _open, _waiting, _refused, _never_closes])
def test_stop_leaves_no_task_no_socket_and_no_warning(reach: Any) -> None:
    async def main() -> None:
        async with Exchange() as exchange:
            before = asyncio.all_tasks()
            manager = TickerManager([account()], quick(exchange.url))
            await manager.start()
            for token, mode in TOKENS.items():
                await manager.subscribe([token], mode)
            await reach(exchange)
            await manager.stop()
            await manager.stop()
            assert state(manager) is State.STOPPED
            for session in exchange.sessions:
                session.websocket.transport.abort()
            late = asyncio.all_tasks() - before
            names = {task.get_name() for task in late}
            assert not [name for name in names if name.startswith("kiterec")]
            if late:  # of the server
                await asyncio.wait(late, timeout=DEADLINE_S)
            assert asyncio.all_tasks() == before

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(main())
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_stop_before_start_does_nothing() -> None:
    async def main() -> None:
        manager = TickerManager([account()], quick("ws://127.0.0.1:1"))
        await manager.stop()
        assert await manager.ended() is None

    run(main())


def test_no_secret_is_seen_at_debug_level(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> str:
        asyncio.get_running_loop().set_debug(True)
        async with Exchange() as exchange:
            exchange.answers.extend([400, 101])
            exchange.tokens = {"to%2Fken%20S3CRET"}
            shown = []
            accounts = [account(key="KEY/S3CRET", token="to/ken S3CRET")]
            async with TickerManager(accounts, quick(exchange.url)) as manager:
                await manager.ready()
                shown += [repr(manager.stats()), repr(manager.health()), repr(accounts)]
                shown += [repr(task) for task in asyncio.all_tasks()]
                exchange.tokens = set()
                (await exchange.session(0)).reset()
                shown.append(repr(await manager.ended()))
            request = exchange.requests[0]
            assert request.path == "/?api_key=KEY%2FS3CRET&access_token=to%2Fken%20S3CRET"
            assert request.headers["X-Kite-Version"] == "3"
            assert request.headers["User-Agent"].startswith("kiterec")
            assert "Sec-WebSocket-Extensions" not in request.headers
            return " ".join(shown)

    loggers = [logging.getLogger(name) for name in ("websockets.server", "asyncio")]
    with caplog.at_level(logging.DEBUG):
        for noisy in loggers:
            noisy.setLevel(
                logging.INFO
            )  # the fake server may say what it was asked; asyncio is looked at below
        logging.getLogger("asyncio").setLevel(logging.DEBUG)
        shown = run(main())
        for noisy in loggers:
            noisy.setLevel(logging.NOTSET)
    assert "S3CRET" not in caplog.text + shown
