"""The tick cache is the tick table sorted by instrument, for every reader of Parquet; it knows its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from kiterec.errors import SetupError, StorageError
from kiterec.store.lock import FolderLock, is_locked
from kiterec.store.manifest import load_manifest, save_manifest
from kiterec.store.recover import recover
from kiterec.ticks import buckets, cache, cache_file
from kiterec.ticks import stamp as stamps
from kiterec.ticks.cache import scan_cache, tick_cache, write_tick_cache
from kiterec.ticks.scan import scan_ticks
from kiterec.ticks.schema import tick_schema
from kiterec.ticks.stamp import read_stamp
from kiterec.upkeep.verify import verify
from tests.ticks.recordings import being_written, record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pyarrow as pa

    from kiterec.ticks.schema import Prices

ORDER = ["instrument_token", "seq", "packet"]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recording"), 60)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a small recording have many buckets and row groups."""
    monkeypatch.setattr(buckets, "BUCKET_ROWS", 700)
    monkeypatch.setattr(cache_file, "ROW_GROUP_ROWS", 100)


@pytest.mark.parametrize("prices", ["float", "int"])
def test_the_cache_is_the_tick_table_sorted_by_instrument(
    recording: Path, tmp_path: Path, prices: Prices
) -> None:
    target = write_tick_cache(recording, tmp_path / "ticks.parquet", prices=prices)
    expected = scan_ticks(recording, prices=prices).collect().sort(ORDER)
    found = scan_cache(target)
    assert found.collect_schema() == tick_schema(prices)
    assert found.collect().equals(expected, null_equal=True)
    assert [path.name for path in tmp_path.iterdir()] == ["ticks.parquet"]


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize(("most_buckets", "bucket_rows"), [(1, 1_000_000), (2, 150), (3, 20), (4, 1)])
def test_the_cache_does_not_depend_on_how_it_was_sorted(
    recording: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    most_buckets: int,
    bucket_rows: int,
    cores: int,
) -> None:
    """Buckets that are too large are spread again, until each fits the memory or is of one instrument."""
    monkeypatch.setattr(buckets, "MAX_BUCKETS", most_buckets)
    monkeypatch.setattr(buckets, "BUCKET_ROWS", bucket_rows)
    monkeypatch.setattr("kiterec.ticks.use_behind.cores", lambda: cores)
    monkeypatch.setattr("kiterec.store.transcript.BATCH_BYTES", 20_000)
    sorted_at_once = []
    read = buckets.PacketRows.read

    def watched(batches: Iterable[pa.RecordBatch], rows: int) -> buckets.PacketRows:
        sorted_at_once.append(rows)
        return read(batches, rows)

    monkeypatch.setattr(buckets.PacketRows, "read", watched)
    found = scan_cache(write_tick_cache(recording, tmp_path / "ticks.parquet")).collect()
    assert found.equals(scan_ticks(recording).collect().sort(ORDER), null_equal=True)
    busiest = found["instrument_token"].value_counts()["count"].max()
    assert isinstance(busiest, int)
    assert max(sorted_at_once) <= max(bucket_rows, busiest)


def test_a_question_about_one_instrument_reads_few_row_groups(recording: Path, tmp_path: Path) -> None:
    metadata = pq.ParquetFile(write_tick_cache(recording, tmp_path / "ticks.parquet")).metadata
    column = metadata.schema.names.index("instrument_token")
    groups = [metadata.row_group(n).column(column) for n in range(metadata.num_row_groups)]
    spans = [(group.statistics.min, group.statistics.max) for group in groups]
    token = scan_ticks(recording).select("instrument_token").collect()["instrument_token"].mode()[0]
    assert len(spans) > 20
    assert spans == sorted(spans)
    assert sum(low <= token <= high for low, high in spans) <= 4
    assert all(group.has_offset_index and group.has_column_index for group in groups)


def test_duckdb_reads_the_same(recording: Path, tmp_path: Path) -> None:
    target = write_tick_cache(recording, tmp_path / "ticks.parquet")
    ticks = scan_ticks(recording).collect().sort(ORDER)
    token = ticks["instrument_token"].mode()[0]
    columns = ["seq", "packet", "segment", "mode", "connection", "last_price", "volume_traded", "oi"]
    with duckdb.connect() as database:
        asked = f"{', '.join(columns)}, list_sum(buy_price), epoch_ns(received_at)"
        query = f"select {asked} from '{target}' where instrument_token = {token}"
        rows = database.sql(query).fetchall()
    expected = ticks.filter(pl.col("instrument_token") == token).select(
        *columns, pl.col("buy_price").arr.to_list().list.sum(), pl.col("received_at").cast(pl.Int64)
    )
    assert [row[:8] for row in rows] == [row[:8] for row in expected.rows()]
    assert [row[9] for row in rows] == expected["received_at"].to_list()
    for row, other in zip(rows, expected.rows(), strict=True):
        assert (row[8] is None) == (other[8] is None)
        assert row[8] is None or row[8] == pytest.approx(other[8])


def test_a_cache_is_made_anew_only_when_decoder_parts_or_prices_change(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tick_cache(recording, tmp_path / "ticks.parquet")
    first = target.stat().st_ino
    assert tick_cache(recording, target).stat().st_ino == first
    second = tick_cache(recording, target, prices="int").stat().st_ino
    assert second != first
    other = record(tmp_path / "other", 3)
    third = tick_cache(other, target).stat().st_ino
    stamp = read_stamp(target)
    assert stamp is not None
    assert (third != second, stamp.ticks) == (True, scan_ticks(other).select(pl.len()).collect().item())
    monkeypatch.setattr(stamps, "version", lambda _: "99.0")
    assert tick_cache(other, target).stat().st_ino != third
    assert "kiterec 99.0" in (read_stamp(target) or stamp).decoder


def test_a_cache_of_changed_parts_is_out_of_date(tmp_path: Path) -> None:
    recording = record(tmp_path / "recordings", 3)
    target = tick_cache(recording, tmp_path / "ticks.parquet")
    before = read_stamp(target)
    manifest = load_manifest(recording)
    manifest.parts[0].sha256 = "0" * 64
    save_manifest(recording, manifest)
    tick_cache(recording, target)
    assert read_stamp(target) != before


def test_a_recording_without_ticks_gives_an_empty_cache(tmp_path: Path) -> None:
    with being_written(tmp_path) as writer:
        pass
    target = write_tick_cache(writer.path, tmp_path / "ticks.parquet")
    assert scan_cache(target).collect().height == 0
    assert scan_cache(target).collect_schema() == tick_schema()


def test_what_is_no_cache_is_refused(tmp_path: Path) -> None:
    assert read_stamp(tmp_path / "none.parquet") is None
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("no")
    for name in ("none", "other", "text"):
        with pytest.raises(SetupError, match="is no tick cache; make one with kiterec ticks"):
            scan_cache(tmp_path / f"{name}.parquet")


def test_a_recording_being_written_has_no_cache(tmp_path: Path) -> None:
    with (
        being_written(tmp_path) as writer,
        pytest.raises(SetupError, match="is still being written; stop its recorder"),
    ):
        write_tick_cache(writer.path, tmp_path / "ticks.parquet")


def test_a_folder_that_cannot_be_written_is_said_plainly(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write .*nowhere/ticks\.parquet"):
        write_tick_cache(recording, tmp_path / "nowhere" / "ticks.parquet")


def test_what_a_dead_writer_left_goes_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    path = record(tmp_path, 2)
    dead, living = (path / f".ticks.parquet-{word}.tmp" for word in ("dead", "living"))
    for left in (dead, living):
        left.mkdir()
        (left / "0.arrows").write_bytes(b"rows")
    with FolderLock(living):
        found = [note for note in verify(path).warnings if "tick cache" in note.what]
        assert [note.file for note in found] == [dead.name]
        assert recover(path).deleted == [dead.name]
        assert not dead.exists()
        write_tick_cache(path)
        assert living.exists()
    write_tick_cache(path)
    assert not living.exists()


def test_the_pieces_are_locked_while_a_cache_is_written(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "ticks.parquet"
    locked = []
    write = cache.write_ticks

    def watched(draft: Path, *others: Any) -> None:
        locked.append(is_locked(draft.parent))
        write(draft, *others)

    monkeypatch.setattr(cache, "write_ticks", watched)
    write_tick_cache(recording, target)
    assert locked
    assert all(locked)
    assert [*tmp_path.iterdir()] == [target]
