"""Instrument_tokens as small consecutive numbers, so that what is known of instruments can lie in arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

UNKNOWN: Final = -1
"""The position of an instrument_token that the market has not shown."""

_SLOT_BITS: Final = 18
_MULTIPLIER: Final = np.uint32(2_654_435_769)
"""Fibonacci hashing: 2^32 over the golden ratio spreads tokens that differ in any bits."""


class InstrumentIndex:
    """Gives each instrument_token of the market a position, in the order of appearance.

    Only what the market shows gets in, never what a client asks for: its size is bounded by the timeline.
    Most tokens are found in a hash table without chains; the few that share a slot are searched for.
    """

    __slots__ = ("_positions", "_slot_position", "_slot_token", "_tokens")

    def __init__(self) -> None:
        self._tokens: npt.NDArray[np.uint32] = np.empty(0, np.uint32)
        self._positions: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self._slot_token = np.zeros(1 << _SLOT_BITS, np.uint32)
        self._slot_position = np.full(1 << _SLOT_BITS, UNKNOWN, np.int32)

    def __len__(self) -> int:
        return len(self._tokens)

    def find(self, tokens: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
        """Give the position of each token, `UNKNOWN` for one that was never added."""
        slot = _slots(tokens)
        positions = self._slot_position[slot]
        elsewhere = np.flatnonzero(self._slot_token[slot] != tokens)
        if len(elsewhere):
            positions[elsewhere] = self._search(tokens[elsewhere])
        return positions

    def add(self, tokens: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
        """Give the position of each token; those not seen before get the next free ones."""
        positions = self.find(tokens)
        missing = positions == UNKNOWN
        if missing.any():
            fresh = np.unique(tokens[missing])
            begin = len(self._tokens)
            fresh_positions = np.arange(begin, begin + len(fresh), dtype=np.int32)
            all_tokens = np.concatenate([self._tokens, fresh])
            order = np.argsort(all_tokens)
            self._tokens = all_tokens[order]
            self._positions = np.concatenate([self._positions, fresh_positions])[order]
            slot = _slots(fresh)
            self._slot_token[slot] = fresh
            self._slot_position[slot] = fresh_positions
            positions[missing] = self.find(tokens[missing])
        return positions

    def _search(self, tokens: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
        if not len(self._tokens):
            return np.full(len(tokens), UNKNOWN, np.int32)
        place = np.searchsorted(self._tokens, tokens)
        place[place == len(self._tokens)] = 0
        return np.where(self._tokens[place] == tokens, self._positions[place], np.int32(UNKNOWN))


def _slots(tokens: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    return (tokens * _MULTIPLIER) >> np.uint32(32 - _SLOT_BITS)
