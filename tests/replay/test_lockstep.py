"""Lockstep: the next message goes out only when every client has taken the last, so that runs are alike."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from kiterec.errors import ReplayError
from kiterec.replay.limits import Limits
from kiterec.replay.server import ReplayServer
from kiterec.simulate import SyntheticMarket
from kiterec.wire.frames import HEARTBEAT, is_heartbeat
from kiterec.wire.packets import Mode
from kiterec.wire.requests import SetMode
from tests.replay.handmade import DEADLINE_S, HandmadeTimeline, eventually, frame, listening, packet, run
from tests.replay.test_time import counting, prices

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kiterec.replay.hooks import Peer, Sending


def digest(messages: Iterable[bytes | str]) -> str:
    """Say independently what `transcripts` is over."""
    found = hashlib.sha256()
    for message in messages:
        if isinstance(message, bytes) and is_heartbeat(message):
            continue
        data = message.encode() if isinstance(message, str) else message
        found.update(f"{int(isinstance(message, str))} {len(data)} ".encode() + data)
    return found.hexdigest()


class Faults:
    """Drops, doubles and damages frames at random, and breaks one connection in the middle."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._broken = False

    async def connecting(self, number: int) -> int | None:
        return None

    def left(self, client: Peer) -> None:
        pass

    async def settle(self, client: Peer, *, ended: bool) -> None:
        pass

    def outgoing(self, client: Peer, payload: bytes | str, kind: Sending, *, due_ns: int, seq: int):
        if kind != "frame" or not isinstance(payload, bytes):
            return None
        if seq >= 30 and client.name == "client-1" and not self._broken:
            self._broken = True
            client.reset()
            return []
        fates = [None, None, [], [payload, payload], [payload[:9]], [b"\x00\x07" + payload]]
        return self._chance.choice(fates)


async def run_with_faults(seed: int) -> dict[str, str]:
    """Give the transcripts of a run in which client-1 is thrown out and comes back as client-3."""
    market = SyntheticMarket(instruments=12, seed=5, duration_s=12)
    tokens = market.instrument_tokens
    server = ReplayServer(market, speed=None, lockstep=True, wait_for_clients=2, hook=Faults(seed))
    async with server, listening(server.url) as one:
        await one.until(lambda: one.messages)
        async with listening(server.url) as two:
            await one.want(Mode.FULL, *tokens[:8])
            await two.want(Mode.LTP, *tokens[4:])
            await one.until_closed()
            async with listening(server.url) as again:
                await again.ask(SetMode(Mode.QUOTE, tuple(tokens[:8])))
                await again.until_closed()
            await two.until_closed()
            transcripts = server.stats().transcripts
            assert digest(two.messages) == transcripts["client-2"]
            assert digest(again.messages) == transcripts["client-3"]
            return transcripts


def test_two_runs_with_the_same_seed_have_the_same_transcripts_and_another_seed_has_others() -> None:
    async def main() -> None:
        first, second, other = [await run_with_faults(seed) for seed in (1, 1, 2)]
        assert set(first) == {"client-1", "client-2", "client-3"}
        assert first == second
        assert first["client-2"] != other["client-2"]

    run(main())


def test_two_processes_that_hash_and_compute_differently_send_the_same_under_the_same_seed() -> None:
    def begin(seed: int, hash_seed: str, compiled: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.replay.lockstep_run", str(seed)]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "KITEREC_COMPILED": compiled}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    runs = [begin(1, "0", "0"), begin(1, "4242", "1"), begin(2, "0", "0")]
    first, second, other = (json.loads(run.communicate(timeout=3 * DEADLINE_S)[0]) for run in runs)
    assert set(first) == {f"client-{number}" for number in range(1, 7)}, "each is thrown out and comes back"
    assert first == second
    assert not set(first.values()) & set(other.values())


async def run_with_answers() -> dict[str, str]:
    """Give the transcript of a program that asks for another instrument after each frame."""
    market = SyntheticMarket(instruments=12, seed=5, duration_s=6)
    server = ReplayServer(market, speed=None, lockstep="acknowledged")
    async with server, listening(server.url) as client:
        await client.want(Mode.LTP, market.instrument_tokens[0])
        for number in range(1, 12):
            await client.until(lambda number=number: len(client.frames) == number)
            await client.want(Mode.FULL, market.instrument_tokens[number])
            server.acknowledge()
        while not client.close:
            server.acknowledge()
            await asyncio.sleep(0)
        return server.stats().transcripts


def test_what_a_program_asks_before_it_acknowledges_is_heard_before_the_next_frame() -> None:
    async def main() -> None:
        first = await run_with_answers()
        assert first == await run_with_answers()

    run(main())


class Slow:
    """Reads only when told to; its pongs come when it reads."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self):
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await self._reader.readuntil(b"\r\n\r\n")
        self._send(1, json.dumps({"a": "mode", "v": ["full", [256]]}).encode())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._writer.transport.abort()

    async def frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(DEADLINE_S):
            head = await self._reader.readexactly(2)
            size = head[1]
            if size == 126:
                size = int.from_bytes(await self._reader.readexactly(2), "big")
            return head[0] & 15, await self._reader.readexactly(size)

    def pong(self, data: bytes) -> None:
        self._send(10, data)

    def _send(self, opcode: int, data: bytes) -> None:
        self._writer.write(bytes([128 | opcode, 128 | len(data), 0, 0, 0, 0]) + data)


def test_nothing_follows_a_frame_until_the_slowest_client_has_answered_the_ping_after_it() -> None:
    async def main() -> None:
        server = ReplayServer(counting(4), speed=None, lockstep=True, wait_for_clients=2)
        async with server, Slow(server.port) as slow, listening(server.url) as quick:
            await quick.want(Mode.LTP, 256)
            got: list[bytes] = []
            while len(got) < 4:
                opcode, data = await slow.frame()
                if opcode == 2 and data != HEARTBEAT:
                    got.append(data)
                elif opcode == 9:
                    assert server.stats().timeline_messages == len(got)
                    slow.pong(data)
            assert got == [frame(packet(184, 256, last_price=n + 1, oi=n)) for n in range(4)]
            await quick.until(lambda: prices(quick) == [1, 2, 3, 4])

    run(main())


def test_with_acknowledgements_a_frame_waits_until_somebody_says_so() -> None:
    async def main() -> None:
        server = ReplayServer(counting(4), speed=None, lockstep="acknowledged")
        async with server, listening(server.url) as client:
            assert not server.acknowledge()
            await client.want(Mode.LTP, 256)
            for number in range(1, 4):
                await client.until(lambda number=number: prices(client) == list(range(1, number + 1)))
                assert server.stats().timeline_messages == number
                await eventually(lambda number=number: server.acknowledge("client-1" if number % 2 else None))
                assert not server.acknowledge("client-7")
            await client.until_closed()
            assert prices(client) == [1, 2, 3, 4]

    run(main())


def test_snapshots_are_between_frames_and_only_there() -> None:
    universe = [frame(packet(184, 256, last_price=7), packet(184, 512, last_price=8))]
    timeline = HandmadeTimeline([(0, 0, frame(packet(184, 256, last_price=9)))], universe=universe)

    async def main() -> None:
        server = ReplayServer(timeline, speed=None, lockstep=True)
        async with server, listening(server.url) as client:
            await client.want(Mode.FULL, 256)
            await client.want(Mode.LTP, 512)
            await client.until_closed()
            assert client.frames == [
                frame(packet(184, 256, last_price=7), packet(8, 512, last_price=8)),
                frame(packet(184, 256, last_price=9)),
            ]

    run(main())


@pytest.mark.parametrize("speed", [1.0, None])
def test_exact_connections_keep_step_too(speed: float | None) -> None:
    rows = [(n, n % 2, frame(packet(8, 256, last_price=n))) for n in range(40)]

    async def main() -> None:
        timeline = HandmadeTimeline(rows, connections=("main-0", "main-1"))
        server = ReplayServer(timeline, exact=True, lockstep=True, speed=speed)
        async with server, listening(server.url) as first, listening(server.url) as second:
            await first.until_closed()
            await second.until_closed()
            assert (prices(first), prices(second)) == (list(range(0, 40, 2)), list(range(1, 40, 2)))

    run(main())


@pytest.mark.parametrize("lockstep", [True, "acknowledged"])
def test_a_client_that_never_answers_ends_the_replay_by_its_name(lockstep: bool) -> None:
    async def main() -> None:
        limits = Limits(lockstep_s=0.5)
        server = ReplayServer(
            counting(4), speed=None, lockstep=lockstep, wait_for_clients=2, limits=limits, at_end="hold"
        )
        async with server, listening(server.url) as quick, Slow(server.port) as slow:
            await quick.want(Mode.LTP, 256)
            async with asyncio.timeout(DEADLINE_S):
                while server.stats().state != "failed":
                    server.acknowledge("client-1")
                    await asyncio.sleep(0.01)
            assert slow
            with pytest.raises(ReplayError, match=r"waited 0\.5 s for client-2 to .*--lockstep-timeout"):
                await server.finished()

    run(main())


def test_a_client_that_does_not_come_back_ends_the_replay_but_a_pause_may_last() -> None:
    async def main() -> None:
        server = ReplayServer(
            counting(4), speed=None, lockstep=True, paused=True, limits=Limits(lockstep_s=0.2)
        )
        async with server:
            async with listening(server.url) as client:
                await client.want(Mode.LTP, 256)
                await server.step()
                await client.until(lambda: prices(client) == [1])
            await asyncio.sleep(0.6)
            assert server.stats().state == "paused"
            server.resume()
            with pytest.raises(ReplayError, match="0 of 1 are there, after client-1 has left"):
                async with asyncio.timeout(DEADLINE_S):
                    await server.finished()

    run(main())


def test_a_pause_does_not_use_up_the_patience_of_lockstep() -> None:
    patience_s = 1.0

    async def main() -> None:
        begun = time.monotonic()
        server = ReplayServer(
            counting(4), speed=None, lockstep="acknowledged", limits=Limits(lockstep_s=patience_s)
        )
        async with server, listening(server.url) as client:
            await client.want(Mode.LTP, 256)
            await client.until(lambda: prices(client) == [1])
            server.pause()
            running_s = time.monotonic() - begun
            await asyncio.sleep(0.8 * patience_s)
            server.resume()
            begun = time.monotonic()
            with pytest.raises(ReplayError, match="waited 1 s"):
                async with asyncio.timeout(DEADLINE_S):
                    await server.finished()
            # A lower bound: however slow the machine is, it cannot be too early.
            assert running_s + time.monotonic() - begun >= patience_s

    run(main())
