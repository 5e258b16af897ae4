"""Packet views and latencies: what is read without decoding is what decoding gives."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiterec.feed.latency import Latency
from kiterec.feed.views import PacketView, iter_packets
from kiterec.ticks.decode import decode
from kiterec.wire.frames import join_frame, scan_frame
from kiterec.wire.packets import DEPTH_LEVELS, LAYOUTS, Mode


@pytest.mark.parametrize("length", list(LAYOUTS))
def test_each_field_of_a_view_is_the_decoded_one(length: int) -> None:
    rng = random.Random(length)
    index_or_share = 0x109 if LAYOUTS[length].index else 0x101
    data = index_or_share.to_bytes(4, "big") + rng.randbytes(length - 4)
    view = PacketView(data)
    row = decode([join_frame([data])], prices="int").row(0, named=True)
    assert view.layout is LAYOUTS[length]
    assert view.mode is LAYOUTS[length].mode
    for field in LAYOUTS[length].fields:
        value = getattr(view, field.name)
        assert value == view.read(field.name)
        if field.unit != "time":
            assert value == row[field.name], field.name
        else:
            assert value == int(row[field.name].timestamp()), field.name
    absent = {field.name for layout in LAYOUTS.values() for field in layout.fields}
    for name in absent - {field.name for field in LAYOUTS[length].fields}:
        assert getattr(view, name) is None
    depth = [*view.bids, *view.offers]
    assert len(depth) == (2 * DEPTH_LEVELS if length == 184 else 0)
    if depth:
        assert [entry.price for entry in view.bids] == list(row["buy_price"])
        assert [entry.orders for entry in view.offers] == list(row["sell_orders"])
        assert bytes(view.depth_entry(5)) == data[64 + 60 : 64 + 72]


def test_a_packet_of_unknown_length_is_still_a_view() -> None:
    view = PacketView(b"\0\0\1\1xyz")
    assert (view.mode, view.instrument_token, view.last_price, view.bids) == (None, 257, None, ())
    assert PacketView(b"ab").instrument_token is None
    with pytest.raises(IndexError, match="no depth entry"):
        view.depth_entry(0)


def test_the_divisor_is_that_of_the_segment() -> None:
    assert PacketView((3).to_bytes(4, "big") + bytes(4)).divisor() == 10_000_000
    assert PacketView((1).to_bytes(4, "big") + bytes(4)).divisor() == 100
    assert PacketView(bytes(184)).mode is Mode.FULL


@given(st.binary(max_size=200))
def test_any_bytes_give_the_packets_that_the_scanner_finds(frame: bytes) -> None:
    expected = [frame[offset : offset + length] for offset, length in scan_frame(frame).packets]
    assert [bytes(data) for data in iter_packets(frame)] == expected


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=300))
def test_quantiles_are_at_most_an_eighth_too_high(durations: list[int]) -> None:
    latency, half = Latency(), Latency()
    for index, duration in enumerate(durations):
        (latency if index % 2 else half).add(duration)
    latency.merge(half)
    summary = latency.summary()
    ordered = sorted(durations)
    exact = ordered[max(0, -(-len(ordered) // 2) - 1)] / 1e6
    assert summary.count == len(durations)
    assert summary.max_ms == ordered[-1] / 1e6
    assert summary.p50_ms is not None
    assert exact <= summary.p50_ms <= exact * 1.125 + 2e-6


def test_nothing_measured_is_no_number() -> None:
    assert Latency().summary().p99_ms is None
