"""The tick table equals what the official Python client makes of the same frames, field by field."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from kiteconnect import KiteTicker

from kiterec.simulate.market import SyntheticMarket
from kiterec.ticks.decode import decode
from kiterec.wire.packets import Mode
from kiterec.wire.segments import SEGMENTS
from tests.official_hour import compare as compare_market
from tests.official_hour import differences, frames
from tests.ticks.frames import LENGTHS, join, random_packet

if TYPE_CHECKING:
    from collections.abc import Callable

PLAIN = [
    "tradable",
    "mode",
    "instrument_token",
    "last_price",
    "last_traded_quantity",
    "average_traded_price",
    "volume_traded",
    "total_buy_quantity",
    "total_sell_quantity",
    "change",
    "oi",
    "oi_day_high",
    "oi_day_low",
]


def compare(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    for name in PLAIN:
        assert ours[name] == theirs.get(name), name
    ohlc = theirs.get("ohlc", {})
    assert {name: ours[name] for name in ("open", "high", "low", "close")} == {
        name: ohlc.get(name) for name in ("open", "high", "low", "close")
    }
    for name in ("last_trade_time", "exchange_timestamp"):
        compare_time(ours[name], theirs.get(name), name)
    for side in ("buy", "sell"):
        for field in ("price", "quantity", "orders"):
            levels = [level[field] for level in theirs["depth"][side]] if "depth" in theirs else None
            assert ours[f"{side}_{field}"] == levels, f"{side}_{field}"


def compare_time(ours: datetime | None, theirs: datetime | None, name: str) -> None:
    """Theirs is naive local time, and 1970 where there is none."""
    if ours is None:
        assert theirs is None or theirs == datetime.fromtimestamp(0), name
    else:
        assert theirs is not None, name
        assert ours == theirs.astimezone(UTC), name


@pytest.mark.parametrize("lengths", [[length] for length in LENGTHS] + [LENGTHS])
def test_every_field_of_every_tick_is_the_official_clients(lengths: list[int]) -> None:
    rng = random.Random(len(lengths) * 1_000 + lengths[0])
    client = KiteTicker("key", "access")
    for _ in range(5):
        segments = [None, 9, 3, 6, 12, 77]
        packets = [random_packet(rng, rng.choice(lengths), segment=rng.choice(segments)) for _ in range(100)]
        frame = join(packets)
        theirs = client._parse_binary(frame)
        ours = decode([frame]).to_dicts()
        assert len(ours) == len(theirs) == len(packets)
        for mine, other in zip(ours, theirs, strict=True):
            compare(mine, other)


def test_a_simulated_market_equals_the_official_client_in_all_segments_and_modes() -> None:
    found = compare_market(minutes=0.2, instruments=120, seed=3, share=0, shares=1)
    assert found.found == []
    everything = {(segment.name, mode.value) for segment in SEGMENTS.values() for mode in Mode}
    assert found.ticks.keys() == everything


def altered_depth(tick: dict[str, Any]) -> None:
    tick["depth"]["sell"][4]["orders"] += 1


def altered_time(tick: dict[str, Any]) -> None:
    tick["exchange_timestamp"] += timedelta(seconds=1)


def another_field(tick: dict[str, Any]) -> None:
    tick["upper_circuit"] = 0


def another_kind(tick: dict[str, Any]) -> None:
    tick["tradable"] = False


@pytest.mark.parametrize(
    ("alter", "names"),
    [
        (altered_depth, ["sell_orders"]),
        (altered_time, ["exchange_timestamp"]),
        (another_field, ["full ticks, tradable True"]),
        (another_kind, ["full ticks, tradable False", "full ticks, tradable True"]),
    ],
)
def test_a_difference_from_the_official_client_is_named(
    alter: Callable[[dict[str, Any]], None], names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = next(frames(SyntheticMarket(instruments=30, seed=3, duration_s=1)))
    parse = KiteTicker._parse_binary

    def altered(self: KiteTicker, frame: bytes) -> list[dict[str, Any]]:
        ticks: list[dict[str, Any]] = parse(self, frame)
        alter(next(tick for tick in reversed(ticks) if "depth" in tick))
        return ticks

    monkeypatch.setattr(KiteTicker, "_parse_binary", altered)
    _, found = differences(made, KiteTicker("key", "access"))
    assert sorted(one.partition(":")[0] for one in found) == names
