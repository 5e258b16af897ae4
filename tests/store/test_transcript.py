"""The merged transcript: order, ranges, columns, and memory that does not grow with the recording."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from kiterec.errors import CorruptPartError, ManifestError, StorageError
from kiterec.store.folder import JOURNAL, PART, RecordingFolder
from kiterec.store.journal import Journal
from kiterec.store.packet_count import count_batch, declared_packets
from kiterec.store.recover import recover
from kiterec.store.schema import READ_SCHEMA
from kiterec.store.transcript import read_transcript
from kiterec.wire.transcript import Kind, Row
from tests.store.recordings import START_NS, journal_folder, make_rows, new_writer, transcript, wait_until


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a recording of 300 rows on three connections in several parts."""
    writer = new_writer(tmp_path_factory.mktemp("out"), part_bytes=400, flush_interval_s=0.001)
    for number, row in enumerate(make_rows(300)):
        writer.append(f"main-{number * 7 % 3}", row)
        if number % 50 == 49:
            wait_until(lambda: not writer.stats().unwritten_bytes)
    writer.close()
    return writer.path


def test_batches_have_the_schema_and_rise_in_seq(recording: Path) -> None:
    batches = list(read_transcript(recording))
    assert all(batch.schema.equals(READ_SCHEMA) and batch.num_rows for batch in batches)
    seqs = [seq for batch in batches for seq in batch.column("seq").to_pylist()]
    assert seqs == list(range(300))


@pytest.mark.parametrize(
    "columns", [["payload"], ["connection"], ["kind", "seq"], ["received_at", "connection"]]
)
def test_only_the_asked_columns_come_in_the_order_of_the_schema(recording: Path, columns: list[str]) -> None:
    batches = list(read_transcript(recording, columns=columns))
    assert sum(batch.num_rows for batch in batches) == 300
    assert batches[0].schema.names == [name for name in READ_SCHEMA.names if name in columns]
    whole = pa.Table.from_batches(read_transcript(recording)).select(batches[0].schema.names)
    assert pa.Table.from_batches(batches).equals(whole)


def test_an_unknown_column_is_misuse(recording: Path) -> None:
    with pytest.raises(ValueError, match="no column 'price'"):
        list(read_transcript(recording, columns=["price"]))


def test_an_unknown_connection_is_refused_with_those_that_there_are(recording: Path) -> None:
    with pytest.raises(StorageError, match=r"no connection 'x'; it has main-0, main-1, main-2"):
        list(read_transcript(recording, connections=["x"]))


def test_ranges_are_half_open(recording: Path) -> None:
    rows = transcript(recording, seq_range=(10, 20))
    assert [seq for _, seq, *_ in rows] == list(range(10, 20))
    rows = transcript(recording, begin_ns=START_NS + 50_000, end_ns=START_NS + 60_000)
    assert [seq for _, seq, *_ in rows] == list(range(50, 60))
    assert transcript(recording, begin_ns=START_NS + 10**9) == []


def test_one_connection_can_be_read_alone(recording: Path) -> None:
    rows = transcript(recording, connections=["main-1"])
    assert {connection for connection, *_ in rows} == {"main-1"}
    assert [seq for _, seq, *_ in rows] == [seq for seq in range(300) if seq * 7 % 3 == 1]


def test_parts_outside_a_range_are_not_decoded(recording: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(recording, copy)
    folder = RecordingFolder(copy)
    for connection in folder.connections():
        last = folder.files(connection)[-1].path
        content = bytearray(last.read_bytes())
        content[8] ^= 0xFF
        last.write_bytes(content)
    assert len(transcript(copy, seq_range=(0, 3))) == 3
    with pytest.raises(CorruptPartError, match="part-"):
        transcript(copy)


def test_an_unfinished_recording_is_merged_from_its_journals(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r", connections=["a", "b", "c"])
    rows = transcript(folder.path)
    assert [seq for _, seq, *_ in rows] == list(range(60))
    assert [connection for connection, *_ in rows[:3]] == ["a", "b", "c"]


def test_parts_that_end_at_different_places_are_merged_in_order(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r", connections=["a", "b"], batches=1, rows=1)
    rows = make_rows(20)
    for connection, numbers in (("a", [range(2, 12, 2), range(12, 22, 2)]), ("b", [range(3, 22, 2)])):
        for number, seqs in enumerate(numbers, start=1):
            journal = Journal(folder.file(connection, number, JOURNAL))
            journal.append(list(seqs), rows[: len(seqs)])
            journal.close()
    recover(folder.path)
    assert [seq for _, seq, *_ in transcript(folder.path)] == list(range(22))


def test_a_folder_of_recordings_is_no_recording_but_names_one(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no recording.*name one of the 1 in it"):
        read_transcript(recording.parent.parent)
    with pytest.raises(ManifestError, match=r"does not exist"):
        read_transcript(tmp_path / "nowhere")


def test_a_parquet_file_of_somebody_else_is_refused_as_a_part(recording: Path, tmp_path: Path) -> None:
    import shutil

    import pyarrow.parquet as pq

    copy = tmp_path / "copy"
    shutil.copytree(recording, copy)
    pq.write_table(pa.table({"x": [1]}), RecordingFolder(copy).file("main-0", 0, PART))
    with pytest.raises(CorruptPartError, match="its footer has no guard"):
        transcript(copy)


def test_packets_are_counted_as_declared() -> None:
    payloads = [b"", b"\0", b"\0\3", b"\1\2rest", b"\0\0"]
    for width in (pa.binary(), pa.large_binary()):
        array = pa.array([b"skipped", *payloads], width).slice(1)
        assert declared_packets(array).tolist() == [0, 0, 3, 258, 0]
        assert declared_packets(array.slice(0, 0)).tolist() == []


def test_counts_do_not_take_text_for_frames() -> None:
    from kiterec.store.journal import build_batch

    rows = [Row(1, 1, Kind.TEXT, b"\0\5"), Row(1, 1, Kind.BINARY, b"\0\5"), Row(1, 1, Kind.BINARY, b"")]
    counts = count_batch(build_batch(range(3), rows))
    assert (counts.ticks, counts.frames, counts.heartbeats, counts.texts) == (5, 1, 1, 1)
    assert counts.kinds == {"binary": 2, "text": 1}


def test_counts_of_a_slice_are_those_of_its_rows() -> None:
    from kiterec.store.journal import build_batch

    kinds = [Kind.TEXT, Kind.BINARY, Kind.SENT, Kind.BINARY]
    batch = build_batch(range(4), [Row(1, 1, kind, b"\0\1\0\0") for kind in kinds])
    assert count_batch(batch.slice(1, 2)).kinds == {"binary": 1, "sent": 1}
    assert count_batch(batch.slice(3)).kinds == {"binary": 1}
    assert count_batch(batch.slice(4)).rows == 0


def test_a_part_that_is_gone_is_missed_where_its_rows_are_wanted(recording: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(recording, tmp_path / recording.name))
    folder = RecordingFolder(copy)
    gone = folder.manifest().part("main-1", 1)
    assert gone is not None
    folder.file("main-1", 1, PART).unlink()
    with pytest.raises(StorageError, match=rf"part-00001.parquet is gone, with {gone.counts.rows} rows"):
        list(read_transcript(copy))
    others = [name for name in folder.connections() if name != "main-1"]
    assert list(read_transcript(copy, connections=others))
    assert list(read_transcript(copy, seq_range=(0, gone.first_seq)))
    assert list(read_transcript(copy, begin_ns=gone.end_ns + 1))


def test_a_folder_that_is_gone_with_its_parts_is_missed(recording: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(recording, tmp_path / recording.name))
    shutil.rmtree(RecordingFolder(copy).connection_folder("main-2"))
    with pytest.raises(StorageError, match="is gone"):
        list(read_transcript(copy))
