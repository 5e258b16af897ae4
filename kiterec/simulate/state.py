"""The state of every synthetic instrument: one full packet each, as a matrix of native 32-bit words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.simulate.words import INDEX_WORD, ROW_WORDS, WORD
from kiterec.wire.packets import DEPTH_LEVELS
from kiterec.wire.segments import SEGMENTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kiterec.simulate.universe import Universe

LOWEST_TICKS: Final = 2 * DEPTH_LEVELS + 1
"""No price falls below this many ticks, so that five bids always find room above zero."""

_HIGHEST: Final = 2**31 - 1
BUSY: Final = 0.5
"""An instrument of more activity than this has its depth without empty ticks between the levels."""


class MarketState:
    """What the market is at one instant, and what does not change about it.

    Shape: one row an instrument, in the order of the universe.
    Units: `*_ticks` in tick sizes; `tick` in wire units a tick; all prices of `words` in wire units.

    Attributes:
        words: `int32[n, 46]`, each row the packet of its instrument in native byte order.
        index: rows of indices. busy, derivative: truths by row.
        price_ticks: the price that the walk is at, not yet rounded. anchor_ticks: where it returns to.
        offsets: `int32[n, 10]`, wire price of each depth level against the best bid.
        turnover: wire price times quantity, traded since the session began.
        resting: quantity of orders beyond the five levels, by row: buy, sell.
    """

    def __init__(self, universe: Universe, rng: np.random.Generator, *, seconds: int) -> None:
        rows = universe.listings
        count = len(rows)
        token = np.array([it.instrument_token for it in rows], dtype=np.int64)
        divisor = np.array(SEGMENTS.divisors(), dtype=np.int64)[token & 0xFF]
        self.index: NDArray[np.bool_] = ~np.array(SEGMENTS.tradables())[token & 0xFF]
        self.activity: NDArray[np.float64] = np.array(universe.activity)
        self.busy: NDArray[np.bool_] = self.activity > BUSY
        self.derivative: NDArray[np.bool_] = np.array([it.expiry is not None for it in rows])
        self.group: NDArray[np.int64] = np.array([it.group for it in rows])
        self.beta: NDArray[np.float64] = np.array([it.beta for it in rows])
        self.lot: NDArray[np.int64] = np.array([it.lot_size for it in rows], dtype=np.int64)
        self.tick: NDArray[np.int32] = np.rint([it.tick_size for it in rows] * divisor).astype(np.int32)
        price = np.array([it.price for it in rows]) * divisor / self.tick
        self.anchor_ticks: NDArray[np.float64] = np.maximum(price, LOWEST_TICKS + 1)
        self.ceiling_ticks: NDArray[np.float64] = np.minimum(
            4 * self.anchor_ticks, _HIGHEST // self.tick - 64
        )
        # A walk of about 0.005 % of the price a step, but at least a good part of a tick.
        self.step_ticks: NDArray[np.float64] = np.maximum(5e-5 * self.anchor_ticks, 0.4)
        self.price_ticks = self.anchor_ticks * (1 + 0.002 * rng.standard_normal(count))
        self.offsets = self._depth_offsets(rng)
        self.turnover = np.zeros(count)
        self.resting: NDArray[np.int64] = self.lot[:, None] * rng.integers(500, 5_000, (count, 2))
        self.words: NDArray[np.int32] = np.zeros((count, ROW_WORDS), dtype=np.int32)
        self.words[:, WORD["instrument_token"]] = token
        self._open_session(rng, seconds)

    def _depth_offsets(self, rng: np.random.Generator) -> NDArray[np.int32]:
        """Give the distance of five bids, then five offers, from the best bid."""
        count = len(self.tick)
        gaps = np.where(self.busy[:, None], 1, rng.integers(1, 3, (count, 2 * DEPTH_LEVELS)))
        gaps[:, 0] = 0
        bids = -np.cumsum(gaps[:, :DEPTH_LEVELS], axis=1)
        offers = np.cumsum(gaps[:, DEPTH_LEVELS:], axis=1)
        return (np.hstack([bids, offers]) * self.tick[:, None]).astype(np.int32)

    def _open_session(self, rng: np.random.Generator, seconds: int) -> None:
        """Give each instrument its close of yesterday, and a day that has already begun."""
        count = len(self.tick)
        walk = np.clip(1 + 0.01 * rng.standard_normal((2, count)), 0.95, 1.05)
        close, first = (self._wire(self.anchor_ticks * factor) for factor in walk)
        second = self._wire(self.price_ticks)
        low, high = np.minimum(first, second), np.maximum(first, second)
        traded = self.busy | (rng.random(count) < BUSY)
        traded &= self.activity > 0
        volume = np.where(traded, self.lot * rng.integers(100, 20_000, count), 0)
        oi = np.where(self.derivative, self.lot * rng.integers(0, 40_000, count), 0)
        tradable = {
            "last_price": np.where(traded, second, close), "open": first * traded, "high": high * traded,
            "low": low * traded, "close": close, "volume_traded": volume, "oi": oi, "oi_day_high": oi,
            "oi_day_low": oi, "average_traded_price": (low + high) // 2 * traded,
            "last_traded_quantity": self.lot * traded,
            "last_trade_time": np.where(traded, seconds - rng.integers(0, 300, count), 0),
            "exchange_timestamp": np.full(count, seconds),
        }  # fmt: skip
        index = {"last_price": second, "high": high, "low": low, "open": first, "close": close}
        for name, values in tradable.items():
            self.words[~self.index, WORD[name]] = values[~self.index]
        for name, values in index.items():
            self.words[self.index, INDEX_WORD[name]] = values[self.index]
        self.turnover[:] = (low + high) // 2 * volume

    def _wire(self, ticks: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.maximum(ticks, LOWEST_TICKS).astype(np.int64) * self.tick
