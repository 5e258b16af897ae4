"""How fast a recording is scanned, against merely decompressing the same Parquet; peak memory of each.

Run `python -m benchmarks.scan [--seconds 300] [--rounds 3] [--json FILE]`. A synthetic market of 3,000
instruments in full mode is recorded on three connections, and scanned with all columns and with two, all
instruments and one. Each measurement is a process of its own, pinned to one core; its speed is by CPU
time. It ends with 1 if two columns are less than 1.5 times as fast as all.
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
TWO = ["instrument_token", "last_price"]


def record(out: Path, seconds: float) -> Path:
    """Record a synthetic market; the connections take turns."""
    from kiterec.simulate.market import SyntheticMarket
    from kiterec.store.writer import RecordingWriter
    from kiterec.wire.transcript import Kind, Row

    market = SyntheticMarket(instruments=INSTRUMENTS, seed=5, duration_s=seconds)
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
    """Read every row group of every part, as pyarrow does it, and drop it."""
    import pyarrow.parquet as pq

    for part in sorted(path.glob("connection=*/*.parquet")):
        file = pq.ParquetFile(part, pre_buffer=False)
        for group in range(file.num_row_groups):
            file.read_row_group(group, use_threads=False)
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


def child(work: str, path: Path) -> None:
    """Do one kind of work twice and print CPU seconds of the second time, ticks, and peak memory."""
    WORK[work](path)
    begin = time.process_time()
    ticks = WORK[work](path)
    spent = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    sys.stdout.write(json.dumps({"seconds": spent, "ticks": ticks, "peak": peak}))


def run(work: str, path: Path) -> dict[str, Any]:
    """Measure in a process of its own, on one core."""
    core = max(os.sched_getaffinity(0))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scan", "--child", work, "--path", str(path)],
        env=os.environ | {"POLARS_MAX_THREADS": "1"},
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        capture_output=True,
        text=True,
        check=True,
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def measure(path: Path, rounds: int) -> list[dict[str, Any]]:
    """Take turns; give medians, and the median of the rounds' ratios to decompressing."""
    found: dict[str, list[dict[str, Any]]] = {work: [] for work in WORK}
    for _ in range(rounds):
        for work, results in found.items():
            results.append(run(work, path))
    everything = found["all columns"][0]["ticks"]
    bare = [result["seconds"] for result in found["decompress"]]
    return [
        {
            "work": work,
            "seconds": statistics.median(result["seconds"] for result in results),
            "ticks a second": everything / statistics.median(result["seconds"] for result in results),
            "against decompressing": statistics.median(
                result["seconds"] / other for result, other in zip(results, bare, strict=True)
            ),
            "peak MB": max(result["peak"] for result in results) / 1e6,
        }
        for work, results in found.items()
    ]


def main() -> int:
    """Print the table; give 1 if two columns are not faster enough than all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    logging.disable(logging.INFO)
    if asked.child:
        child(asked.child, asked.path)
        return 0
    with tempfile.TemporaryDirectory(prefix="kiterec-scan-") as out:
        found = measure(record(Path(out), asked.seconds), asked.rounds)
    sys.stdout.write(
        "| scan | CPU s | ticks/s passed | against decompressing | peak MB |\n|---|--:|--:|--:|--:|\n"
    )
    for row in found:
        sys.stdout.write(
            f"| {row['work']} | {row['seconds']:.2f} | {row['ticks a second']:,.0f} "
            f"| {row['against decompressing']:.2f} | {row['peak MB']:.0f} |\n"
        )
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    speed = {row["work"]: row["ticks a second"] for row in found}
    holds = speed["two columns"] >= FLOOR * speed["all columns"]
    if not holds:
        sys.stderr.write(f"two columns are less than {FLOOR} times as fast as all\n")
    return int(not holds)


if __name__ == "__main__":
    sys.exit(main())
