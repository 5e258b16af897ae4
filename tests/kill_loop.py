"""Kills a recorder at random instants, again and again, and checks what is left of it.

Run `python -m tests.kill_loop --rounds 200 [--seed S]`. A server in this process sends frames at full
speed to `kiterec record` in a process of its own and notes when it sent each. After SIGKILL and
recovery, the payloads of each connection must be an exact prefix of what was sent and `verify` must find
no error, always; and nothing sent longer than the flush interval and 50 ms before the kill may be
missing, except when others took the processors (a void round; when most rounds are void, nothing was
shown and the loop fails).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from kiterec.store.folder import find_recordings
from kiterec.store.manifest import Status
from kiterec.store.recover import recover
from kiterec.store.transcript import read_transcript
from kiterec.upkeep import verify
from kiterec.wire.transcript import Kind

FLUSH_S = 0.1
ALLOWED_MS = FLUSH_S * 1e3 + 50
CONNECTIONS = ("main-0", "main-1", "main-2")
SMALL_BUFFER = 64 << 10
"""Of the sockets, so that a frame that was sent has nearly been received."""
IN_FLIGHT = 16
"""Frames between two pings; the last but one has to be answered, so that sent is nearly received."""
FOREIGN_SHARE = 0.25
"""More of a processor than this in other hands during the last moments makes a late round void."""


PACKET = struct.Struct(">HIII172s")
"""Length, then a full packet: its connection where the instrument_token is, its number as a price."""


class Frames:
    """The frames of one round: any of them can be made again from its connection and number."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self._noise = chance.randbytes(1 << 16)
        self._counts = [chance.randrange(1, 22) for _ in range(997)]
        self._begins = [chance.randrange(len(self._noise) - 172) for _ in range(991)]

    def frame(self, connection: int, number: int) -> bytes:
        begin, count = self._begins[number % 991], self._counts[number % 997]
        noise = self._noise[begin : begin + 172]
        packets = (PACKET.pack(184, connection << 8 | 1, number, each, noise) for each in range(count))
        return count.to_bytes(2) + b"".join(packets)


@dataclass
class Round:
    """What one round sent.

    Attributes:
        sent_ns: for each connection, when each frame was given to the socket (steady clock).
        is_running: set when each connection has sent one.
    """

    frames: Frames
    sent_ns: list[list[int]] = field(default_factory=lambda: [[] for _ in CONNECTIONS])
    is_running: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, websocket: ServerConnection) -> None:
        """Send frames as fast as they are taken."""
        async for request in websocket:
            # Each connection asks for one instrument: the first says which connection this is.
            connection = (json.loads(request)["v"][-1] >> 8) % len(CONNECTIONS)
            break
        else:
            return
        shrink(websocket.transport, socket.SO_SNDBUF)
        times, number = self.sent_ns[connection], 0
        try:
            answered = await websocket.ping()
            while True:
                frame = self.frames.frame(connection, number)
                times.append(time.monotonic_ns())
                await websocket.send(frame)
                number += 1
                if number == 1 and all(self.sent_ns):
                    self.is_running.set()
                if number % IN_FLIGHT == 0:
                    await answered
                    answered = await websocket.ping()
        except (ConnectionClosed, OSError):
            return


def shrink(transport: asyncio.Transport, which: int) -> None:
    """Make one of a socket's buffers small."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, which, SMALL_BUFFER)


def recorder(out: Path, port: int) -> list[str]:
    """Give the command of a recorder that rotates its parts often."""
    return [
        sys.executable, "-m", "kiterec", "-q", "record", "--url", f"ws://127.0.0.1:{port}", "--out", str(out),
        "--instruments", ",".join(str(place << 8 | 1) for place in range(3, 3 + len(CONNECTIONS))),
        "--connections", str(len(CONNECTIONS)), "--flush-interval", f"{FLUSH_S * 1e3:g}ms",
        "--part-size", "2MB", "--no-live",
    ]  # fmt: skip


class Neighbours:
    """How much processor time went to others, or to waiting for the disk, by the kernel's count."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._samples: list[tuple[int, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            try:
                self._samples.append((time.monotonic_ns(), self._foreign_s()))
            except (OSError, IndexError):
                return

    def _foreign_s(self) -> float:
        user, nice, system, _, iowait, irq, softirq, steal = map(
            int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
        )
        own = 0
        for pid in self._pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            own += int(fields[11]) + int(fields[12])
        everything = user + nice + system + iowait + irq + softirq + steal
        return (everything - own) / os.sysconf("SC_CLK_TCK")

    def share(self, since_ns: int) -> float:
        """Give the part of one processor that others had since this instant; 1 if nobody could look."""
        self._stop.set()
        self._thread.join()
        kept = [sample for sample in self._samples if sample[0] >= since_ns]
        if len(kept) < 2 or kept[0][0] > since_ns + 100_000_000:
            return 1.0
        return (kept[-1][1] - kept[0][1]) * 1e9 / (kept[-1][0] - kept[0][0])


@dataclass
class Outcome:
    """What one round showed."""

    frames: int
    lateness_ms: float
    foreign: float
    failures: list[str]

    @property
    def is_void(self) -> bool:
        """Only the prefix can be judged: the machine did not let the recorder run."""
        return self.lateness_ms > ALLOWED_MS and self.foreign > FOREIGN_SHARE

    @property
    def lateness(self) -> str:
        """Say what is missing that should not be; empty: nothing."""
        if self.lateness_ms <= ALLOWED_MS or self.is_void:
            return ""
        return (
            f"a frame sent {self.lateness_ms:.0f} ms before the kill is missing, {ALLOWED_MS:.0f} may be "
            f"(others had {self.foreign:.0%} of a processor)"
        )


async def one_round(out: Path, seed: int) -> Outcome:
    """Start a recorder, kill it, recover, check."""
    chance = random.Random(seed)
    this = Round(Frames(seed))
    async with serve(
        this.send, "127.0.0.1", 0, compression=None, write_limit=SMALL_BUFFER, close_timeout=0.1
    ) as server:
        port = server.sockets[0].getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *recorder(out, port), cwd=Path(__file__).parent.parent, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(60):
                await this.is_running.wait()
            neighbours = Neighbours(process.pid, os.getpid())
            await asyncio.sleep(0.1 + chance.random() * 1.2)
        finally:
            killed_ns = time.monotonic_ns()
            process.send_signal(signal.SIGKILL)
            await process.wait()
    foreign = neighbours.share(killed_ns - int((ALLOWED_MS + 150) * 1e6))
    return await asyncio.to_thread(check, out, this, killed_ns, foreign)


def check(out: Path, this: Round, killed_ns: int, foreign: float) -> Outcome:
    """Recover, and compare with what was sent."""
    failures: list[str] = []
    (path,) = find_recordings(out)
    report = recover(path)
    if report.status not in (Status.RECOVERED, Status.COMPLETE) or recover(path).changed:
        failures.append(f"recovered as {report.status}: {report.problems}")
    failures += [f"verify: {error.file}: {error.what}" for error in verify(path).errors]
    places: dict[str, int] = {}
    counts = [0] * len(CONNECTIONS)
    for batch in read_transcript(path, columns=["connection", "kind", "payload"]):
        columns = (batch.column(name).to_pylist() for name in ("connection", "kind", "payload"))
        for name, kind, payload in zip(*columns, strict=True):
            if kind != Kind.BINARY:
                continue
            place = places.setdefault(name, int.from_bytes(payload[4:8]) >> 8)
            number = counts[place]
            if number >= len(this.sent_ns[place]) or payload != this.frames.frame(place, number):
                return Outcome(0, 0, 0, [*failures, f"{name}: frame {number} is not what was sent"])
            counts[place] += 1
    lateness = 0.0
    for place, count in enumerate(counts):
        missing = this.sent_ns[place][count:]
        if missing:
            lateness = max(lateness, (killed_ns - missing[0]) / 1e6)
    return Outcome(sum(counts), lateness, foreign, failures)


def run(rounds: int, seed: int) -> tuple[int, list[str], list[str]]:
    """Run the rounds and print one line each; give the number of void ones, failures, and what came late."""
    failures: list[str] = []
    late: list[str] = []
    void = 0
    for number in range(rounds):
        out = Path(tempfile.mkdtemp(prefix="kiterec-kill-"))
        try:
            outcome = asyncio.run(one_round(out, seed + number))
        finally:
            shutil.rmtree(out, ignore_errors=True)
        void += outcome.is_void
        failures += [f"seed {seed + number}: {failure}" for failure in outcome.failures]
        late += [f"seed {seed + number}: {outcome.lateness}"] if outcome.lateness else []
        word = (
            "FAILED"
            if outcome.failures
            else "void"
            if outcome.is_void
            else "late"
            if outcome.lateness
            else "ok"
        )
        print(
            f"round={number + 1} seed={seed + number} {word} frames={outcome.frames} "
            f"oldest_missing_ms={outcome.lateness_ms:.0f} foreign={outcome.foreign:.2f}",
            flush=True,
        )
    return void, failures, late


def main() -> int:
    """Run the loop, or be its recorder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else int.from_bytes(os.urandom(4), "big")
    void, failures, late = run(arguments.rounds, seed)
    print(f"rounds={arguments.rounds} seed={seed} failures={len(failures) + len(late)} void={void}")
    for failure in failures + late:
        print(failure, file=sys.stderr)
    if void > arguments.rounds // 2:
        print("most rounds are void: run it again when others leave the processors alone", file=sys.stderr)
    return 1 if failures or late or void > arguments.rounds // 2 else 0


if __name__ == "__main__":
    sys.exit(main())
