"""How much was traded between one tick and the next, from a counter that only the exchange may set back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.ticks.carry import Carry, Groups
from kiterec.ticks.sessions import DAY_NS, IST_NS

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNKNOWN: Final = -1
"""Stands for a volume or an instant that there is not."""

_BITS: Final = 33
"""The counter is a uint32 on the wire."""


class VolumeMeter:
    """Reads `volume_traded` in the order of arrival, a batch at a time.

    The counter starts anew each day (IST). What it showed first on a day is where we begin: it was traded
    before we looked. A fall to less than half of what came just before is a reset by the exchange, and what
    is counted since belongs to the tick. A smaller fall is a packet that was overtaken by a newer one (two
    connections, a snapshot after a reconnect): nothing was traded, and the counter goes on from its highest.
    So no step is negative, and a day's steps sum to what the counter rose.
    """

    def __init__(self) -> None:
        self._carry = Carry(UNKNOWN, UNKNOWN, UNKNOWN)

    def steps(
        self, token: NDArray[np.uint32], received_ns: NDArray[np.int64], volume: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give what was traded since the tick before, and since when that was.

        Args:
            token: instrument of each tick, in the order of arrival.
            received_ns: when each was received.
            volume: its `volume_traded`; UNKNOWN where the packet has none.

        Returns:
            Both are UNKNOWN where the volume is. The second is when the tick before was received; for an
            instrument's first of a day, the begin of the day, or UNKNOWN if nothing was traded yet.
        """
        step, since = np.full(volume.size, UNKNOWN), np.full(volume.size, UNKNOWN)
        known = np.flatnonzero(volume != UNKNOWN)
        if known.size:
            step[known], since[known] = self._known_steps(token[known], received_ns[known], volume[known])
        return step, since

    def _known_steps(
        self, token: NDArray[np.uint32], received_ns: NDArray[np.int64], volume: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        day = (received_ns + IST_NS) // DAY_NS
        groups = Groups.of(day << 32 | token)
        received, shown = received_ns[groups.order], volume[groups.order]
        last, highest, last_received = self._carry.get(groups.keys)

        reset = 2 * shown < groups.before(shown, last)
        begins = reset.copy()
        begins[groups.first] = True
        peak = shown.copy()
        goes_on = ~reset[groups.first]
        peak[groups.first[goes_on]] = np.maximum(shown[groups.first], highest)[goes_on]
        # A running maximum that starts anew where a stretch begins: the stretch's number is put on top.
        stretch = np.cumsum(begins) << _BITS
        peak = np.maximum.accumulate(stretch | peak) - stretch

        at_first = np.where(highest == UNKNOWN, shown[groups.first], highest)
        step = peak - np.where(reset, 0, groups.before(peak, at_first))
        traded_unseen = (highest == UNKNOWN) & (shown[groups.first] > 0)
        midnight = (groups.keys >> 32) * DAY_NS - IST_NS
        since = groups.before(received, np.where(traded_unseen, midnight, last_received))
        self._carry.set(groups.keys, shown[groups.last], peak[groups.last], received[groups.last])

        back = np.empty_like(groups.order)
        back[groups.order] = np.arange(back.size)
        return step[back], since[back]
