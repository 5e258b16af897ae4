"""How fast a recording is scanned, against merely decompressing the same Parquet; peak memory of each.

Run `python -m benchmarks.scan [--minutes 60] [--rounds 3] [--json FILE]`. An hour of a synthetic market of
3,000 instruments in full mode, two packets a second of each, is recorded on three connections, a frame a
second each, and scanned with all columns and with two, all instruments and one; with the files out of the
system's cache and in it; on one core and on all. Each measurement is a process of its own. It ends with 1 if,
on one core, two columns are less than 1.5 times as fast as all, or take over 1.25 of decompressing.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTIONS = ["main-0", "main-1", "main-2"]
INSTRUMENTS = 3000
FLOOR = 1.5
CEILING = 1.25
TWO = ["instrument_token", "last_price"]


def record(out: Path, seconds: float) -> Path:
    """Record a synthetic market; the connections take turns."""
    from kiterec.simulate.market import SyntheticMarket
    from kiterec.store.writer import RecordingWriter
    from kiterec.wire.transcript import Kind, Row

    market = SyntheticMarket(instruments=INSTRUMENTS, seed=5, duration_s=seconds, grid_ms=333)
    writer = RecordingWriter.create(out, label="bench", accounts=["main"], connections=CONNECTIONS)
    number = 0
    for batch in market.batches():
        rows = zip(batch.due_ns.tolist(), batch.kind.tolist(), batch.payloads.to_pylist(), strict=True)
        for due, kind, payload in rows:
            while writer.paused():
                time.sleep(0.01)
            if kind == 0:
                at = market.start_ns + due
                row = Row(at, due, Kind.BINARY, payload)
                writer.append(CONNECTIONS[number % len(CONNECTIONS)], row)
                number += 1
    writer.close()
    return writer.path


def decompress(path: Path) -> int:
    """Read the payloads of every part, as pyarrow does it, a part a thread, and drop them."""
    from concurrent.futures import ThreadPoolExecutor

    import pyarrow.parquet as pq

    def read(part: Path) -> None:
        file = pq.ParquetFile(part, pre_buffer=False)
        for group in range(file.num_row_groups):
            file.read_row_group(group, columns=["payload"], use_threads=False)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        list(threads.map(read, sorted(path.glob("connection=*/*.parquet"))))
    return 0


def scan(path: Path, columns: list[str] | None, *, one: bool) -> int:
    """Scan and drop; gives the ticks that came."""
    import polars as pl

    from kiterec.ticks.scan import scan_ticks

    lazy = scan_ticks(path)
    if one:
        token = lazy.select("instrument_token").head(1).collect().item()
        lazy = lazy.filter(pl.col("instrument_token") == token)
    if columns:
        lazy = lazy.select(columns)
    return sum(frame.height for frame in lazy.collect_batches())


WORK: dict[str, Callable[[Path], int]] = {
    "decompress": decompress,
    "all columns": lambda path: scan(path, None, one=False),
    "two columns": lambda path: scan(path, TWO, one=False),
    "all columns, one instrument": lambda path: scan(path, None, one=True),
    "two columns, one instrument": lambda path: scan(path, TWO, one=True),
}


def forget(path: Path) -> None:
    """Have the system drop the parts from its cache."""
    for part in path.glob("connection=*/*.parquet"):
        with part.open("rb") as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def child(work: str, path: Path) -> None:
    """Do one kind of work cold, then warm; print seconds of both, CPU seconds, ticks, and peak memory."""
    import kiterec.ticks.scan
    from kiterec import compiled

    os.environ.setdefault(compiled.SWITCH, "1")
    if compiled.chosen():
        import kiterec.ticks.column_loops
        import kiterec.ticks.frame_loops
        import kiterec.ticks.walk_loops  # noqa: F401

    forget(path)
    found: dict[str, float] = {}
    for state in ("cold", "warm"):
        begin, cpu = time.perf_counter(), time.process_time()
        found["ticks"] = WORK[work](path)
        found[state], found[f"{state} cpu"] = time.perf_counter() - begin, time.process_time() - cpu
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    sys.stdout.write(json.dumps(found))


def run(work: str, path: Path, cores: list[int]) -> dict[str, Any]:
    """Measure in a process of its own, on these cores."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scan", "--child", work, "--path", str(path)],
        env=os.environ | {"POLARS_MAX_THREADS": str(len(cores))},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
        capture_output=True,
        text=True,
        check=True,
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def measure(path: Path, rounds: int, cores: list[int]) -> list[dict[str, Any]]:
    """Take turns; give medians, and the median of the rounds' ratios to decompressing."""
    found: dict[str, list[dict[str, Any]]] = {work: [] for work in WORK}
    for _ in range(rounds):
        for work, results in found.items():
            results.append(run(work, path, cores))
    everything = found["all columns"][0]["ticks"]
    # CPU time on one core, where nobody waits for another thread; the clock on several.
    kind = "warm cpu" if len(cores) == 1 else "warm"
    bare = [result[kind] for result in found["decompress"]]
    return [
        {
            "work": work,
            "cores": len(cores),
            "cold": everything / statistics.median(result["cold"] for result in results),
            "warm": everything / statistics.median(result["warm"] for result in results),
            "seconds": statistics.median(result[kind] for result in results),
            "against decompressing": statistics.median(
                result[kind] / other for result, other in zip(results, bare, strict=True)
            ),
            "peak MB": max(result["peak"] for result in results) / 1e6,
        }
        for work, results in found.items()
    ]


def main() -> int:
    """Print the table; give 1 if two columns are not fast enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--dir", type=Path, help="where the recording is made; it takes 2 GB an hour")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    logging.disable(logging.INFO)
    if asked.child:
        child(asked.child, asked.path)
        return 0
    cores = sorted(os.sched_getaffinity(0), reverse=True)
    with tempfile.TemporaryDirectory(prefix="kiterec-scan-", dir=asked.dir) as out:
        path = record(Path(out), 60 * asked.minutes)
        found = measure(path, asked.rounds, cores[:1])
        if len(cores) > 1:
            found += measure(path, asked.rounds, cores)
    sys.stdout.write(
        "| scan | cores | cold, ticks/s | warm, ticks/s | warm s | against decompressing | peak MB |\n"
        "|---|--:|--:|--:|--:|--:|--:|\n"
    )
    for row in found:
        sys.stdout.write(
            f"| {row['work']} | {row['cores']} | {row['cold']:,.0f} | {row['warm']:,.0f} "
            f"| {row['seconds']:.2f} | {row['against decompressing']:.2f} | {row['peak MB']:.0f} |\n"
        )
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    took = {row["work"]: row["seconds"] for row in found if row["cores"] == 1}
    over = {row["work"]: row["against decompressing"] for row in found if row["cores"] == 1}
    missed = []
    if took["all columns"] < FLOOR * took["two columns"]:
        missed.append(f"two columns are less than {FLOOR} times as fast as all")
    if over["two columns"] > CEILING:
        missed.append(f"two columns take over {CEILING} of decompressing")
    sys.stderr.write("".join(f"{what}\n" for what in missed))
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
