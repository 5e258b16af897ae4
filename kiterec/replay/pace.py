"""When a message is due: absolute deadlines from one clock, so that lateness never adds up."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kiterec.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from kiterec.clock import Clock


class Pace:
    """Maps instants of the timeline to instants of the host's steady clock.

    Args:
        speed: seconds of the timeline per real second; None for as fast as the clients take it.
        clock: the host's.

    Raises:
        ValueError: the speed is not a positive number.
    """

    __slots__ = ("_clock", "_origin_due_ns", "_origin_ns", "speed")

    def __init__(self, speed: float | None, *, clock: Clock = SYSTEM_CLOCK) -> None:
        if speed is not None and not (speed > 0 and math.isfinite(speed)):
            raise ValueError(f"the speed must be a positive number, got {speed}; give None for max")
        self.speed = speed
        self._clock = clock
        self.start(0)

    def start(self, due_ns: int) -> None:
        """Say that this instant of the timeline is now."""
        self._origin_due_ns = due_ns
        self._origin_ns = self._clock.monotonic_ns()

    def wait_ns(self, due_ns: int) -> int:
        """Give how long it is until the instant; negative when it is past, 0 whenever the speed is max."""
        if self.speed is None:
            return 0
        deadline = self._origin_ns + round((due_ns - self._origin_due_ns) / self.speed)
        return deadline - self._clock.monotonic_ns()

    def reached_ns(self) -> int | None:
        """Give the instant of the timeline that is now; None when the speed is max: all of it."""
        if self.speed is None:
            return None
        return self._origin_due_ns + int((self._clock.monotonic_ns() - self._origin_ns) * self.speed)

    def elapsed_ns(self) -> int:
        """Give the real time since the start."""
        return self._clock.monotonic_ns() - self._origin_ns
