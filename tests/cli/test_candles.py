"""`kiterec candles` shows what the library makes, as a table, CSV or JSON."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import kiterec

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., tuple[int, str, str]]

FIXTURE = next((Path(__file__).parents[1] / "fixtures" / "recordings").glob("date=*/recording=*"))
ASKED = ("candles", FIXTURE, "--every", "20s", "--instruments", "NSE:INFY")


def test_the_table_has_prices_in_rupees_and_says_what_is_not_complete(
    run: Run,
) -> None:
    code, out, _ = run(*ASKED)
    head, *lines = out.splitlines()
    assert code == 0
    titles = "begin (IST) symbol session open high low close volume oi ticks complete"
    assert head.split() == titles.split()
    assert [line.split()[0] for line in lines] == ["10:00:00", "10:00:20", "10:00:40"]
    assert [line.split()[-1] for line in lines] == ["no", "yes", "no"]
    assert lines[0].split()[1:4] == ["NSE:INFY", "regular", "1,500.00"]


def test_csv_and_json_have_the_candles_of_the_library(run: Run) -> None:
    expected = kiterec.open(FIXTURE).candles("20s", symbols=["NSE:INFY"]).collect()
    _, out, _ = run(*ASKED, "--json")
    found = json.loads(out)
    _, out, _ = run(*ASKED, "--csv")
    rows = list(csv.DictReader(out.splitlines()))
    names = ["open", "high", "low", "close", "volume", "ticks", "complete"]
    for name in names:
        assert [candle[name] for candle in found] == expected[name].to_list()
        assert [row[name] for row in rows] == [str(value).lower() for value in expected[name]]
    assert found[0]["begin"] == rows[0]["begin"] == "2026-01-05T04:30:00Z"
    assert set(found[0]) == {"symbol", *expected.columns}


def test_the_last_ones_are_shown_and_times_narrow_them(run: Run) -> None:
    _, out, _ = run("candles", FIXTURE, "--every", "5s", "--limit", "3", "--csv")
    assert len(out.splitlines()) == 4
    _, out, _ = run(*ASKED, "--from", "10:00:20", "--to", "10:00:40", "--json", "--limit", "0")
    (candle,) = json.loads(out)
    assert (candle["begin"], candle["complete"]) == ("2026-01-05T04:30:20Z", True)


def test_the_exchanges_clock_can_be_asked_for(run: Run) -> None:
    expected = kiterec.open(FIXTURE).candles("20s", by="exchange_timestamp", symbols=["NSE:INFY"]).collect()
    _, out, _ = run(*ASKED, "--by", "exchange", "--json")
    assert run(*ASKED, "--by", "exchange_timestamp", "--json")[1] == out
    assert [candle["ticks"] for candle in json.loads(out)] == expected["ticks"].to_list()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--every", "20x"), "is no interval; write it like"),
        (("--every", "2d"), "impossible"),
        (("--csv", "--json"), "exclude each other"),
        (("--from", "noon"), "is no time"),
    ],
)
def test_bad_values_are_refused_in_words(run: Run, words: tuple[str, ...], reason: str) -> None:
    code, out, told = run(*ASKED, *words)
    assert (code, out) == (2, "")
    assert reason in " ".join(told.split())
