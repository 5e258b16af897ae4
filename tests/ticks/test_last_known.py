"""asof of a recording is the last tick of each instrument, though it is read from there backwards."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import kiterec
from kiterec.clock import to_ns
from kiterec.store.options import StoreOptions
from kiterec.store.transcript import read_transcript
from kiterec.ticks import last_known as module
from kiterec.ticks.asof import asof
from kiterec.ticks.cache import tick_cache
from kiterec.ticks.scan import scan_ticks
from kiterec.wire.frames import join_frame
from kiterec.wire.transcript import Kind, Row
from tests.ticks.recordings import START, TOKENS, being_written, instant, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ENDS = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
SILENT, NEVER = 1_001, 9_999
HOURS = 6
DEADLINE_S = 60
BUSY = [5_000 + number for number in range(12)]


def ltp(token: int, price: int) -> bytes:
    return token.to_bytes(4, "big") + price.to_bytes(4, "big")


def silent_rows() -> Iterator[tuple[str, Row]]:
    """Some instruments come every minute, each for a while; one at the begin, one an hour later than that."""
    rng = random.Random(3)
    for minute in range(60 * HOURS):
        tokens = [token for token in BUSY if rng.random() < 0.5 and minute < 60 * HOURS - 20 * (token % 7)]
        tokens += [SILENT] * (minute == 0) + [SILENT + 1] * (minute == 60)
        rng.shuffle(tokens)
        payload = join_frame([ltp(token, minute * 10 + place) for place, token in enumerate(tokens)])
        at = to_ns(START + timedelta(minutes=minute))
        yield f"main-{minute % 2}", Row(at, at, Kind.BINARY, payload)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("mixed"), 40)


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with being_written(tmp_path_factory.mktemp("silent")) as writer:
        for connection, row in silent_rows():
            writer.append(connection, row)
    return writer.path


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a small recording have many windows."""
    monkeypatch.setattr(module, "FIRST_WINDOW", 4)
    monkeypatch.setattr(module, "FAR", 3)
    monkeypatch.setattr("kiterec.store.transcript.BATCH_BYTES", 2_000)


@pytest.fixture
def rows_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give how many rows of the transcript are read from now on, a number a batch."""
    read: list[int] = []

    def watched(*given: Any, **options: Any) -> Iterator[Any]:
        for batch in read_transcript(*given, **options):
            read.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(module, "read_transcript", watched)
    return read


def holds(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = monotonic() + DEADLINE_S
    while not condition():
        assert monotonic() < deadline, f"it does not hold after {DEADLINE_S} s"


def check(path: Path, time: datetime, symbols: list[int] | None = None) -> pl.DataFrame:
    """Give asof of a recording; it has to be that of all its ticks."""
    found = kiterec.open(path).asof(time, symbols).collect()
    assert_frame_equal(
        found, asof(scan_ticks(path, symbols=symbols), time).collect(), categorical_as_str=True
    )
    return found


@pytest.mark.parametrize("cached", [False, True])
def test_it_equals_the_last_of_all_ticks(mixed: Path, tmp_path: Path, cached: bool) -> None:
    if cached:
        tick_cache(mixed)
    for time in [*map(instant, (-1, 0, 7, 39, 50)), *ENDS]:
        for symbols in (None, TOKENS[3:9], [TOKENS[5], NEVER], [NEVER]):
            check(mixed, time, symbols)
    (mixed / "ticks.parquet").unlink(missing_ok=True)


@pytest.mark.parametrize("cached", [False, True])
def test_instruments_that_were_silent_for_hours_are_there(silent: Path, cached: bool) -> None:
    if cached:
        tick_cache(silent)
    for minutes in (0, 59, 60, 61, 200, 60 * HOURS):
        found = check(silent, START + timedelta(minutes=minutes))
        assert SILENT in found["instrument_token"]
        assert (SILENT + 1 in found["instrument_token"]) == (minutes >= 60)
    check(silent, START + timedelta(hours=HOURS), [SILENT, NEVER])
    (silent / "ticks.parquet").unlink(missing_ok=True)


def test_reading_ends_where_all_chosen_were_seen(silent: Path, rows_read: list[int]) -> None:
    check(silent, ENDS[1], [token for token in BUSY if token % 7 == 0])
    assert sum(rows_read) <= 16
    rows_read.clear()
    check(silent, ENDS[1])
    assert sum(rows_read) == 60 * HOURS, "nobody knows whether an instrument came only at the begin"


def test_the_cache_says_where_to_read(silent: Path, rows_read: list[int]) -> None:
    tick_cache(silent)
    found = check(silent, ENDS[1])
    assert sum(rows_read) <= module.FAR * found.height
    (silent / "ticks.parquet").unlink()


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_what_is_asked_of_it_is_answered_of_the_last_ticks(mixed: Path, engine: Any) -> None:
    lazy, naive = kiterec.open(mixed).asof(instant(30)), asof(scan_ticks(mixed), instant(30))
    quote = pl.col("mode") == "quote"
    for ask in (
        lambda it: it.filter(quote).select("last_price", "connection"),
        lambda it: it.head(5).filter(quote).select("seq"),
        lambda it: it.select("instrument_token", "buy_price").tail(7),
        lambda it: it.select(pl.len()),
    ):
        expected = ask(naive).collect(engine=engine)
        assert_frame_equal(ask(lazy).collect(engine=engine), expected, categorical_as_str=True)


def test_a_recording_being_written_is_read_up_to_its_last_whole_batch(tmp_path: Path) -> None:
    with being_written(tmp_path) as writer:
        lazy = kiterec.open(writer.path).asof(ENDS[1])
        assert lazy.collect().height == 0
        for connection, row in silent_rows():
            writer.append(connection, row)
        holds(lambda: lazy.collect().height == len(BUSY) + 2)
        assert kiterec.open(writer.path).manifest.parts == []
    assert_frame_equal(
        lazy.collect(), asof(scan_ticks(writer.path), ENDS[1]).collect(), categorical_as_str=True
    )


def test_rows_of_a_journal_between_the_parts_of_another_connection_are_read(tmp_path: Path) -> None:
    def row(second: int, first: int, packets: int) -> Row:
        at = to_ns(START + timedelta(seconds=second))
        payload = join_frame([ltp(first + number, second) for number in range(packets)])
        return Row(at, at, Kind.BINARY, payload)

    with being_written(tmp_path, options=StoreOptions(part_bytes=2_000)) as writer:
        writer.append("main-0", row(0, 1_000, 300))
        holds(lambda: len(kiterec.open(writer.path).manifest.parts) == 1)
        writer.append("main-1", row(20, SILENT, 1))
        writer.append("main-0", row(30, 1_000, 300))
        holds(lambda: len(kiterec.open(writer.path).manifest.parts) == 2)
        found = check(writer.path, START + timedelta(seconds=25))
        assert found.filter(pl.col("instrument_token") == SILENT)["seq"].to_list() == [1]


def test_a_time_without_zone_is_refused(mixed: Path) -> None:
    with pytest.raises(ValueError, match="zone"):
        kiterec.open(mixed).asof(datetime(2026, 1, 5))
