"""SeqSet knows holes and repetitions exactly, whatever the order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiterec.upkeep import seq_set
from kiterec.upkeep.seq_set import SeqSet

Batches = list[list[int]]


def holes_one_by_one(seqs: list[int]) -> list[tuple[int, int]]:
    there = set(seqs)
    holes: list[list[int]] = []
    for seq in range(max(seqs, default=0)):
        if seq in there:
            continue
        if holes and holes[-1][1] == seq:
            holes[-1][1] += 1
        else:
            holes.append([seq, seq + 1])
    return [(begin, end) for begin, end in holes]


@given(st.lists(st.lists(st.integers(0, 80), max_size=40), max_size=6), st.sampled_from([8, 16, 64]))
@settings(max_examples=300, deadline=None)
def test_holes_and_repetitions_are_those_of_a_plain_set(batches: Batches, page: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seq_set, "PAGE_BITS", page)
        seen = SeqSet()
        for batch in batches:
            seen.add(np.array(batch, np.uint64))
        every = [seq for batch in batches for seq in batch]
        assert list(seen.holes()) == holes_one_by_one(every)
        repeated = [seq for seq in set(every) if every.count(seq) > 1]
        assert (seen.repeated > 0) == bool(repeated)
        assert seen.first_repeated == min(repeated, default=None)


def test_a_million_rows_in_order_take_no_memory_for_full_pages() -> None:
    seen = SeqSet()
    for begin in range(0, 1_000_000, 50_000):
        seen.add(np.arange(begin, begin + 50_000, dtype=np.uint64))
    assert len(seen._pages) == 1
    assert list(seen.holes()) == []


def test_positions_that_lie_too_far_apart_are_said_to_be_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seq_set, "MAX_PAGES", 10)
    seen = SeqSet()
    seen.add(np.arange(11, dtype=np.uint64) * 1_000_000)
    assert seen.overflowed
    assert len(seen._pages) == 10
