"""What a tick costs on disk, beside zstd of the frames and gzip'd JSON lines of the official client's dicts.

Run `python -m benchmarks.compression [--minutes 60] [--instruments 3000] [--json FILE]`. A synthetic
market is written in each mode through `RecordingWriter`, and its parts once more with the options that
the writer uses at the pace of an exchange (here frames come faster, and it compresses less). The peers
get the same frames: `zstd -3` of all of them one behind the other (in blocks of 64 MiB, far beyond its
window), and gzip -6 of one JSON line a tick, as the official client (`kiteconnect`) makes it, on a
sample.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from kiteconnect import KiteTicker

from kiterec.simulate.market import SyntheticMarket
from kiterec.store.parts import WRITING, PartWriter, open_part, read_group
from kiterec.store.writer import RecordingWriter
from kiterec.wire.frames import join_frame, split_frame
from kiterec.wire.packets import Mode, cut_packet
from kiterec.wire.transcript import Kind, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON_SAMPLE = 40
"""One frame of so many becomes JSON lines, which cost more than all the rest."""

START_NS = 1_767_587_400_000_000_000
UNWRITTEN_LIMIT = 64 << 20
BLOCK_BYTES = 64 << 20


def frames(instruments: int, minutes: float, mode: Mode) -> Iterator[tuple[int, bytes]]:
    """Give due times and frames of one connection's market, cut to a mode."""
    market = SyntheticMarket(instruments=instruments, seed=5, duration_s=minutes * 60)
    for batch in market.batches():
        rows = zip(batch.due_ns.tolist(), batch.kind.tolist(), batch.payloads.to_pylist(), strict=True)
        for due, kind, payload in rows:
            if kind == 0:
                whole = mode is Mode.FULL
                yield (
                    due,
                    payload if whole else join_frame([cut_packet(p, mode) for p in split_frame(payload)]),
                )


def _size_at_leisure(path: Path) -> int:
    """Give the bytes of a part as it is written when there is time."""
    again = path.with_suffix(".again")
    with open_part(path) as file:
        part = PartWriter(again, options=WRITING)
        for group in range(file.num_row_groups):
            part.write(list(read_group(file, group)))
        part.close({})
    return again.stat().st_size


class _Zstd:
    """Counts what zstd -3 makes of a stream."""

    def __init__(self) -> None:
        self._codec = pa.Codec("zstd", 3)
        self._block = bytearray()
        self._size = 0

    def add(self, frame: bytes) -> None:
        self._block += frame
        if len(self._block) >= BLOCK_BYTES:
            self.end()

    def end(self) -> int:
        """Compress what is left; gives the size of all."""
        if self._block:
            self._size += len(self._codec.compress(bytes(self._block), asbytes=True))
            self._block.clear()
        return self._size


def measure(instruments: int, minutes: float, mode: Mode) -> dict[str, Any]:
    """Give bytes a tick of the three ways."""
    out = Path(tempfile.mkdtemp(prefix="kiterec-compression-"))
    parser = KiteTicker("key", "token")
    ticks = sampled = 0
    try:
        lines = out / "ticks.jsonl.gz"
        zstd = _Zstd()
        writer = RecordingWriter.create(out, label="bench", accounts=["main"], connections=["main-0"])
        with gzip.open(lines, "wb", 6) as gz:
            for number, (due, frame) in enumerate(frames(instruments, minutes, mode)):
                while writer.stats().unwritten_bytes > UNWRITTEN_LIMIT:
                    time.sleep(0.01)  # this loop is faster than the disk, and must not fill the memory
                writer.append("main-0", Row(START_NS + due, due, Kind.BINARY, frame))
                zstd.add(frame)
                ticks += int.from_bytes(frame[:2])
                if number % JSON_SAMPLE == 0:
                    dicts = parser._parse_binary(frame)
                    sampled += len(dicts)
                    gz.writelines(json.dumps(tick, default=str).encode() + b"\n" for tick in dicts)
        writer.close()
        sealed = sum(_size_at_leisure(part) for part in writer.path.glob("connection=*/*.parquet"))
        return {
            "mode": str(mode),
            "ticks": ticks,
            "kiterec": sealed / ticks,
            "zstd -3 of the frames": zstd.end() / ticks,
            "gzip'd JSON lines": lines.stat().st_size / sampled,
        }
    finally:
        shutil.rmtree(out, ignore_errors=True)


def main() -> int:
    """Measure each mode and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--instruments", type=int, default=3000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    logging.disable(logging.INFO)
    found = [measure(asked.instruments, asked.minutes, mode) for mode in Mode]
    columns = list(found[0])
    print("| " + " | ".join(columns) + " |\n|---|" + "--:|" * (len(columns) - 1))
    for row in found:
        shown = (f"{value:,.2f}" if isinstance(value, float) else f"{value}" for value in row.values())
        print("| " + " | ".join(shown) + " |")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
