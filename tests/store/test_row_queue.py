"""The queue between the feed and the disk, the lock, the latencies and the names of files."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from kiterec.errors import SetupError, StorageError
from kiterec.store.folder import DAMAGED, DRAFT, JOURNAL, PART, RecordingFolder, find_recordings
from kiterec.store.latency import Latency, LatencyMeter
from kiterec.store.lock import FolderLock, is_locked
from kiterec.store.manifest import MANIFEST_NAME
from kiterec.store.row_queue import BRISK_BYTES, EARLY_FLUSH_BYTES, ROW_BYTES, STALL_NS, RowQueue
from kiterec.store.schema import MAX_PAYLOAD_BYTES
from kiterec.wire.transcript import Kind, Row

if TYPE_CHECKING:
    from pathlib import Path


def row(size: int = 1) -> Row:
    return Row(1, 1, Kind.BINARY, bytes(size))


def test_seq_counts_over_all_connections_and_threads() -> None:
    queue = RowQueue(1 << 30)

    def append(connection: str) -> None:
        for _ in range(2000):
            queue.append(connection, row())

    threads = [threading.Thread(target=append, args=(f"c{n % 2}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    taken = []
    while any(thread.is_alive() for thread in threads):
        taken += queue.take()
    taken += queue.take()
    for connection in ("c0", "c1"):
        seqs = [seq for group in taken if group.connection == connection for seq in group.seqs]
        assert seqs == sorted(seqs)
    assert sorted(seq for group in taken for seq in group.seqs) == list(range(8000))
    for group in taken:
        queue.written(group)
    assert queue.unwritten_bytes == 0


def test_pressure_comes_once_and_goes_when_half_is_written() -> None:
    queue = RowQueue(10 * (ROW_BYTES + 100))
    news: list[bool] = []
    queue.on_pressure(news.append)
    for _ in range(6):
        queue.append("a", row(100))
    for _ in range(6):
        queue.append("b", row(100))
    assert (news, queue.paused) == ([True], True)
    first, second = queue.take()
    queue.written(first)
    assert queue.paused
    queue.written(second)
    assert (news, queue.paused) == ([True, False], False)


def test_a_disk_that_answers_is_given_little_to_wait_for_and_one_that_stalls_the_whole_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brisk, stalled = RowQueue(1 << 30), RowQueue(1 << 30)
    for queue, waited_ns in ((brisk, 0), (stalled, STALL_NS + 1)):
        queue.append("a", row())
        began = time.monotonic_ns()
        with monkeypatch.context() as patch:
            patch.setattr(time, "monotonic_ns", lambda now=began + waited_ns: now)
            queue.append("a", row(BRISK_BYTES))
    assert brisk.paused
    assert not stalled.paused


def test_a_burst_after_a_silent_hour_meets_no_stalled_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = RowQueue(1 << 30)
    queue.append("a", row())
    queue.written(queue.take()[0])
    an_hour_later = time.monotonic_ns() + 3600 * STALL_NS
    monkeypatch.setattr(time, "monotonic_ns", lambda: an_hour_later)
    queue.append("a", row(BRISK_BYTES // 2))
    queue.append("b", row(BRISK_BYTES // 2))
    assert queue.paused


def test_much_data_asks_for_an_early_flush() -> None:
    queue = RowQueue(1 << 30)
    queue.append("a", row(EARLY_FLUSH_BYTES - 2 * ROW_BYTES))
    assert not queue.wake.is_set()
    queue.append("a", row(2 * ROW_BYTES))
    assert queue.wake.is_set()
    queue.take()
    assert not queue.wake.is_set()


def test_after_a_failure_rows_are_counted_as_lost_and_pressure_ends() -> None:
    queue = RowQueue(100)
    news: list[bool] = []
    queue.on_pressure(news.append)
    queue.append("a", row(200))
    (group,) = queue.take()
    queue.append("a", row())
    queue.fail(len(group.rows))
    queue.append("a", row())
    assert (queue.lost_rows, queue.unwritten_bytes, news) == (3, 0, [True, False])


def test_what_cannot_be_a_row_is_refused() -> None:
    queue = RowQueue(1 << 30)
    with pytest.raises(ValueError, match="a row holds"):
        queue.append("a", row(MAX_PAYLOAD_BYTES + 1))
    with pytest.raises(SetupError, match="cannot name a folder"):
        queue.append("../a", row())
    assert queue.rows == 0


def test_a_lock_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from kiterec.store.lock import FolderLock\n"
        "lock = FolderLock(Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        assert is_locked(tmp_path)
        with pytest.raises(SetupError, match="in use by another recorder"):
            FolderLock(tmp_path).acquire()
        process.kill()
        process.wait(60)
    assert not is_locked(tmp_path)
    with FolderLock(tmp_path, label="a"), FolderLock(tmp_path, label="b"), FolderLock(tmp_path):
        assert is_locked(tmp_path)
    with pytest.raises(StorageError, match="cannot lock"):
        FolderLock(tmp_path / "nowhere").acquire()


def test_latencies_are_percentiles_of_the_last_and_the_worst_of_all() -> None:
    meter = LatencyMeter()
    assert meter.summary() == Latency()
    meter.add(900_000_000)
    for number in range(5000):
        meter.add(number * 1000)
    summary = meter.summary()
    assert (summary.count, summary.max_ms) == (5001, 900)
    assert 2.9 < summary.p50_ms < 3.0
    assert 4.9 < summary.p99_ms < 5.0


def test_files_are_known_by_their_names(tmp_path: Path) -> None:
    folder = RecordingFolder(tmp_path)
    folder.connection_folder("a").mkdir()
    for number, suffix in ((1, JOURNAL), (0, PART), (1, DRAFT), (100_000, PART)):
        folder.file("a", number, suffix).write_bytes(b"")
    (folder.connection_folder("a") / f"part-00000.arrows{DAMAGED}").write_bytes(b"")
    (tmp_path / MANIFEST_NAME).write_bytes(b"")
    assert [(file.number, file.suffix) for file in folder.files("a")] == [
        (0, PART),
        (1, JOURNAL),
        (1, DRAFT),
        (100_000, PART),
    ]
    (tmp_path / "notes.txt").write_bytes(b"")
    assert [path.name for path in folder.strangers()] == ["part-00000.arrows.damaged", "notes.txt"]
    assert find_recordings(tmp_path) == [tmp_path]
