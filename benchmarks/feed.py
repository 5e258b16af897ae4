"""What the feed costs beside a bare `websockets` receive loop on the same server, and its latency.

Run `python -m benchmarks.feed [--rounds 5] [--json FILE]`. The server is a process of its own that sends made
frames as fast as they are taken. The ways take turns, and each ratio is the median of the rounds' ratios. A
ratio of raw_only below 0.6, or a p99 of 2 ms or more at the real rate, ends with exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import socket
import statistics
import struct
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect

from benchmarks._wire import accept_upgrade, message_head
from kiterec.feed.account import Account, Secret
from kiterec.feed.config import FeedConfig
from kiterec.feed.manager import TickerManager

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from multiprocessing.connection import Connection

    from kiterec.wire.transcript import Row

SIZES = {"200 B": (1, 60_000), "20 kB": (107, 12_000), "200 kB": (1075, 1_500)}
FLOOR = 0.6
LATENCY_LIMIT_MS = 2.0
LATENCY_FRAMES = 120
FRAMES_PER_S = 12


def made_frame(packets: int, number: int) -> bytes:
    """Give a frame of full packets as the server puts it on the wire."""
    body = b"".join(
        struct.pack(">HIi", 184, (packet + 1) << 8 | 1, number + packet) + bytes(176)
        for packet in range(packets)
    )
    payload = struct.pack(">H", packets) + body
    return message_head(len(payload)) + payload


def serve(pipe: Connection, packets: int, frames: int, interval_s: float) -> None:
    """Accept one client after the other, and send each the frames; at once, or one every `interval_s`."""
    block = [made_frame(packets, number) for number in range(min(frames, 64))]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pipe.send(listener.getsockname()[1])
        while True:
            client, _ = listener.accept()
            with client:
                try:
                    if not accept_upgrade(client):
                        continue
                    _send(client, block, frames, interval_s)
                    client.recv(1 << 16)  # until it leaves
                except OSError:
                    continue


def _send(client: socket.socket, block: list[bytes], frames: int, interval_s: float) -> None:
    for number in range(frames):
        client.sendall(block[number % len(block)])
        if interval_s:
            time.sleep(interval_s)


@contextmanager
def server(packets: int, frames: int, interval_s: float = 0.0) -> Iterator[str]:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=serve, args=(theirs, packets, frames, interval_s), daemon=True)
    process.start()
    try:
        yield f"ws://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


class Count:
    """A sink that only counts what was received."""

    def __init__(self, frames: int) -> None:
        self.left = frames
        self.first = 0.0
        self.done = asyncio.Event()

    def append(self, _: str, row: Row) -> None:
        if row.kind == "binary":
            self.left -= 1
            if not self.left:
                self.done.set()


def manager(url: str, **options: Any) -> TickerManager:
    account = Account(name="bench", api_key=Secret("key"), access_token=Secret("token"))
    sink = options.pop("sink", None)
    return TickerManager([account], FeedConfig(url=url, max_connections=1, **options), sink=sink)


async def bare(url: str, frames: int) -> None:
    async with connect(url, compression=None, max_size=16 << 20, ping_interval=None) as client:
        for _ in range(frames):
            await client.recv()


async def raw_only(url: str, frames: int) -> None:
    sink = Count(frames)
    async with manager(url, sink=sink, raw_only=True):
        await sink.done.wait()


async def consumed(url: str, frames: int) -> None:
    feed = manager(url, raw_only=True)
    stream = feed.frames(size=256, policy="block")
    async with feed:
        for _ in range(frames):
            await anext(stream)


async def decoded(url: str, frames: int) -> None:
    feed = manager(url)
    ticks = feed.ticks(size=256, policy="block")
    async with feed:
        left = frames
        while left > 0:
            left -= (await anext(ticks)).frames


WAYS: dict[str, Callable[[str, int], Awaitable[None]]] = {
    "bare": bare,
    "raw_only": raw_only,
    "raw, one consumer": consumed,
    "ticks": decoded,
}


def measure(way: Callable[[str, int], Awaitable[None]], url: str, frames: int) -> tuple[float, float]:
    """Give frames per second, and microseconds of CPU per frame."""
    wall, cpu = time.perf_counter(), time.process_time()
    asyncio.run(way(url, frames))  # type: ignore[arg-type]
    seconds = time.perf_counter() - wall
    return frames / seconds, (time.process_time() - cpu) / frames * 1e6


def throughput(rounds: int) -> list[dict[str, Any]]:
    rows = []
    for size, (packets, frames) in SIZES.items():
        with server(packets, frames) as url:
            for way in WAYS.values():
                measure(way, url, frames)  # imports and warm memory are not what is measured
            taken = [{name: measure(way, url, frames) for name, way in WAYS.items()} for _ in range(rounds)]
        rows += [
            {
                "frame": size,
                "way": name,
                "frames_per_s": statistics.median(one[name][0] for one in taken),
                "cpu_us_per_frame": statistics.median(one[name][1] for one in taken),
                "of_bare": statistics.median(one[name][0] / one["bare"][0] for one in taken),
            }
            for name in WAYS
        ]
    return rows


async def latency(url: str, frames: int) -> dict[str, float | None]:
    feed = manager(url, raw_only=True)
    stream = feed.frames()
    async with feed:
        for _ in range(frames):
            await anext(stream)
        found = feed.stats().latency
    return {"p50_ms": found.p50_ms, "p99_ms": found.p99_ms, "max_ms": found.max_ms}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = throughput(asked.rounds)
    with server(SIZES["200 kB"][0], LATENCY_FRAMES, 1 / FRAMES_PER_S) as url:
        delay = asyncio.run(latency(url, LATENCY_FRAMES))
    print(f"{'frame':>8} {'way':<18} {'frames/s':>10} {'CPU µs':>8} {'of bare':>8}")
    for row in rows:
        print(
            f"{row['frame']:>8} {row['way']:<18} {row['frames_per_s']:>10,.0f} "
            f"{row['cpu_us_per_frame']:>8.1f} {row['of_bare']:>8.2f}"
        )
    p50, p99, most = (delay[name] or 0.0 for name in ("p50_ms", "p99_ms", "max_ms"))
    print(
        f"latency to the consumer at {FRAMES_PER_S} frames/s of 200 kB: p50 {p50:.3f} ms, p99 {p99:.3f} ms, "
        f"max {most:.3f} ms"
    )
    if asked.json:
        asked.json.write_text(json.dumps({"throughput": rows, "latency": delay}, indent=2) + "\n")
    slow = [row for row in rows if row["way"] == "raw_only" and row["of_bare"] < FLOOR]
    return int(bool(slow) or p99 >= LATENCY_LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
