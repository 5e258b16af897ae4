"""The synthetic market's instruments and their dump."""

from __future__ import annotations

import csv
import io
from datetime import date

import pytest

from kiterec.simulate import SyntheticMarket
from kiterec.simulate.listings import expiries
from kiterec.simulate.universe import COLUMNS, Universe
from kiterec.wire.segments import SEGMENTS, exchange_segment, exchange_token

DAY = date(2026, 1, 5)


def rows_of(market: SyntheticMarket) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(market.instruments_csv().decode())))


@pytest.mark.parametrize("count", [1, 3, 10, 50, 300, 9_000])
def test_a_market_has_as_many_instruments_as_asked_each_once(count: int) -> None:
    market = SyntheticMarket(instruments=count)
    tokens = market.instrument_tokens
    assert len(tokens) == len(set(tokens)) == count
    assert [int(row["instrument_token"]) for row in rows_of(market)] == tokens


def test_no_symbol_stands_twice_at_an_exchange() -> None:
    rows = rows_of(SyntheticMarket(instruments=9_000))
    assert len({(row["exchange"], row["tradingsymbol"]) for row in rows}) == len(rows)


def test_the_dump_has_the_vendors_columns_and_tokens_that_agree() -> None:
    rows = rows_of(SyntheticMarket(instruments=300))
    assert tuple(rows[0]) == COLUMNS
    for row in rows:
        token = int(row["instrument_token"])
        assert exchange_token(token) == int(row["exchange_token"])
        segment = SEGMENTS[exchange_segment(token)]
        assert segment.name == ("INDICES" if row["segment"] == "INDICES" else row["exchange"]), row
        assert float(row["last_price"]) > 0
        assert float(row["tick_size"]) > 0
        derivative = row["instrument_type"] in {"FUT", "CE", "PE"}
        assert bool(row["expiry"]) == derivative
        assert (float(row["strike"]) > 0) == (row["instrument_type"] in {"CE", "PE"})


@pytest.mark.parametrize("count", [10, 300])
def test_every_segment_and_kind_is_there_even_in_a_small_market(count: int) -> None:
    rows = rows_of(SyntheticMarket(instruments=count))
    segments = {"NSE", "BSE", "INDICES", "NFO-FUT", "NFO-OPT", "CDS-FUT", "CDS-OPT", "MCX-FUT", "MCX-OPT"}
    assert {row["segment"] for row in rows} == segments


def test_well_known_instruments_have_their_own_tokens() -> None:
    known = {f"{row['exchange']}:{row['tradingsymbol']}": int(row["instrument_token"])
             for row in rows_of(SyntheticMarket(instruments=10))}  # fmt: skip
    assert known["NSE:INFY"] == 408065
    assert known["NSE:NIFTY 50"] == 256265
    assert known["BSE:SENSEX"] == 265


@pytest.mark.parametrize("day", [date(2026, 1, 5), date(2026, 1, 30), date(2026, 12, 31)])
def test_derivatives_expire_after_the_day_on_the_last_tuesday_of_three_months(day: date) -> None:
    found = expiries(day)
    assert found == sorted(set(found))
    assert len(found) == 3
    assert all(expiry.weekday() == 1 for expiry in found)
    assert found[1] > day


def test_no_derivative_of_the_dump_has_expired_on_any_day() -> None:
    for ordinal in range(DAY.toordinal(), DAY.toordinal() + 400):
        day = date.fromordinal(ordinal)
        assert all(it.expiry is None or it.expiry >= day for it in Universe(30, on=day).listings), day


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ({"instruments": 0}, "0 instruments"),
        ({"seed": -1}, "seed -1"),
        ({"grid_ms": 0}, "grid of 0 ms"),
        ({"duration_s": -1.0}, "duration of -1 s"),
        ({"packets_per_s": 5.0}, "4 at most"),
    ],
)
def test_an_impossible_market_is_refused_with_what_and_why(argument: dict[str, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        SyntheticMarket(**argument)
