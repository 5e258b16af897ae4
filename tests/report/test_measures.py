"""The report's tables hold what the recording has, in few rows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

import kiterec
from kiterec.errors import SetupError
from kiterec.report.measures import MAX_BINS, measure
from kiterec.store.options import StoreOptions
from tests.ticks.recordings import being_written, record

if TYPE_CHECKING:
    from kiterec.recording import Recording
    from kiterec.report.measures import Measures

COL = pl.col
FIXTURE = next((Path(__file__).parents[1] / "fixtures" / "recordings").glob("date=*/recording=*"))
TEN = int(datetime(2026, 1, 5, 10, tzinfo=UTC).timestamp() * 1_000)
"""10:00 on the wall, as if it were UTC."""


@pytest.fixture(scope="module")
def recording() -> Recording:
    return kiterec.open(FIXTURE)


@pytest.fixture(scope="module")
def measures(recording: Recording) -> Measures:
    return measure(recording)


def test_rates_sum_to_what_was_received(recording: Recording, measures: Measures) -> None:
    summary = recording.info().summary
    assert measures.step_s == 1
    assert measures.traffic["frames_s"].sum() == summary.frames
    assert measures.ticks["ticks_s"].sum() == summary.ticks
    assert measures.mix["ticks"].sum() == summary.ticks
    heartbeats = summary.heartbeats
    texts = sum(len(text) for text in recording.events().filter(COL("kind") == "text").collect()["payload"])
    assert measures.traffic["bytes_s"].sum() == summary.wire_bytes - heartbeats - texts


def test_seconds_without_a_frame_are_zeros(measures: Measures) -> None:
    away = measures.traffic.filter(COL("connection") == "main-1", COL("frames_s") == 0)
    assert away["ist"].to_list() == [TEN + 1_000 * second for second in range(30, 36)]
    assert measures.traffic.height == 2 * 60


def test_coverage_and_gaps_are_on_the_wall_clock_of_india(measures: Measures) -> None:
    assert measures.coverage.rows() == [
        ("main-0", TEN + 7, TEN + 59_757),
        ("main-1", TEN + 7, TEN + 59_757),
    ]
    assert measures.gaps.select("connection", "kind", "ist", "ist_end", "seconds").rows() == [
        ("main-1", "lost", TEN + 30_007, TEN + 36_007, 6.0)
    ]


def test_the_busiest_have_names_and_are_in_order(recording: Recording, measures: Measures) -> None:
    counts = recording.ticks().group_by("instrument_token").len().collect()["len"].sort(descending=True)
    assert measures.top["ticks"].to_list() == counts.head(20).to_list()
    assert measures.top["symbol"].str.contains("^[A-Z]+:").all()


def test_latencies_are_counted_and_their_quantiles_are_those_of_the_bins(
    recording: Recording, measures: Measures
) -> None:
    old = recording.latency().collect()
    assert measures.latency["ticks"].sum() == old.height
    milliseconds = (COL("latency").dt.total_milliseconds() // 50 * 50).alias("ms")
    expected = (
        old.group_by(COL("received_at").dt.truncate("1s"))
        .agg(milliseconds.quantile(0.5, "lower").alias("median"))
        .sort("received_at")
    )
    medians = measures.latency_over_time.filter(COL("quantile") == "median")
    assert medians["ms"].to_list() == [int(one) for one in expected["median"]]


def test_candles_are_of_the_chosen_or_of_the_busiest(recording: Recording, measures: Measures) -> None:
    assert measures.candles["symbol"].unique(maintain_order=True).len() == 3
    chosen = measure(recording, ["NSE:INFY"]).candles
    assert chosen["symbol"].unique().to_list() == ["NSE:INFY"]
    assert (
        chosen["close"].to_list()
        == recording.candles("5s", symbols=["NSE:INFY"]).collect()["close"].to_list()
    )
    with pytest.raises(SetupError, match="NSE:NOBODY"):
        measure(recording, ["NSE:NOBODY"])


def test_a_long_recording_has_no_more_bins_than_fit(tmp_path: Path) -> None:
    """Four minutes and a bit, in parts that are sealed on the way."""
    long = record(tmp_path, 4 * 260, options=StoreOptions(part_bytes=1 << 20))
    found = measure(kiterec.open(long))
    assert found.step_s == 2
    assert max(found.traffic["ist"].n_unique(), found.ticks["ist"].n_unique()) <= MAX_BINS
    assert found.traffic["frames_s"].sum() * 2 == found.summary.frames


def test_an_empty_recording_has_empty_tables(tmp_path: Path) -> None:
    with being_written(tmp_path) as writer:
        found = measure(kiterec.open(writer.path))
    tables = (found.coverage, found.gaps, found.traffic, found.ticks, found.top, found.latency, found.candles)
    assert [table.height for table in tables] == [0] * 7
