"""Volume is what the day's counter rose, however its packets were lost, repeated or overtaken."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kiterec.ticks.volume import UNKNOWN, VolumeMeter
from tests.ticks.naive_candles import Counter

DAY = 86_400 * 10**9
IST_NS = 19_800 * 10**9
START = 1_767_571_200 * 10**9
TOKENS = [1, 256]

packets = st.tuples(
    st.sampled_from(TOKENS), st.one_of(st.none(), st.integers(4, 12), st.integers(0, 3_000_000_000))
)


def measure(rows: list[tuple[int, int, int | None]], cuts: list[int]) -> tuple[list[int], list[int]]:
    """Give the steps of (token, received_ns, volume) rows, handed over in batches."""
    meter = VolumeMeter()
    steps: list[int] = []
    since: list[int] = []
    edges = [0, *sorted({cut % (len(rows) + 1) for cut in cuts}), len(rows)]
    for first, last in itertools.pairwise(edges):
        part = rows[first:last]
        step, before = meter.steps(
            np.array([row[0] for row in part], np.uint32),
            np.array([row[1] for row in part], np.int64),
            np.array([UNKNOWN if row[2] is None else row[2] for row in part], np.int64),
        )
        steps += step.tolist()
        since += before.tolist()
    return steps, since


@given(st.lists(packets, max_size=60), st.lists(st.integers(0, 60), max_size=4), st.integers(10, 60))
def test_any_counters_give_the_steps_of_plain_python(
    drawn: list[tuple[int, int | None]], cuts: list[int], ticks_a_day: int
) -> None:
    rows = [(token, START + n // ticks_a_day * DAY + n, v) for n, (token, v) in enumerate(drawn)]
    steps, since = measure(rows, cuts)
    assert all(step == UNKNOWN for step, row in zip(steps, rows, strict=True) if row[2] is None)
    for token in TOKENS:
        for day in {row[1] // DAY for row in rows}:
            here = [
                n
                for n, row in enumerate(rows)
                if row[0] == token and row[1] // DAY == day and row[2] is not None
            ]
            counter = Counter()
            assert [steps[n] for n in here] == [counter.step(rows[n][2] or 0) for n in here]
            if here:
                traded = rows[here[0]][2] or 0
                begin = (rows[here[0]][1] + IST_NS) // DAY * DAY - IST_NS if traded else UNKNOWN
                assert [since[n] for n in here] == [begin, *(rows[n][1] for n in here[:-1])]


@st.composite
def received(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Give a counter that only rises, and what two connections that fail and repeat made of it."""
    start = draw(st.integers(0, 1_000_000))
    rises = draw(st.lists(st.integers(0, 5_000), min_size=1, max_size=50))
    truth = np.cumsum([start, *rises]).tolist()
    kept = draw(st.lists(st.booleans(), min_size=len(truth), max_size=len(truth)))
    seen = [value for value, keep in zip(truth, kept, strict=True) if keep] or truth[:1]
    for _ in range(draw(st.integers(0, 4))):
        # The other connection's packet, or the snapshot after a reconnect: never newer than what is known.
        place = draw(st.integers(0, len(seen) - 1))
        back = draw(st.integers(0, min(3, place)))
        if 2 * seen[place - back] >= seen[place]:
            seen.insert(place + 1, seen[place - back])
    return truth, seen


@given(received(), st.lists(st.integers(0, 60), max_size=3))
def test_volume_is_never_negative_and_sums_to_the_days_change(
    drawn: tuple[list[int], list[int]], cuts: list[int]
) -> None:
    _, seen = drawn
    steps, _ = measure([(1, START + n, value) for n, value in enumerate(seen)], cuts)
    assert min(steps) >= 0
    assert sum(steps) == max(seen) - seen[0]


@given(received())
def test_missed_packets_lose_no_volume_but_that_before_the_first_and_after_the_last(
    drawn: tuple[list[int], list[int]],
) -> None:
    truth, seen = drawn
    kept, _ = measure([(1, START + n, value) for n, value in enumerate(seen)], [])
    whole, _ = measure([(1, START + n, value) for n, value in enumerate(truth)], [])
    assert sum(whole) - sum(kept) == (seen[0] - truth[0]) + (truth[-1] - max(seen))


def test_a_reset_counts_what_was_traded_since() -> None:
    steps, _ = measure([(1, START + n, v) for n, v in enumerate([900, 905, 0, 10, 8, 30])], [3])
    assert steps == [0, 5, 0, 10, 0, 20]


def test_a_late_packet_of_another_connection_trades_nothing() -> None:
    steps, _ = measure([(1, START + n, v) for n, v in enumerate([900, 950, 920, 950, 960])], [2, 3])
    assert steps == [0, 50, 0, 0, 10]
