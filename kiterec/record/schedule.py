"""When a recording ends by itself: after a duration, or at an instant of the wall clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kiterec.clock import NS_PER_S, ist
from kiterec.errors import SetupError

if TYPE_CHECKING:
    from kiterec.clock import Clock

LOOK_AGAIN_S: Final = 5.0
"""The wall clock can be set while we wait, so a wait for an instant looks at it again this often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The end of a recording; whichever comes first. None: it does not end by this.

    Attributes:
        duration_s: seconds on the monotonic clock, from the start.
        until_ns: wall clock, nanoseconds since the UNIX epoch; excluded.
    """

    duration_s: float | None = None
    until_ns: int | None = None

    def check(self, clock: Clock) -> None:
        """Refuse an end that is over already.

        Raises:
            SetupError: the duration is not above zero, or the instant is past.
        """
        if self.duration_s is not None and not self.duration_s > 0:
            raise SetupError(f"the duration is {self.duration_s:g} s, expected more than 0")
        now = clock.now_ns()
        if self.until_ns is not None and self.until_ns <= now:
            raise SetupError(
                f"the end {ist(self.until_ns):%Y-%m-%d %H:%M:%S} IST is over, it is {ist(now):%H:%M:%S}"
            )

    def left_s(self, clock: Clock, *, started_ns: int) -> float | None:
        """Give the seconds until the end, 0 when it has come; None without an end.

        Args:
            clock: of the host.
            started_ns: its monotonic clock at the start of the recording.
        """
        left: list[float] = []
        if self.duration_s is not None:
            left.append(self.duration_s - (clock.monotonic_ns() - started_ns) / NS_PER_S)
        if self.until_ns is not None:
            left.append((self.until_ns - clock.now_ns()) / NS_PER_S)
        return max(0.0, min(left)) if left else None

    def wait_s(self, clock: Clock, *, started_ns: int) -> float | None:
        """Give how long to wait before looking again; None without an end."""
        left = self.left_s(clock, started_ns=started_ns)
        return left if left is None or self.until_ns is None else min(left, LOOK_AGAIN_S)
