"""The table that led to how parts are written: MB/s and ratio by zstd level and sizes.

Run `python -m benchmarks.sealing [--megabytes 192] [--full]`. One core, one thread, a synthetic market's
frames; a part is written to memory, so that the disk blurs nothing, and read back with its checksums.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from kiterec.simulate.market import SyntheticMarket
from kiterec.store.journal import build_batch
from kiterec.store.parts import WRITING
from kiterec.store.schema import TRANSCRIPT_SCHEMA
from kiterec.wire.transcript import Kind, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20


def market_frames(megabytes: int) -> list[bytes]:
    """Give frames of 3,000 instruments in full mode, as many as fill this much."""
    frames: list[bytes] = []
    size = 0
    for batch in SyntheticMarket(instruments=3000, seed=1).batches():
        for payload in batch.payloads.to_pylist():
            if len(payload) > 1000:
                frames.append(payload)
                size += len(payload)
        if size >= megabytes * 10**6:
            break
    return frames


def row_groups(frames: list[bytes], group_bytes: int) -> Iterator[pa.Table]:
    """Give the frames as tables of about this much payload."""
    rows: list[Row] = []
    size = 0
    for seq, frame in enumerate(frames):
        rows.append(Row(1_760_000_000_000_000_000 + 83_000_000 * seq, 83_000_000 * seq, Kind.BINARY, frame))
        size += len(frame)
        if size >= group_bytes or seq == len(frames) - 1:
            seqs = range(seq + 1 - len(rows), seq + 1)
            batch = build_batch(seqs, rows).replace_schema_metadata(None)
            yield pa.Table.from_batches([batch], schema=TRANSCRIPT_SCHEMA)
            rows, size = [], 0


def measure(groups: list[pa.Table], options: dict[str, Any]) -> tuple[float, float, float]:
    """Give seconds of writing, seconds of reading back, and bytes written."""
    sink = pa.BufferOutputStream()
    begin = time.perf_counter()
    with pq.ParquetWriter(sink, TRANSCRIPT_SCHEMA, **options) as writer:
        for table in groups:
            writer.write_table(table, row_group_size=table.num_rows)
    content = sink.getvalue()
    written = time.perf_counter()
    part = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    for group in range(part.num_row_groups):
        part.read_row_group(group, use_threads=False)
    return written - begin, time.perf_counter() - written, float(content.size)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=192)
    parser.add_argument("--full", action="store_true", help="all combinations, not one dimension at a time")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    frames = market_frames(arguments.megabytes)
    payload = sum(len(frame) for frame in frames)
    print(f"{len(frames):,} frames, {payload / len(frames):,.0f} bytes each, one core")
    print("level page MiB  batch group MiB write MB/s read MB/s  ratio")
    tables: dict[int, list[pa.Table]] = {}
    for level, page, batch, group in combinations(full=arguments.full):
        if group not in tables:
            tables = {group: list(row_groups(frames, group * MIB))}
        options = WRITING | {
            "compression_level": level,
            "data_page_size": page * MIB,
            "write_batch_size": batch,
        }
        writing, reading, size = min(measure(tables[group], options) for _ in range(2))
        print(
            f"{level:>5} {page:>8} {batch:>6} {group:>9} {payload / writing / 1e6:>10.0f} "
            f"{payload / reading / 1e6:>9.0f} {payload / size:>6.2f}",
            flush=True,
        )


def combinations(*, full: bool) -> list[tuple[int, int, int, int]]:
    """Give (level, page MiB, write_batch_size, row group MiB)."""
    levels, pages, batches, groups = (1, 2, 3, 5, 7), (1, 4, 16), (4, 256), (4, 16, 64)
    if full:
        return [(lv, p, b, g) for g in groups for lv in levels for p in pages for b in batches]
    return [
        *[(level, 4, 256, 16) for level in levels],
        *[(3, page, 256, 16) for page in pages if page != 4],
        *[(3, page, 4, 16) for page in pages],
        *[(3, 4, 256, group) for group in groups if group != 16],
    ]


if __name__ == "__main__":
    main()
