"""Depth in long form, what was known at an instant, and how old ticks were when they came."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from kiterec.ticks.asof import asof
from kiterec.ticks.depth import depth
from kiterec.ticks.latency import latency
from tests.ticks.feed_script import market_script

if TYPE_CHECKING:
    from tests.ticks.feed_script import Script


@pytest.fixture(scope="module")
def script() -> Script:
    return market_script(21, instruments=30, duration_s=40)


@pytest.fixture(scope="module")
def rows(script: Script) -> list[dict[str, Any]]:
    return script.dict_ticks()


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_depth_has_a_row_a_side_and_level_in_order(
    script: Script, rows: list[dict[str, Any]], engine: str
) -> None:
    expected = [
        (row["seq"], row["packet"], row["instrument_token"], side, level, price, quantity, orders)
        for row in rows
        if row["buy_price"] is not None
        for side in ("buy", "sell")
        for level, (price, quantity, orders) in enumerate(
            zip(row[f"{side}_price"], row[f"{side}_quantity"], row[f"{side}_orders"], strict=True)
        )
        if price or quantity or orders
    ]
    found = depth(script.ticks()).collect(engine=engine)  # type: ignore[call-overload]
    names = ["seq", "packet", "instrument_token", "side", "level", "price", "quantity", "orders"]
    assert found.select(names).rows() == expected
    assert found.schema == depth(script.ticks()).collect_schema()


def test_an_empty_level_has_no_row(script: Script) -> None:
    full = script.ticks().filter(pl.col("mode") == "full", pl.col("tradable")).head(1)
    nobody = full.with_columns(
        *(pl.lit(pl.Series([[0] * 5], dtype=pl.Array(kind, 5))).first().alias(f"sell_{name}")
          for name, kind in (("price", pl.Float64), ("quantity", pl.UInt32), ("orders", pl.UInt16)))
    )  # fmt: skip
    assert depth(nobody).collect()["side"].to_list() == ["buy"] * 5


def test_asof_gives_the_last_packet_of_each_instrument(script: Script, rows: list[dict[str, Any]]) -> None:
    until = script.received_ns[len(script.received_ns) // 2]
    last: dict[int, tuple[int, int]] = {}
    for row in rows:
        if row["received_at"] <= until:
            last[row["instrument_token"]] = (row["seq"], row["packet"])
    time = datetime.fromtimestamp(until // 10**9, UTC) + timedelta(microseconds=until % 10**9 // 1_000)
    found = asof(script.ticks(), time).collect(engine="streaming")
    assert found.columns == script.ticks().collect_schema().names()
    assert found.select("instrument_token", "seq", "packet").rows() == [
        (token, *last[token]) for token in sorted(last)
    ]
    # Each is one packet as it came, not a mixture.
    keys = pl.struct("seq", "packet")
    whole = script.ticks().filter(keys.is_in(found.select(keys).to_series().implode())).collect()
    assert found.sort("seq", "packet").equals(whole, null_equal=True)


def test_before_the_first_tick_nothing_is_known(script: Script) -> None:
    assert asof(script.ticks(), datetime(2020, 1, 1, tzinfo=UTC)).collect().height == 0
    with pytest.raises(ValueError, match="has no time zone"):
        asof(script.ticks(), datetime(2026, 1, 5))


def test_latency_is_received_minus_exchange_time(script: Script, rows: list[dict[str, Any]]) -> None:
    expected = [
        (row["seq"], row["packet"], row["received_at"] - row["exchange_timestamp"])
        for row in rows
        if row["exchange_timestamp"] is not None
    ]
    found = latency(script.ticks()).select("seq", "packet", pl.col("latency").cast(pl.Int64)).collect()
    assert found.rows() == expected
