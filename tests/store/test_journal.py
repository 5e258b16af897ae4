"""The journal: what is written, and what a reader makes of a torn or altered one."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiterec.errors import DiskFullError, ManifestError
from kiterec.store.envelope import BrokenMessageError
from kiterec.store.files import Files, OpenFile
from kiterec.store.journal import MAX_BATCH_BYTES, Journal
from kiterec.store.journal_header import KNOWN_HEADER, read_header
from kiterec.store.journal_reader import JournalReader
from kiterec.wire.transcript import Kind, Row
from tests.fuzz.targets import with_valid_checksums
from tests.store.recordings import make_rows, write_journal

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path) -> tuple[list[bytes], JournalReader]:
    with JournalReader(path) as reader:
        payloads = [p for w in reader.windows() for b in w.batches for p in b.column("payload").to_pylist()]
    return payloads, reader


def payloads_of(batches: list[list[Row]]) -> list[bytes]:
    return [row.payload for rows in batches for row in rows]


def some_batches(*, rows: int = 4, count: int = 5) -> list[list[Row]]:
    made = make_rows(rows * count)
    return [made[at : at + rows] for at in range(0, len(made), rows)]


def test_a_journal_is_an_arrow_stream_that_others_can_read(tmp_path: Path) -> None:
    batches = some_batches()
    write_journal(tmp_path / "j.arrows", batches, first_seq=100)
    with pa.ipc.open_stream(tmp_path / "j.arrows") as stream:
        first = stream.read_next_batch_with_custom_metadata()
    custom = {key.decode(): value.decode() for key, value in dict(first.custom_metadata).items()}
    assert (custom["first_seq"], custom["last_seq"], custom["rows"]) == ("100", "103", "4")
    assert len(custom["crc32"]) == 8
    assert first.batch.column("payload").to_pylist() == [row.payload for row in batches[0]]
    assert first.batch.column("kind").to_pylist() == [row.kind for row in batches[0]]


def test_what_was_appended_is_read_back_with_its_seq_and_times(tmp_path: Path) -> None:
    rows = make_rows(7)
    write_journal(tmp_path / "j.arrows", [rows], first_seq=3)
    with JournalReader(tmp_path / "j.arrows") as reader:
        (window,) = reader.windows()
    assert (window.first_seq, window.last_seq) == (3, 9)
    columns = window.batches[0].to_pydict()
    assert columns["seq"] == list(range(3, 10))
    assert columns["monotonic_ns"] == [row.monotonic_ns for row in rows]
    times = window.batches[0].column("received_at").cast(pa.int64()).to_pylist()
    assert times == [row.received_at for row in rows]


def test_rows_of_many_bytes_become_several_batches_and_windows(tmp_path: Path) -> None:
    rows = [Row(1, 1, Kind.BINARY, bytes([n]) * (MAX_BATCH_BYTES // 3)) for n in range(40)]
    rows.append(Row(1, 1, Kind.BINARY, b"x" * (20 << 20)))
    write_journal(tmp_path / "j.arrows", [rows])
    with JournalReader(tmp_path / "j.arrows") as reader:
        windows = [[batch.num_rows for batch in window.batches] for window in reader.windows()]
    assert sum(sum(window) for window in windows) == 41
    assert len(windows) > 2
    assert max(len(window) for window in windows) > 1
    assert read(tmp_path / "j.arrows")[0] == [row.payload for row in rows]


def test_a_journal_cut_at_any_byte_gives_exactly_the_whole_batches_before_it(tmp_path: Path) -> None:
    batches = some_batches(rows=3, count=3)
    sizes = write_journal(tmp_path / "whole", batches)
    content = (tmp_path / "whole").read_bytes()
    path = tmp_path / "cut"
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        whole = max((at for at, end in enumerate(sizes) if end <= size), default=0)
        found, reader = read(path)
        assert found == payloads_of(batches[:whole]), f"cut at {size}"
        assert not reader.damage, f"cut at {size}: {reader.damage}"
        kept = sizes[whole] if size >= sizes[0] else 0
        assert reader.torn_bytes == size - kept, f"cut at {size}"


def test_every_altered_byte_is_noticed_and_costs_only_its_own_batch(tmp_path: Path) -> None:
    batches = some_batches(rows=2, count=3)
    sizes = write_journal(tmp_path / "whole", batches)
    content = (tmp_path / "whole").read_bytes()
    path = tmp_path / "altered"
    for at in range(len(content)):
        altered = bytearray(content)
        altered[at] ^= 1 << (at % 8)
        path.write_bytes(altered)
        hit = next(number for number, end in enumerate(sizes) if at < end)  # 0: the header
        left = batches if hit == 0 else batches[: hit - 1] + batches[hit:]
        found, reader = read(path)
        assert reader.damage or reader.torn_bytes, f"byte {at} was not noticed"
        assert found == payloads_of(left), f"byte {at}: {reader.damage}"
        if hit < len(batches):
            assert reader.damage, f"byte {at} has valid batches behind it, so it is no torn end"


def test_a_damaged_range_says_where_and_which_rows_are_missing(tmp_path: Path) -> None:
    batches = some_batches(rows=4, count=4)
    sizes = write_journal(tmp_path / "j", batches)
    content = bytearray((tmp_path / "j").read_bytes())
    content[sizes[2] - 9] ^= 0x40
    (tmp_path / "j").write_bytes(content)
    _, reader = read(tmp_path / "j")
    (damage,) = reader.damage
    assert (damage.offset, damage.offset + damage.length) == (sizes[1], sizes[2])
    assert (damage.after_seq, damage.before_seq) == (3, 8)
    assert "crc32" in damage.reason


def test_zeros_that_a_power_cut_left_are_a_torn_end(tmp_path: Path) -> None:
    batches = some_batches()
    write_journal(tmp_path / "j", batches)
    with (tmp_path / "j").open("ab") as file:
        file.write(bytes(5000))
    found, reader = read(tmp_path / "j")
    assert found == payloads_of(batches)
    assert (reader.damage, reader.torn_bytes) == ([], 5000)


def test_a_journal_of_a_newer_format_is_refused_with_advice(tmp_path: Path) -> None:
    schema = pa.ipc.read_schema(pa.py_buffer(KNOWN_HEADER.content))
    newer = schema.with_metadata({"kiterec.format": "2"})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, newer) as stream:
        stream.write_batch(pa.RecordBatch.from_pylist([], schema=newer))
    (tmp_path / "j").write_bytes(sink.getvalue().to_pybytes())
    with pytest.raises(ManifestError, match=r"format 2.*upgrade"):
        read(tmp_path / "j")


class FullAfter(Files):
    """A disk that takes half of a write once it has had so many bytes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def _write_all(self, fd: int, views: list[memoryview]) -> None:
        content = b"".join(views)
        os.write(fd, content[: self.room])
        self.room -= len(content)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_only_whole_batches(tmp_path: Path) -> None:
    batches = some_batches()
    sizes = write_journal(tmp_path / "whole", batches)
    journal = Journal(tmp_path / "j", files=FullAfter(sizes[2] + 100))
    journal.append(range(4), batches[0])
    journal.append(range(4, 8), batches[1])
    with pytest.raises(DiskFullError, match="free some space"):
        journal.append(range(8, 12), batches[2])
    journal.close()
    assert (tmp_path / "j").stat().st_size == sizes[2]
    found, reader = read(tmp_path / "j")
    assert found == payloads_of(batches[:2])
    assert not reader.torn_bytes


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 10**6), st.booleans())
def test_garbage_anywhere_never_crashes_the_reader(
    tmp_path_factory, noise: bytes, place: int, insert: bool
) -> None:
    folder = tmp_path_factory.mktemp("noise")
    write_journal(folder / "j", some_batches(rows=2, count=2))
    content = (folder / "j").read_bytes()
    at = place % (len(content) + 1)
    changed = content[:at] + noise + content[at if insert else at + len(noise) :]
    (folder / "j").write_bytes(changed)
    found, reader = read(folder / "j")
    assert set(found) <= set(payloads_of(some_batches(rows=2, count=2)))
    if changed != content:
        assert reader.damage or reader.torn_bytes or found


def test_open_file_says_its_name(tmp_path: Path) -> None:
    file = Files().create(tmp_path / "x")
    assert isinstance(file, OpenFile)
    Files().close(file)
    assert file.path == tmp_path / "x"


@pytest.mark.parametrize("content", [b"\xfe", b"\xe4\xfc\xff\xb6\x9c", bytes(100)])
def test_a_short_file_that_is_no_journal_is_read_as_torn_or_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "part-00000.arrows"
    path.write_bytes(content)
    with JournalReader(path) as reader:
        assert list(reader.windows()) == []
        assert reader.torn_bytes or reader.damage


def test_an_altered_format_number_is_damage_and_the_rows_are_read(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.arrows"
    write_journal(path, [make_rows(3), make_rows(2)])
    content = path.read_bytes()
    head = KNOWN_HEADER.content
    looks_newer = 0
    for at in [at for at in range(len(head)) if head[at : at + 1] == b"1"]:
        altered = content[:at] + b"3" + content[at + 1 :]
        path.write_bytes(altered)
        try:
            read_header(pa.py_buffer(altered), where=path)
        except (ManifestError, BrokenMessageError) as error:
            looks_newer += isinstance(error, ManifestError)
        with JournalReader(path) as reader:
            assert sum(batch.num_rows for window in reader.windows() for batch in window.batches) == 5
            assert [found.reason for found in reader.damage] == ["the header was altered"]
    assert looks_newer


def test_a_batch_whose_rows_are_not_those_that_it_says_is_damage_whatever_its_checksum(
    tmp_path: Path,
) -> None:
    path = tmp_path / "part-00000.arrows"
    rows = make_rows(3)
    write_journal(path, [[row] for row in rows], first_seq=5_000_000_000)
    second = (5_000_000_001).to_bytes(8, "little")
    content = path.read_bytes()
    assert content.count(second) == 1
    path.write_bytes(with_valid_checksums(content.replace(second, (4_999_999_999).to_bytes(8, "little"))))
    payloads, reader = read(path)
    assert payloads == [rows[0].payload, rows[2].payload]
    assert "not in the range of seq" in reader.damage[0].reason
