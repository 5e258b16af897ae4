"""The writer: what is appended is on disk in time, in order, in parts, and the manifest says so."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from kiterec.clock import IST, to_ns
from kiterec.errors import DiskFullError, SetupError, StorageError
from kiterec.store.files import Files
from kiterec.store.folder import JOURNAL, PART, RecordingFolder
from kiterec.store.instrument_file import INSTRUMENT_COLUMNS
from kiterec.store.manifest import Status
from kiterec.store.options import StoreOptions
from kiterec.store.recover import find_unfinished, recover
from kiterec.store.summary import summarize
from kiterec.store.writer import RecordingWriter
from kiterec.wire.transcript import Kind, Row, lifecycle_payload
from tests.store.recordings import by_connection, make_rows, new_writer, transcript, wait_until

if TYPE_CHECKING:
    from pathlib import Path


class StillClock:
    """A clock that stands."""

    def __init__(self, text: str) -> None:
        from datetime import datetime

        self.ns = to_ns(datetime.fromisoformat(text).replace(tzinfo=IST))

    def now_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return 5


def test_a_recording_has_its_place_by_date_in_ist_and_label(tmp_path: Path) -> None:
    clock = StillClock("2026-11-20T00:30:15")  # still the 19th in UTC
    for name in ("recording=003015-nse", "recording=003015-nse-2"):
        writer = RecordingWriter.create(tmp_path, label="nse", accounts=["main"], clock=clock)
        writer.close()
        assert writer.path == tmp_path / "date=2026-11-20" / name


def test_rows_of_all_connections_come_back_in_the_order_of_append(tmp_path: Path) -> None:
    writer = new_writer(tmp_path, part_bytes=2000)
    rows = make_rows(500)
    for number, row in enumerate(rows):
        writer.append(f"main-{number % 3}", row)
    summary = writer.close()
    expected = [(f"main-{n % 3}", n, row.kind.value, row.payload) for n, row in enumerate(rows)]
    assert transcript(writer.path) == expected
    assert summary.status is Status.COMPLETE
    assert summary.rows == 500
    assert summary.parts == sum(connection.parts for connection in summary.connections) >= 3
    assert {
        file.suffix for name in ("main-0", "main-1") for file in RecordingFolder(writer.path).files(name)
    } == {PART}
    assert writer.close() is summary


def test_rows_are_readable_soon_after_they_came_while_the_recording_goes_on(tmp_path: Path) -> None:
    writer = new_writer(tmp_path)
    try:
        writer.append("main-0", make_rows(1)[0])
        wait_until(lambda: len(transcript(writer.path)) == 1)
        assert RecordingFolder(writer.path).manifest().status is Status.RECORDING
        assert summarize(writer.path).rows == 1
        assert writer.stats().written_rows == 1
        wait_until(lambda: writer.stats().fsync.count == 1)
        assert writer.stats().flush.count == 1
    finally:
        writer.close()


def test_a_reader_sees_each_row_once_while_parts_are_sealed_under_it(tmp_path: Path) -> None:
    writer = new_writer(tmp_path, part_bytes=3000, flush_interval_s=0.002)
    rows = make_rows(600)
    stop = threading.Event()

    def append() -> None:
        for number, row in enumerate(rows):
            writer.append(f"c{number % 2}", row)
            if number % 10 == 0:
                stop.wait(0.002)

    thread = threading.Thread(target=append)
    thread.start()
    try:
        while thread.is_alive():
            for connection, payloads in by_connection(transcript(writer.path)).items():
                sent = [row.payload for row in rows[int(connection[1]) :: 2]]
                assert payloads == sent[: len(payloads)]
    finally:
        thread.join()
        writer.close()
    assert [row[3] for row in transcript(writer.path)] == [row.payload for row in rows]


def test_parts_end_by_age(tmp_path: Path) -> None:
    writer = new_writer(tmp_path, part_duration_s=0.02)
    for number, row in enumerate(make_rows(3)):
        writer.append("c", row)
        wait_until(lambda number=number: writer.stats().parts == number + 1)
    assert writer.close().parts == 3


def test_a_part_ends_at_midnight_in_india(tmp_path: Path) -> None:
    from datetime import datetime

    midnight = to_ns(datetime(2026, 11, 21, tzinfo=IST))
    writer = new_writer(tmp_path)
    for offset in (-2, -1, 0, 1, -1, 2):  # a clock that steps back does not end a part
        writer.append("c", Row(midnight + offset, 0, Kind.BINARY, b"ab"))
    writer.close()
    parts = RecordingFolder(writer.path).manifest().parts
    assert [part.counts.rows for part in parts] == [2, 4]


def test_parts_are_compressed_with_statistics_and_checksums(tmp_path: Path) -> None:
    writer = new_writer(tmp_path)
    for row in make_rows(50):
        writer.append("c", row)
    writer.close()
    part = RecordingFolder(writer.path).file("c", 0, PART)
    meta = pq.read_metadata(part)
    group = meta.row_group(0)
    assert group.column(4).compression == "ZSTD"
    assert (group.column(0).statistics.min, group.column(0).statistics.max) == (0, 49)
    assert group.column(1).statistics.has_min_max
    assert meta.metadata[b"kiterec.last_seq"] == b"49"
    pq.ParquetFile(part, page_checksum_verification=True).read()


def test_counts_are_kept_in_the_manifest(tmp_path: Path) -> None:
    writer = new_writer(tmp_path)
    gap = lifecycle_payload(**{"from": 100, "to": 300, "reason": "connection lost"})
    for kind, payload in [
        (Kind.BINARY, b"\0"),
        (Kind.BINARY, b"\0\x02" + b"\0\x08" + bytes(8) + b"\0\x08" + bytes(8)),
        (Kind.TEXT, b"{}"),
        (Kind.SENT, b"{}"),
        (Kind.GAP, gap),
    ]:
        writer.append("c", Row(1000, 0, kind, payload))
    summary = writer.close()
    assert (summary.frames, summary.heartbeats, summary.texts, summary.ticks) == (1, 1, 1, 2)
    assert (summary.gaps, summary.rows, summary.wire_bytes) == (1, 5, 1 + 22 + 2)
    assert (summary.connections[0].gaps[0].from_ns, summary.connections[0].gaps[0].to_ns) == (100, 300)


def test_pressure_is_told_when_the_budget_is_used_up_and_when_it_is_free_again(tmp_path: Path) -> None:
    writer = new_writer(tmp_path, memory_budget=20_000, flush_interval_s=0.2)
    news: list[bool] = []
    writer.on_pressure(news.append)
    writer.append("c", Row(1, 1, Kind.BINARY, bytes(15_000)))
    assert not writer.paused()
    writer.append("c", Row(1, 1, Kind.BINARY, bytes(15_000)))
    assert news[0] is True
    wait_until(lambda: len(news) == 2)
    assert news == [True, False]
    assert not writer.paused()
    assert writer.close().rows == 2


def test_appending_to_a_closed_recording_is_misuse(tmp_path: Path) -> None:
    writer = new_writer(tmp_path)
    writer.append("c", make_rows(1)[0])
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.append("c", make_rows(1)[0])


def test_a_second_recorder_of_the_same_label_is_refused(tmp_path: Path) -> None:
    writer = new_writer(tmp_path)
    try:
        with pytest.raises(SetupError, match="in use by another recorder"):
            new_writer(tmp_path)
        other = RecordingWriter.create(tmp_path, label="other", accounts=[])
        other.close()
        with pytest.raises(SetupError, match="being recorded"):
            recover(writer.path)
    finally:
        writer.close()
    new_writer(tmp_path).close()
    assert find_unfinished(tmp_path) == []


@pytest.mark.parametrize("label", ["", "a/b", "..", "x" * 200, "ä"])
def test_a_label_that_cannot_name_a_folder_is_refused(tmp_path: Path, label: str) -> None:
    with pytest.raises(SetupError, match="cannot name a folder"):
        RecordingWriter.create(tmp_path, label=label, accounts=[])
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot record into"):
        RecordingWriter.create(tmp_path / "file" / "x", label="a", accounts=[])


@pytest.mark.parametrize(
    "option", ["flush_interval_s", "part_bytes", "part_duration_s", "memory_budget", "sealing_threads"]
)
def test_options_that_cannot_work_are_refused(option: str) -> None:
    with pytest.raises(SetupError, match=option):
        StoreOptions(**{option: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize("interval", [0, None, 0.02])
def test_every_way_of_syncing_keeps_all_rows(tmp_path: Path, interval: float | None) -> None:
    writer = new_writer(tmp_path, fsync_interval_s=interval, part_bytes=1000)
    for row in make_rows(100):
        writer.append("c", row)
    assert writer.close().rows == 100


class RefusingFiles(Files):
    """Refuses an operation on some files once it is told to."""

    def __init__(self, operation: str, suffix: str, number: int = errno.ENOSPC) -> None:
        self.operation, self.suffix, self.number = operation, suffix, number
        self.refusing = False

    def before(self, operation: str, path: Path) -> None:
        if self.refusing and operation == self.operation and path.name.endswith(self.suffix):
            raise DiskFullError(f"cannot {operation} {path}: {os.strerror(self.number)}")


def test_a_full_disk_stops_the_recording_and_keeps_what_was_written(tmp_path: Path) -> None:
    files = RefusingFiles("append", JOURNAL)
    writer = new_writer(tmp_path, files=files)
    failures: list[StorageError] = []
    writer.on_failure(failures.append)
    rows = make_rows(30)
    for row in rows[:10]:
        writer.append("c", row)
    wait_until(lambda: writer.stats().written_rows == 10)
    files.refusing = True
    for row in rows[10:20]:
        writer.append("c", row)
    wait_until(lambda: bool(failures))
    for row in rows[20:]:
        writer.append("c", row)
    summary = writer.close()
    assert [type(failure) for failure in failures] == [DiskFullError]
    assert [row[3] for row in transcript(writer.path)] == [row.payload for row in rows[:10]]
    assert (summary.status, summary.lost_rows) == (Status.COMPLETE, 20)
    assert "cannot append" in summary.notes[0]


def test_a_part_that_cannot_be_sealed_stays_a_journal_until_recovery(tmp_path: Path) -> None:
    files = RefusingFiles("append", ".parquet.tmp")
    files.refusing = True
    writer = new_writer(tmp_path, files=files)
    rows = make_rows(10)
    for row in rows:
        writer.append("c", row)
    summary = writer.close()
    assert (summary.status, summary.rows) == (Status.RECORDING, 10)
    assert find_unfinished(tmp_path) == [writer.path]
    assert len(transcript(writer.path)) == 10
    assert recover(writer.path).status is Status.RECOVERED
    assert len(transcript(writer.path)) == 10


def test_a_disk_with_too_little_space_left_stops_before_it_is_full(tmp_path: Path) -> None:
    writer = new_writer(tmp_path, min_free_bytes=1 << 60)
    failures: list[StorageError] = []
    writer.on_failure(failures.append)
    wait_until(lambda: bool(failures))
    assert isinstance(failures[0], DiskFullError)
    late: list[StorageError] = []
    writer.on_failure(late.append)
    assert late == failures
    writer.close()


def test_a_low_disk_warns_once_and_seals_early(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Sinking(Files):
        free = 1 << 50

        def free_bytes(self, path: Path) -> int:
            return self.free

    files = Sinking()
    writer = new_writer(tmp_path, files=files, warn_free_bytes=1000)
    writer.append("c", make_rows(1)[0])
    wait_until(lambda: writer.stats().written_rows == 1)
    files.free = 999
    wait_until(lambda: writer.stats().parts == 1)
    writer.close()
    assert [record.getMessage().split()[:3] for record in caplog.records].count(["disk", "is", "low"]) == 1


def test_the_instrument_dump_is_kept_with_its_types(tmp_path: Path) -> None:
    writer = new_writer(tmp_path)
    header = ",".join(INSTRUMENT_COLUMNS)
    lines = [
        header,
        "408065,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE",
        "7,0,X26,,1.5,2026-11-26,100,0.05,75,CE,NFO-OPT,NFO",
    ]
    writer.set_instruments("\n".join(lines).encode())
    with pytest.raises(SetupError, match="no column"):
        writer.set_instruments(b"a,b\n1,2\n")
    writer.close()
    table = pq.read_table(RecordingFolder(writer.path).instruments_path)
    assert table.schema.types == list(INSTRUMENT_COLUMNS.values())
    assert table.column("expiry").null_count == 1
    assert table.column("name").to_pylist() == ["INFOSYS", ""]


def test_a_failed_start_leaves_no_recording_behind(tmp_path: Path) -> None:
    files = RefusingFiles("sync", ".json.tmp")
    files.refusing = True
    with pytest.raises(SetupError, match="cannot sync"):
        new_writer(tmp_path, files=files)
    assert sorted(path.name[:4] for path in tmp_path.rglob("*")) == [".tes", "date"]
    new_writer(tmp_path).close()


def test_callbacks_that_fail_do_not_stop_the_writing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = new_writer(tmp_path, memory_budget=1000)
    writer.on_pressure(lambda paused: 1 // 0)
    for row in make_rows(50):
        writer.append("c", row)
    assert writer.close().rows == 50
    assert "a back-pressure callback failed" in caplog.text


def test_a_row_that_cannot_be_written_ends_the_recording_with_a_reason(tmp_path: Path) -> None:
    writer = new_writer(tmp_path)
    failures: list[StorageError] = []
    writer.on_failure(failures.append)
    writer.append("c", make_rows(1)[0])
    wait_until(lambda: writer.stats().written_rows == 1)
    writer.append("c", Row(2**70, 0, Kind.BINARY, b"no such time"))
    wait_until(lambda: bool(failures))
    assert "the writer failed on rows of c" in str(failures[0])
    summary = writer.close()
    assert (summary.rows, summary.lost_rows, summary.status) == (1, 1, Status.COMPLETE)
