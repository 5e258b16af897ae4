"""Inputs for hypothesis: good ones with bytes flipped, cut out, repeated and put in, and any bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from hypothesis import strategies as st

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

NUMBERS = [0, 1, 7, 8, 127, 255, 256, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1]


@st.composite
def mutated(draw: st.DrawFn, good: list[bytes]) -> bytes:
    """Give a good input after a few changes."""
    content = bytearray(draw(st.sampled_from(good)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 64))
        change = draw(st.integers(0, 5))
        if change == 0 and at < len(content):
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif change == 1:
            content[at : at + length] = draw(st.binary(max_size=64))
        elif change == 2:
            number = draw(st.sampled_from(NUMBERS))
            packed = struct.pack(draw(st.sampled_from("<>")) + "Q", number & (2**64 - 1))
            size = draw(st.sampled_from([1, 2, 4, 8]))
            content[at : at + size] = packed[:size]
        elif change == 3:
            del content[at : at + length]
        elif change == 4:
            content[at:at] = content[at : at + length * 8]
        else:
            del content[at:]
    return bytes(content)


def inputs(good: list[bytes]) -> SearchStrategy[bytes]:
    """Give any input, mostly one that is nearly good."""
    return mutated(good) | mutated(good) | mutated(good) | st.binary(max_size=600)
