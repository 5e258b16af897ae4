"""The one clock of a replay: a pair of recorded and steady time, taken anew at each pause and jump."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kiterec.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from kiterec.clock import Clock


class Pace:
    """Maps instants of the timeline to instants of the host's steady clock, and back.

    Deadlines are absolute: lateness never adds up. At speed max, and while paused, the replay is where the
    last message was.

    Args:
        speed: seconds of the timeline per real second; None for as fast as the clients take it.
        clock: the host's.

    Raises:
        ValueError: the speed is not a positive number.
    """

    __slots__ = ("_clock", "_elapsed_ns", "_next_ns", "_origin_due_ns", "_origin_ns", "_played_ns", "_speed",
                 "paused")  # fmt: skip

    def __init__(self, speed: float | None, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._speed = checked_speed(speed)
        self._clock = clock
        self.paused = False
        self._elapsed_ns = self._played_ns = 0
        self._origin_ns, self._origin_due_ns = clock.monotonic_ns(), 0
        self._next_ns: int | None = None

    @property
    def speed(self) -> float | None:
        """Give the factor; None is max."""
        return self._speed

    def start(self, due_ns: int) -> None:
        """Say that this instant of the timeline is now; what lies between does not count as played."""
        self._take(due_ns)
        self._next_ns = None

    def expect(self, due_ns: int) -> None:
        """Say that nothing is due before this instant: a clock that is late does not run past it."""
        self._next_ns = due_ns

    def reach(self, due_ns: int) -> None:
        """Say that a message of this instant is out; without deadlines this alone moves the clock."""
        if self._speed is None or self.paused:
            self._played_ns += due_ns - self._origin_due_ns
            self._origin_due_ns = due_ns

    def pause(self) -> None:
        """Stand still."""
        self._take(self.position_ns())
        self.paused = True

    def resume(self) -> None:
        """Go on from where it stands."""
        self._take(self.position_ns())
        self.paused = False

    def set_speed(self, speed: float | None) -> None:
        """Go on from here with another speed.

        Raises:
            ValueError: the speed is not a positive number.
        """
        speed = checked_speed(speed)
        self._take(self.position_ns())
        self._speed = speed

    def wait_ns(self, due_ns: int) -> int:
        """Give how long it is until the instant; negative when it is past, 0 whenever the speed is max."""
        if self._speed is None:
            return 0
        deadline = self._origin_ns + round((due_ns - self._origin_due_ns) / self._speed)
        return deadline - self._clock.monotonic_ns()

    def reached_ns(self) -> int | None:
        """Give the instant of the timeline that is now; None when the speed is max: all of it."""
        if self._speed is None:
            return None
        if self.paused:
            return self._origin_due_ns
        return self._origin_due_ns + int((self._clock.monotonic_ns() - self._origin_ns) * self._speed)

    def position_ns(self) -> int:
        """Give where in the timeline the replay is, not past the next message."""
        reached = self.reached_ns()
        if reached is None:
            return self._origin_due_ns
        return reached if self._next_ns is None else max(self._origin_due_ns, min(reached, self._next_ns))

    def elapsed_ns(self) -> int:
        """Give the real time that it has run, without pauses."""
        return self._elapsed_ns + (0 if self.paused else self._clock.monotonic_ns() - self._origin_ns)

    def played_ns(self) -> int:
        """Give how much of the timeline it has run through, without what was jumped over."""
        return self._played_ns + self.position_ns() - self._origin_due_ns

    def forget(self) -> None:
        """Begin to count elapsed and played time now."""
        self._elapsed_ns = self._played_ns = 0
        self._origin_ns = self._clock.monotonic_ns()

    def _take(self, due_ns: int) -> None:
        """Take the pair anew, and add what is over to the accounts."""
        now_ns = self._clock.monotonic_ns()
        self._played_ns += self.position_ns() - self._origin_due_ns
        self._elapsed_ns += 0 if self.paused else now_ns - self._origin_ns
        self._origin_ns, self._origin_due_ns = now_ns, due_ns


def checked_speed(speed: float | None) -> float | None:
    """Give the speed back.

    Raises:
        ValueError: it is not a positive number.
    """
    if speed is not None and not (speed > 0 and math.isfinite(speed)):
        raise ValueError(f"the speed must be a positive number, got {speed}; give None for max")
    return speed
