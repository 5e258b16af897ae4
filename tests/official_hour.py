"""Compares the tick table of a simulated market with the official Python client's ticks, field by field.

Run `python -m tests.official_hour [--minutes 60] [--instruments 3000] [--seed 1] [--workers 2]`. Every
instrument goes through all modes, and instruments of the segments that the market lacks are made of
others. What differs by intent is in docs/ticks.md: signed prices, UTC, and null for a time of zero.
Ends with 1 if anything else differs, after one line for each column that does.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from array import array
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from kiteconnect import KiteTicker

from kiterec.simulate.market import SyntheticMarket
from kiterec.ticks.decode import decode
from kiterec.ticks.schema import TICK_SCHEMA
from kiterec.wire.frames import join_frame, split_frame
from kiterec.wire.packets import Mode, cut_packet
from kiterec.wire.segments import SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS_AT_ONCE = 4
"""Of the market: enough that decoding costs little, few enough for the memory of 25,000 dicts."""

MODES = list(Mode)
KIND = {"mode", "tradable"}
OHLC = ("open", "high", "low", "close")
LEVEL = ("quantity", "price", "orders")
OHLC_OF, LEVEL_OF = itemgetter(*OHLC), itemgetter(*LEVEL)
PRICES = ("last_price", "average_traded_price", *OHLC)
TIMES = ("last_trade_time", "exchange_timestamp")
OURS_ALONE = {"seq", "packet", "received_at", "connection", "segment", "net_change"}
"""Columns that the official client's ticks do not have."""


def frames(market: SyntheticMarket, *, share: int = 0, shares: int = 1) -> Iterator[list[bytes]]:
    """Give a share of the market, some seconds at once; each frame has packets of all modes and segments."""
    lacking = sorted(SEGMENTS.keys() - {token & 0xFF for token in market.instrument_tokens})
    made: list[bytes] = []
    for second, batch in enumerate(market.batches()):
        if second // SECONDS_AT_ONCE % shares != share:
            continue
        payloads = batch.payloads.to_pylist()
        binary = [payload for payload, kind in zip(payloads, batch.kind, strict=True) if kind == 0]
        made += [mixed(frame, second, lacking) for frame in binary]
        if (second + 1) % SECONDS_AT_ONCE == 0:
            yield made
            made = []
    if made:
        yield made


def mixed(frame: bytes, second: int, lacking: list[int]) -> bytes:
    """Cut each packet to the mode of its instrument in this second; some change their segment."""
    packets = []
    for number, packet in enumerate(split_frame(frame)):
        token = int.from_bytes(packet[:4])
        if lacking and number % 16 == 0 and SEGMENTS.of(token).tradable:
            token = token & ~0xFF | lacking[number // 16 % len(lacking)]
            packet = token.to_bytes(4) + packet[4:]  # noqa: PLW2901 - the same packet of another segment
        packets.append(cut_packet(packet, MODES[(second + (token >> 8)) % len(MODES)]))
    return join_frame(packets)


class Theirs:
    """The official client's ticks of one kind, as numbers in the order of their fields."""

    def __init__(self, first: dict[str, Any]) -> None:
        """Take the fields of the first tick."""
        self.ticks = 0
        self.fields = tuple(first)
        self.names = [name for name in first if name not in {"mode", "tradable", "ohlc", "depth", *TIMES}]
        self.times = [name for name in TIMES if name in first]
        self.has_ohlc = "ohlc" in first
        self.has_depth = "depth" in first
        self._plain = itemgetter(*self.names)
        self._numbers = array("d")  # whole numbers to 2**53 are exact in it
        self._instants: list[Any] = []
        self.others: set[tuple[str, ...]] = set()

    def add(self, tick: dict[str, Any]) -> None:
        """Take the next tick."""
        self.ticks += 1
        if tuple(tick) != self.fields:
            self.others.add(tuple(tick))
            return
        numbers = self._numbers
        numbers.extend(self._plain(tick))
        if self.has_ohlc:
            numbers.extend(OHLC_OF(tick["ohlc"]))
        if self.has_depth:
            depth = tick["depth"]
            for level in depth["buy"]:
                numbers.extend(LEVEL_OF(level))
            for level in depth["sell"]:
                numbers.extend(LEVEL_OF(level))
        self._instants += [tick[name] for name in self.times]

    def columns(self) -> dict[str, np.ndarray]:
        """Give all but mode and tradable by the name of our column."""
        width = len(self.names) + len(OHLC) * self.has_ohlc + 30 * self.has_depth
        rows = np.frombuffer(self._numbers).reshape(-1, width)
        names = [*self.names, *(OHLC if self.has_ohlc else ())]
        made = {name: rows[:, place] for place, name in enumerate(names)}
        if self.has_depth:
            levels = rows[:, len(names) :].reshape(-1, 2, 5, len(LEVEL))
            for side, word in enumerate(("buy", "sell")):
                made |= {f"{word}_{field}": levels[:, side, :, place] for place, field in enumerate(LEVEL)}
        # Naive local time of this host; 1970 where there is none. Many ticks have the same.
        seconds = {time: int(time.timestamp()) for time in set(self._instants)}
        instants = np.array([seconds[time] for time in self._instants], np.int64)
        return made | {name: instants[place :: len(self.times)] for place, name in enumerate(self.times)}


def differences(made: list[bytes], client: KiteTicker) -> tuple[pl.DataFrame, list[str]]:
    """Give our ticks of some frames, and what differs from the official client's."""
    theirs: dict[tuple[str, bool], Theirs] = {}
    for frame in made:
        for tick in client._parse_binary(frame):
            key = tick["mode"], tick["tradable"]
            if key not in theirs:
                theirs[key] = Theirs(tick)
            theirs[key].add(tick)
    ours, raw = decode(made), decode(made, prices="int")
    kinds = ours.select(pl.struct(pl.col("mode").cast(pl.String), "tradable")).to_series()
    found = []
    for mode, tradable in {*theirs, *kinds.unique().struct.unnest().rows()}:
        is_one = (ours["mode"] == mode) & (ours["tradable"] == tradable)
        kind = theirs.get((mode, tradable))
        if kind is None or kind.others:
            found.append(f"{mode} ticks, tradable {tradable}: theirs have the fields {kind and kind.others}")
        elif (count := kind.ticks) != is_one.sum():
            found.append(f"{mode} ticks, tradable {tradable}: {count} of theirs are {is_one.sum()} of ours")
        else:
            found += unequal(kind.columns(), ours.filter(is_one), raw.filter(is_one))
    return ours, found


def unequal(expected: dict[str, Any], ours: pl.DataFrame, raw: pl.DataFrame) -> list[str]:
    """Say which columns differ, with the first row that does."""
    found = []
    divisor = raw.get_column("price_divisor").to_numpy()
    for name in set(ours.columns) - KIND:
        mine = ours.get_column(name)
        if name not in expected:
            if name not in OURS_ALONE and mine.null_count() != mine.len():
                found.append(f"{name}: theirs have none")
            continue
        values, theirs = as_theirs(name, mine, raw.get_column(name), divisor), expected[name]
        same = values == theirs
        if name == "change":
            signed = (raw.get_column("last_price") < 0) | (raw.get_column("close") < 0)
            same |= signed.to_numpy()
        if not same.all():
            row = int(np.flatnonzero(~same.reshape(len(mine), -1).all(axis=1))[0])
            found.append(f"{name}: {values[row]} is {theirs[row]} of theirs in {ours.row(row, named=True)}")
    return found


def as_theirs(name: str, mine: pl.Series, raw: pl.Series, divisor: np.ndarray) -> np.ndarray:
    """Give our values as the official client has them."""
    if name in TIMES:
        return mine.dt.epoch("s").fill_null(0).to_numpy()
    if name in PRICES or name.endswith("_price"):
        wide = divisor if raw.dtype == pl.Int32 else divisor[:, None]
        integers = raw.to_numpy()
        if not np.array_equal(integers / wide, mine.to_numpy()):
            return np.full(integers.shape, np.nan)
        return integers.view(np.uint32) / wide
    return mine.to_numpy()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker compared, and what it found.

    Attributes:
        ticks: number of ticks by segment and mode.
        found: one line a column that differs.
    """

    ticks: Counter[tuple[str, str]]
    found: list[str]


def compare(minutes: float, instruments: int, seed: int, share: int, shares: int) -> Outcome:
    """Compare a share of a market's seconds; stops at the first that differs."""
    market = SyntheticMarket(instruments=instruments, seed=seed, duration_s=minutes * 60)
    client = KiteTicker("key", "access")
    outcome = Outcome(Counter(), [])
    for made in frames(market, share=share, shares=shares):
        ours, found = differences(made, client)
        kinds = ours.group_by(pl.col("segment", "mode").cast(pl.String)).len()
        outcome.ticks.update({(segment, mode): count for segment, mode, count in kinds.iter_rows()})
        outcome.found.extend(found)
        if found:
            break
    return outcome


def main() -> int:
    """Compare, print what was compared, and give 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--instruments", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    begin = time.monotonic()
    # Millions of dicts without a cycle: looking for cycles costs more than parsing.
    with ProcessPoolExecutor(asked.workers, initializer=gc.disable) as pool:
        jobs = [
            pool.submit(compare, asked.minutes, asked.instruments, asked.seed, share, asked.workers)
            for share in range(asked.workers)
        ]
        outcomes = [job.result() for job in jobs]
    ticks = sum((outcome.ticks for outcome in outcomes), Counter())
    found = [one for outcome in outcomes for one in outcome.found]
    for one in found:
        sys.stderr.write(f"{one}\n")
    print(f"{asked.minutes:g} minutes of {asked.instruments:,} instruments, seed {asked.seed}")
    print(f"{'segment':<10}" + "".join(f"{mode.value:>12}" for mode in MODES))
    for segment in sorted({segment for segment, _ in ticks}):
        print(f"{segment:<10}" + "".join(f"{ticks[segment, mode.value]:>12,}" for mode in MODES))
    compared = sorted(set(TICK_SCHEMA) - OURS_ALONE)
    print(f"{sum(ticks.values()):,} ticks, {len(compared)} columns each: {', '.join(compared)}")
    print(f"{len(found)} differences ({time.monotonic() - begin:.0f} s)")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
