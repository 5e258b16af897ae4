"""Gaps are what the recorder says, what nobody heard, and instruments that are unlike themselves."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import polars as pl
import pytest

from kiterec.clock import IST, NS_PER_S, to_ns
from kiterec.ticks import carry
from kiterec.ticks.gaps import GAP_SCHEMA, gaps
from kiterec.ticks.schema import INSTANT
from kiterec.ticks.silence import silent_instruments
from kiterec.ticks.transcript import EVENT_SCHEMA, FRAME_SCHEMA

ZERO = to_ns(datetime(2026, 1, 5, 10, tzinfo=IST))
NO_GAPS = pl.DataFrame(schema={"connection": pl.String, "begin": INSTANT, "end": INSTANT})


def at(second: float) -> int:
    return ZERO + round(second * NS_PER_S)


def transcript(*rows: tuple[str, float, str, str]) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Give frames and events of rows: connection, second, kind, payload."""
    table = pl.DataFrame(
        [(seq, name, at(second), kind, payload) for seq, (name, second, kind, payload) in enumerate(rows)],
        {
            "seq": pl.UInt64,
            "connection": pl.Categorical,
            "received_at": pl.Int64,
            "kind": pl.String,
            "payload": pl.String,
        },
        orient="row",
    ).with_columns(pl.col("received_at").cast(INSTANT), pl.lit(0, pl.Int64).alias("monotonic_ns"))
    binary = pl.col("kind") == "binary"
    frames = table.filter(binary).with_columns(pl.col("payload").cast(pl.Binary)).select(FRAME_SCHEMA.names())
    events = table.filter(~binary).select(pl.col(name).cast(kind) for name, kind in EVENT_SCHEMA.items())
    return frames.lazy(), events.lazy()


def beats(name: str, first: int, last: int) -> list[tuple[str, float, str, str]]:
    return [(name, second, "binary", "\0") for second in range(first, last, 3)]


def found(table: pl.DataFrame) -> list[tuple[object, ...]]:
    """Give the gaps in seconds since zero."""
    seconds = [(pl.col(name).cast(pl.Int64) - ZERO) / NS_PER_S for name in ("begin", "end")]
    return table.select("kind", "connection", "instrument_token", *seconds).rows()


def ticks(*instruments: tuple[int, list[float]], segment: str = "NSE", connection: str = "a") -> pl.LazyFrame:
    """Give when ticks of instruments came, in the order of time."""
    rows = [(token, at(second)) for token, seconds in instruments for second in seconds]
    table = pl.DataFrame(rows, {"instrument_token": pl.UInt32, "received_at": pl.Int64}, orient="row")
    return (
        table.sort("received_at")
        .with_columns(
            pl.col("received_at").cast(INSTANT),
            pl.lit(segment).alias("segment"),
            pl.lit(connection).alias("connection"),
        )
        .lazy()
    )


def test_a_gap_that_the_recorder_wrote_is_a_lost_connection() -> None:
    told = f'{{"from": {at(3)}, "to": {at(20)}, "reason": "silence"}}'
    table = gaps(*transcript(*beats("a", 0, 4), ("a", 20, "connected", "{}"), ("a", 20, "gap", told)))
    assert found(table) == [("lost", "a", None, 3, 20)]
    assert table["duration"].to_list() == [timedelta(seconds=17)]
    assert table["reason"].to_list() == ["silence"]
    assert table.schema == GAP_SCHEMA


def test_a_connection_that_never_came_back_is_lost_without_end() -> None:
    ended = ("a", 5.0, "disconnected", '{"code": 1006, "reason": "reset"}')
    frames, events = transcript(("a", 0, "connected", "{}"), *beats("a", 0, 5), ended, *beats("b", 6, 40))
    assert found(gaps(frames, events)) == [("lost", "a", None, 5, None)]


def test_a_connection_that_was_away_when_the_recorder_ended_is_lost_once() -> None:
    ended = ("a", 5.0, "disconnected", '{"code": 1006, "reason": "reset"}')
    told = f'{{"from": {at(5)}, "to": {at(9)}, "reason": "reset"}}'
    rows = [("a", 0, "connected", "{}"), *beats("a", 0, 5), ended, *beats("b", 6, 9), ("a", 9, "gap", told)]
    assert found(gaps(*transcript(*rows))) == [("lost", "a", None, 5, 9)]


def test_an_end_that_was_wanted_is_no_gap() -> None:
    ended = ("a", 5.0, "disconnected", '{"code": 1000, "wanted": true}')
    assert gaps(*transcript(*beats("a", 0, 5), ended)).height == 0


def test_a_stretch_without_any_message_is_a_silence() -> None:
    rows = [*beats("a", 0, 10), *beats("a", 21, 30), ("a", 40, "text", "{}"), *beats("a", 50, 60)]
    mixed = sorted([*rows, *beats("b", 0, 60)], key=lambda row: row[1])
    assert found(gaps(*transcript(*mixed))) == [("silent", "a", None, 9, 21), ("silent", "a", None, 27, 40)]
    assert gaps(*transcript(*mixed), silence_limit=timedelta(seconds=13)).height == 0


def test_a_silence_that_a_lost_connection_explains_is_not_told_twice() -> None:
    told = f'{{"from": {at(9)}, "to": {at(30)}}}'
    rows = [*beats("a", 0, 10), *beats("a", 30, 40), ("a", 41, "gap", told)]
    assert found(gaps(*transcript(*rows))) == [("lost", "a", None, 9, 30)]


def test_a_gap_row_that_is_no_gap_is_passed_over() -> None:
    assert gaps(*transcript(*beats("a", 0, 4), ("a", 5, "gap", "torn {"))).height == 0
    empty = gaps(*transcript())
    assert (empty.height, empty.schema) == (0, GAP_SCHEMA)


@pytest.mark.parametrize("rows", [1, 17, 100_000])
def test_an_instrument_is_silent_by_its_own_habit(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two minutes are much for one that comes each second, and nothing for one that comes each minute."""
    monkeypatch.setattr(carry, "ROWS_AT_ONCE", rows)
    busy = [second for second in range(600) if not 200 <= second < 320]
    slow = [*range(0, 420, 60), 540, *range(600, 1_200, 60)]
    table = silent_instruments(ticks((1, busy), (2, slow)), NO_GAPS, at(600))
    assert table.select("instrument_token", "begin", "end").rows() == [
        (1, datetime(2026, 1, 5, 10, 3, 19, tzinfo=IST), datetime(2026, 1, 5, 10, 5, 20, tzinfo=IST))
    ]
    assert table["reason"].to_list() == ["it usually comes every 1 s"]


def test_an_instrument_that_never_comes_again_is_silent_until_the_end() -> None:
    table = silent_instruments(ticks((1, list(range(100))), (2, list(range(400)))), NO_GAPS, at(400))
    assert table.select("instrument_token", (pl.col("end").cast(pl.Int64) - ZERO) / NS_PER_S).rows() == [
        (1, 400)
    ]


def test_the_end_of_a_session_is_no_silence() -> None:
    """The session of NSE ends 5.5 hours after 10:00; a snapshot in the evening is not in it."""
    close = 5.5 * 3_600
    stamps = [close - 100 + second for second in range(100)]
    lazy = ticks((1, [*stamps, close + 9_000]))
    assert silent_instruments(lazy, NO_GAPS, at(close + 10_000)).height == 0


def test_a_lost_connection_explains_its_instruments() -> None:
    seconds = [second for second in range(600) if not 200 <= second < 320]
    lost = pl.DataFrame(
        {"connection": ["a"], "begin": [at(199)], "end": [at(320)]},
    ).with_columns(pl.col("begin", "end").cast(INSTANT))
    assert silent_instruments(ticks((1, seconds)), lost, at(600)).height == 0
    assert silent_instruments(ticks((1, seconds), connection="b"), lost, at(600)).height == 1


def test_chance_alone_is_no_silence() -> None:
    rng = random.Random(3)
    instruments = []
    for token in range(1, 40):
        second, seconds = 0.0, []
        while second < 3_000:
            seconds.append(second)
            second += rng.expovariate(1 / rng.choice([2, 5, 10]))
        instruments.append((token, seconds))
    assert silent_instruments(ticks(*instruments), NO_GAPS, at(3_000)).height == 0, "seed 3"


def test_all_kinds_come_in_one_table() -> None:
    frames, events = transcript(*beats("a", 0, 300), *beats("a", 320, 600))
    seconds = [second for second in range(600) if not 100 <= second < 200]
    table = gaps(frames, events, ticks((7, seconds)))
    assert found(table) == [("instrument", None, 7, 99, 200), ("silent", "a", None, 297, 320)]
