"""What serving costs and how punctual it is: real time, ten times that, the costly case, untouched frames.

Run `python -m benchmarks.replay [--seconds 10]`. The market is made beforehand; the clients are processes
that read and throw away. CPU is that of the server's process alone. Of the comparison with a bare server,
which takes turns with ours, the median of five is given.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import socket
import statistics
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from websockets.asyncio.server import ServerConnection, broadcast, serve

from kiterec.replay.server import ReplayServer
from kiterec.simulate.market import SyntheticMarket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kiterec.replay.timeline import TimelineBatch

Wish = dict[str, list[int]]


class Kept:
    """A timeline in memory, so that making it costs nothing while it is served."""

    def __init__(self, *, instruments: int, seconds: float) -> None:
        market = SyntheticMarket(instruments=instruments, seed=1, duration_s=seconds)
        self.tokens = market.instrument_tokens
        self.connections = market.connections
        self.universe = market.universe
        self._batches = list(market.batches())

    def instruments_csv(self) -> None:
        return None

    def batches(self) -> Iterator[TimelineBatch]:
        return iter(self._batches)


def drain(port: int, wish: Wish) -> None:
    """Subscribe, then read and throw away until the server closes."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        for mode, tokens in wish.items():
            text = json.dumps({"a": "mode", "v": [mode, tokens]}).encode()
            connection.sendall(b"\x81\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text)
        space = bytearray(1 << 20)
        while connection.recv_into(space):
            pass


@contextmanager
def clients(port: int, wishes: list[Wish]) -> Iterator[None]:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=drain, args=(port, wish)) for wish in wishes]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
            process.join()


async def replayed(timeline: Kept, wishes: list[Wish], *, speed: float | None) -> tuple[ReplayServer, float]:
    """Serve the timeline to its end; give the server and the CPU seconds from the first frame on."""
    async with ReplayServer(timeline, speed=speed, wait_for_clients=len(wishes)) as server:
        with clients(server.port, wishes):
            while server.stats().state == "waiting":  # noqa: ASYNC110 -- the server tells nobody
                await asyncio.sleep(0.01)
            begin = time.process_time()
            await server.finished()
            return server, time.process_time() - begin


async def bare(timeline: Kept, listeners: int) -> float:
    """Send the same frames from a plain websockets server; give the seconds."""
    joined: set[ServerConnection] = set()
    complete, done = asyncio.Event(), asyncio.Event()

    async def handle(connection: ServerConnection) -> None:
        joined.add(connection)
        if len(joined) == listeners:
            complete.set()
        await done.wait()

    frames = [payload for batch in timeline.batches() for payload in batch.payloads.to_pylist()]
    async with serve(handle, "127.0.0.1", 0, compression=None, write_limit=1 << 20) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with clients(port, [{}] * listeners):
            await complete.wait()
            begin = time.perf_counter()
            for frame in frames:
                broadcast(joined, frame)
                for connection in joined:
                    await connection.drain()
            elapsed = time.perf_counter() - begin
            done.set()
            return elapsed


def thirds(tokens: list[int]) -> list[list[int]]:
    size = len(tokens) // 3
    return [tokens[n * size : (n + 1) * size] for n in range(3)]


def punctuality(timeline: Kept, *, speed: float) -> None:
    """Print what 9,000 instruments to 3 clients cost at a speed, and how late each message was sent."""
    wishes: list[Wish] = [{"full": tokens} for tokens in thirds(timeline.tokens)]
    server, cpu_s = asyncio.run(replayed(timeline, wishes, speed=speed))
    stats, tally = server.stats(), server._tally
    assert stats.lateness
    late_ms = tally._late_ns[: tally._sendings] / 1e6  # the last 4,096
    print(
        f"9,000 instruments in full mode to 3 clients, speed {speed:g}: "
        f"{cpu_s / stats.elapsed_s:.1%} of a core, "
        f"{stats.sent_bytes / stats.elapsed_s / 1e6:.1f} MB/s; late by p50 {stats.lateness.p50_ms:.2f} ms, "
        f"p99 {stats.lateness.p99_ms:.2f} ms, max {stats.lateness.max_ms:.2f} ms, "
        f"mean of the last sixth {late_ms[-len(late_ms) // 6 :].mean():.2f} ms"
    )


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    seconds = parser.parse_args().seconds

    for speed in (1.0, 10.0):
        timeline = Kept(instruments=9_000, seconds=seconds * speed)
        punctuality(timeline, speed=speed)

    timeline = Kept(instruments=3_000, seconds=60 * seconds / 10)
    first, second, third = thirds(timeline.tokens)
    wishes: list[Wish] = [{"ltp": first}, {"quote": second}, {"ltp": third[::2], "quote": third[1::2]}]
    server, _ = asyncio.run(replayed(timeline, wishes, speed=None))
    speed = server.stats().achieved_speed
    print(f"3 clients, each 1,000 of 3,000 instruments in lower modes: {speed:.0f}x real time")

    wishes = [{"full": timeline.tokens}] * 3
    rates = []
    for _ in range(5):
        server, _ = asyncio.run(replayed(timeline, wishes, speed=None))
        rates.append(asyncio.run(bare(timeline, 3)) / server.stats().elapsed_s)
    print(
        f"untouched frames to 3 clients: {statistics.median(rates):.2f} of the rate of a bare websockets "
        f"server ({min(rates):.2f} to {max(rates):.2f})"
    )


if __name__ == "__main__":
    main()
