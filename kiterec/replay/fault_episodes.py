"""Faults that last: which of them a connection is in, and what they do to all its messages together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from kiterec.clock import NS_PER_S
from kiterec.replay.fault_kinds import Bandwidth, Episode, HeartbeatsOnly, Latency, Silence

if TYPE_CHECKING:
    from kiterec.replay.fault_triggers import Place, Trigger


class _Lasting(NamedTuple):
    trigger: Trigger
    fault: Episode
    until_ns: float
    until_frame: float


class Episodes:
    """The episodes of one connection."""

    __slots__ = ("_begun", "_lasting")

    def __init__(self) -> None:
        self._lasting: list[_Lasting] = []
        self._begun: set[int] = set()

    def begin(self, trigger: Trigger, place: Place, *, first_frame: int) -> None:
        """Begin an episode.

        Args:
            trigger: that fired.
            place: where.
            first_frame: the first frame that is in it.
        """
        fault = trigger.fault
        if not isinstance(fault, Episode):
            return
        until_ns = fault.until_s * NS_PER_S
        if fault.for_s is not None:
            until_ns = min(until_ns, place.due_ns + fault.for_s * NS_PER_S)
        until_frame = math.inf if fault.for_frames is None else first_frame + fault.for_frames
        self._lasting = [each for each in self._lasting if each.trigger is not trigger]
        self._lasting.append(_Lasting(trigger, fault, until_ns, until_frame))
        self._begun.add(id(trigger))

    def has_begun(self, trigger: Trigger) -> bool:
        """Tell whether this connection has been in an episode of this trigger."""
        return id(trigger) in self._begun

    def forget_past(self, place: Place) -> None:
        """End the episodes that are over."""
        if self._lasting:
            self._lasting = [
                each
                for each in self._lasting
                if place.due_ns < each.until_ns and place.number < each.until_frame
            ]

    def silent(self) -> bool:
        """Tell whether not even heartbeats go out."""
        return any(isinstance(each.fault, Silence) for each in self._lasting)

    def heartbeats_only(self) -> bool:
        """Tell whether nothing but heartbeats goes out."""
        return any(isinstance(each.fault, HeartbeatsOnly | Silence) for each in self._lasting)

    def latency_s(self) -> float:
        """Give how long the next message travels; each call draws the jitter anew."""
        ms = 0.0
        for each in self._lasting:
            if isinstance(each.fault, Latency):
                ms += each.fault.ms + each.fault.jitter_ms * each.trigger.chance.random()
        return ms / 1_000

    def bytes_per_s(self) -> float | None:
        """Give the narrowest bandwidth; None: no limit."""
        rates = [each.fault.bytes_per_s for each in self._lasting if isinstance(each.fault, Bandwidth)]
        return min(rates, default=None)
