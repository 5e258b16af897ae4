"""How often each instrument_token came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PENDING: Final = 1 << 17


class TokenCounts:
    """Counts tokens; what it remembers grows with the number of instruments, not of ticks."""

    def __init__(self) -> None:
        self._tokens = [np.empty(0, np.uint32)]
        self._counts = [np.empty(0, np.int64)]
        self._pending = 0

    def add(self, tokens: NDArray[np.uint32]) -> None:
        """Count some more."""
        found, counts = np.unique(tokens, return_counts=True)
        self._tokens.append(found)
        self._counts.append(counts.astype(np.int64))
        self._pending += found.size
        if self._pending > _PENDING:
            self.result()

    def result(self) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Give each token once, ascending, and how often it came."""
        tokens, place = np.unique(np.concatenate(self._tokens), return_inverse=True)
        counts = np.zeros(tokens.size, np.int64)
        np.add.at(counts, place, np.concatenate(self._counts))
        self._tokens, self._counts, self._pending = [tokens], [counts], 0
        return tokens, counts
