"""One instrument of 3,000 over a day: by kiterec, Polars, DuckDB and pandas from the tick cache, and without.

Run `python -m benchmarks.tick_cache [--hours 6.25] [--step 5] [--out FOLDER] [--json FILE]`. A frame every
`--step` seconds, so that the day fits a run: a real one has up to 20 times as many ticks of busy instruments.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

TOKEN = 408065
INSTRUMENTS = 3_000
COLUMNS = ["received_at", "last_price", "volume_traded"]
FLOOR_S = 1.0
"""What a first question about one instrument may take from the cache."""


def record(hours: float, step_s: float, out: Path) -> Path:
    """Record a market in full mode on three connections, faster than it happens."""
    from kiterec.clock import IST, to_ns
    from kiterec.simulate.market import SyntheticMarket
    from kiterec.store.writer import RecordingWriter
    from kiterec.wire.transcript import Kind, Row

    begin = to_ns(datetime(2026, 1, 5, 9, 15, tzinfo=IST))
    # On average two of three instruments change in a step: the busy ones always, some hardly ever.
    market = SyntheticMarket(
        instruments=INSTRUMENTS, seed=1, duration_s=3_600 * hours, grid_ms=round(step_s * 1_000),
        packets_per_s=2 / 3 / step_s, start_ns=begin,
    )  # fmt: skip
    connections = [f"main-{number}" for number in range(3)]
    writer = RecordingWriter.create(out, label="bench", accounts=["main"], connections=connections)
    writer.set_instruments(market.instruments_csv())
    frame = 0
    for batch in market.batches():
        while writer.paused():
            time.sleep(0.01)
        rows = zip(batch.due_ns.tolist(), batch.kind.tolist(), batch.payloads.to_pylist(), strict=True)
        for due, kind, payload in rows:
            row = Row(begin + due, due, Kind.TEXT if kind else Kind.BINARY, payload)
            writer.append(connections[frame % 3], row)
            frame += 1
    writer.close()
    return writer.path


def build(recording: str, cache: str) -> dict[str, Any]:
    """Write the cache."""
    from kiterec.ticks.cache import write_tick_cache
    from kiterec.ticks.stamp import read_stamp

    before = peak_mb()
    begin = time.perf_counter()
    stamp = read_stamp(write_tick_cache(recording, cache))
    taken = time.perf_counter() - begin
    return {"s": taken, "ticks": stamp.ticks if stamp else 0, "before_mb": before, "peak_mb": peak_mb()}


def question(how: str, path: str, columns: list[str] | None) -> Any:
    """Import what a way of asking needs, and give a function that asks and gives the number of rows."""
    if how in {"kiterec", "frames"}:
        import polars as pl

        import kiterec

        recording = kiterec.open(path)
        lazy = (
            recording.ticks([TOKEN])
            if how == "kiterec"
            else kiterec.scan_ticks(recording.path, symbols=[TOKEN])
        )
        return lambda: lazy.select(columns or pl.all()).collect().height
    if how == "polars":
        import polars as pl

        lazy = pl.scan_parquet(path).filter(pl.col("instrument_token") == TOKEN)
        return lambda: lazy.select(columns or pl.all()).collect().height
    if how == "duckdb":
        import duckdb

        names = ", ".join(columns or "*")
        query = f"select {names} from '{path}' where instrument_token = {TOKEN}"
        return lambda: duckdb.sql(query).to_arrow_table().num_rows
    import pandas as pd

    filters = [("instrument_token", "==", TOKEN)]
    return lambda: len(pd.read_parquet(path, columns=columns, filters=filters))


def measure(how: str, path: str, columns: list[str] | None) -> dict[str, Any]:
    """Ask once with nothing in the system's cache, and three times with all of it there."""
    ask = question(how, path, columns)
    drop_from_cache(Path(path))
    before = counters()
    begin = time.perf_counter()
    rows = ask()
    cold = time.perf_counter() - begin
    after = counters()
    warm = []
    for _ in range(1 if how == "frames" else 3):
        begin = time.perf_counter()
        ask()
        warm.append(time.perf_counter() - begin)
    return {
        "cold_ms": cold * 1e3,
        "warm_ms": min(warm) * 1e3,
        "asked_mb": (after["rchar"] - before["rchar"]) / 1e6,
        "disk_mb": (after["read_bytes"] - before["read_bytes"]) / 1e6,
        "rows": rows,
        "peak_mb": peak_mb(),
    }


def drop_from_cache(path: Path) -> None:
    """Let the system forget a file, or the files of a folder."""
    for file in [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]:
        handle = os.open(file, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def counters() -> dict[str, int]:
    """Give what this process has read: `rchar` by calls, `read_bytes` from the disk, mapped files too."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return {name: int(value) for name, value in (line.split(": ") for line in lines)}


def peak_mb() -> int:
    """Give the peak of this process alone; ru_maxrss would count its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def in_child(*words: str) -> dict[str, Any]:
    """Give what this module prints in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.tick_cache", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> int:
    """Print the table; 1 if the cache is slower than promised, or somebody got other rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=6.25)
    parser.add_argument("--step", type=float, default=5.0, help="seconds from frame to frame")
    parser.add_argument("--out", type=Path, help="keep the recording and the cache here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers as JSON too")
    parser.add_argument("--measure", nargs=3, metavar=("HOW", "PATH", "COLUMNS"), help=argparse.SUPPRESS)
    parser.add_argument("--build", nargs=2, metavar=("RECORDING", "CACHE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.build:
        print(json.dumps(build(*asked.build)))
        return 0
    if asked.measure:
        how, path, columns = asked.measure
        print(json.dumps(measure(how, path, None if columns == "all" else COLUMNS)))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        return compare(asked, Path(asked.out or scratch))


def compare(asked: argparse.Namespace, out: Path) -> int:
    """Make the day and its cache, and ask in every way."""
    begin = time.perf_counter()
    recording = record(asked.hours, asked.step, out)
    made_s = time.perf_counter() - begin
    cache = recording / "ticks.parquet"
    source = sum(file.stat().st_size for file in recording.rglob("*.parquet"))
    built = in_child("--build", str(recording), str(cache))
    size = cache.stat().st_size
    print(
        f"{asked.hours:g} h of {INSTRUMENTS:,} instruments in full mode, a frame every {asked.step:g} s: "
        f"{built['ticks']:,} ticks, {source / 1e6:,.0f} MB, made in {made_s:.0f} s\n"
        f"cache: {size / 1e6:,.0f} MB, made in {built['s']:.0f} s, "
        f"peak {built['peak_mb']:,} MB of which imports {built['before_mb']:,} MB\n"
        "columns  by           cold ms  warm ms  asked MB  from disk MB    rows  peak MB"
    )
    found = []
    for columns in ("3", "all"):
        for how in ("kiterec", "polars", "duckdb", "pandas", "frames"):
            path = recording if how in {"kiterec", "frames"} else cache
            one = in_child("--measure", how, str(path), columns) | {"columns": columns, "by": how}
            found.append(one)
            print(
                f"{columns:>7}  {how:<10} {one['cold_ms']:>9.0f} {one['warm_ms']:>8.0f} "
                f"{one['asked_mb']:>9.2f} {one['disk_mb']:>13.2f} {one['rows']:>7,} {one['peak_mb']:>8,}",
                flush=True,
            )
    if asked.json:
        asked.json.write_text(json.dumps({"built": built, "cache_bytes": size, "questions": found}, indent=1))
    slow = [one for one in found if one["by"] == "kiterec" and one["cold_ms"] > FLOOR_S * 1e3]
    return int(bool(slow) or len({one["rows"] for one in found}) > 1)


if __name__ == "__main__":
    sys.exit(main())
