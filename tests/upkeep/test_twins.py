"""TwinFinder decides as a plain loop over the packets does, however they are cut into batches."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from kiterec.ticks.find import find_packets
from kiterec.upkeep.twins import TwinFinder, fingerprints
from kiterec.wire.frames import join_frame

INPUTS, WINDOW = 3, 10
EVENTS = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, INPUTS - 1), st.integers(0, 3), st.sampled_from([8, 44])),
    max_size=60,
)
"""How long after the one before, at which input, which content, how long."""


def twins_one_by_one(events: list[tuple[int, int, int, int]]) -> list[bool]:
    last: dict[tuple[int, int], int] = {}
    counts: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0] * INPUTS)
    found, now = [], 0
    for pause, source, *content in events:
        now += pause
        key = (content[0], content[1])
        if key in last and now - last[key] > WINDOW:
            counts[key] = [0] * INPUTS
        last[key] = now
        counts[key][source] += 1
        others = [count for other, count in enumerate(counts[key]) if other != source]
        found.append(max(others) >= counts[key][source])
    return found


@given(EVENTS, st.lists(st.integers(0, 60), max_size=4))
@settings(max_examples=300, deadline=None)
def test_batches_decide_as_a_plain_loop_does(
    events: list[tuple[int, int, int, int]], cuts: list[int]
) -> None:
    finder = TwinFinder(INPUTS, window_ns=WINDOW)
    times = np.cumsum([event[0] for event in events], dtype=np.int64)
    found: list[bool] = []
    edges = sorted({0, len(events), *(cut for cut in cuts if cut < len(events))})
    for begin, end in pairwise(edges):
        part = events[begin:end]
        frames = [join_frame([bytes([content]) * length]) for _, _, content, length in part]
        packets = find_packets(pa.array(frames, pa.binary()))
        source = np.array([event[1] for event in part], np.int16)
        found += finder.find(packets, source, times[begin:end]).tolist()
    assert found == twins_one_by_one(events)


def test_only_what_may_still_have_a_twin_is_remembered() -> None:
    finder = TwinFinder(2, window_ns=WINDOW)
    for second in range(100):
        frames = [join_frame([second.to_bytes(4) * 2, b"same" * 2])]
        packets = find_packets(pa.array(frames, pa.binary()))
        finder.find(packets, np.zeros(2, np.int16), np.full(2, second * 4, np.int64))
    assert len(finder._last_ns) == 4


@given(st.binary(min_size=44, max_size=44), st.integers(0, 351))
@settings(max_examples=300, deadline=None)
def test_a_flipped_bit_changes_the_fingerprint(packet: bytes, bit: int) -> None:
    other = bytearray(packet)
    other[bit // 8] ^= 1 << bit % 8
    packets = find_packets(pa.array([join_frame([packet, bytes(other), packet])], pa.binary()))
    first, second, third = fingerprints(packets).tolist()
    assert first != second
    assert first == third
