"""What the synthetic market sends, looked at with the wire's own tables."""

from __future__ import annotations

import hashlib
import itertools
import struct
import subprocess
import sys
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kiterec.replay.timeline import TimelineBatch, TimelineKind
from kiterec.simulate import VIRTUAL_START, SyntheticMarket
from kiterec.wire.frames import scan_frame, split_frame
from kiterec.wire.messages import InstrumentsMeta, decode_text
from kiterec.wire.packets import DEPTH_ENTRY_BYTES, DEPTH_FIELDS, DEPTH_LEVELS, LAYOUTS
from kiterec.wire.segments import SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 20_260_105
CODES = {"i4": "i", "u4": "I", "u2": "H"}
Packet = dict[str, int]


def market(**changes: float | None) -> SyntheticMarket:
    return SyntheticMarket(**({"instruments": 200, "seed": SEED, "duration_s": 60} | changes))


def messages(timeline: SyntheticMarket) -> Iterator[tuple[int, TimelineKind, bytes]]:
    for batch in timeline.batches():
        for due, kind, payload in zip(batch.due_ns, batch.kind, batch.payloads, strict=True):
            yield int(due), TimelineKind(kind), payload.as_py()


def decode(packet: bytes) -> Packet:
    layout = LAYOUTS[len(packet)]
    found = {f.name: struct.unpack_from(f">{CODES[f.type]}", packet, f.offset)[0] for f in layout.fields}
    if layout.depth_offset is not None:
        for level, field in itertools.product(range(2 * DEPTH_LEVELS), DEPTH_FIELDS):
            at = layout.depth_offset + level * DEPTH_ENTRY_BYTES + field.offset
            found[f"{field.name}_{level}"] = struct.unpack_from(f">{CODES[field.type]}", packet, at)[0]
    return found


@cache
def minute() -> dict[int, list[tuple[int, Packet]]]:
    """Give instrument_token → (due, packet) of a minute of market, in order."""
    found: dict[int, list[tuple[int, Packet]]] = defaultdict(list)
    for due, kind, payload in messages(market()):
        if kind is TimelineKind.BINARY:
            for packet in split_frame(payload):
                values = decode(packet)
                found[values["instrument_token"]].append((due, values))
    return dict(found)


def tradables() -> list[tuple[int, list[tuple[int, Packet]]]]:
    return [(token, rows) for token, rows in minute().items() if SEGMENTS.of(token).tradable]


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "import hashlib; from kiterec.simulate import SyntheticMarket;"
        f"m = SyntheticMarket(instruments=500, seed={SEED}, duration_s=10);"
        "h = hashlib.sha256(m.instruments_csv());"
        "[h.update(p.as_py()) for b in m.batches() for p in b.payloads]; print(h.hexdigest())"
    )
    seen = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100,
            env={"PYTHONHASHSEED": hash_seed},
        )  # fmt: skip
        seen.add(done.stdout.strip())
    here = market(instruments=500, duration_s=10)
    digest = hashlib.sha256(here.instruments_csv())
    for _ in range(2):
        again = digest.copy()
        for _, _, payload in messages(here):
            again.update(payload)
        seen.add(again.hexdigest())
    assert len(seen) == 1, f"seed {SEED}"


def test_another_seed_gives_other_bytes_for_the_same_instruments() -> None:
    one, other = market(duration_s=1), market(duration_s=1, seed=SEED + 1)
    assert one.instruments_csv() == other.instruments_csv()
    assert list(messages(one)) != list(messages(other))


def test_the_first_batch_has_instruments_meta_and_a_snapshot_of_all() -> None:
    timeline = market()
    first = next(timeline.batches())
    assert first.due_ns.tolist() == [0, 0]
    assert first.kind.tolist() == [TimelineKind.TEXT, TimelineKind.BINARY]
    meta = decode_text(first.payloads[0].as_py())
    assert isinstance(meta, InstrumentsMeta)
    assert meta.count == 200
    snapshot = split_frame(first.payloads[1].as_py())
    assert [decode(packet)["instrument_token"] for packet in snapshot] == timeline.instrument_tokens
    assert timeline.universe.frames.to_pylist() == [first.payloads[1].as_py()]


def test_there_is_one_frame_each_grid_step_and_it_has_mixed_lengths() -> None:
    found = [(due, payload) for due, kind, payload in messages(market(duration_s=10)) if due]
    assert [due for due, _ in found] == [step * 250_000_000 for step in range(1, 40)]
    lengths = set()
    for _, frame in found:
        scan = scan_frame(frame)
        assert not scan.problems
        lengths |= {length for _, length in scan.packets}
    assert lengths == {32, 184}


def test_batches_hold_at_most_a_second_of_one_connection() -> None:
    timeline = market(duration_s=5)
    for batch in timeline.batches():
        assert isinstance(batch, TimelineBatch)
        assert batch.due_ns[-1] - batch.due_ns[0] < 1_000_000_000
        assert set(batch.connection.tolist()) == {0}
    assert list(timeline.connections) == ["market"]


def test_a_market_without_a_duration_goes_on() -> None:
    endless = market(duration_s=None).batches()
    last = next(itertools.islice(endless, 100, None))
    assert last.due_ns[-1] >= 99_000_000_000


def test_a_snapshot_of_more_than_65_535_instruments_takes_two_frames() -> None:
    timeline = market(instruments=70_000, duration_s=0)
    frames = [payload for _, kind, payload in messages(timeline) if kind is TimelineKind.BINARY]
    assert [len(scan_frame(frame).packets) for frame in frames] == [65_535, 70_000 - 65_535]
    assert not any(scan_frame(frame).problems for frame in frames)


def test_prices_are_positive_multiples_of_the_tick_size() -> None:
    ticks = tick_sizes()
    for token, rows in tradables():
        for _, packet in rows:
            names = ["last_price", "close", *(f"price_{level}" for level in range(10))]
            for name in names:
                price = packet[name]
                if name in {"last_price", "close"} or packet["volume_traded"]:
                    assert price > 0, f"{token} {name}"
                assert price % ticks[token] == 0, f"{token} {name} {price} tick {ticks[token]}"


def tick_sizes() -> dict[int, int]:
    rows = market().instruments_csv().decode().splitlines()[1:]
    cells = [row.split(",") for row in rows]
    return {int(c[0]): round(float(c[7]) * SEGMENTS.of(int(c[0])).divisor) for c in cells}


def test_currency_prices_have_the_divisor_of_currencies() -> None:
    prices = [rows[0][1]["last_price"] / 10_000_000 for token, rows in tradables() if token & 0xFF == 3]
    assert prices
    assert any(50 < price < 120 for price in prices)
    assert all(price < 120 for price in prices)


def test_busy_prices_move_and_come_back() -> None:
    busy = [rows for _, rows in tradables() if len(rows) > 100]
    assert len(busy) > 50
    for rows in busy:
        prices = [packet["last_price"] for _, packet in rows]
        assert len(set(prices)) > 1
    stocks = [rows for token, rows in minute().items() if token & 0xFF == 1 and len(rows) > 100]
    for rows in stocks:
        assert max(p["last_price"] for _, p in rows) < 1.1 * min(p["last_price"] for _, p in rows)


def test_the_day_is_consistent_with_the_last_price() -> None:
    for token, rows in tradables():
        for _, packet in rows:
            if packet["volume_traded"]:
                assert packet["low"] <= packet["open"] <= packet["high"], token
                assert packet["low"] <= packet["last_price"] <= packet["high"], token
                assert packet["low"] - 1 <= packet["average_traded_price"] <= packet["high"] + 1, token
                assert packet["last_traded_quantity"] > 0
            else:
                untraded = ("open", "high", "low", "last_trade_time", "average_traded_price")
                assert [packet[name] for name in untraded] == [0] * 5, token


def test_some_instruments_never_trade_and_some_trade_for_the_first_time() -> None:
    never = [rows for _, rows in tradables() if not rows[-1][1]["volume_traded"]]
    began = [r for _, r in tradables() if not r[0][1]["volume_traded"] and r[-1][1]["volume_traded"]]
    assert never
    assert began
    for rows in began:
        first = next(packet for _, packet in rows if packet["volume_traded"])
        assert first["open"] == first["high"] == first["low"] == first["last_price"]
    assert any(len(rows) == 1 and rows[0][1]["last_trade_time"] == 0 for rows in never)


def test_volume_never_decreases_and_grows_with_each_trade() -> None:
    for token, rows in tradables():
        for (_, before), (_, after) in itertools.pairwise(rows):
            grown = after["volume_traded"] - before["volume_traded"]
            assert grown >= 0, token
            if after["last_price"] != before["last_price"]:
                assert grown >= after["last_traded_quantity"], token


def test_volume_saturates_instead_of_turning_negative() -> None:
    from kiterec.simulate.words import WORD

    timeline = market(instruments=10)
    state, walk = timeline._open()
    state.words[:, WORD["volume_traded"]] = np.where(state.index, 0, 2**31 - 1_000)
    for second in range(200):
        walk.move(np.ones(10), seconds=second)
    assert (state.words[~state.index, WORD["volume_traded"]] > 0).all()


def test_only_derivatives_have_open_interest_and_it_moves_within_its_day() -> None:
    moved = 0
    for token, rows in tradables():
        interests = [packet["oi"] for _, packet in rows]
        if token & 0xFF in {1, 4}:
            assert set(interests) == {0}
        for _, packet in rows:
            assert packet["oi_day_low"] <= packet["oi"] <= packet["oi_day_high"]
        moved += len(set(interests)) > 1
    assert moved > 20


def test_depth_is_sorted_with_every_bid_below_every_offer() -> None:
    for token, rows in tradables():
        for _, packet in rows:
            prices = [packet[f"price_{level}"] for level in range(10)]
            if not any(prices):
                assert not packet["volume_traded"]
                continue
            bids, offers = prices[:5], prices[5:]
            assert all(a > b > 0 for a, b in itertools.pairwise(bids)), token
            assert all(a < b for a, b in itertools.pairwise(offers)), token
            assert bids[0] < offers[0], token
            for level in range(10):
                assert 1 <= packet[f"orders_{level}"] <= packet[f"quantity_{level}"], token


def test_the_totals_hold_at_least_the_five_levels() -> None:
    for _, rows in tradables():
        for _, packet in rows:
            quantities = [packet[f"quantity_{level}"] for level in range(10)]
            assert packet["total_buy_quantity"] >= sum(quantities[:5])
            assert packet["total_sell_quantity"] >= sum(quantities[5:])


def test_a_trade_happens_at_the_best_bid_or_offer() -> None:
    for token, rows in tradables():
        for (_, before), (_, after) in itertools.pairwise(rows):
            if after["volume_traded"] > before["volume_traded"]:
                assert after["last_price"] in {after["price_0"], after["price_5"]}, token


def test_times_are_whole_seconds_of_the_virtual_clock() -> None:
    for token, rows in minute().items():
        for due, packet in rows:
            assert packet["exchange_timestamp"] == (VIRTUAL_START + due) // 1_000_000_000
            if "last_trade_time" in packet:
                assert packet["last_trade_time"] <= packet["exchange_timestamp"], token


def test_a_given_start_moves_the_clock_and_the_dump() -> None:
    later = market(start_ns=VIRTUAL_START + 60 * 86_400 * 1_000_000_000, duration_s=1)
    snapshot = next(later.batches()).payloads[1].as_py()
    assert decode(split_frame(snapshot)[0])["exchange_timestamp"] == later.start_ns // 1_000_000_000
    assert later.instruments_csv() != market().instruments_csv()


def test_an_index_has_its_change_against_the_close() -> None:
    found = [rows for token, rows in minute().items() if token in {256265, 265}]
    assert len(found) == 2
    for rows in found:
        assert len({packet["last_price"] for _, packet in rows}) > 10
        for _, packet in rows:
            assert packet["net_change"] == packet["last_price"] - packet["close"]
            assert packet["low"] <= packet["last_price"] <= packet["high"]


@pytest.mark.parametrize(("rate", "instruments"), [(2.0, 300), (0.5, 300), (2.0, 9_000)])
def test_the_mean_packet_rate_is_as_asked(rate: float, instruments: int) -> None:
    timeline = market(instruments=instruments, duration_s=30, packets_per_s=rate)
    packets = sum(
        int.from_bytes(payload[:2]) for due, _, payload in messages(timeline) if due
    )  # the count of packets begins each frame
    assert packets / instruments / 30 == pytest.approx(rate, rel=0.08), f"seed {SEED}"


def test_some_instruments_are_busy_and_some_are_quiet() -> None:
    per_second = [(len(rows) - 1) / 60 for _, rows in tradables()]
    assert sum(rate > 2 for rate in per_second) > 50
    assert sum(0 < rate < 1 for rate in per_second) > 10
    assert sum(rate == 0 for rate in per_second) > 5
