"""What serving costs and how punctual it is: real time, ten times that, the costly case, untouched frames.

Run `python -m benchmarks.replay [--seconds 10] [--rounds 7]`. The market is made beforehand; the clients are
processes that read and throw away. CPU is that of the server's process alone. The bare server, which knows
nothing of packets, sends the same frames to as many clients; it takes turns with ours.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from websockets.asyncio.server import ServerConnection, broadcast, serve

from kiterec import compiled
from kiterec.replay import engine
from kiterec.replay.packet_batch import locate_packets
from kiterec.replay.punctual import favour_deadlines
from kiterec.replay.server import ReplayServer
from kiterec.replay.timeline import TimelineKind
from kiterec.simulate.market import SyntheticMarket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kiterec.replay.timeline import TimelineBatch

Wish = dict[str, list[int]]

RATIO_FLOOR = 0.7
COSTLY_FLOOR = 50.0
LATE_P99_MS = 2.0
DRIFT_MS = 1.0


class Kept:
    """A timeline in memory, so that making it costs nothing while it is served; it may go round."""

    def __init__(self, *, instruments: int, seconds: float, laps: int = 1) -> None:
        market = SyntheticMarket(instruments=instruments, seed=1, duration_s=seconds)
        self.tokens = market.instrument_tokens
        self.connections = market.connections
        self.universe = market.universe
        self._batches = list(market.batches())

        self._lap_ns = round(seconds * 1e9)
        self._laps = laps
        self.payload_bytes = sum(batch.payloads.nbytes for batch in self._batches)

    def instruments_csv(self) -> None:
        return None

    def batches(self) -> Iterator[TimelineBatch]:
        for lap in range(self._laps):
            for batch in self._batches:
                yield replace(batch, due_ns=batch.due_ns + lap * self._lap_ns) if lap else batch

    def due_ns(self) -> np.ndarray:
        return np.concatenate([batch.due_ns for batch in self._batches])

    def sizes(self, tokens: list[int]) -> np.ndarray:
        """Give the size of each message for a client that wants only these instruments; 0: it gets none."""
        sizes = []
        for batch in self._batches:
            packets = locate_packets(batch.payloads, binary=batch.kind == TimelineKind.BINARY)
            wanted = np.isin(packets.token, np.array(tokens, np.uint32))
            size = np.bincount(packets.message[wanted], packets.length[wanted] + 2, minlength=len(batch))
            sizes.append(size.astype(np.int64) + 2 * (size > 0))
        return np.concatenate(sizes)


class Readers:
    """Clients that read and throw away."""

    def __init__(self, wishes: list[Wish]) -> None:
        self._wishes = wishes
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks._reader"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for _ in wishes
        ]  # fmt: skip
        for process in self._processes:
            process.stdout.readline()

    def connect(self, port: int, *, instants: bool = False) -> None:
        """Let them connect and subscribe."""
        for process, wish in zip(self._processes, self._wishes, strict=True):
            requests = [json.dumps({"a": "mode", "v": [mode, tokens]}) for mode, tokens in wish.items()]
            task = {"port": port, "requests": requests, "instants": instants}
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()

    def received(self) -> list[list[tuple[int, int]]]:
        """Wait until they are done; give instant on the steady clock and size of each frame that each got."""
        return [json.loads(process.stdout.readline()) for process in self._processes]

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()


@contextmanager
def readers(wishes: list[Wish]) -> Iterator[Readers]:
    clients = Readers(wishes)
    try:
        yield clients
    finally:
        clients.end()


async def served(
    timeline: Kept, clients: Readers, wishes: list[Wish], *, speed: float | None, instants: bool = False
) -> tuple[ReplayServer, float, float]:
    """Serve the timeline; give the server, and the seconds and CPU seconds until all is taken."""
    async with ReplayServer(timeline, speed=speed, wait_for_clients=len(wishes)) as server:
        clients.connect(server.port, instants=instants)
        while server.stats().state == "waiting":  # noqa: ASYNC110 -- the server tells nobody
            await asyncio.sleep(0.001)
        begin, cpu = time.perf_counter(), time.process_time()
        await server.finished()
        return server, time.perf_counter() - begin, time.process_time() - cpu


def replayed(timeline: Kept, wishes: list[Wish]) -> tuple[float, float]:
    """Serve the timeline as fast as it is taken; give the seconds and the CPU seconds."""
    with readers(wishes) as clients:
        _, elapsed_s, cpu_s = asyncio.run(served(timeline, clients, wishes, speed=None))
        return elapsed_s, cpu_s


async def _bare(frames: list[bytes], clients: Readers, listeners: int) -> tuple[float, float]:
    joined: set[ServerConnection] = set()
    complete, done = asyncio.Event(), asyncio.Event()

    async def handle(connection: ServerConnection) -> None:
        joined.add(connection)
        if len(joined) == listeners:
            complete.set()
        await done.wait()

    async with serve(handle, "127.0.0.1", 0, compression=None, write_limit=1 << 20) as server:
        clients.connect(next(iter(server.sockets)).getsockname()[1])
        await complete.wait()
        begin, cpu = time.perf_counter(), time.process_time()
        for frame in frames:
            broadcast(joined, frame)
            for connection in joined:
                await connection.drain()
        for pong in [await connection.ping() for connection in joined]:
            await pong
        elapsed = time.perf_counter() - begin, time.process_time() - cpu
        done.set()
        return elapsed


def bare(timeline: Kept, listeners: int) -> tuple[float, float]:
    """Send the same frames from a plain websockets server; give the seconds and the CPU seconds."""
    frames = [payload for batch in timeline.batches() for payload in batch.payloads.to_pylist()]
    with readers([{}] * listeners) as clients:
        return asyncio.run(_bare(frames, clients, listeners))


def thirds(tokens: list[int]) -> list[list[int]]:
    size = len(tokens) // 3
    return [tokens[n * size : (n + 1) * size] for n in range(3)]


def punctuality(timeline: Kept, *, speed: float) -> bool:
    """Print what 3 clients with a third of the market each cost at a speed, and how late messages were."""
    wishes: list[Wish] = [{"full": tokens} for tokens in thirds(timeline.tokens)]
    with readers(wishes) as clients:
        server, _, cpu_s = asyncio.run(served(timeline, clients, wishes, speed=speed, instants=True))
        received = clients.received()
    stats = server.stats()
    print(
        f"{len(timeline.tokens):,} instruments in full mode to 3 clients, speed {speed:g}: "
        f"achieved {stats.achieved_speed:.4g}, "
        f"{cpu_s / stats.elapsed_s:.1%} of a core, {stats.sent_bytes / stats.elapsed_s / 1e6:.1f} MB/s"
    )
    sent = server._tally.late_ms()
    sent_well = _print_late("  written to the socket", sent)
    pace = server._transport.pace
    _print_late("  whole at the client  ", _late_at_clients(timeline, received, pace, speed))
    return sent_well


def _late_at_clients(timeline: Kept, received: list, pace, speed: float) -> np.ndarray:
    """Give how late each frame was whole at its client, ms, in the order of the timeline."""
    due_ns = timeline.due_ns()
    deadline_ns = pace._origin_ns + (due_ns - pace._origin_due_ns) / speed
    late: list[tuple[float, float]] = []
    for tokens, frames in zip(thirds(timeline.tokens), received, strict=True):
        size = timeline.sizes(tokens)
        rows = np.flatnonzero(size)
        instant, got = np.array(frames, np.int64).T
        # One of the frames is the snapshot, the first or a later one.
        extra = int((got[: len(rows)] != size[rows]).argmax()) if len(got) > len(rows) else len(rows)
        instant, got = np.delete(instant, extra), np.delete(got, extra)
        if not np.array_equal(got, size[rows]):
            raise SystemExit("a client got other frames than were sent")
        late += zip(deadline_ns[rows].tolist(), ((instant - deadline_ns[rows]) / 1e6).tolist(), strict=True)
    return np.array([ms for _, ms in sorted(late)])


def _print_late(what: str, late_ms: np.ndarray) -> bool:
    p50, p99 = np.percentile(late_ms, (50, 99))
    last = late_ms[-len(late_ms) // 6 :].mean()
    print(
        f"{what} p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {late_ms.max():.2f} ms late; "
        f"mean of the last sixth {last:.2f} ms ({len(late_ms):,} sendings)"
    )
    return bool(p99 <= LATE_P99_MS and last <= DRIFT_MS)


def untouched(timeline: Kept, rounds: int) -> bool:
    """Print the rate of frames that all clients get as they are against the bare server."""
    size = timeline.sizes(timeline.tokens)
    wishes: list[Wish] = [{"full": timeline.tokens}] * 3
    wall, cpu = [], []
    for number in range(rounds):
        # What goes first finds other things in the caches, so they take turns at that too.
        if number % 2:
            ours, plain = replayed(timeline, wishes), bare(timeline, 3)
        else:
            plain, ours = bare(timeline, 3), replayed(timeline, wishes)
        wall.append(plain[0] / ours[0])
        cpu.append(plain[1] / ours[1])
    ratio = statistics.median(wall)
    print(
        f"untouched frames of {size.mean():,.0f} bytes to 3 clients: {ratio:.2f} of the rate of a bare "
        f"websockets server ({min(wall):.2f} to {max(wall):.2f}), by CPU time {statistics.median(cpu):.2f}"
    )
    return ratio >= RATIO_FLOOR


def costly(timeline: Kept) -> bool:
    """Print how much faster than the market 3 clients can be served that share it in lower modes."""
    first, second, third = thirds(timeline.tokens)
    wishes: list[Wish] = [{"ltp": first}, {"quote": second}, {"ltp": third[::2], "quote": third[1::2]}]
    elapsed_s, _ = replayed(timeline, wishes)
    speed = timeline.due_ns()[-1] / 1e9 / elapsed_s
    print(f"3 clients, each 1,000 of 3,000 instruments in lower modes: {speed:.0f}x real time")
    return bool(speed >= COSTLY_FLOOR)


def main() -> None:
    """Print the measurements; a miss ends with exit code 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of real time, for each pace")
    parser.add_argument("--instruments", type=int, default=9_000, help="of the market, for each pace")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", choices=["pace", "max"])
    options = parser.parse_args()
    engine.load(compiled.WORTH_BYTES)  # as `kiterec replay` does for a recording of this size
    favour_deadlines()

    good = True
    if options.only != "max":
        for speed in (1.0, 10.0):
            timeline = Kept(instruments=options.instruments, seconds=options.seconds * speed)
            good &= punctuality(timeline, speed=speed)
    if options.only != "pace":
        good &= costly(Kept(instruments=3_000, seconds=120))
        for instruments, seconds, laps in ((3_000, 60, 10), (30, 3_000, 2), (3, 10_000, 1)):
            good &= untouched(Kept(instruments=instruments, seconds=seconds, laps=laps), options.rounds)
    if not good:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
