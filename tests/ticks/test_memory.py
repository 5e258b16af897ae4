"""The memory of a scan does not grow with the recording."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from kiterec.clock import to_ns
from kiterec.store.folder import PART, RecordingFolder
from kiterec.store.journal import build_batch
from kiterec.store.parts import ROW_GROUP_BYTES, WRITING_IN_A_HURRY, PartWriter
from kiterec.wire.transcript import Kind, Row
from tests.ticks.frames import random_frame
from tests.ticks.recordings import CONNECTIONS, START, being_written, record

BUDGET = 160 << 20
"""What a scan may add to a process that has already scanned a small recording, all columns and threads."""

RECORDING = 10 * BUDGET
BEGIN_NS = to_ns(START)

SCAN = """
import sys
import polars as pl
from kiterec.ticks.scan import scan_ticks

def scan(path):
    counts = scan_ticks(path).select(pl.all().count().cast(pl.UInt64)).sum()
    return counts.collect(engine="streaming").item(0, "seq")

def status(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name + ":"))

scan(sys.argv[1])
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = status("VmRSS")
ticks = scan(sys.argv[2])
print(ticks, status("VmHWM") - before)
"""


def big_recording(out: Path, frame: bytes) -> tuple[Path, int]:
    """Give a recording of `RECORDING` bytes, and its frames; three connections take turns frame by frame."""
    with being_written(out) as writer:
        pass
    rows = ROW_GROUP_BYTES // len(frame)
    groups = 1 + RECORDING // (rows * len(frame) * len(CONNECTIONS))
    folder = RecordingFolder(writer.path)
    for place, connection in enumerate(CONNECTIONS):
        path = folder.file(connection, 0, PART)
        path.parent.mkdir(exist_ok=True)
        part = PartWriter(path, options=WRITING_IN_A_HURRY)
        for group in range(groups):
            numbers = range(group * rows, (group + 1) * rows)
            seqs = [number * len(CONNECTIONS) + place for number in numbers]
            part.write([build_batch(seqs, [Row(BEGIN_NS + seq, seq, Kind.BINARY, frame) for seq in seqs])])
        part.close({})
    return writer.path, groups * rows * len(CONNECTIONS)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux to tell the peak")
def test_a_recording_ten_times_the_budget_is_scanned_within_it(tmp_path: Path) -> None:
    packets = 100
    frame = random_frame(random.Random(4), packets, [184])
    path, frames = big_recording(tmp_path / "big", frame)
    done = subprocess.run(
        [sys.executable, "-c", SCAN, str(record(tmp_path / "small")), str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    ticks, growth = map(int, done.stdout.split())
    assert ticks == frames * packets
    assert frames * len(frame) >= RECORDING
    assert growth < BUDGET, f"{growth >> 20} MiB for a recording of {RECORDING >> 20} MiB"
