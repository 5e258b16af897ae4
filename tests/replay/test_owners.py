"""Redundant recordings: each instrument has one speaker at a time."""

from __future__ import annotations

import random

import numpy as np
import pytest

from kiterec.replay.owners import TAKEOVER_NS, Owners

pytestmark = pytest.mark.usefixtures("each_engine")

S = 1_000_000_000


class Update:
    def __init__(self, instrument: int, number: int, at_ns: int) -> None:
        self.instrument, self.number, self.at_ns = instrument, number, at_ns


def market(rng: random.Random, *, seconds: int) -> list[Update]:
    """Give updates of busy and quiet instruments, numbered per instrument."""
    updates = []
    for instrument in range(6):
        at_ns, number = rng.randrange(S), 0
        while at_ns < seconds * S:
            updates.append(Update(instrument, number, at_ns))
            number += 1
            at_ns += rng.randrange(S // 4, (1 + 5 * (instrument % 2)) * S)
    return updates


@pytest.mark.parametrize("seed", range(20))
def test_copies_are_dropped_and_only_the_time_until_a_takeover_is_lost(seed: int) -> None:
    rng = random.Random(seed)
    silent = (10 * S, 20 * S)
    updates = market(rng, seconds=40)
    rows = []
    for update in updates:
        for connection in (0, 1):
            if connection == 0 and silent[0] <= update.at_ns < silent[1]:
                continue
            rows.append((update.at_ns + rng.randrange(S // 10), connection, update))
    rows.sort(key=lambda row: row[0])
    passed = claim_all(rng, rows)
    for instrument in range(6):
        numbers = [update.number for update in passed if update.instrument == instrument]
        assert numbers == sorted(set(numbers)), f"seed {seed}"
        lost = [u for u in updates if u.instrument == instrument and u.number not in numbers]
        latest = silent[0] + TAKEOVER_NS + S // 2
        assert all(silent[0] <= u.at_ns < latest for u in lost), f"seed {seed}"


def claim_all(rng: random.Random, rows: list[tuple[int, int, Update]]) -> list[Update]:
    owners = Owners()
    passed = []
    while rows:
        count = rng.randrange(1, 60)
        batch, rows = rows[:count], rows[count:]
        owners.grow(6)
        keep = owners.claim(
            np.array([update.instrument for _, _, update in batch], np.int32),
            np.array([connection for _, connection, _ in batch], np.int16),
            np.array([at_ns for at_ns, _, _ in batch], np.int64),
            np.full(len(batch), 184, np.int64),
        )
        passed += [update for n, (_, _, update) in enumerate(batch) if keep is None or keep[n]]
    return passed


def test_a_lower_mode_takes_over_only_after_a_long_silence() -> None:
    owners = Owners()
    owners.grow(1)

    def says(connection: int, second: int, length: int) -> bool:
        keep = owners.claim(
            np.zeros(1, np.int32),
            np.array([connection], np.int16),
            np.array([second * S], np.int64),
            np.array([length], np.int64),
        )
        return keep is None or bool(keep[0])

    assert says(0, 0, 184)
    assert not says(1, 10, 8)
    assert says(0, 11, 184)
    assert not says(1, 70, 8)
    assert says(1, 72, 8)
    assert says(0, 73, 184)


@pytest.mark.parametrize("seed", range(20))
def test_it_does_not_matter_where_batches_end(seed: int) -> None:
    """Of what one batch has decided, the next goes on."""
    rng = random.Random(seed)
    count, instruments = 400, 6
    instrument = np.array(rng.choices(range(instruments), k=count), np.int32)
    connection = np.array(rng.choices(range(3), [5, 2, 1], k=count), np.int16)
    due_ns = np.cumsum(rng.choices([0, S // 20, S, 30 * S], [20, 10, 2, 1], k=count)).astype(np.int64)
    length = np.array(rng.choices([44, 184], k=count), np.int64)

    def kept(ends: list[int]) -> list[bool]:
        owners, decided = Owners(), []
        owners.grow(instruments)
        for begin, end in zip([0, *ends], [*ends, count], strict=True):
            keep = owners.claim(
                instrument[begin:end], connection[begin:end], due_ns[begin:end], length[begin:end]
            )
            decided += [True] * (end - begin) if keep is None else keep.tolist()
        return decided

    at_once = kept([])
    assert any(at_once)
    assert not all(at_once)
    assert kept(list(range(1, count))) == at_once, f"seed {seed}"
    assert kept(sorted(rng.sample(range(1, count), 5))) == at_once, f"seed {seed}"
