"""The memory of scans, candles and the making of a tick cache does not grow with the recording."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from kiterec import compiled
from kiterec.clock import NS_PER_MS, to_ns
from kiterec.store.folder import PART, RecordingFolder
from kiterec.store.journal import build_batch
from kiterec.store.parts import ROW_GROUP_BYTES, WRITING_IN_A_HURRY, PartWriter
from kiterec.wire.transcript import Kind, Row
from tests.ticks.frames import random_frame
from tests.ticks.recordings import CONNECTIONS, START, being_written, record

BUDGET = 160 << 20
"""What a scan may add to a process that has already scanned a small recording, all columns and threads."""

RECORDING = 10 * BUDGET
WORKING_BUDGET = 256 << 20
"""What making candles or a cache may add; nearly all of it is the scan, and batches on their way."""

BEGIN_NS = to_ns(START)
PACKETS = 100

linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux to tell the peak")

SCAN = """
from kiterec.ticks import scan

scan.LONG_FRAME = {long_frame}

def work(path):
    counts = scan.scan_ticks(path).select(pl.all().count().cast(pl.UInt64)).sum()
    return counts.collect(engine="streaming").item(0, "seq")
"""

FEW_COLUMNS = """
from kiterec.ticks import scan

scan.LONG_FRAME = 0

def work(path):
    few = scan.scan_ticks(path).select("instrument_token", "last_price", "seq", "packet")
    counts = few.select(pl.all().count().cast(pl.UInt64)).sum()
    return counts.collect(engine="streaming").item(0, "seq")
"""

ONE_INSTRUMENT = """
from kiterec.ticks import scan

def work(path):
    ticks = scan.scan_ticks(path)
    token = ticks.head(1).select("instrument_token").collect().item()
    chosen = ticks.filter(pl.col("instrument_token") == token)
    return chosen.select("last_price", "seq").collect(engine="streaming").height
"""

RAW = """
import kiterec

def work(path):
    recording = kiterec.open(path)
    size = pl.col("payload").bin.size().cast(pl.UInt64).sum()
    recording.gaps(instruments=False)
    return recording.frames().select(size).collect(engine="streaming").item()
"""

CANDLES = """
import kiterec

def work(path):
    return kiterec.open(path).candles("1s").select(pl.col("ticks").sum()).collect().item()
"""

CACHE = """
from kiterec.ticks import buckets
from kiterec.ticks.cache import write_tick_cache
from kiterec.ticks.stamp import read_stamp

buckets.BUCKET_ROWS = 1 << 14  # so that a test is enough for many buckets

def work(path):
    return read_stamp(write_tick_cache(path)).ticks
"""

MEASURE = """
import sys
import polars as pl
{work}
def status(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name + ":"))

work(sys.argv[1])
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = status("VmRSS")
ticks = work(sys.argv[2])
print(ticks, status("VmHWM") - before)
"""


def big_recording(out: Path, frame: bytes, size: int) -> tuple[Path, int]:
    """Give a recording of some bytes, and its frames; three connections take turns, a frame each ms."""
    with being_written(out) as writer:
        pass
    count = ROW_GROUP_BYTES // len(frame)
    groups = 1 + size // (count * len(frame) * len(CONNECTIONS))
    folder = RecordingFolder(writer.path)
    for place, connection in enumerate(CONNECTIONS):
        path = folder.file(connection, 0, PART)
        path.parent.mkdir(exist_ok=True)
        part = PartWriter(path, options=WRITING_IN_A_HURRY)
        for group in range(groups):
            numbers = range(group * count, (group + 1) * count)
            seqs = [number * len(CONNECTIONS) + place for number in numbers]
            rows = [Row(BEGIN_NS + seq * NS_PER_MS, seq * NS_PER_MS, Kind.BINARY, frame) for seq in seqs]
            part.write([build_batch(seqs, rows)])
        part.close({})
    return writer.path, groups * count * len(CONNECTIONS)


def growth(work: str, small: Path, big: Path) -> tuple[int, int]:
    """Give the ticks of the big recording, and what it took more than the small one in the same process."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE.format(work=work), str(small), str(big)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env=os.environ | {compiled.SWITCH: "1"},  # imports are no part of it, the small one has made them
    )
    ticks, added = map(int, done.stdout.split())
    return ticks, added


@linux
def test_a_recording_ten_times_the_budget_is_read_within_it(tmp_path: Path) -> None:
    frame = random_frame(random.Random(4), PACKETS, [184])
    path, frames = big_recording(tmp_path / "big", frame, RECORDING)
    assert frames * len(frame) >= RECORDING
    small = record(tmp_path / "small")
    # Merging ticks takes more memory than merging frames, which reading the frames does.
    ticks, added = growth(SCAN.format(long_frame=0), small, path)
    assert ticks == frames * PACKETS
    assert added < BUDGET, f"{added >> 20} MiB for a recording of {RECORDING >> 20} MiB"
    ticks, added = growth(FEW_COLUMNS, small, path)
    assert ticks == frames * PACKETS
    assert added < BUDGET, f"{added >> 20} MiB for few columns of {RECORDING >> 20} MiB"
    ticks, added = growth(ONE_INSTRUMENT, small, path)
    assert ticks == frames, "each frame has another packet of every instrument"
    assert added < BUDGET, f"{added >> 20} MiB for one instrument of {RECORDING >> 20} MiB"
    read, added = growth(RAW, small, path)
    assert read == frames * len(frame)
    assert added < BUDGET, f"{added >> 20} MiB for the frames and gaps of {RECORDING >> 20} MiB"


@linux
def test_candles_and_a_cache_of_many_ticks_are_made_within_a_budget(tmp_path: Path) -> None:
    """As a table, the ticks are one and a half times the budget."""
    frame = random_frame(random.Random(4), PACKETS, [184])
    path, frames = big_recording(tmp_path / "big", frame, WORKING_BUDGET)
    small = record(tmp_path / "small")
    for work in (CANDLES, CACHE):
        ticks, added = growth(work, small, path)
        assert ticks == frames * PACKETS
        assert added < WORKING_BUDGET, f"{added >> 20} MiB for {ticks:,} ticks in {work}"
