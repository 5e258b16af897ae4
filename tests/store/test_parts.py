"""A damaged part never ends the process that reads it, and row groups that cannot be wanted are not read."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from kiterec.store.folder import PART
from kiterec.store.parts import GroupBounds, PartWriter, group_bounds, open_part
from kiterec.store.recover import recover
from kiterec.store.sources import PartSource, Range, StoredFile
from tests.store.recordings import START_NS, journal_folder

if TYPE_CHECKING:
    from pathlib import Path

READ_EVERY_FLIP = """
import pathlib, sys
import pyarrow as pa
from kiterec.errors import CorruptPartError
from kiterec.store.parts import group_bounds, open_part, read_group

path = pathlib.Path(sys.argv[1])
good = path.read_bytes()
for at in range(len(good)):
    for mask in (0x01, 0x06, 0x80):
        damaged = bytearray(good)
        damaged[at] ^= mask
        path.write_bytes(damaged)
        try:
            with open_part(path) as part:
                group_bounds(part)
                for group in range(min(part.num_row_groups, 9)):
                    list(read_group(part, group))
        except CorruptPartError:
            pass
print("read", len(good))
"""


def small_part(place: Path) -> Path:
    folder = journal_folder(place / "recording", batches=1, rows=2)
    recover(folder.path)
    return folder.file("main-0", 0, PART)


def test_no_altered_byte_of_a_part_ends_the_process(tmp_path: Path) -> None:
    part = small_part(tmp_path)
    size = part.stat().st_size
    done = subprocess.run(
        [sys.executable, "-c", READ_EVERY_FLIP, part],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, f"read {size}"), done.stderr[-2000:]


def test_a_part_says_the_bounds_of_its_row_groups_unless_they_were_altered(tmp_path: Path) -> None:
    path = small_part(tmp_path)
    with open_part(path) as part:
        assert group_bounds(part) == [GroupBounds((0, 1), (START_NS, START_NS + 1000))]
    path.write_bytes(path.read_bytes().replace(b"[[[0,1],", b"[[[0,7],"))
    with open_part(path) as part:
        assert group_bounds(part) is None


def test_only_row_groups_that_may_be_wanted_are_read(tmp_path: Path) -> None:
    with open_part(small_part(tmp_path)) as part:
        rows = part.read().to_batches()[0]
    writer = PartWriter(tmp_path / "part-00003.parquet")
    writer.write([rows.slice(0, 1)])
    writer.write([rows.slice(1, 1)])
    writer.close({})
    source = PartSource(StoredFile("main-0", 3, PART, tmp_path / "part-00003.parquet"))
    wanted = {(0, 2): [0, 1], (1, 2): [1], (0, 1): [0], (2, 9): []}
    for (first, end), found in wanted.items():
        batches = source.batches(Range(first_seq=first, end_seq=end))
        assert [seq for batch in batches for seq in batch.column("seq").to_pylist()] == found
    times = source.batches(Range(begin_ns=START_NS + 1000))
    assert [batch.column("seq").to_pylist() for batch in times] == [[1]]
