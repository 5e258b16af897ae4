from __future__ import annotations

import struct

import pytest

from kiterec.errors import DecodeError
from kiterec.wire import (
    DEPTH_ENTRY_BYTES,
    DEPTH_FIELDS,
    DEPTH_LEVELS,
    LAYOUTS,
    Mode,
    cut_packet,
    length_in_mode,
)
from tests.wire.golden import FULL, INDEX_FULL, INDEX_QUOTE, LTP, QUOTE

FORMATS = {"i4": ">i", "u4": ">I", "u2": ">H"}


def read(packet: bytes, *, at: int = 0, fields: object = None) -> dict[str, int]:
    chosen = LAYOUTS[len(packet)].fields if fields is None else DEPTH_FIELDS
    return {f.name: struct.unpack_from(FORMATS[f.type], packet, at + f.offset)[0] for f in chosen}


def test_the_quote_table_reads_the_golden_packet() -> None:
    assert read(QUOTE) == {
        "instrument_token": 408065,
        "last_price": 157370,
        "last_traded_quantity": 7,
        "average_traded_price": 157037,
        "volume_traded": 1192471,
        "total_buy_quantity": 256443,
        "total_sell_quantity": 363009,
        "open": 156915,
        "high": 157500,
        "low": 156105,
        "close": 156780,
    }


def test_the_full_table_reads_times_and_unsigned_open_interest() -> None:
    found = read(FULL)
    assert found["oi"] == 4_000_000_000
    assert (found["last_trade_time"], found["exchange_timestamp"]) == (1625461887, 1625461887)
    assert (found["oi_day_high"], found["oi_day_low"]) == (3, 2)


def test_the_depth_table_reads_five_bids_then_five_offers() -> None:
    start = LAYOUTS[184].depth_offset
    assert start is not None
    entries = [read(FULL, at=start + n * DEPTH_ENTRY_BYTES, fields="depth") for n in range(2 * DEPTH_LEVELS)]
    assert entries[0] == {"quantity": 5, "price": 157340, "orders": 1}
    assert entries[5] == {"quantity": 172, "price": 157370, "orders": 3}
    assert entries[9] == {"quantity": 724, "price": 157395, "orders": 65535}
    assert start + 2 * DEPTH_LEVELS * DEPTH_ENTRY_BYTES == 184


def test_an_index_has_high_low_open_close_and_a_signed_change() -> None:
    found = read(INDEX_FULL)
    assert (found["high"], found["low"], found["open"], found["close"]) == (
        2_510_000,
        2_480_000,
        2_490_000,
        2_505_000,
    )
    assert found["net_change"] == -5_000
    assert found["exchange_timestamp"] == 1625461887


def test_fields_fill_their_packet_without_holes_or_overlaps() -> None:
    for layout in LAYOUTS.values():
        end = 0
        for field in layout.fields:
            assert field.offset == end, (layout.name, field.name)
            end += field.size
        assert end == (layout.depth_offset or layout.length)


def test_every_lower_mode_is_a_byte_prefix() -> None:
    assert [cut_packet(FULL, mode) for mode in Mode] == [LTP, QUOTE, FULL]
    assert [cut_packet(INDEX_FULL, mode) for mode in Mode] == [INDEX_FULL[:8], INDEX_QUOTE, INDEX_FULL]


def test_a_packet_never_grows_when_a_higher_mode_is_asked() -> None:
    assert cut_packet(LTP, Mode.FULL) == LTP
    assert cut_packet(QUOTE, Mode.FULL) == QUOTE
    assert length_in_mode(28, Mode.FULL) == 28


def test_a_packet_of_unknown_length_cannot_be_cut() -> None:
    with pytest.raises(
        DecodeError, match="a packet of 45 bytes has no layout; known lengths are 8, 28, 32, 44, 184"
    ):
        cut_packet(bytes(45), Mode.LTP)


def test_modes_are_ordered_by_what_they_hold() -> None:
    assert sorted(Mode, key=lambda mode: mode.rank) == [Mode.LTP, Mode.QUOTE, Mode.FULL]
