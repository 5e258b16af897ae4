"""The desired state: even, deterministic, and never more than there is room for."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiterec.errors import CapacityError
from kiterec.feed.subscriptions import Subscriptions
from kiterec.wire.packets import Mode

NAMES = ["a-0", "a-1", "b-0"]


def subscriptions(names: list[str] = NAMES, *, capacity: int = 10, copies: int = 1) -> Subscriptions:
    made = Subscriptions(capacity=capacity, copies=copies)
    for name in names:
        made.add_connection(name)
    return made


def counts(made: Subscriptions) -> list[int]:
    return [sum(modes.values()) for modes in made.distribution().values()]


def test_instruments_are_spread_evenly_and_always_the_same_way() -> None:
    one, two = subscriptions(), subscriptions()
    for made in (one, two):
        made.subscribe(range(7), mode=Mode.QUOTE, eligible=NAMES)
    assert counts(one) == [3, 2, 2]
    assert one.holders(0) == ("a-0",)
    assert one.holders(1) == ("a-1",)
    assert [one.holders(token) for token in range(7)] == [two.holders(token) for token in range(7)]


def test_many_small_batches_are_spread_like_a_large_one() -> None:
    made = subscriptions(["a-0", "a-1"])
    for token in range(10):
        made.subscribe([token], mode=Mode.LTP, eligible=["a-0", "a-1"])
    assert counts(made) == [5, 5]


def test_capacity_holds_inside_one_batch_and_nothing_changes() -> None:
    made = subscriptions(capacity=2)
    made.subscribe([1], mode=Mode.FULL, eligible=NAMES)
    with pytest.raises(CapacityError) as caught:
        made.subscribe(range(1, 9), mode=Mode.LTP, eligible=NAMES)
    assert (caught.value.asked, caught.value.free) == (7, 5)
    assert caught.value.per_connection == {"a-0": 1, "a-1": 2, "b-0": 2}
    assert counts(made) == [1, 0, 0]
    assert made.distribution()["a-0"] == {Mode.FULL: 1}


def test_a_partial_batch_says_what_became_of_each() -> None:
    made = subscriptions(["a-0"], capacity=3)
    made.subscribe([1, 2], mode=Mode.LTP, eligible=["a-0"])
    report = made.subscribe([1, 5, 5, 6, 7], mode=Mode.FULL, eligible=["a-0"], partial=True)
    assert report.placed == {5: ("a-0",)}
    assert (report.changed, report.unchanged, report.refused) == ((1,), (), (6, 7))


def test_a_known_instrument_changes_its_mode_and_takes_no_room() -> None:
    made = subscriptions(["a-0"], capacity=1)
    made.subscribe([1], mode=Mode.LTP, eligible=["a-0"])
    report = made.subscribe([1], mode=Mode.FULL, eligible=["a-0"])
    assert report.changed == (1,)
    assert made.subscribe([1], mode=Mode.FULL, eligible=["a-0"]).unchanged == (1,)
    assert made.distribution() == {"a-0": {Mode.FULL: 1}}


def test_what_is_not_subscribed_is_ignored_and_named() -> None:
    made = subscriptions()
    made.subscribe([1, 2], mode=Mode.LTP, eligible=NAMES)
    assert made.set_mode([1, 9], mode=Mode.FULL).ignored == (9,)
    report, holders = made.unsubscribe([2, 9, 2])
    assert (report.changed, report.ignored, holders) == ((2,), (9,), {2: ("a-1",)})
    assert len(made) == 1


def test_copies_are_held_by_different_accounts() -> None:
    made = subscriptions(["a-0", "a-1", "b-0", "b-1"], copies=2)
    report = made.subscribe(range(6), mode=Mode.LTP, eligible=["a-0", "a-1", "b-0", "b-1"])
    assert all({name[0] for name in names} == {"a", "b"} for names in report.placed.values())
    assert counts(made) == [3, 3, 3, 3]
    with pytest.raises(CapacityError):
        made.subscribe([7], mode=Mode.LTP, eligible=["a-0", "a-1"])


def test_what_is_lent_comes_back() -> None:
    made = subscriptions()
    made.subscribe(range(9), mode=Mode.FULL, eligible=NAMES)
    before = {token: made.holders(token) for token in range(9)}
    moves = made.lend("a-0", eligible=["a-1", "b-0"])
    assert counts(made) == [0, 5, 4]
    assert sum(len(move.tokens) for move in moves) == 3
    assert made.has_lent("a-0")
    again = made.lend("a-1", eligible=["b-0"])  # a borrower fails too
    assert counts(made) == [0, 0, 9]
    assert {move.target for move in again} == {"b-0"}
    for home in ("a-0", "a-1"):
        made.give_back(home)
        assert not made.has_lent(home)
    assert {token: made.holders(token) for token in range(9)} == before


def test_a_loan_moves_only_what_there_is_room_for() -> None:
    made = subscriptions(capacity=3)
    made.subscribe(range(8), mode=Mode.LTP, eligible=NAMES)
    assert counts(made) == [3, 3, 2]
    made.lend("a-0", eligible=["a-1", "b-0"])
    assert counts(made) == [2, 3, 3]


def test_a_removed_connection_leaves_orphans_unless_another_has_a_copy() -> None:
    made = subscriptions()
    made.subscribe(range(3), mode=Mode.LTP, eligible=NAMES)
    assert made.remove_connection("a-1") == {1: Mode.LTP}
    assert made.holders(1) == ()
    redundant = subscriptions(["a-0", "b-0"], copies=2)
    redundant.subscribe([1], mode=Mode.LTP, eligible=["a-0", "b-0"])
    assert redundant.remove_connection("a-0") == {}
    assert redundant.holders(1) == ("b-0",)


@pytest.mark.parametrize("token", [-1, 2**32, 1.5, "408065", True, None])
def test_what_is_no_instrument_token_is_refused_before_anything_changes(token: object) -> None:
    made = subscriptions()
    with pytest.raises((TypeError, ValueError), match="instrument_token"):
        made.subscribe([7, token], mode=Mode.LTP, eligible=NAMES)  # type: ignore[list-item]
    assert len(made) == 0


@given(st.integers(0, 2**32))
def test_nothing_is_ever_held_twice_lost_or_above_capacity(seed: int) -> None:
    rng = random.Random(seed)
    made = subscriptions(capacity=5)
    model: dict[int, Mode] = {}
    for _ in range(60):
        tokens = rng.sample(range(20), rng.randrange(1, 8))
        mode = rng.choice(list(Mode))
        match rng.randrange(5):
            case 0 | 1:
                report = made.subscribe(tokens, mode=mode, eligible=NAMES, partial=True)
                model.update({token: mode for token in tokens if token not in report.refused})
            case 2:
                made.unsubscribe(tokens)
                for token in tokens:
                    model.pop(token, None)
            case 3:
                made.lend(rng.choice(NAMES), eligible=rng.sample(NAMES, 2))
            case 4:
                made.give_back(rng.choice(NAMES))
        held = [token for name in NAMES for token in made.add_connection(name)]
        assert sorted(held) == sorted(model), f"seed {seed}"
        assert {t: m for name in NAMES for t, m in made.add_connection(name).items()} == model, f"seed {seed}"
        assert max(counts(made)) <= 5, f"seed {seed}"
