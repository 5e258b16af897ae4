"""Deadlines: absolute, from one clock, at any speed, through pauses and jumps."""

from __future__ import annotations

import random

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
    pace.forget()
    clock.ns += 100
    assert (pace.elapsed_ns(), pace.played_ns(), pace.position_ns()) == (100, 100, 5_100)


def test_at_max_nothing_waits_and_the_last_message_is_the_position() -> None:
    clock = HandClock()
    pace = Pace(None, clock=clock)
    assert pace.wait_ns(10**18) == 0
    assert pace.reached_ns() is None
    pace.reach(700)
    clock.ns += 1_000
    assert (pace.position_ns(), pace.played_ns(), pace.elapsed_ns()) == (700, 700, 1_000)
    pace.set_speed(2.0)
    assert pace.wait_ns(900) == 100


def test_a_pause_moves_every_later_deadline_by_its_length_and_counts_for_nothing() -> None:
    clock = HandClock()
    pace = Pace(2.0, clock=clock)
    clock.ns += 100
    pace.pause()
    clock.ns += 5_000
    assert (pace.position_ns(), pace.elapsed_ns(), pace.played_ns()) == (200, 100, 200)
    pace.resume()
    clock.ns += 10
    assert (pace.position_ns(), pace.elapsed_ns(), pace.played_ns()) == (220, 110, 220)
    assert pace.wait_ns(400) == 90


def test_a_clock_that_is_late_stands_at_the_next_message_after_a_pause() -> None:
    clock = HandClock()
    pace = Pace(1.0, clock=clock)
    pace.expect(300)
    clock.ns += 10_000
    pace.pause()
    pace.resume()
    assert pace.position_ns() == 300
    assert pace.wait_ns(350) == 50


def test_a_jump_counts_neither_as_played_nor_as_time() -> None:
    clock = HandClock()
    pace = Pace(1.0, clock=clock)
    clock.ns += 50
    pace.start(10**9)
    clock.ns += 50
    assert (pace.played_ns(), pace.elapsed_ns()) == (100, 100)
    pace.start(0)
    assert (pace.played_ns(), pace.elapsed_ns(), pace.position_ns()) == (100, 100, 0)


@pytest.mark.parametrize("seed", range(10))
def test_any_order_of_buttons_agrees_with_adding_up_each_stretch(seed: int) -> None:
    rng = random.Random(seed)
    clock = HandClock()
    pace = Pace(1.0, clock=clock)
    position = elapsed = played = 0.0
    for _ in range(200):
        ns = rng.randrange(10_000)
        clock.ns += ns
        if not pace.paused:
            assert pace.speed is not None
            position, played, elapsed = position + ns * pace.speed, played + ns * pace.speed, elapsed + ns
        match rng.randrange(4):
            case 0:
                pace.pause()
            case 1:
                pace.resume()
            case 2:
                pace.set_speed(rng.choice([0.5, 1.0, 4.0]))
            case 3:
                position = rng.randrange(10**6)
                pace.start(int(position))
        assert abs(pace.position_ns() - position) < 200, f"seed {seed}"
        assert abs(pace.played_ns() - played) < 200, f"seed {seed}"
        assert pace.elapsed_ns() == elapsed, f"seed {seed}"


@pytest.mark.parametrize("speed", [0, -1.0, float("inf"), float("nan")])
def test_an_impossible_speed_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="positive number"):
        Pace(speed)
    pace = Pace(3.0)
    with pytest.raises(ValueError, match="positive number"):
        pace.set_speed(speed)
    assert pace.speed == 3.0
