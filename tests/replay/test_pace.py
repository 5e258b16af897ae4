"""Deadlines: absolute, from one clock, at any speed."""

from __future__ import annotations

import pytest

from kiterec.replay.pace import Pace


class HandClock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.ns = 1_000

    def now_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns


@pytest.mark.parametrize(("speed", "wait"), [(1.0, 500), (0.5, 1_000), (10.0, 50)])
def test_the_speed_divides_the_waits(speed: float, wait: int) -> None:
    pace = Pace(speed, clock=HandClock())
    assert pace.wait_ns(500) == wait


def test_lateness_does_not_move_later_deadlines() -> None:
    clock = HandClock()
    pace = Pace(2.0, clock=clock)
    clock.ns += 400
    assert pace.wait_ns(600) == -100
    assert pace.wait_ns(1_000) == 100
    assert pace.reached_ns() == 800


def test_a_start_in_the_middle_counts_from_there() -> None:
    clock = HandClock()
    pace = Pace(1.0, clock=clock)
    clock.ns += 7
    pace.start(5_000)
    assert pace.wait_ns(5_300) == 300
    assert pace.elapsed_ns() == 0


def test_at_max_nothing_waits_and_everything_is_due() -> None:
    pace = Pace(None, clock=HandClock())
    assert pace.wait_ns(10**18) == 0
    assert pace.reached_ns() is None


@pytest.mark.parametrize("speed", [0, -1.0, float("inf"), float("nan")])
def test_an_impossible_speed_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="positive number"):
        Pace(speed)
