"""How a synthetic market moves: a random walk around a moving anchor, trades, and five levels of depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.simulate.state import LOWEST_TICKS, MarketState
from kiterec.simulate.words import (
    DEPTH_ORDERS,
    DEPTH_PRICE,
    DEPTH_QUANTITY,
    INDEX_WORD,
    ORDERS_SHIFT,
    WORD,
)
from kiterec.wire.packets import DEPTH_LEVELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

GROUPS: Final = 3
RETURN: Final = 0.05
"""The part of its distance from the anchor that a price comes back at each change."""

FACTOR_RETURN: Final = 0.001
FACTOR_STEP: Final = 1.5e-4
"""The market as a whole wanders by about FACTOR_STEP / sqrt(2 FACTOR_RETURN), which is 0.3 %."""

TRADE_CHANCE: Final = 0.7
REDRAWN: Final = 0.35
"""Chance that a level of the depth gets another quantity at a change."""

_HIGHEST: Final = 2**31 - 1


class MarketWalk:
    """Moves a `MarketState` on, a grid step at a time."""

    def __init__(self, state: MarketState, rng: np.random.Generator, *, seconds: int) -> None:
        self.state = state
        self._rng = rng
        self._factor = np.zeros(GROUPS)
        tradable = np.flatnonzero(~state.index & (state.activity > 0))
        self._change_prices(tradable)
        self._renew_depth(tradable, chance=1.0)
        self._change_indices(np.flatnonzero(state.index), seconds=seconds)

    def move(self, chance: NDArray[np.float64], *, seconds: int) -> NDArray[np.int64]:
        """Let one grid step pass.

        Args:
            chance: per row, how probably it changes.
            seconds: the exchange's whole-second time.

        Returns:
            The rows that changed, ascending.
        """
        state, rng = self.state, self._rng
        self._factor += FACTOR_STEP * rng.standard_normal(GROUPS) - FACTOR_RETURN * self._factor
        changed = rng.random(len(chance)) < chance
        tradable = np.flatnonzero(changed & ~state.index)
        best = self._change_prices(tradable)
        self._renew_depth(tradable, chance=REDRAWN)
        self._trade(tradable, best, seconds)
        self._change_indices(np.flatnonzero(changed & state.index), seconds=seconds)
        return np.flatnonzero(changed)

    def _change_prices(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Move the prices of these rows; gives the best bids in wire units."""
        state = self.state
        anchor = state.anchor_ticks[rows] * (1 + state.beta[rows] * self._factor[state.group[rows]])
        ticks = state.price_ticks[rows]
        ticks += RETURN * (anchor - ticks) + state.step_ticks[rows] * self._rng.standard_normal(len(rows))
        np.clip(ticks, LOWEST_TICKS, state.ceiling_ticks[rows], out=ticks)
        state.price_ticks[rows] = ticks
        best: NDArray[np.int32] = ticks.astype(np.int32) * state.tick[rows]
        return best

    def _renew_depth(self, rows: NDArray[np.int64], *, chance: float) -> None:
        """Set the five bids and offers around the best bid, with some new quantities."""
        state, rng = self.state, self._rng
        block = state.words[rows]
        best = state.price_ticks[rows].astype(np.int32) * state.tick[rows]
        block[:, DEPTH_PRICE] = best[:, None] + state.offsets[rows]
        shape = (len(rows), 2 * DEPTH_LEVELS)
        renewed = rng.random(shape, dtype=np.float32) < chance
        lots = rng.integers(2, 2_000, shape, dtype=np.int32)
        quantity = np.where(renewed, lots * state.lot[rows, None], block[:, DEPTH_QUANTITY])
        # At least two lots rest at each level, so 1 + lots // 2 orders never exceed the quantity.
        orders = 1 + lots // rng.integers(2, 40, (len(rows), 1), dtype=np.int32)
        block[:, DEPTH_ORDERS] = np.where(renewed, orders << ORDERS_SHIFT, block[:, DEPTH_ORDERS])
        block[:, DEPTH_QUANTITY] = quantity
        deep = state.resting[rows]
        block[:, WORD["total_buy_quantity"]] = quantity[:, :DEPTH_LEVELS].sum(axis=1) + deep[:, 0]
        block[:, WORD["total_sell_quantity"]] = quantity[:, DEPTH_LEVELS:].sum(axis=1) + deep[:, 1]
        state.words[rows] = block

    def _trade(self, rows: NDArray[np.int64], best: NDArray[np.int32], seconds: int) -> None:
        """Let some of these rows trade at their best bid or offer."""
        state, rng = self.state, self._rng
        state.words[rows, WORD["exchange_timestamp"]] = seconds
        sold, luck, size = rng.random((3, len(rows)), dtype=np.float32)
        volume_before = state.words[rows, WORD["volume_traded"]]
        lots = 1 + (1 / (size + 0.02)).astype(np.int64)
        done = (luck < TRADE_CHANCE) & (volume_before < _HIGHEST - 200 * state.lot[rows])
        rows, volume_before, lots = rows[done], volume_before[done], lots[done]
        price = best[done] + np.where(sold[done] < 0.5, 0, state.offsets[rows, DEPTH_LEVELS])
        first = volume_before == 0
        block = state.words[rows]
        quantity = lots * state.lot[rows]
        # Several trades may have happened since the last snapshot; the packet shows the last one's quantity.
        traded = quantity * rng.integers(1, 4, len(rows))
        volume = volume_before + traded
        state.turnover[rows] += price * traded.astype(np.float64)
        block[:, WORD["last_price"]] = price
        block[:, WORD["last_traded_quantity"]] = quantity
        block[:, WORD["volume_traded"]] = volume
        block[:, WORD["average_traded_price"]] = np.rint(state.turnover[rows] / volume)
        block[:, WORD["open"]] = np.where(first, price, block[:, WORD["open"]])
        block[:, WORD["high"]] = np.maximum(block[:, WORD["high"]], price)
        block[:, WORD["low"]] = np.where(first, price, np.minimum(block[:, WORD["low"]], price))
        block[:, WORD["last_trade_time"]] = seconds
        self._change_open_interest(rows, block)
        state.words[rows] = block

    def _change_open_interest(self, rows: NDArray[np.int64], block: NDArray[np.int32]) -> None:
        """Open or close some contracts of derivatives."""
        state = self.state
        contracts = self._rng.integers(-3, 4, len(rows)) * state.lot[rows] * state.derivative[rows]
        oi = np.clip(block[:, WORD["oi"]] + contracts, 0, _HIGHEST)
        block[:, WORD["oi"]] = oi
        block[:, WORD["oi_day_high"]] = np.maximum(block[:, WORD["oi_day_high"]], oi)
        block[:, WORD["oi_day_low"]] = np.minimum(block[:, WORD["oi_day_low"]], oi)

    def _change_indices(self, rows: NDArray[np.int64], *, seconds: int) -> None:
        """Move the indices, which have no trades and no depth."""
        price = self._change_prices(rows)
        block = self.state.words[rows]
        block[:, INDEX_WORD["last_price"]] = price
        block[:, INDEX_WORD["high"]] = np.maximum(block[:, INDEX_WORD["high"]], price)
        block[:, INDEX_WORD["low"]] = np.minimum(block[:, INDEX_WORD["low"]], price)
        block[:, INDEX_WORD["net_change"]] = price - block[:, INDEX_WORD["close"]]
        block[:, INDEX_WORD["exchange_timestamp"]] = seconds
        self.state.words[rows] = block
