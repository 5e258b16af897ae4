"""Which recorded connection speaks for an instrument, so that a redundant recording says nothing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.clock import NS_PER_S
from kiterec.replay import engine

if TYPE_CHECKING:
    import numpy.typing as npt

TAKEOVER_NS: Final = 2 * NS_PER_S
"""An owner silent for this long loses the instrument to another connection that speaks of it. Copies of one
packet arrive within tenths of a second."""

DOWNGRADE_NS: Final = 60 * NS_PER_S
"""The same where the other connection has it in a lower mode."""

NOBODY: Final = -1


class Owners:
    """The owner of each instrument: the first connection to show it, until it is gone, silent or outdone."""

    __slots__ = ("_length", "_owner", "_spoke_ns")

    def __init__(self) -> None:
        self._owner = np.empty(0, np.int16)
        self._spoke_ns = np.empty(0, np.int64)
        self._length = np.empty(0, np.int64)

    def copy(self) -> Owners:
        """Give another one that knows the same."""
        other = Owners()
        other._owner, other._spoke_ns = self._owner.copy(), self._spoke_ns.copy()
        other._length = self._length.copy()
        return other

    def grow(self, instruments: int) -> None:
        """Make room for this many instruments."""
        more = instruments - len(self._owner)
        if more <= 0:
            return
        self._owner = np.concatenate([self._owner, np.full(more, NOBODY, np.int16)])
        self._spoke_ns = np.concatenate([self._spoke_ns, np.zeros(more, np.int64)])
        self._length = np.concatenate([self._length, np.zeros(more, np.int64)])

    def claim(
        self,
        instrument: npt.NDArray[np.int32],
        connection: npt.NDArray[np.int16],
        due_ns: npt.NDArray[np.int64],
        length: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.bool_] | None:
        """Tell which packets come from the owner of their instrument; None when all do.

        Shape: the arguments and the answer have one entry per packet, in the order of the wire.
        """
        if (loops := engine.loops()) is not None:
            keep = np.empty(len(instrument), np.bool_)
            all_kept = loops.claim(
                self._owner, self._spoke_ns, self._length, instrument, connection, due_ns, length, keep,
                TAKEOVER_NS, DOWNGRADE_NS,
            )  # fmt: skip
            return None if all_kept else keep
        return self._claim_all(instrument, connection, due_ns, length)

    def _claim_all(
        self,
        instrument: npt.NDArray[np.int32],
        connection: npt.NDArray[np.int16],
        due_ns: npt.NDArray[np.int64],
        length: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.bool_] | None:
        fresh = np.flatnonzero(self._owner[instrument] == NOBODY)[::-1]
        # Of several values for one place numpy keeps the last: backwards, that is the first to speak.
        self._owner[instrument[fresh]] = connection[fresh]
        self._spoke_ns[instrument[fresh]] = due_ns[fresh]
        self._length[instrument[fresh]] = length[fresh]
        foreign = self._owner[instrument] != connection
        keep = self._settle(instrument, connection, due_ns, length, foreign) if foreign.any() else None
        mine = slice(None) if keep is None else keep
        self._spoke_ns[instrument[mine]] = due_ns[mine]
        self._length[instrument[mine]] = length[mine]
        return keep

    def release(self, connection: int) -> npt.NDArray[np.int64]:
        """Say that a connection is gone: whoever speaks next of its instruments owns them; give those."""
        freed = np.flatnonzero(self._owner == connection)
        self._owner[freed] = NOBODY
        return freed

    def _settle(
        self,
        instrument: npt.NDArray[np.int32],
        connection: npt.NDArray[np.int16],
        due_ns: npt.NDArray[np.int64],
        length: npt.NDArray[np.int64],
        foreign: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.bool_]:
        """Decide about instruments that several connections show; each turn of the loop is one takeover."""
        disputed = np.zeros(len(self._owner), np.bool_)
        disputed[instrument[foreign]] = True
        keep = np.ones(len(instrument), np.bool_)
        open_ = np.flatnonzero(disputed[instrument])
        open_ = open_[np.argsort(instrument[open_], kind="stable")]
        while len(open_):
            about = instrument[open_]
            own = self._owner[about] == connection[open_]
            keep[open_] = own
            last_ns, last_length = self._last_words(about, own, due_ns[open_], length[open_])
            silence = due_ns[open_] - last_ns
            lower = length[open_] < last_length
            takes = ~own & (
                (length[open_] > last_length) | (silence > np.where(lower, DOWNGRADE_NS, TAKEOVER_NS))
            )
            if not takes.any():
                break
            takers = np.flatnonzero(takes)
            winners, first = np.unique(about[takers], return_index=True)
            place = takers[first]
            self._owner[winners] = connection[open_[place]]
            self._spoke_ns[winners] = due_ns[open_[place]]
            self._length[winners] = length[open_[place]]
            keep[open_[place]] = True
            begins = np.full(len(self._owner), len(open_), np.int64)
            begins[winners] = place + 1
            open_ = open_[np.arange(len(open_)) >= begins[about]]
        return keep

    def _last_words(
        self,
        about: npt.NDArray[np.int32],
        own: npt.NDArray[np.bool_],
        due_ns: npt.NDArray[np.int64],
        length: npt.NDArray[np.int64],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Give time and length of the owner's latest packet before each packet, sorted by instrument."""
        here = np.arange(len(about))
        latest = np.maximum.accumulate(np.where(own, here, -1))
        begin = np.searchsorted(about, about)
        inside = latest >= begin
        latest = np.maximum(latest, 0)
        return (
            np.where(inside, due_ns[latest], self._spoke_ns[about]),
            np.where(inside, length[latest], self._length[about]),
        )
