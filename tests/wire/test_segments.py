from __future__ import annotations

import pytest

from kiterec.wire import SEGMENTS, Segment, exchange_segment, exchange_token


def test_the_divisors_are_those_of_the_newest_python_client() -> None:
    assert {s.name: s.divisor for s in SEGMENTS.values() if s.divisor != 100} == {
        "CDS": 10_000_000,
        "BCD": 10_000,
        "NCO": 10_000,
    }


def test_only_indices_are_not_tradable() -> None:
    assert [s.name for s in SEGMENTS.values() if not s.tradable] == ["INDICES"]


def test_a_token_is_its_exchange_token_and_its_segment() -> None:
    assert (exchange_token(408065), exchange_segment(408065)) == (1594, 1)
    assert SEGMENTS.of(408065).name == "NSE"
    assert SEGMENTS.of(265).name == "INDICES"


def test_an_unknown_segment_is_unknown_and_never_taken_for_nse() -> None:
    assert SEGMENTS.of(77) == Segment(77, "unknown", 100, tradable=True)
    assert 77 not in SEGMENTS
    assert SEGMENTS.names()[77] == "unknown"


def test_the_user_can_override_and_add_segments_without_changing_the_default() -> None:
    mine = SEGMENTS.with_overrides(
        {13: Segment(13, "NEW", 1000, tradable=True), 3: Segment(3, "CDS", 1, tradable=True)}
    )
    assert (mine.divisors()[13], mine.divisors()[3], mine.names()[13]) == (1000, 1, "NEW")
    assert SEGMENTS.divisors()[3] == 10_000_000
    assert len(SEGMENTS.divisors()) == len(SEGMENTS.tradables()) == 256


def test_impossible_segments_are_refused() -> None:
    with pytest.raises(ValueError, match="override 5 holds the segment 6"):
        SEGMENTS.with_overrides({5: Segment(6, "X", 100, tradable=True)})
    with pytest.raises(ValueError, match="256 is no byte"):
        Segment(256, "X", 100, tradable=True)
    with pytest.raises(ValueError, match="divisor 0"):
        Segment(5, "X", 0, tradable=True)
