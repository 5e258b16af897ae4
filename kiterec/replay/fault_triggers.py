"""When a fault fires: one trigger, counted per seat, with chance that nothing else touches."""

from __future__ import annotations

import hashlib
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from kiterec.clock import NS_PER_S
from kiterec.replay.fault_kinds import Episode

if TYPE_CHECKING:
    from kiterec.replay.fault_kinds import Fault


class Place(NamedTuple):
    """Where a seat is.

    Attributes:
        number: its n-th frame, snapshot or attempt, from 1.
        due_ns: the instant of the timeline.
        seq: the row of the recording.
    """

    number: int
    due_ns: int
    seq: int


class Trigger:
    """Decides when a fault fires for one seat.

    Args:
        fault: which.
        seed: the scenario's.
        index: of the fault in the scenario.
        seat: whose frames are counted; 0 for all attempts to connect together.
    """

    __slots__ = ("_done", "_fired", "chance", "fault")

    def __init__(self, fault: Fault, *, seed: int, index: int, seat: int) -> None:
        self.fault = fault
        key = hashlib.sha256(f"{seed}/{index}/{seat}".encode()).digest()
        self.chance = Random(key)  # noqa: S311 -- a fault must come again, not be unguessable
        self._fired = 0
        self._done = False

    def fires(self, place: Place) -> bool:
        """Tell whether the fault happens here; to be asked once for each place, in their order."""
        return self._met(place) and self.stands(place)

    def stands(self, place: Place) -> bool:
        """Tell whether the fault may happen here whatever its trigger says, and count that it does."""
        fault = self.fault
        inside = fault.from_s <= place.due_ns / NS_PER_S < fault.until_s
        if not inside or (fault.times is not None and self._fired >= fault.times):
            return False
        self._fired += 1
        return True

    def _met(self, place: Place) -> bool:
        fault = self.fault
        if fault.probability is not None:
            # Drawn at each place, so that a bound on time or number moves no other draw.
            return self.chance.random() < fault.probability
        if fault.every_frames is not None:
            return place.number % fault.every_frames == 0
        if fault.at_frame is not None:
            return place.number == fault.at_frame
        if fault.at_s is not None:
            return self._first(place.due_ns >= fault.at_s * NS_PER_S)
        if fault.at_seq is not None:
            return self._first(place.seq >= fault.at_seq)
        return not isinstance(fault, Episode)

    def _first(self, reached: bool) -> bool:
        first = reached and not self._done
        self._done |= reached
        return first
