from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from kiterec.clock import NS_PER_S, to_ns
from kiterec.errors import SetupError
from kiterec.record.schedule import LOOK_AGAIN_S, Schedule

NOON = to_ns(datetime(2026, 11, 20, 6, 30, tzinfo=UTC))  # 12:00 IST


@dataclass
class StillClock:
    """Stands still until a test moves it."""

    wall: int = NOON
    steady: int = 50 * NS_PER_S

    def now_ns(self) -> int:
        return self.wall

    def monotonic_ns(self) -> int:
        return self.steady


def test_without_an_end_there_is_nothing_to_wait_for() -> None:
    schedule = Schedule()
    schedule.check(StillClock())
    assert schedule.left_s(StillClock(), started_ns=0) is None
    assert schedule.wait_s(StillClock(), started_ns=0) is None


def test_a_duration_counts_on_the_steady_clock_whatever_the_wall_clock_does() -> None:
    clock = StillClock()
    schedule = Schedule(duration_s=30)
    start = clock.steady
    clock.steady += 10 * NS_PER_S
    clock.wall -= 3600 * NS_PER_S
    assert schedule.left_s(clock, started_ns=start) == 20
    assert schedule.wait_s(clock, started_ns=start) == 20
    clock.steady += 21 * NS_PER_S
    assert schedule.left_s(clock, started_ns=start) == 0


def test_an_instant_follows_the_wall_clock_and_is_looked_at_again_and_again() -> None:
    clock = StillClock()
    schedule = Schedule(until_ns=NOON + 3600 * NS_PER_S)
    assert schedule.wait_s(clock, started_ns=0) == LOOK_AGAIN_S
    clock.wall += 3599 * NS_PER_S
    assert schedule.wait_s(clock, started_ns=0) == 1
    clock.wall += 3599 * NS_PER_S
    assert schedule.wait_s(clock, started_ns=0) == 0


def test_the_earlier_end_wins() -> None:
    clock = StillClock()
    schedule = Schedule(duration_s=2, until_ns=NOON + 60 * NS_PER_S)
    assert schedule.left_s(clock, started_ns=clock.steady) == 2
    schedule = Schedule(duration_s=200, until_ns=NOON + 60 * NS_PER_S)
    assert schedule.left_s(clock, started_ns=clock.steady) == 60


def test_an_end_that_is_over_is_refused_in_the_time_of_the_exchange() -> None:
    with pytest.raises(SetupError, match="the end 2026-11-20 11:59:59 IST is over, it is 12:00:00"):
        Schedule(until_ns=NOON - NS_PER_S).check(StillClock())
    with pytest.raises(SetupError, match="the duration is 0 s, expected more than 0"):
        Schedule(duration_s=0).check(StillClock())
