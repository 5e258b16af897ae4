"""The writer: what is appended is on disk in time, in order, in parts, and the manifest says so."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from kiterec.clock import IST, to_ns
from kiterec.errors import DiskFullError, SetupError, StorageError
from kiterec.record.leftovers import remove_empty
from kiterec.store.files import Files, OpenFile
from kiterec.store.folder import DAMAGED, JOURNAL, PART, RecordingFolder
from kiterec.store.instrument_file import INSTRUMENT_COLUMNS
from kiterec.store.lock import FolderLock
from kiterec.store.manifest import Status
from kiterec.store.options import StoreOptions
from kiterec.store.recover import find_unfinished, recover
from kiterec.store.summary import summarize
from kiterec.store.writer import RecordingWriter
from kiterec.wire.transcript import Kind, Row, lifecycle_payload
from tests.store.recordings import by_connection, make_rows, new_writer, transcript, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
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


class HoldingFiles(Files):
    """Keeps every append to a journal waiting until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def before(self, operation: str, path: Path) -> None:
        if operation == "append" and path.name.endswith(JOURNAL):
            assert self.go.wait(60)


def test_pressure_is_told_when_the_budget_is_used_up_and_when_it_is_free_again(tmp_path: Path) -> None:
    files = HoldingFiles()
    writer = new_writer(tmp_path, memory_budget=20_000, files=files)
    news: list[bool] = []
    writer.on_pressure(news.append)
    writer.append("c", Row(1, 1, Kind.BINARY, bytes(15_000)))
    assert not writer.paused()
    for _ in range(3):  # more than the budget, so that a long wait of this test is no stall that excuses it
        writer.append("c", Row(1, 1, Kind.BINARY, bytes(15_000)))
    assert news == [True]
    files.go.set()
    wait_until(lambda: len(news) == 2)
    assert news == [True, False]
    assert not writer.paused()
    assert writer.close().rows == 4


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


def test_a_batch_that_rots_while_the_recording_runs_is_counted_and_kept(tmp_path: Path) -> None:
    writer = new_writer(tmp_path)
    rows = make_rows(100)
    sizes = []
    journal = RecordingFolder(writer.path).file("c", 0, JOURNAL)
    for half in (rows[:50], rows[50:]):
        for row in half:
            writer.append("c", row)
        wait_until(lambda: not writer.stats().unwritten_bytes)
        sizes.append(journal.stat().st_size)
    content = bytearray(journal.read_bytes())
    content[sizes[0] + 5] ^= 0x40  # the length of a batch: looks like a torn end
    with journal.open("r+b") as file:
        file.write(content)
    summary = writer.close()
    assert summary.status is Status.QUARANTINED
    assert summary.lost_rows == 100 - summary.rows > 0
    assert len(summary.damage) == 1
    assert journal.with_name(journal.name + DAMAGED).read_bytes() == content


def test_a_journal_that_was_cut_while_the_recording_runs_is_noticed(tmp_path: Path) -> None:
    writer = new_writer(tmp_path)
    journal = RecordingFolder(writer.path).file("c", 0, JOURNAL)
    for row in make_rows(10):
        writer.append("c", row)
    wait_until(lambda: writer.stats().written_rows == 10)
    os.truncate(journal, 1000)
    summary = writer.close()
    assert (summary.status, summary.rows, summary.lost_rows) == (Status.QUARANTINED, 0, 10)
    assert summary.problems


class UnclosableFiles(Files):
    """Closes the first journal with an error that is not the store's own."""

    def close(self, file: OpenFile) -> None:
        super().close(file)
        if file.path.name == "part-00000.arrows":
            raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("interval", [0, None, 0.02])
@pytest.mark.parametrize("ends", [{"part_bytes": 500}, {"part_duration_s": 0.02}], ids=["size", "age"])
def test_no_thread_dies_silently_of_an_error_that_it_does_not_know(
    tmp_path: Path, interval: float | None, ends: dict[str, float], caplog: pytest.LogCaptureFixture
) -> None:
    writer = new_writer(tmp_path, files=UnclosableFiles(), fsync_interval_s=interval, **ends)
    failures: list[StorageError] = []
    writer.on_failure(failures.append)
    rows = make_rows(40)
    for row in rows[:30]:
        writer.append("c", row)
    wait_until(lambda: bool(failures))
    for row in rows[30:]:
        writer.append("c", row)
    summary = writer.close()
    assert len(failures) == 1
    assert "OSError" in str(failures[0])
    assert "Traceback" in caplog.text
    assert summary.rows + summary.lost_rows == 40
    assert summary.lost_rows >= 10


def test_a_close_that_the_disk_refuses_is_a_storage_error(tmp_path: Path) -> None:
    file = Files().create(tmp_path / "a")
    Files().close(file)
    with pytest.raises(StorageError, match="cannot close"):
        Files().close(file)


def test_a_disk_that_fills_within_the_header_of_a_journal_leaves_no_stump(tmp_path: Path) -> None:
    class Filling(Files):
        def append(self, file: OpenFile, buffers: Sequence[Any]) -> int:
            if file.path.name == "part-00001.arrows":
                super().append(file, [bytes(buffers[0])[:100]])
                raise DiskFullError("no space left")
            return super().append(file, buffers)

    writer = new_writer(tmp_path, files=Filling(), part_bytes=100)
    for row in make_rows(10, size=400):
        writer.append("c", row)
        wait_until(lambda: not writer.stats().unwritten_bytes)
    summary = writer.close()
    assert summary.rows + summary.lost_rows == 10
    assert summary.status is Status.COMPLETE
    assert not list(writer.path.rglob("*" + JOURNAL))


def test_a_journal_that_is_left_keeps_the_recording_unfinished(tmp_path: Path) -> None:
    writer = new_writer(tmp_path)
    writer.append("c", make_rows(1)[0])
    wait_until(lambda: writer.stats().written_rows == 1)
    (writer.path / "connection=c" / "part-00007.arrows").write_bytes(b"")
    assert writer.close().status is Status.RECORDING
    assert recover(writer.path).status is Status.RECOVERED


def test_recorders_that_start_together_in_a_new_place_all_start(tmp_path: Path) -> None:
    for number in range(10):
        barrier = threading.Barrier(3)
        writers: list[RecordingWriter] = []

        def start(label: str, out: Path = tmp_path / str(number), barrier=barrier, writers=writers) -> None:  # type: ignore[no-untyped-def]
            barrier.wait(60)
            writers.append(RecordingWriter.create(out, label=label, accounts=[]))

        threads = [threading.Thread(target=start, args=(label,)) for label in ("nse", "mcx", "bse")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for writer in writers:
            writer.close()
        assert len(writers) == 3


def test_a_day_folder_that_another_recorder_makes_or_removes_is_no_obstacle(tmp_path: Path) -> None:
    class Racing(Files):
        raced = 0

        def before(self, operation: str, path: Path) -> None:
            if operation == "make_folder" and path.name.startswith("date=") and self.raced == 0:
                self.raced = 1
                path.mkdir()
            elif operation == "make_folder" and path.name.startswith("recording=") and self.raced == 1:
                self.raced = 2
                path.parent.rmdir()

    files = Racing()
    new_writer(tmp_path, files=files).close()
    assert files.raced == 2


def test_removing_an_empty_recording_leaves_another_recorders_lock(tmp_path: Path) -> None:
    out = tmp_path / "out"
    writer = new_writer(out)
    writer.close()
    with FolderLock(out, label="other"):
        with suppress(OSError):
            remove_empty(writer.path, out=out, made_out=True)
        assert [path.name for path in out.iterdir()] == [".other.lock"]
        with pytest.raises(SetupError):
            FolderLock(out, label="other").acquire()
    again = new_writer(out)
    again.close()
    remove_empty(again.path, out=out, made_out=True)
    assert not out.exists()
