"""Candles equal those of plain Python over dict ticks, whatever is missed, and keep sessions apart."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiterec.clock import IST, to_ns
from kiterec.ticks import carry, missed
from kiterec.ticks.candles import candles, interval_ns
from kiterec.ticks.schema import INSTANT, TICK_SCHEMA
from kiterec.ticks.sessions import Session
from tests.ticks import naive_candles
from tests.ticks.feed_script import GAP_SCHEMA, Script, market_script
from tests.ticks.test_volume import received

if TYPE_CHECKING:
    from kiterec.ticks.candles import By

COL = pl.col
SEEDS = [11, 12]
EVERY = {"1m": 60, "7s": 7, "1h": 3_600, "1d": 86_400}
NO_GAPS = pl.DataFrame(schema=GAP_SCHEMA)


@pytest.fixture(scope="module", params=SEEDS, ids="seed {}".format)
def script(request: pytest.FixtureRequest) -> Script:
    return market_script(request.param)


def day_ns(hour: int, minute: int = 0, second: float = 0) -> int:
    return to_ns(datetime(2026, 1, 5, hour, minute, tzinfo=IST)) + round(second * 1e9)


def gap_table(*rows: tuple[str, int | None, int | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, GAP_SCHEMA | {"begin": pl.Int64, "end": pl.Int64}, orient="row").cast(
        GAP_SCHEMA
    )


def ticks(*rows: tuple[int, float, int | None], token: int = 408065, **columns: object) -> pl.LazyFrame:
    """Give full ticks of one instrument: received at, last price, volume."""
    table = pl.DataFrame(
        {
            "received_at": [row[0] for row in rows],
            "last_price": [row[1] for row in rows],
            "volume_traded": [row[2] for row in rows],
        },
        {"received_at": pl.Int64, "last_price": pl.Float64, "volume_traded": pl.UInt32},
    )
    others = {"instrument_token": token, "segment": "NSE", "connection": "main-0"} | columns
    return (
        table.with_columns(
            COL("received_at").cast(INSTANT),
            *(pl.lit(v).cast(TICK_SCHEMA[n]).alias(n) for n, v in others.items()),
        )
        .with_columns(
            pl.lit(None, TICK_SCHEMA[name]).alias(name)
            for name in TICK_SCHEMA
            if name not in {*table.columns, *others}
        )
        .lazy()
    )


@pytest.mark.parametrize("by", ["received_at", "exchange_timestamp"])
@pytest.mark.parametrize("every", EVERY)
def test_candles_equal_those_of_plain_python_over_dict_ticks(script: Script, every: str, by: str) -> None:
    found = candles(script.ticks(), every, by=by, gaps=script.gap_table()).collect()
    expected = naive_candles.candles(script.dict_ticks(), EVERY[every] * 10**9, by, script.gaps)
    rows = found.with_columns(COL("begin", "end").cast(pl.Int64)).rows(named=True)
    assert len(rows) == len(expected)
    for one, other in zip(rows, expected, strict=True):
        assert one == {name: other[name] for name in one}


@pytest.fixture(scope="module")
def day() -> Script:
    """From 08:50 to 15:50, a packet of each instrument every 13 s on average; connections come and go."""
    return market_script(17, instruments=12, duration_s=7 * 3_600, begin=time(8, 50), slow=20)


@pytest.mark.parametrize("by", ["received_at", "exchange_timestamp"])
def test_candles_of_a_whole_day_equal_those_of_plain_python(day: Script, by: By) -> None:
    dict_ticks = day.dict_ticks()
    for every in ("1m", "1h"):
        found = candles(day.ticks(), every, by=by, gaps=day.gap_table()).collect()
        expected = naive_candles.candles(dict_ticks, EVERY[every] * 10**9, by, day.gaps)
        rows = found.with_columns(COL("begin", "end").cast(pl.Int64)).rows(named=True)
        assert rows == [{name: other[name] for name in found.columns} for other in expected]
    assert set(found["session"]) == {"pre_open", "regular", "closing", "outside"}
    assert set(found["complete"]) == {True, False}


def test_volumes_of_a_whole_day_sum_to_what_its_counters_rose(day: Script) -> None:
    found = candles(day.ticks(), "1m", gaps=day.gap_table()).collect()
    shown = COL("volume_traded").drop_nulls().cast(pl.Int64)
    rises = (
        day.ticks()
        .filter(COL("volume_traded").is_not_null())
        .group_by("instrument_token")
        .agg((shown.max() - shown.first()).alias("volume"))
        .sort("instrument_token")
    )
    volumes = found.filter(COL("volume").is_not_null()).group_by("instrument_token")
    assert volumes.agg(COL("volume").sum()).sort("instrument_token").equals(rises.collect())
    assert (found["volume"].min(), found["volume"].sum() > 0) == (0, True)


@settings(deadline=None, max_examples=40)
@given(received(), st.data())
def test_whatever_is_missed_or_repeated_candles_hold_each_tick_once_and_the_volume_that_was_counted(
    drawn: tuple[list[int], list[int]], data: st.DataObject
) -> None:
    _, seen = drawn
    seconds = data.draw(st.lists(st.integers(0, 7 * 3_600), min_size=len(seen), max_size=len(seen)))
    prices = data.draw(st.lists(st.integers(1, 9), min_size=len(seen), max_size=len(seen)))
    at = [day_ns(8, 50, second) for second in sorted(seconds)]
    cuts = sorted(data.draw(st.lists(st.integers(0, 7 * 3_600), min_size=4, max_size=4)))
    gaps = gap_table(*(("main-0", day_ns(8, 50, f), day_ns(8, 50, t)) for f, t in (cuts[:2], cuts[2:])))
    table = ticks(*zip(at, map(float, prices), seen, strict=True))
    for every in ("1m", "1h", "1d"):
        found = candles(table, every, gaps=gaps).collect()
        assert found["ticks"].sum() == len(seen)
        assert found["volume"].min() >= 0
        assert found["volume"].sum() == max(seen) - seen[0]
        edges = found.select(
            COL("open", "close").is_between(COL("low"), COL("high")),
            (COL("begin") < COL("end")).alias("lasts"),
        )
        assert edges.select(pl.all_horizontal(pl.all()).all()).item()
        assert (found["open"][0], found["close"][-1]) == (prices[0], prices[-1])
        assert (found["high"].max(), found["low"].min()) == (max(prices), min(prices))


def test_a_script_has_what_candles_can_stumble_over(script: Script) -> None:
    """The comparison above is worth something only if there are stale packets, gaps and both answers."""
    found = candles(script.ticks(), "7s", gaps=script.gap_table()).collect()
    assert set(found["complete"]) == {True, False}
    assert {"pre_open", "regular", "outside"} <= set(found["session"])
    falls = COL("volume_traded").cast(pl.Int64).diff().over("instrument_token") < 0
    assert script.ticks().filter(COL("volume_traded") > 0).select(falls.sum()).collect().item() > 10


@pytest.mark.parametrize("rows", [1, 7, 1_000])
def test_the_size_of_batches_changes_nothing(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    script = market_script(5, instruments=12, duration_s=60)
    whole = candles(script.ticks(), "7s", gaps=script.gap_table()).collect()
    monkeypatch.setattr("kiterec.ticks.candles.TICKS_AT_ONCE", rows)
    monkeypatch.setattr("kiterec.ticks.candles.FOLD_ROWS", 3 * rows)
    monkeypatch.setattr("kiterec.ticks.candles.RANGES", 1 + rows % 5)
    monkeypatch.setattr(carry, "_FOLD_ROWS", 3 * rows)
    assert candles(script.ticks(), "7s", gaps=script.gap_table()).collect().equals(whole)


def test_how_many_instruments_are_judged_at_once_changes_nothing(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = candles(script.ticks(), "7s", gaps=script.gap_table()).collect()
    monkeypatch.setattr(missed, "_PAIRS", 20)
    assert candles(script.ticks(), "7s", gaps=script.gap_table()).collect().equals(whole)


def test_conditions_on_candles_give_what_filtering_afterwards_gives(script: Script) -> None:
    lazy = candles(script.ticks(), gaps=script.gap_table())
    whole = lazy.collect()
    token = whole["instrument_token"][0]
    for condition in (
        COL("instrument_token") == token,
        (COL("segment") == "NSE") & (COL("volume") > 0),
        COL("begin") > whole["begin"].median(),
        ~COL("complete"),
    ):
        for columns in (pl.all(), ["close", "begin"]):
            for engine in ("in-memory", "streaming"):
                found = lazy.filter(condition).select(columns).collect(engine=engine)
                assert found.equals(whole.filter(condition).select(columns))
    assert lazy.head(3).collect().equals(whole.head(3))


def test_pre_open_and_session_do_not_share_a_candle() -> None:
    found = candles(
        ticks(
            (day_ns(9, 14, 59.999), 100, 0),
            (day_ns(9, 15), 101, 5),
            (day_ns(15, 29), 102, 7),
            (day_ns(18), 103, 9),
        ),
        "1h",
    ).collect()
    assert found["session"].to_list() == ["pre_open", "regular", "regular", "outside"]
    assert found["begin"].cast(pl.Int64).to_list() == [
        day_ns(9),
        day_ns(9, 15),
        day_ns(15, 15),
        day_ns(17, 35),
    ]
    assert found["end"].cast(pl.Int64).to_list() == [
        day_ns(9, 15),
        day_ns(10, 15),
        day_ns(15, 30),
        day_ns(18, 35),
    ]
    assert found["volume"].to_list() == [0, 5, 2, 2]


def test_sessions_are_data() -> None:
    muhurat = {"NSE": [Session("muhurat", time(18), time(19))]}
    table = ticks((day_ns(17, 59), 1, 0), (day_ns(18, 30), 2, 5), (day_ns(19), 3, 6))
    found = candles(table, "1d", sessions=muhurat).collect()
    assert found.select("session", "close").rows() == [("outside", 1.0), ("muhurat", 2.0), ("outside", 3.0)]
    with pytest.raises(ValueError, match="the session late of NSE begins before the one before it ends"):
        candles(table, sessions={"NSE": [*muhurat["NSE"], Session("late", time(18, 30), time(20))]})
    with pytest.raises(ValueError, match="ends at 09:00:00, not after its begin"):
        Session("nothing", time(9), time(9))


def test_a_segment_that_no_table_knows_has_one_session_a_day() -> None:
    found = candles(ticks((day_ns(3), 1, 0), (day_ns(23), 2, 5), segment="unknown"), "1d").collect()
    assert found.select("session", "ticks").rows() == [("regular", 2)]


def test_a_new_day_begins_at_what_the_counter_shows_first() -> None:
    day = 86_400 * 10**9
    found = candles(
        ticks(
            (day_ns(10), 1, 500), (day_ns(11), 2, 900), (day_ns(10) + day, 3, 950), (day_ns(11) + day, 4, 960)
        ),
        "1d",
    ).collect()
    assert found["volume"].to_list() == [400, 10]


def test_yesterdays_volume_before_the_exchange_resets_it_is_not_todays() -> None:
    found = candles(
        ticks(
            (day_ns(8, 50), 1, 1_000_000),
            (day_ns(9, 1), 1, 0),
            (day_ns(9, 15, 1), 1, 40),
            (day_ns(9, 15, 2), 1, 55),
        ),
        "1d",
    ).collect()
    assert found.select("session", "volume").rows() == [("outside", 0), ("pre_open", 0), ("regular", 55)]


def test_what_was_traded_in_a_gap_makes_the_candle_after_it_incomplete() -> None:
    """The volume of 10:07 holds what was traded in the gap of 10:02, because nothing came in between."""
    table = ticks((day_ns(10), 1, 10), (day_ns(10, 7), 2, 90), (day_ns(10, 9), 2, 95))
    stretch = (day_ns(10, 2), day_ns(10, 3))
    assert candles(table, gaps=gap_table(("main-0", *stretch))).collect()["complete"].to_list() == [
        True,
        False,
        True,
    ]
    assert candles(table, gaps=gap_table(("main-1", *stretch))).collect()["complete"].all()


def test_a_gap_that_only_touches_a_candle_does_not_spoil_it() -> None:
    table = ticks(*((day_ns(10, minute), 1, None) for minute in range(4)))
    gaps = gap_table(("main-0", day_ns(10, 1), day_ns(10, 2)))
    assert candles(table, gaps=gaps).collect()["complete"].to_list() == [True, False, True, True]


def test_a_long_gap_with_a_short_one_in_it_spoils_every_candle_that_it_overlaps() -> None:
    table = ticks(*((day_ns(10, minute), 1, None) for minute in range(5)))
    gaps = gap_table(
        ("main-0", day_ns(10, 0, 1), day_ns(10, 3, 1)), ("main-0", day_ns(10, 1), day_ns(10, 1, 5))
    )
    assert candles(table, gaps=gaps).collect()["complete"].to_list() == [False] * 4 + [True]


def test_open_ends_of_gaps_are_the_time_before_and_after_the_recording() -> None:
    table = ticks(*((day_ns(10, minute, 30), 1, minute) for minute in range(3)))
    gaps = gap_table(("main-0", None, day_ns(10, 0, 20)), ("main-0", day_ns(10, 2, 40), None))
    assert candles(table, gaps=gaps).collect()["complete"].to_list() == [False, True, False]


def test_what_was_traded_before_the_first_tick_makes_its_candle_incomplete() -> None:
    """An instrument that is subscribed at 10:02:00 sharp; the recording began at 10:00."""
    before = gap_table(("main-0", None, day_ns(10)))
    for volume, expected in ((7, [False, True]), (0, [True, True]), (None, [True, True])):
        table = ticks((day_ns(10, 2), 1, volume), (day_ns(10, 3), 1, volume))
        assert candles(table, gaps=before).collect()["complete"].to_list() == expected


def test_without_gaps_it_is_unknown_whether_a_candle_is_complete() -> None:
    assert candles(ticks((day_ns(10), 1, 1))).collect()["complete"].to_list() == [None]
    assert candles(ticks((day_ns(10), 1, 1)), gaps=NO_GAPS).collect()["complete"].to_list() == [True]


def test_no_ticks_give_no_candles() -> None:
    empty = candles(ticks().head(0), gaps=NO_GAPS)
    assert empty.collect().height == 0
    assert empty.collect().schema == empty.collect_schema()


def test_prices_can_be_the_integers_of_the_wire() -> None:
    table = ticks((day_ns(10), 1, 1)).with_columns(COL("last_price").cast(pl.Int32))
    assert candles(table).collect().schema["open"] == pl.Int32


@pytest.mark.parametrize(
    ("every", "expected"),
    [("250ms", 250_000_000), ("5s", 5 * 10**9), ("1h30m", 5_400 * 10**9), ("1d", 86_400 * 10**9)],
)
def test_an_interval_is_read_in_nanoseconds(every: str, expected: int) -> None:
    assert interval_ns(every) == expected
    assert interval_ns(timedelta(seconds=expected / 1e9)) == expected


@pytest.mark.parametrize("every", ["", "1", "m", "1x", "1m ", "2d", "0s", "1.5m", "-1m"])
def test_what_is_no_interval_is_refused(every: str) -> None:
    with pytest.raises(ValueError, match=r"interval|impossible"):
        candles(ticks(), every)


def test_misuse_is_refused_before_anything_is_read() -> None:
    with pytest.raises(ValueError, match="by='arrival' is no clock"):
        candles(ticks(), by="arrival")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there is no oi"):
        candles(ticks().drop("oi"))
