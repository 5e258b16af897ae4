"""A damaged part never ends the process that reads it, and row groups that cannot be wanted are not read."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pytest

from kiterec.errors import CorruptPartError
from kiterec.store.folder import PART
from kiterec.store.parts import PartWriter, open_part, read_group
from kiterec.store.recover import recover
from kiterec.store.sources import PartSource, Range, StoredFile
from tests.store.recordings import START_NS, journal_folder

if TYPE_CHECKING:
    from pathlib import Path

READ_EVERY_FLIP = """
import pathlib, sys
import pyarrow as pa
from kiterec.errors import CorruptPartError
from kiterec.store.parts import open_part, read_group

path = pathlib.Path(sys.argv[1])
good = path.read_bytes()
for at in range(len(good)):
    for mask in (0x01, 0x06, 0x80):
        damaged = bytearray(good)
        damaged[at] ^= mask
        path.write_bytes(damaged)
        try:
            with open_part(path) as part:
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


def test_a_part_is_plain_parquet_for_others_and_says_what_its_row_groups_span(tmp_path: Path) -> None:
    path = small_part(tmp_path)
    assert pl.read_parquet(path)["seq"].to_list() == [0, 1]
    with duckdb.connect() as database:
        assert database.execute(f"SELECT max(seq) FROM '{path}'").fetchone() == (1,)
    with open_part(path) as part:
        (group,) = part.groups
        assert (group.seq, group.received_at) == ((0, 1), (START_NS, START_NS + 1000))


def test_every_altered_byte_of_a_part_is_found_by_reading_it(tmp_path: Path) -> None:
    path = small_part(tmp_path)
    good = path.read_bytes()
    with open_part(path) as part:
        begin = part.groups[0].begin
    for at in range(begin, len(good)):
        damaged = bytearray(good)
        damaged[at] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(CorruptPartError, match="does not read as a part"), open_part(path) as part:
            list(read_group(part, 0))


def test_only_row_groups_that_may_be_wanted_are_read(tmp_path: Path) -> None:
    with open_part(small_part(tmp_path)) as part:
        (rows,) = read_group(part, 0)
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
