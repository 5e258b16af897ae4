"""The tick table's columns are the design's, and every field of every packet has one."""

from __future__ import annotations

import polars as pl
import pytest

from kiterec.ticks.schema import COLUMNS, TICK_SCHEMA, tick_schema
from kiterec.wire.packets import LAYOUTS
from kiterec.wire.segments import SEGMENTS, Segment
from tests.ticks import reference


def test_the_columns_are_the_vendors_names_in_their_order() -> None:
    assert TICK_SCHEMA.names() == reference.COLUMNS


def test_every_field_of_every_layout_has_a_column() -> None:
    names = {column.name for column in COLUMNS}
    assert {field.name for layout in LAYOUTS.values() for field in layout.fields} <= names


def test_types_follow_units() -> None:
    assert TICK_SCHEMA["last_price"] == pl.Float64
    assert TICK_SCHEMA["oi"] == pl.UInt32
    assert TICK_SCHEMA["exchange_timestamp"] == TICK_SCHEMA["received_at"] == pl.Datetime("ns", "UTC")
    assert TICK_SCHEMA["buy_price"] == pl.Array(pl.Float64, 5)
    assert TICK_SCHEMA["sell_orders"] == pl.Array(pl.UInt16, 5)


def test_int_prices_add_the_divisor_and_keep_all_else() -> None:
    wire = tick_schema("int")
    assert set(wire) - set(TICK_SCHEMA) == {"price_divisor"}
    changed = {name for name in TICK_SCHEMA if wire[name] != TICK_SCHEMA[name]}
    assert changed == {column.name for column in COLUMNS if column.unit == "price"}
    assert wire["buy_price"] == pl.Array(pl.Int32, 5)


def test_the_segments_of_a_table_are_the_words_of_the_column() -> None:
    table = SEGMENTS.with_overrides({13: Segment(13, "NEW", 100, tradable=True)})
    words = tick_schema(segments=table)["segment"].categories.to_list()  # type: ignore[attr-defined]
    assert words == [*(segment.name for segment in SEGMENTS.values()), "NEW", "unknown"]


def test_an_unknown_kind_of_price_is_refused() -> None:
    with pytest.raises(ValueError, match="prices='paise' is unknown"):
        tick_schema("paise")  # type: ignore[arg-type]


def test_a_schema_that_a_caller_changes_is_his_own() -> None:
    mine = tick_schema()
    del mine["oi"]
    assert "oi" in tick_schema()
