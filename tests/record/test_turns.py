"""The turns that threads take while something is recorded."""

from __future__ import annotations

import sys

from kiterec.record.turns import TURN_S, quick_turns


def test_turns_are_quick_until_the_last_recorder_has_left() -> None:
    before = sys.getswitchinterval()
    first, second = quick_turns(), quick_turns()
    with first:
        assert sys.getswitchinterval() <= TURN_S + 1e-6
        second.__enter__()
    assert sys.getswitchinterval() <= TURN_S + 1e-6
    second.__exit__(None, None, None)
    assert sys.getswitchinterval() == before


def test_a_program_that_wants_even_quicker_turns_keeps_them() -> None:
    before = sys.getswitchinterval()
    try:
        sys.setswitchinterval(TURN_S / 2)
        quicker = sys.getswitchinterval()
        with quick_turns():
            assert sys.getswitchinterval() == quicker
        assert sys.getswitchinterval() == quicker
    finally:
        sys.setswitchinterval(before)
