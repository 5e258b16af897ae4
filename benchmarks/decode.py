"""How fast frames become the full tick table, against the official client's parser on the same frames.

Run `python -m benchmarks.decode [--rounds 15] [--json FILE]`. One core and CPU time for the comparison with
the others; then the clock on the wall for the same input on one core and on two, where there are two. It ends
with 1 if a floor is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import struct
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from kiteconnect import KiteTicker

from kiterec import compiled
from kiterec.ticks.decode import decode
from kiterec.wire.frames import join_frame

if TYPE_CHECKING:
    from collections.abc import Callable

FRAMES = 24
PACKETS = 500
SEED = 7
MORE_FRAMES = 12
"""So many times the frames are decoded at once where cores are compared."""

REPEATS = 40
"""So often kiterec decodes the frames each time it is its turn."""

CORES_FLOOR = 1.6
"""Two cores against one, full packets."""

WORKLOADS: dict[str, tuple[list[int], float]] = {
    "full": ([184], 60),
    "quote": ([44], 35),
    "ltp": ([8], 15),
    # A connection with all modes and indices on it; no floor is promised.
    "mixed": ([184, 184, 184, 44, 44, 32, 28, 8], 0),
}

_FULL = struct.Struct(">" + "IiIiIIIiiiiIIIII" + "IiHxx" * 10)
_QUOTE = struct.Struct(">IiIiIIIiiii")
_INDEX = struct.Struct(">Iiiiiii")
_LTP = struct.Struct(">Ii")
_LENGTH = struct.Struct(">H")


@dataclass(frozen=True, slots=True)
class Result:
    """One workload; speeds are medians in ticks a second, ratios medians of the rounds' own ratios."""

    workload: str
    ticks: int
    rounds: int
    kiterec: float
    official: float
    by_struct: float
    copy: float
    against_official: float
    against_struct: float
    against_copy: float
    floor: float

    @property
    def holds(self) -> bool:
        """Tell whether the promised ratio is reached."""
        return self.against_official >= self.floor


def packet(rng: random.Random, length: int) -> bytes:
    """Give a packet with numbers of a market's size."""
    token = rng.randrange(1, 1 << 16) << 8 | (9 if length in {28, 32} else rng.choice([1, 1, 1, 2, 2]))
    numbers = [rng.randrange(1 << rng.choice([8, 16, 24])) for _ in range(length // 4 - 1)]
    return struct.pack(f">{length // 4}I", token, *numbers)


def frames_of(lengths: list[int]) -> list[bytes]:
    """Give the frames of a workload."""
    rng = random.Random(SEED)
    return [join_frame([packet(rng, rng.choice(lengths)) for _ in range(PACKETS)]) for _ in range(FRAMES)]


def by_official(frames: list[bytes]) -> Callable[[], object]:
    """Parse with the official client."""
    client = KiteTicker("key", "access")

    def run() -> None:
        # Each frame's dicts are dropped before the next: keeping them all makes the garbage collector
        # walk them, which is no part of parsing.
        for frame in frames:
            client._parse_binary(frame)

    return run


def by_struct(frames: list[bytes]) -> Callable[[], object]:
    """Unpack each packet with one compiled struct: Python at its best, without names or rupees."""
    layouts = {184: _FULL, 44: _QUOTE, 32: _INDEX, 28: _INDEX, 8: _LTP}

    def run() -> None:
        for frame in frames:
            rows = []
            at = 2
            while at < len(frame):
                (length,) = _LENGTH.unpack_from(frame, at)
                rows.append(layouts[length].unpack_from(frame, at + 2))
                at += 2 + length

    return run


def by_copy(frames: list[bytes]) -> Callable[[], object]:
    """Copy the same bytes: the speed of memory."""
    source = np.frombuffer(b"".join(frames), np.uint8)
    target = np.empty_like(source)
    return lambda: np.copyto(target, source)


def seconds(run: Callable[[], object], *, repeats: int) -> float:
    """Give the mean CPU time of a run, of all threads of this process."""
    begin = time.process_time()
    for _ in range(repeats):
        run()
    return (time.process_time() - begin) / repeats


def measure(workload: str, *, rounds: int) -> Result:
    """Time all decoders in turn, round by round, so that a busy moment hits each alike."""
    lengths, floor = WORKLOADS[workload]
    frames = frames_of(lengths)
    ticks = decode(frames).height
    ours, official, structs, copies = [], [], [], []
    parse, unpack, copy = by_official(frames), by_struct(frames), by_copy(frames)
    for _ in range(rounds):
        ours.append(seconds(lambda: decode(frames, threads=1), repeats=REPEATS))
        official.append(seconds(parse, repeats=1))
        structs.append(seconds(unpack, repeats=1))
        copies.append(seconds(copy, repeats=50))

    def speed(times: list[float]) -> float:
        return ticks / statistics.median(times)

    def ratio(times: list[float]) -> float:
        return statistics.median(other / mine for other, mine in zip(times, ours, strict=True))

    return Result(
        workload, ticks, rounds, speed(ours), speed(official), speed(structs), speed(copies),
        ratio(official), ratio(structs), ratio(copies), floor,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cores:
    """One workload on one core and on two: medians in ticks a second, and that of the rounds' ratios."""

    workload: str
    ticks: int
    one: float
    two: float
    ratio: float


def measure_cores(workload: str, cores: list[int], *, rounds: int) -> Cores:
    """Time one core and two in turn; the process is pinned to those that it may use."""
    frames = pa.array(frames_of(WORKLOADS[workload][0]) * MORE_FRAMES, pa.large_binary())
    ticks = decode(frames, threads=2).height
    took: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for threads, times in took.items():
            os.sched_setaffinity(0, cores[:threads])
            decode(frames, threads=threads)  # the memory that the others have left is not arranged for these
            begin = time.perf_counter()
            for _ in range(REPEATS):
                decode(frames, threads=threads)
            times.append((time.perf_counter() - begin) / REPEATS)
    os.sched_setaffinity(0, cores)
    one, two = (ticks / statistics.median(took[threads]) for threads in (1, 2))
    ratio = statistics.median(a / b for a, b in zip(took[1], took[2], strict=True))
    return Cores(workload, ticks, one, two, ratio)


def cores_table(results: list[Cores]) -> str:
    """Give the results as a table in Markdown."""
    lines = ["| frames | ticks | one core, ticks/s | two | ratio |", "|---|--:|--:|--:|--:|"]
    lines += [
        f"| {it.workload} | {it.ticks:,} | {it.one:,.0f} | {it.two:,.0f} | {it.ratio:.2f} |" for it in results
    ]
    return "\n".join(lines)


def table(results: list[Result]) -> str:
    """Give the results as a table in Markdown."""
    lines = [
        "| frames | kiterec ticks/s | official | ratio | floor | struct | ratio | memory copy |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for one in results:
        floor = f"{one.floor:.0f}" if one.floor else ""
        lines.append(
            f"| {one.workload} | {one.kiterec:,.0f} | {one.official:,.0f} | {one.against_official:.1f} "
            f"| {floor} | {one.by_struct:,.0f} | {one.against_struct:.1f} | {one.copy:,.0f} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Print the table; give 1 if a floor is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    arguments = parser.parse_args()
    os.environ.setdefault(compiled.SWITCH, "1")  # from the first frame on
    by = "Numba's loops" if compiled.chosen() else "numpy"
    sys.stdout.write(f"decoding by {by}\n\n")
    cores = sorted(os.sched_getaffinity(0), reverse=True)
    os.sched_setaffinity(0, cores[:1])
    results = [measure(workload, rounds=arguments.rounds) for workload in WORKLOADS]
    sys.stdout.write(table(results) + "\n")
    shared = []
    if len(cores) > 1:
        shared = [measure_cores(workload, cores[:2], rounds=arguments.rounds) for workload in WORKLOADS]
        sys.stdout.write("\n" + cores_table(shared) + "\n")
    if arguments.json:
        found = {"one core": [asdict(it) for it in results], "two cores": [asdict(it) for it in shared]}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    missed = [result.workload for result in results if not result.holds]
    missed += [
        f"{it.workload} by two cores" for it in shared if it.workload == "full" and it.ratio < CORES_FLOOR
    ]
    if missed:
        sys.stderr.write(f"slower than promised: {', '.join(missed)}\n")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
