"""Frames for the tests of the tick table: drawn by hypothesis, or many at once from a seed."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from hypothesis import strategies as st

if TYPE_CHECKING:
    import random

LENGTHS = [8, 28, 32, 44, 184]
SEGMENTS = [*range(1, 13), 77]

words = st.one_of(
    st.sampled_from([0, 1, 100, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 8, 44 << 16 | 184]),
    st.integers(0, 0xFFFFFFFF),
)


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """A packet of a known length, any bytes in it."""
    length = draw(st.sampled_from(LENGTHS))
    token = draw(st.integers(0, 0xFFFFFF)) << 8 | draw(st.sampled_from(SEGMENTS))
    pool = draw(st.lists(words, min_size=1, max_size=6))
    start = draw(st.integers(0, 5))
    rest = [pool[(start + place * 7) % len(pool)] for place in range(length // 4 - 1)]
    return struct.pack(f">{length // 4}I", token, *rest)


strange_packets = st.one_of(packets(), st.binary(max_size=60))


def join(parts: list[bytes]) -> bytes:
    return struct.pack(">H", len(parts)) + b"".join(struct.pack(">H", len(part)) + part for part in parts)


def damaged(frame: bytes, cut: int, flips: list[tuple[int, int]], tail: bytes) -> bytes:
    """Give the frame with bytes changed, cut off and added."""
    broken = bytearray(frame)
    for place, bits in flips:
        broken[place % len(broken)] ^= bits
    return bytes(broken[: max(0, len(broken) - cut)]) + tail


whole_frames = st.lists(packets(), max_size=12).map(join)
uniform_frames = st.builds(lambda packet, count: join([packet] * count), packets(), st.integers(0, 9))
broken_frames = st.builds(
    damaged,
    st.lists(strange_packets, max_size=8).map(join),
    st.integers(0, 40),
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 255)), max_size=3),
    st.binary(max_size=5),
)
any_frames = st.one_of(whole_frames, uniform_frames, broken_frames, st.binary(max_size=40))


def random_packet(rng: random.Random, length: int, *, segment: int | None = None) -> bytes:
    """Give a packet with prices below 2^31, as a market has them."""
    chosen = (
        segment if segment is not None else 9 if length in {28, 32} else rng.choice([1, 2, 3, 4, 5, 6, 7, 12])
    )
    token = rng.randrange(1, 1 << 16) << 8 | chosen
    numbers = [rng.choice([0, rng.randrange(200), rng.randrange(1 << 31)]) for _ in range(length // 4 - 1)]
    return struct.pack(f">{length // 4}I", token, *numbers)


def random_frame(rng: random.Random, count: int, lengths: list[int]) -> bytes:
    return join([random_packet(rng, rng.choice(lengths)) for _ in range(count)])
