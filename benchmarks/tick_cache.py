"""One instrument of 3,000: from the tick cache with Polars, DuckDB and pandas, and from the recording itself.

Run `python -m benchmarks.tick_cache [--minutes 20] [--out FOLDER]`. Each question is asked in a process
of its own: a first time, imports included, then as the best of three. Bytes are those of the columns in
the row groups that can hold the instrument, of all bytes of the file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TOKEN = 408065
COLUMNS = ["received_at", "last_price", "volume_traded"]


def record(minutes: float, out: Path) -> Path:
    """Record a market of 3,000 instruments in full mode, faster than it happens."""
    from kiterec.simulate.market import VIRTUAL_START, SyntheticMarket
    from kiterec.store.writer import RecordingWriter
    from kiterec.wire.transcript import Kind, Row

    market = SyntheticMarket(instruments=3000, seed=1, duration_s=60 * minutes, packets_per_s=1.2)
    writer = RecordingWriter.create(out, label="bench", accounts=["main"], connections=["main-0"])
    for batch in market.batches():
        while writer.paused():
            time.sleep(0.01)
        for due, kind, payload in zip(
            batch.due_ns.tolist(), batch.kind.tolist(), batch.payloads.to_pylist(), strict=True
        ):
            row = Row(VIRTUAL_START + due, due, Kind.TEXT if kind else Kind.BINARY, payload)
            writer.append("main-0", row)
    writer.close()
    return writer.path


def ask(how: str, path: str, *, whole: bool) -> int:
    """Give the number of rows that the question about one instrument brings."""
    if how in {"polars", "recording"}:
        import polars as pl

        from kiterec.ticks.cache import scan_cache
        from kiterec.ticks.scan import scan_ticks

        lazy = scan_cache(path) if how == "polars" else scan_ticks(path)
        lazy = lazy.filter(pl.col("instrument_token") == TOKEN)
        return (lazy if whole else lazy.select(COLUMNS)).collect(engine="streaming").height
    if how == "duckdb":
        import duckdb

        names = "*" if whole else ", ".join(COLUMNS)
        query = f"select {names} from '{path}' where instrument_token = {TOKEN}"
        return duckdb.sql(query).to_arrow_table().num_rows
    import pandas as pd

    filters = [("instrument_token", "==", TOKEN)]
    return len(pd.read_parquet(path, columns=None if whole else COLUMNS, filters=filters))


def measure(how: str, path: str, *, whole: bool) -> dict[str, Any]:
    """Ask four times in this process."""
    taken = []
    for _ in range(4):
        begin = time.perf_counter()
        rows = ask(how, path, whole=whole)
        taken.append(time.perf_counter() - begin)
    # ru_maxrss would count the parent's memory too.
    status = Path("/proc/self/status").read_text().split("VmHWM:")
    peak = int(status[1].split()[0]) // 1024 if len(status) > 1 else 0
    return {"first": taken[0], "best": min(taken[1:]), "rows": rows, "rss": peak}


def bytes_read(cache: Path, columns: list[str] | None) -> tuple[int, int]:
    """Give the bytes that the question touches, and those of all row groups."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(cache)
    key = metadata.schema.names.index("instrument_token")
    touched = every = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        chunks = [group.column(place) for place in range(group.num_columns)]
        every += sum(chunk.total_compressed_size for chunk in chunks)
        if chunks[key].statistics.min <= TOKEN <= chunks[key].statistics.max:
            wanted = [
                c for c in chunks if columns is None or c.path_in_schema in [*columns, "instrument_token"]
            ]
            touched += sum(chunk.total_compressed_size for chunk in wanted)
    return touched, every


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--out", type=Path, help="keep the recording and the cache here")
    parser.add_argument("--measure", nargs=3, metavar=("HOW", "PATH", "WHOLE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        how, path, whole = arguments.measure
        print(json.dumps(measure(how, path, whole=whole == "all")))
        return 0
    from kiterec.ticks.cache import read_stamp, write_tick_cache

    with tempfile.TemporaryDirectory() as scratch:
        out = arguments.out or Path(scratch)
        recording = record(arguments.minutes, out)
        begin = time.perf_counter()
        cache = write_tick_cache(recording, out / "ticks.parquet")
        taken = time.perf_counter() - begin
        stamp = read_stamp(cache)
        count = 0 if stamp is None else stamp.ticks
        size = cache.stat().st_size / 1e6
        print(f"{count:,} ticks; cache of {size:,.0f} MB at {count / taken / 1e6:.2f} M ticks/s")
        for words, columns in (("3", COLUMNS), ("all", None)):
            touched, every = bytes_read(cache, columns)
            print(f"{words} columns: {touched / 1e6:.2f} of {every / 1e6:,.0f} MB")
        print("columns  from       first ms  best ms    rows  peak MB")
        for whole in ("3", "all"):
            for how, path in (
                ("polars", cache),
                ("duckdb", cache),
                ("pandas", cache),
                ("recording", recording),
            ):
                command = [sys.executable, "-m", "benchmarks.tick_cache", "--measure", how, str(path), whole]
                found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
                print(
                    f"{whole:>7}  {how:<9} {found['first'] * 1e3:>9.0f} {found['best'] * 1e3:>8.0f} "
                    f"{found['rows']:>7,} {found['rss']:>8}",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
