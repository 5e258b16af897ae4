"""Instrument_tokens as small consecutive numbers, so that what is known of instruments can lie in arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

UNKNOWN = -1
"""The position of an instrument_token that the market has not shown."""


class InstrumentIndex:
    """Gives each instrument_token of the market a position, in the order of appearance.

    Only what the market shows gets in, never what a client asks for: its size is bounded by the timeline.
    """

    __slots__ = ("_positions", "_tokens")

    def __init__(self) -> None:
        self._tokens: npt.NDArray[np.uint32] = np.empty(0, np.uint32)
        self._positions: npt.NDArray[np.int32] = np.empty(0, np.int32)

    def __len__(self) -> int:
        return len(self._tokens)

    def find(self, tokens: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
        """Give the position of each token, `UNKNOWN` for one that was never added."""
        if not len(self._tokens):
            return np.full(len(tokens), UNKNOWN, np.int32)
        place = np.searchsorted(self._tokens, tokens)
        place[place == len(self._tokens)] = 0
        return np.where(self._tokens[place] == tokens, self._positions[place], np.int32(UNKNOWN))

    def add(self, tokens: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
        """Give the position of each token; those not seen before get the next free ones."""
        positions = self.find(tokens)
        missing = positions == UNKNOWN
        if missing.any():
            fresh = np.unique(tokens[missing])
            begin = len(self._tokens)
            tokens_now = np.concatenate([self._tokens, fresh])
            positions_now = np.concatenate(
                [self._positions, np.arange(begin, begin + len(fresh), dtype=np.int32)]
            )
            order = np.argsort(tokens_now)
            self._tokens, self._positions = tokens_now[order], positions_now[order]
            positions[missing] = self.find(tokens[missing])
        return positions
