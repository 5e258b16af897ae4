"""What a predicate says about rows that need not be read: never less than what it wants."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from kiterec.ticks.bounds import Bounds, find_bounds, split_predicate
from kiterec.ticks.schema import INSTANT

NAMES = ["main-0", "main-1"]
COL = pl.col
TIME = datetime(2026, 11, 20, 9, 15, tzinfo=UTC)
NS = 1_795_166_100_000_000_000


def bounds(predicate: pl.Expr) -> Bounds:
    return find_bounds(split_predicate(predicate), NAMES)


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (COL("seq") >= 5, Bounds(first_seq=5)),
        (COL("seq") > 5, Bounds(first_seq=6)),
        (COL("seq") < 5, Bounds(end_seq=5)),
        (COL("seq") <= 5, Bounds(end_seq=6)),
        (COL("seq") == 5, Bounds(first_seq=5, end_seq=6)),
        (COL("seq").is_between(2, 5), Bounds(first_seq=2, end_seq=6)),
        (pl.lit(5) > COL("seq"), Bounds(end_seq=5)),
        ((COL("seq") > 2) & (COL("seq") < 9) & (COL("seq") > 4), Bounds(first_seq=5, end_seq=9)),
        (COL("received_at") >= pl.lit(TIME, INSTANT), Bounds(begin_ns=NS)),
        (COL("received_at") <= pl.lit(TIME, INSTANT), Bounds(end_ns=NS + 1)),
        (COL("connection") == "main-1", Bounds(connections=("main-1",))),
        (COL("connection").is_in(["main-1", "x"]), Bounds(connections=("main-1",))),
        (COL("connection") == "x", Bounds(connections=())),
    ],
)
def test_a_comparison_becomes_a_half_open_interval(predicate: pl.Expr, expected: Bounds) -> None:
    assert bounds(predicate) == expected


@pytest.mark.parametrize(
    "predicate",
    [
        (COL("seq") > 5) | (COL("mode") == "full"),
        COL("seq") > COL("packet"),
        COL("seq") % 2 == 0,
        COL("seq") != 5,
        ~(COL("seq") > 5),
        COL("seq") > pl.lit(None, pl.Int64),
        COL("seq").is_in([1, 2]),
        COL("last_price") > 5,
        COL("received_at").dt.hour() == 3,
        COL("received_at") > "tomorrow",
        pl.lit(value=True),
    ],
)
def test_what_is_not_understood_bounds_nothing(predicate: pl.Expr) -> None:
    assert bounds(predicate) == Bounds()


def test_a_predicate_is_split_at_its_ands_in_order() -> None:
    parts = [COL("a") > 1, COL("b").is_null() | (COL("c") == 2), COL("d") < 4]
    found = split_predicate(parts[0] & parts[1] & parts[2])
    assert [part.meta.eq(other) for part, other in zip(found, parts, strict=True)] == [True, True, True]
    assert split_predicate(None) == []


def test_bounds_that_exclude_each_other_read_nothing(tmp_path: pytest.TempPathFactory) -> None:
    for empty in (Bounds(begin_ns=5, end_ns=5), Bounds(first_seq=9, end_seq=2), Bounds(connections=())):
        assert list(empty.read(tmp_path)) == []  # type: ignore[arg-type]
