"""kiterec.open gives lazy frames, events and ticks, and says plainly what is no recording."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import polars as pl
import pytest

import kiterec
from kiterec.errors import ManifestError, StorageError
from kiterec.store.manifest import MANIFEST_NAME, Manifest, encode_manifest
from kiterec.ticks.asof import asof
from kiterec.ticks.candles import candles
from kiterec.ticks.depth import depth
from kiterec.ticks.latency import latency
from tests.ticks.recordings import CONNECTIONS, being_written, instant, record, rows

if TYPE_CHECKING:
    from kiterec.recording import Recording
    from kiterec.ticks.candles import By

COL = pl.col
FIXTURE = next((Path(__file__).parent / "fixtures" / "recordings").glob("date=*/recording=*"))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return kiterec.open(record(tmp_path_factory.mktemp("recording")))


def test_frames_are_the_binary_messages_byte_for_byte_in_order(recording: Recording) -> None:
    frames = recording.frames().collect()
    expected = [(seq, name, row) for seq, (name, row) in enumerate(rows(40)) if row.kind == "binary"]
    assert frames.get_column("payload").to_list() == [row.payload for _, _, row in expected]
    assert frames.get_column("seq").to_list() == [seq for seq, _, _ in expected]
    assert frames.get_column("connection").to_list() == [name for _, name, _ in expected]
    assert frames.get_column("received_at").cast(pl.Int64).to_list() == [
        row.received_at for _, _, row in expected
    ]
    assert frames.get_column("monotonic_ns").to_list() == [row.monotonic_ns for _, _, row in expected]


def test_events_are_all_other_rows_as_text(recording: Recording) -> None:
    events = recording.events().collect()
    expected = [(str(row.kind), row.payload.decode()) for _, row in rows(40) if row.kind != "binary"]
    assert list(zip(events.get_column("kind"), events.get_column("payload"), strict=True)) == expected
    (gap,) = events.filter(COL("kind") == "gap").get_column("payload").to_list()
    assert json.loads(gap)["reason"] == "silence"


@pytest.mark.parametrize(
    "condition",
    [
        COL("connection") == "main-1",
        COL("received_at") >= instant(12),
        COL("seq") < 20,
        COL("monotonic_ns") % 2 == 1,
        (COL("seq") > 100) & (COL("connection") != "main-0"),
        COL("seq") > 1_000_000,
    ],
)
def test_conditions_on_frames_and_events_give_what_filtering_afterwards_gives(
    recording: Recording, condition: pl.Expr
) -> None:
    for lazy in (recording.frames(), recording.events()):
        for columns in (pl.all(), ["seq"], ["payload", "connection"], [pl.len()]):
            expected = lazy.collect().filter(condition).select(columns)
            assert lazy.filter(condition).select(columns).collect().equals(expected)


def test_connections_and_times_narrow_frames_and_events(recording: Recording) -> None:
    frames = recording.frames(["main-2"], begin=instant(3), end=instant(6)).collect()
    assert frames.get_column("connection").unique().to_list() == ["main-2"]
    assert frames.height == 3
    assert recording.events(["main-1"], begin=instant(13)).collect().height == 3
    assert recording.frames().head(2).collect().equals(recording.frames().collect().head(2))


def test_ticks_take_symbols_prices_and_times(recording: Recording) -> None:
    ticks = recording.ticks(symbols=["NSE:INFY"], prices="int", begin=instant(2), end=instant(30)).collect()
    assert ticks.get_column("instrument_token").unique().to_list() == [256001]
    assert ticks.get_column("price_divisor").unique().to_list() == [100]


def test_info_is_json_with_counts_and_spans(recording: Recording) -> None:
    info = json.loads(msgspec.json.encode(recording.info()))
    made = [row for _, row in rows(40)]
    assert info["status"] == "complete"
    assert info["label"] == "test"
    assert info["accounts"] == ["main"]
    assert info["instruments"] == 4
    assert info["details"]["why"] == "test"
    assert info["summary"]["rows"] == len(made)
    assert info["summary"]["frames"] == sum(row.kind == "binary" and len(row.payload) > 1 for row in made)
    assert info["summary"]["gaps"] == 1
    assert [one["connection"] for one in info["summary"]["connections"]] == CONNECTIONS
    assert (
        msgspec.json.decode(msgspec.json.encode(recording.info()), type=type(recording.info()))
        == recording.info()
    )


def test_connections_and_instruments_are_those_of_the_recording(recording: Recording, tmp_path: Path) -> None:
    assert recording.connections == CONNECTIONS
    dump = recording.instruments()
    assert dump is not None
    assert dump.resolve("NSE:INFY") == 256001
    assert kiterec.open(record(tmp_path, 1, dump=False)).instruments() is None


def test_the_repr_says_what_a_notebook_wants_to_know(recording: Recording) -> None:
    words = repr(recording)
    for word in (str(recording.path), "complete", "from 2026-11-20 09:15:00 IST", "3 connections", "1 gap)"):
        assert word in words


def test_the_repr_of_a_deleted_recording_says_so(tmp_path: Path) -> None:
    recording = kiterec.open(record(tmp_path, 1))
    (recording.path / MANIFEST_NAME).unlink()
    assert f"it has no {MANIFEST_NAME}" in repr(recording)


def test_the_manifest_can_be_opened_as_well_as_the_folder(recording: Recording) -> None:
    assert kiterec.open(recording.path / MANIFEST_NAME).path == recording.path
    assert kiterec.open(str(recording.path)).manifest == recording.manifest


def test_a_recording_being_written_can_be_opened(tmp_path: Path) -> None:
    with being_written(tmp_path) as writer:
        recording = kiterec.open(writer.path)
        assert recording.manifest.status == "recording"
        assert recording.connections == CONNECTIONS
        assert recording.ticks().collect().height == 0
        assert "recording, empty" in repr(recording)


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"nowhere does not exist; .kiterec ls. lists"):
        kiterec.open(tmp_path / "nowhere")


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ticks.csv"
    path.write_text("a,b\n")
    with pytest.raises(ManifestError, match=r"ticks.csv is no recording but a file; give the folder"):
        kiterec.open(path)


def test_a_folder_of_recordings_is_refused_with_the_name_of_one(recording: Recording) -> None:
    with pytest.raises(ManifestError, match=f"is no recording: .* such as {recording.path}"):
        kiterec.open(recording.path.parents[1])


def test_a_recording_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_NAME).write_bytes(encode_manifest(Manifest(format=99)))
    with pytest.raises(ManifestError, match="is of format 99; this kiterec reads up to format 1: upgrade it"):
        kiterec.open(tmp_path)


def test_frames_of_an_unknown_connection_are_refused_with_those_that_there_are(recording: Recording) -> None:
    with pytest.raises(StorageError, match="has no connection 'nobody'; it has main-0, main-1, main-2"):
        recording.frames(["nobody"]).collect()


def test_importing_kiterec_loads_neither_polars_nor_arrow_nor_the_command_line() -> None:
    heavy = "{'polars', 'pyarrow', 'numpy', 'click', 'websockets', 'pluggy', 'rich'}"
    code = f"import kiterec, sys; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == ""


def test_every_public_name_can_be_had_and_no_other() -> None:
    for name in kiterec.__all__:
        assert getattr(kiterec, name) is not None
        assert name in dir(kiterec)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        kiterec.nothing  # noqa: B018


def test_candles_gaps_depth_asof_and_latency_are_those_of_the_ticks(recording: Recording) -> None:
    ticks = recording.ticks()
    gaps = recording.gaps()
    assert gaps.filter(COL("kind") == "lost").get_column("connection").to_list() == ["main-1"]
    assert recording.gaps(instruments=False).height == gaps.filter(COL("kind") != "instrument").height
    assert recording.depth().collect().equals(depth(ticks).collect())
    assert (
        recording.latency(["NSE:INFY"]).collect().height
        == latency(recording.ticks(["NSE:INFY"])).collect().height
    )
    known = recording.asof(instant(20)).collect()
    assert known.get_column("instrument_token").is_unique().all()
    assert known.equals(asof(ticks, instant(20)).collect(), null_equal=True)
    assert (
        recording.candles("1s")
        .drop("complete")
        .collect()
        .equals(candles(ticks, "1s").drop("complete").collect())
    )


def test_candles_at_the_end_of_a_recording_are_not_complete(recording: Recording) -> None:
    """It begins at 09:15:00 sharp and ends at 09:15:09.75."""
    made = recording.candles("1s").collect()
    ends = made.filter(COL("begin") == instant(36)).get_column("complete")
    assert not ends.any()
    assert made.get_column("complete").any()


@pytest.mark.parametrize("by", ["received_at", "exchange_timestamp"])
def test_candles_of_some_time_are_those_of_all_time(by: By) -> None:
    fixture = kiterec.open(FIXTURE)
    whole = fixture.candles("5s", by=by).collect()
    begins = whole.get_column("begin").unique().sort()
    for begin, end in ((3, 7), (2, None), (None, 4), (None, None)):
        first, last = (None if at is None else begins[at] for at in (begin, end))
        part = fixture.candles("5s", by=by, begin=first, end=last).collect()
        expected = whole.filter(COL("begin").is_in(begins[slice(begin, end)].implode()))
        assert part.equals(expected, null_equal=True)


def test_ticks_before_the_lead_are_not_read(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kiterec.recording.LEAD", timedelta(0))
    part = recording.candles("1s", begin=instant(20), end=instant(32)).collect()
    whole = recording.candles("1s").collect()
    both = part.join(whole, on=["instrument_token", "begin"], suffix="_of_all")
    assert both.height == part.height
    assert both.filter(COL("close") != COL("close_of_all")).height == 0
    known = both.filter("complete")
    assert 0 < known.height < both.height
    assert known.filter(COL("volume") != COL("volume_of_all")).height == 0
