"""Kills a recorder at random instants, again and again, and checks what is left of it.

Run `python -m tests.kill_loop --rounds 200 [--seed S]`. A server in this process sends frames at full speed
to a recorder in a process of its own and notes when it sent each. After SIGKILL and recovery, the payloads of
each connection must be an exact prefix of what was sent, always; and nothing sent longer than the flush
interval and 50 ms before the kill may be missing, except when others took the processors (a void round).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from kiterec.store.folder import RecordingFolder, find_recordings
from kiterec.store.manifest import Status
from kiterec.store.options import StoreOptions
from kiterec.store.recover import recover
from kiterec.store.transcript import read_transcript
from kiterec.store.writer import RecordingWriter
from kiterec.wire.transcript import Kind, Row

FLUSH_S = 0.1
ALLOWED_MS = FLUSH_S * 1e3 + 50
CONNECTIONS = ("main-0", "main-1", "main-2")
SMALL_BUFFER = 64 << 10
"""Of the sockets, so that a frame that was sent has nearly been received."""
IN_FLIGHT = 16
"""Frames between two pings; the last but one has to be answered, so that sent is nearly received."""
FOREIGN_SHARE = 0.25
"""More of a processor than this in other hands during the last moments makes a late round void."""


class Frames:
    """The frames of one round: any of them can be made again from its connection and number."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self._noise = chance.randbytes(1 << 16)
        self._sizes = [chance.randrange(100, 4000) for _ in range(997)]
        self._begins = [chance.randrange(len(self._noise) - 4000) for _ in range(991)]

    def frame(self, connection: int, number: int) -> bytes:
        begin = self._begins[number % 991]
        head = bytes([connection]) + number.to_bytes(8, "big")
        return head + self._noise[begin : begin + self._sizes[number % 997]]


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
        connection = int(websocket.request.path.rsplit("/", 1)[1])
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


async def record(out: Path, port: int) -> None:
    """Be the recorder: until something kills it."""
    options = StoreOptions(
        flush_interval_s=FLUSH_S, part_bytes=2_000_000, min_free_bytes=0, warn_free_bytes=0
    )
    writer = RecordingWriter.create(out, label="kill", accounts=["main"], options=options)

    async def receive(place: int, connection: str) -> None:
        url = f"ws://127.0.0.1:{port}/{place}"
        async with connect(url, compression=None, max_queue=4) as websocket:
            shrink(websocket.transport, socket.SO_RCVBUF)
            async for frame in websocket:
                row = Row(time.time_ns(), time.monotonic_ns(), Kind.BINARY, frame)
                writer.append(connection, row)
                if writer.paused():
                    await asyncio.sleep(0.001)

    await asyncio.gather(*(receive(place, name) for place, name in enumerate(CONNECTIONS)))


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
        command = [sys.executable, "-m", "tests.kill_loop", "--record", str(out), str(port)]
        process = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parent.parent)
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
    failures += verify(path)
    counts = dict.fromkeys(CONNECTIONS, 0)
    for batch in read_transcript(path, columns=["connection", "payload"]):
        names = batch.column("connection").to_pylist()
        for name, payload in zip(names, batch.column("payload").to_pylist(), strict=True):
            number, place = counts[name], CONNECTIONS.index(name)
            if number >= len(this.sent_ns[place]) or payload != this.frames.frame(place, number):
                return Outcome(0, 0, 0, [*failures, f"{name}: frame {number} is not what was sent"])
            counts[name] += 1
    lateness = 0.0
    for place, name in enumerate(CONNECTIONS):
        missing = this.sent_ns[place][counts[name] :]
        if missing:
            lateness = max(lateness, (killed_ns - missing[0]) / 1e6)
    return Outcome(sum(counts.values()), lateness, foreign, failures)


def verify(path: Path) -> list[str]:
    """Give what does not check in a recovered recording: sha256 of the listed parts and strangers."""
    from kiterec.store.folder import PART
    from kiterec.store.sealer import sha256_of

    folder = RecordingFolder(path)
    wrong = [f"stranger {stranger}" for stranger in folder.strangers()]
    for part in folder.manifest().parts:
        if sha256_of(folder.file(part.connection, part.number, PART)) != part.sha256:
            wrong.append(f"sha256 of {part.connection} part {part.number}")
    return wrong


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
    parser.add_argument("--record", nargs=2, metavar=("OUT", "PORT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.record:
        asyncio.run(record(Path(arguments.record[0]), int(arguments.record[1])))
        return 0
    seed = arguments.seed if arguments.seed is not None else int.from_bytes(os.urandom(4), "big")
    void, failures, late = run(arguments.rounds, seed)
    print(f"rounds={arguments.rounds} seed={seed} failures={len(failures) + len(late)} void={void}")
    for failure in failures + late:
        print(failure, file=sys.stderr)
    return 1 if failures or late else 0


if __name__ == "__main__":
    sys.exit(main())
