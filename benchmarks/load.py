"""What one recorder takes: three connections as fast as it accepts, and at the rate of the real feed.

Run `python -m benchmarks.load [--seconds 60] [--json FILE]`. The server is a process of its own that
sends frames of the synthetic market, each with its number in it, as fast as they are taken; beside
`kiterec record` a bare `websockets` loop takes them and throws them away, in the same run. What was
recorded is read back: the numbers of each connection must have no hole.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect

from benchmarks._wire import accept_upgrade, message_head
from kiterec.simulate.market import SyntheticMarket
from kiterec.store.manifest import load_manifest
from kiterec.store.transcript import read_transcript
from kiterec.wire.frames import is_heartbeat
from kiterec.wire.transcript import Kind

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

CONNECTIONS = 3
SIZES = {"209 kB": 1_124, "20 kB": 108}
"""Packets of 184 bytes in a frame: 3,000 instruments in full mode give about the first."""

BLOCK_BYTES = 24 << 20
"""More than the window of the compression, so that a frame sent again is no gift to it."""

NUMBER = slice(8, 12)
"""Where a frame has its number: the last price of its first packet."""

RATE_FLOOR_MB_S = 100.0
RSS_LIMIT_MB = 600.0


def frames_of(packets: int) -> list[bytearray]:
    """Give WebSocket messages of a synthetic market, each with its header."""
    market = SyntheticMarket(instruments=packets, seed=11, packets_per_s=4.0)
    frames: list[bytearray] = []
    size = 0
    for batch in market.batches():
        for kind, payload in zip(batch.kind.tolist(), batch.payloads.to_pylist(), strict=True):
            if kind == 0 and payload[2:4] == (184).to_bytes(2):
                frames.append(bytearray(message_head(len(payload)) + payload))
                size += len(payload)
        if size > BLOCK_BYTES:
            return frames
    return frames


def serve(pipe: Any, packets: int, interval_s: float) -> None:
    """Send to each client, in a thread of its own, all frames in turn; at once, or one every `interval_s`."""
    import socket as sockets

    block = frames_of(packets)
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        pipe.send(listener.getsockname()[1])
        while True:
            client, _ = listener.accept()
            mine = [bytearray(frame) for frame in block]
            threading.Thread(target=_feed, args=(client, mine, interval_s), daemon=True).start()


def _feed(client: socket.socket, frames: list[bytearray], interval_s: float) -> None:
    with client, suppress(OSError):
        if not accept_upgrade(client):
            return
        started, number = time.monotonic(), 0
        while True:
            frame = frames[number % len(frames)]
            head = len(frame) - _payload_bytes(frame)
            frame[head + NUMBER.start : head + NUMBER.stop] = number.to_bytes(4)
            if interval_s:
                time.sleep(max(0.0, started + number * interval_s - time.monotonic()))
            client.sendall(frame)
            number += 1


def _payload_bytes(frame: bytearray) -> int:
    size = frame[1]
    if size < 126:
        return size
    return int.from_bytes(frame[2:4]) if size == 126 else int.from_bytes(frame[2:10])


@contextmanager
def server(packets: int, *, interval_s: float = 0.0) -> Iterator[int]:
    """Run the server for the block; gives its port."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(theirs, packets, interval_s), daemon=True
    )
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


async def bare_loop(port: int, seconds: float) -> float:
    """Give MB/s of a loop that takes frames over all connections and throws them away."""

    async def take() -> int:
        taken = 0
        async with connect(
            f"ws://127.0.0.1:{port}", compression=None, max_size=None, close_timeout=0.1
        ) as ws:
            while time.monotonic() < end:
                taken += len(await ws.recv())
            ws.transport.abort()
        return taken

    end = time.monotonic() + seconds
    taken = await asyncio.gather(*(take() for _ in range(CONNECTIONS)))
    return sum(taken) / seconds / 1e6


def record(port: int, seconds: float, out: Path) -> dict[str, float]:
    """Run a recorder in a process of its own; give its times, memory and CPU."""
    command = [
        sys.executable, "-m", "kiterec", "-q", "record", "--url", f"ws://127.0.0.1:{port}",
        "--instruments", ",".join(str(n << 8 | 1) for n in range(1, 10)), "--out", str(out),
        "--connections", str(CONNECTIONS), "--duration", f"{seconds:g}s", "--no-live",
    ]  # fmt: skip
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        peak_kb = 0
        while process.poll() is None:
            peak_kb = max(peak_kb, peak_resident_kb(process.pid))
            time.sleep(0.05)
        usage = os.times()
    if process.returncode not in {0, 3}:
        raise SystemExit(f"the recorder ended with exit code {process.returncode}")
    return {
        "until_sealed_s": time.monotonic() - started,
        "rss_mb": peak_kb / 1e3,
        "cpu_s": usage.children_user + usage.children_system,
    }


def peak_resident_kb(pid: int) -> int:
    """Give the most resident memory that a process ever had, mapped files included; 0 when it has ended."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return 0


def check(path: Path) -> tuple[int, int]:
    """Give the frames of a recording, and how many are missing between a connection's first and last."""
    last: dict[str, int] = {}
    frames = missing = 0
    for batch in read_transcript(path, columns=["connection", "kind", "payload"]):
        names = batch.column("connection").to_pylist()
        kinds = batch.column("kind").to_pylist()
        for name, kind, payload in zip(names, kinds, batch.column("payload"), strict=True):
            if kind != Kind.BINARY or is_heartbeat(content := payload.as_buffer()):
                continue
            number = int.from_bytes(bytes(content[NUMBER]))
            missing += abs(number - last.get(name, -1) - 1)
            last[name] = number
            frames += 1
    return frames, missing


def run(name: str, packets: int, seconds: float, *, interval_s: float = 0.0) -> dict[str, Any]:
    """Measure one size of frames; give all figures."""
    out = Path(tempfile.mkdtemp(prefix="kiterec-load-"))
    before = os.times()
    try:
        with server(packets, interval_s=interval_s) as port:
            bare = asyncio.run(bare_loop(port, min(seconds, 10.0))) if not interval_s else 0.0
            measured = record(port, seconds, out)
        measured["cpu_s"] -= before.children_user + before.children_system
        path = next(out.glob("date=*/recording=*"))
        manifest = load_manifest(path)
        frames, missing = check(path)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    wire_mb = sum(part.counts.payload_bytes for part in manifest.parts) / 1e6
    return {
        "frames": name,
        "bare_mb_s": bare,
        "recorded_mb_s": wire_mb / seconds,
        "sealed_mb_s": wire_mb / measured["until_sealed_s"],
        "recorded_frames": frames,
        "missing": missing,
        "disk_mb": sum(part.bytes for part in manifest.parts) / 1e6,
        "cpu_percent": 100 * measured["cpu_s"] / measured["until_sealed_s"],
        "rss_mb": measured["rss_mb"],
        "flush_p99_ms": manifest.latencies["flush"]["p99_ms"],
        "fsync_p99_ms": manifest.latencies["fsync"]["p99_ms"],
    }


def main() -> int:
    """Measure, print a table, and say by the exit code whether the floors held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = [run(name, packets, asked.seconds) for name, packets in SIZES.items()]
    found.append(run("209 kB, 4/s", SIZES["209 kB"], min(asked.seconds, 30.0), interval_s=0.25))
    columns = list(found[0])
    print("| " + " | ".join(columns) + " |\n|---|" + "--:|" * (len(columns) - 1))
    for row in found:
        print("| " + " | ".join(f"{v:,.1f}" if isinstance(v, float) else f"{v}" for v in row.values()) + " |")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))
    fast = found[0]
    held = (
        all(row["missing"] == 0 and row["rss_mb"] < RSS_LIMIT_MB for row in found)
        and fast["sealed_mb_s"] >= RATE_FLOOR_MB_S
    )
    return int(not held)


if __name__ == "__main__":
    sys.exit(main())
