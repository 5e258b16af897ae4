from __future__ import annotations

import threading

from kiterec.plugins.backlog import Backlog


def test_entries_come_out_in_their_order() -> None:
    backlog: Backlog[int] = Backlog(limit_bytes=100)
    for number in range(5):
        backlog.add(number, rows=1, size=10)
    assert [backlog.take() for _ in range(5)] == [0, 1, 2, 3, 4]
    assert len(backlog) == 0
    assert backlog.lost_rows == 0


def test_the_oldest_are_lost_and_counted_when_the_limit_is_passed() -> None:
    backlog: Backlog[int] = Backlog(limit_bytes=100)
    for number in range(15):
        backlog.add(number, rows=2, size=10)
    assert (backlog.lost_rows, backlog.lost_entries, len(backlog)) == (10, 5, 10)
    assert backlog.take() == 5


def test_the_newest_is_kept_even_when_it_is_larger_than_the_limit() -> None:
    backlog: Backlog[str] = Backlog(limit_bytes=100)
    backlog.add("old", rows=1, size=50)
    backlog.add("large", rows=1, size=500)
    assert backlog.take() == "large"
    assert backlog.lost_rows == 1


def test_what_has_no_rows_is_never_lost() -> None:
    backlog: Backlog[str] = Backlog(limit_bytes=100)
    backlog.add("started")
    for _ in range(30):
        backlog.add("batch", rows=1, size=60)
    backlog.add("stopped")
    assert [backlog.take() for _ in range(3)] == ["started", "batch", "stopped"]
    assert backlog.lost_rows == 29


def test_taking_waits_for_what_comes() -> None:
    backlog: Backlog[str] = Backlog(limit_bytes=100)
    found: list[str] = []
    taker = threading.Thread(target=lambda: found.append(backlog.take()))
    taker.start()
    backlog.add("late")
    taker.join(30)
    assert found == ["late"]
