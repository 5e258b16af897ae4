"""Compares the tick table of a simulated market with the official Python client's ticks, field by field.

Run `python -m tests.official_hour [--minutes 60] [--instruments 3000] [--seed 1] [--workers 2]`. Every
instrument goes through all modes, and instruments of the segments that the market lacks are made of
others. What differs by intent is in docs/ticks.md: signed prices, UTC, and null for a time of zero.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from kiteconnect import KiteTicker

from kiterec.simulate.market import SyntheticMarket
from kiterec.ticks.decode import decode
from kiterec.wire.frames import join_frame, split_frame
from kiterec.wire.packets import Mode, cut_packet
from kiterec.wire.segments import SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

MODES = list(Mode)
OHLC = ("open", "high", "low", "close")
PRICES = ("last_price", "average_traded_price", *OHLC)
TIMES = ("last_trade_time", "exchange_timestamp")
OURS_ALONE = {"seq", "packet", "received_at", "connection", "segment", "net_change"}
"""Columns that the official client's ticks do not have."""


def frames(market: SyntheticMarket, *, share: int = 0, shares: int = 1) -> Iterator[list[bytes]]:
    """Give a share of the market's seconds; each frame has packets of all modes and segments."""
    lacking = sorted(SEGMENTS.keys() - {token & 0xFF for token in market.instrument_tokens})
    for second, batch in enumerate(market.batches()):
        if second % shares == share:
            payloads = batch.payloads.to_pylist()
            binary = [payload for payload, kind in zip(payloads, batch.kind, strict=True) if kind == 0]
            yield [mixed(frame, second, lacking) for frame in binary]


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


def differences(made: list[bytes]) -> tuple[pl.DataFrame, list[str]]:
    """Give our ticks of some frames, and what differs from the official client's."""
    client = KiteTicker("key", "access")
    theirs = np.array([tick for frame in made for tick in client._parse_binary(frame)], object)
    ours = decode(made)
    raw = decode(made, prices="int")
    if len(theirs) != ours.height:
        return ours, [f"{len(theirs)} ticks of theirs are {ours.height} of ours"]
    kind = ours.select(pl.struct("mode", "tradable").rank("dense")).to_series().to_numpy()
    found = []
    for one in np.unique(kind):
        rows = np.flatnonzero(kind == one)
        expected = columns(theirs[rows].tolist())
        found += unequal(expected, ours[rows], raw[rows])
    return ours, found


def columns(ticks: list[dict[str, Any]]) -> dict[str, Any]:
    """Give ticks that have the same fields as arrays by the name of our column."""
    made: dict[str, Any] = {}
    for name in ticks[0]:
        if name == "ohlc":
            made |= {part: np.array([tick["ohlc"][part] for tick in ticks]) for part in OHLC}
        elif name == "depth":
            for side in ("buy", "sell"):
                levels = [level for tick in ticks for level in tick["depth"][side]]
                for field in ("price", "quantity", "orders"):
                    values = np.array([level[field] for level in levels])
                    made[f"{side}_{field}"] = values.reshape(len(ticks), -1)
        elif name in TIMES:
            # Naive local time of this host; 1970 where there is none.
            made[name] = np.array([tick[name].timestamp() for tick in ticks]).astype(np.int64)
        else:
            made[name] = np.array([tick[name] for tick in ticks])
    return made


def unequal(expected: dict[str, Any], ours: pl.DataFrame, raw: pl.DataFrame) -> list[str]:
    """Say which columns differ, with the first row that does."""
    found = []
    divisor = raw.get_column("price_divisor").to_numpy()
    for name in ours.columns:
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
    return mine.cast(pl.String).to_numpy() if name == "mode" else mine.to_numpy()


def compare(minutes: float, instruments: int, seed: int, share: int, shares: int) -> dict[str, Any]:
    """Compare a share of a market's seconds; stops at the first that differs."""
    market = SyntheticMarket(instruments=instruments, seed=seed, duration_s=minutes * 60)
    ticks = 0
    seen: set[tuple[str, str]] = set()
    for made in frames(market, share=share, shares=shares):
        ours, found = differences(made)
        ticks += ours.height
        seen |= set(ours.select(pl.col("segment", "mode").cast(pl.String)).unique().rows())
        if found:
            return {"ticks": ticks, "seen": seen, "found": found}
    return {"ticks": ticks, "seen": seen, "found": []}


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
        results = [job.result() for job in jobs]
    seen = set().union(*(result["seen"] for result in results))
    found = [one for result in results for one in result["found"]]
    sys.stdout.write(
        f"{sum(result['ticks'] for result in results):,} ticks of {asked.instruments:,} instruments, "
        f"{len({segment for segment, _ in seen})} segments, {len({mode for _, mode in seen})} modes: "
        f"{len(found)} columns differ ({time.monotonic() - begin:.0f} s, seed {asked.seed})\n"
    )
    sys.stderr.writelines(f"{one}\n" for one in found)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
