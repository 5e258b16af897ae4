"""Exact mode: a client gets a recorded connection byte for byte, and nothing else while it runs."""

from __future__ import annotations

import asyncio

import pytest
from websockets.exceptions import InvalidStatus

from kiterec.replay.server import ReplayServer
from kiterec.wire.requests import Subscribe
from tests.replay.handmade import HandmadeTimeline, eventually, frame, listening, packet, run

META = '{"type": "instruments_meta", "data": {"count": 1, "etag": "x"}}'
FIRST = [
    META,
    b"\x00",
    frame(packet(184, 256)),
    b"\xff\xff\x00",
    "not json",
    b"",
    frame(packet(44, 512), b"strange"),
]
SECOND = [META, b"\x00\x00", b"\x00", frame(packet(8, 768)), '{"type":"order","data":{}}']


def recorded() -> HandmadeTimeline:
    rows = [(n * 10, 0, message) for n, message in enumerate(FIRST)]
    rows += [(n * 10 + 5, 1, message) for n, message in enumerate(SECOND)]
    rows.append((42, 1, None))
    return HandmadeTimeline(sorted(rows, key=lambda row: row[0]), connections=("main-0", "main-1"))


@pytest.mark.parametrize("speed", [1.0, 7.0, None])
def test_each_client_gets_its_recorded_connection_whatever_it_asks(speed: float | None) -> None:
    async def main() -> None:
        async with (
            ReplayServer(recorded(), exact=True, speed=speed) as server,
            listening(server.url) as first,
        ):
            await first.ask(Subscribe((1, 2, 3)), "nonsense")
            assert server.stats().state == "waiting"
            async with listening(server.url) as second:
                for client in (first, second):
                    assert await client.until_closed() == (1000, "replay finished")
                assert first.messages == FIRST
                assert second.messages == SECOND

    run(main())


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the time between two heartbeats short, where their absence is looked for."""
    monkeypatch.setattr("kiterec.replay.client.HEARTBEAT_S", 0.1)


@pytest.mark.usefixtures("hasty")
def test_the_clock_waits_for_as_many_clients_as_there_are_connections_and_nothing_is_sent() -> None:
    async def main() -> None:
        async with (
            ReplayServer(recorded(), exact=True) as server,
            listening(server.url, "connection=main-1") as second,
        ):
            await asyncio.sleep(0.5)  # longer than the time between two heartbeats
            assert second.messages == []
            async with listening(server.url) as first:
                await first.until_closed()
                await second.until_closed()
                assert first.messages == FIRST
                assert second.messages == SECOND

    run(main())


@pytest.mark.usefixtures("hasty")
def test_in_a_pause_exact_clients_get_heartbeats() -> None:
    async def main() -> None:
        timeline = HandmadeTimeline([(0, 0, "a"), (1, 0, b"\x00\x01")])
        async with (
            ReplayServer(timeline, exact=True, paused=True) as server,
            listening(server.url) as client,
        ):
            await client.until(lambda: len(client.messages) == 2)
            server.resume()
            await client.until_closed()
            assert {*client.messages[:-2]} == {b"\x00"}
            assert client.messages[-2:] == ["a", b"\x00\x01"]

    run(main())


def test_a_client_too_many_is_refused_until_one_leaves() -> None:
    async def main() -> None:
        async with (
            ReplayServer(recorded(), exact=True, wait_for_clients=5) as server,
            listening(server.url),
        ):
            async with listening(server.url):
                with pytest.raises(InvalidStatus) as refusal:
                    async with listening(server.url):
                        pass
                assert refusal.value.response.status_code == 429
            await eventually(lambda: server.stats().clients == 1)
            async with listening(server.url):
                await eventually(lambda: server.stats().clients == 2)

    run(main())


@pytest.mark.usefixtures("hasty")
def test_after_the_end_held_exact_clients_get_heartbeats_again() -> None:
    async def main() -> None:
        timeline = HandmadeTimeline([(0, 0, "a"), (1, 0, b"\x00\x01")])
        async with (
            ReplayServer(timeline, exact=True, at_end="hold") as server,
            listening(server.url) as client,
        ):
            await client.until(lambda: len(client.messages) == 3)
            assert client.messages == ["a", b"\x00\x01", b"\x00"]

    run(main())
