"""Finds packets that more than one input received: equal bytes within a short time, paired one to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.ticks.kernels import WORD_BYTES, gather_words
from kiterec.wire.packets import LAYOUTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kiterec.ticks.find import Packets

_WORDS: Final = max(LAYOUTS) // WORD_BYTES
_MIX: Final = np.random.Generator(np.random.PCG64(20260105)).integers(
    0, 1 << 63, size=(_WORDS, 2), dtype=np.uint64
) << np.uint64(1) | np.uint64(1)
"""Odd factors: a packet's fingerprint is the sum of its words times these, modulo 2**64, twice."""


class TwinFinder:
    """Decides packet by packet, in the merged order, whether another input has had it already.

    Packets with equal bytes form a row of events; a pause longer than the window ends it. In one row, the
    n-th packet of an input is a twin when another input has had n of them before: so each packet pairs with
    one of the other input, and a packet that an input really received twice stays twice.
    """

    def __init__(self, inputs: int, *, window_ns: int) -> None:
        self._inputs = inputs
        self._window_ns = window_ns
        self._prints = np.empty((0, 2), np.uint64)
        self._last_ns = np.empty(0, np.int64)
        self._counts = np.empty((0, inputs), np.int64)

    def find(
        self, packets: Packets, source: NDArray[np.int16], at_ns: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Tell the twins among the next packets.

        Args:
            packets: of known lengths, in the merged order.
            source: the input of each.
            at_ns: when it came; never goes back.
        """
        if not len(packets):
            return np.zeros(0, np.bool_)
        old = len(self._last_ns)
        prints = np.concatenate([self._prints, fingerprints(packets)])
        times = np.concatenate([self._last_ns, at_ns])
        events = np.zeros((old + len(packets), self._inputs), np.int64)
        events[:old] = self._counts
        events[np.arange(old, old + len(packets)), source] = 1

        order = np.lexsort((np.arange(len(times)), prints[:, 1], prints[:, 0]))
        prints, times, events = prints[order], times[order], events[order]
        is_new = np.ones(len(order), np.bool_)
        is_new[1:] = (prints[1:] != prints[:-1]).any(axis=1) | (np.diff(times) > self._window_ns)
        sums = np.cumsum(events, axis=0)
        begins = np.flatnonzero(is_new)
        before = np.zeros_like(sums[begins])
        before[1:] = sums[begins[1:] - 1]
        counts = sums - before[np.cumsum(is_new) - 1]
        self._remember(prints, times, counts, is_new)

        twins = np.zeros(len(packets), np.bool_)
        here = np.flatnonzero(order >= old)
        place = order[here] - old
        own = source[place].astype(np.intp)
        rank = counts[here, own]
        others = counts[here]
        others[np.arange(len(here)), own] = 0
        twins[place] = others.max(axis=1) >= rank
        return twins

    def _remember(
        self,
        prints: NDArray[np.uint64],
        times: NDArray[np.int64],
        counts: NDArray[np.int64],
        is_new: NDArray[np.bool_],
    ) -> None:
        """Keep the last event of each row that may go on."""
        is_last = np.append(is_new[1:], True)
        kept = is_last & (times >= times.max() - self._window_ns)
        self._prints, self._last_ns, self._counts = prints[kept], times[kept], counts[kept]


def fingerprints(packets: Packets) -> NDArray[np.uint64]:
    """Give 128 bits of each packet of known length that differ for different bytes, as good as always.

    Shape:
        (packets, 2).
    """
    prints = np.empty((len(packets), 2), np.uint64)
    for length in np.unique(packets.length).tolist():
        mine = np.flatnonzero(packets.length == length)
        words = gather_words(packets.data, packets.offset[mine], length // WORD_BYTES).astype(np.uint64)
        prints[mine] = words @ _MIX[: length // WORD_BYTES] + np.uint64(length)
    return prints
