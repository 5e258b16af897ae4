"""Finding packets agrees with the frame scanner of the wire, whatever the frames are."""

from __future__ import annotations

import random
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiterec.ticks.decode import decode
from kiterec.ticks.find import Packets, find_packets
from kiterec.wire.frames import scan_frame
from tests.ticks.frames import LENGTHS, any_frames, join, random_frame
from tests.wire.golden import FRAMES

pytestmark = pytest.mark.usefixtures("each_engine")


def places(packets: Packets) -> list[tuple[int, int, int, int]]:
    offset = packets.offset - packets.frame_start[packets.frame]
    columns = (packets.frame, packets.packet, offset, packets.length)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def scanned(frames: list[bytes]) -> list[tuple[int, int, int, int]]:
    return [
        (row, number, offset, length)
        for row, frame in enumerate(frames)
        for number, (offset, length) in enumerate(scan_frame(frame).packets)
    ]


def check(frames: list[bytes], array: pa.Array) -> None:
    found = find_packets(array)
    assert places(found) == scanned(frames)
    problems = [(p.frame, p.offset, p.reason) for p in found.problems()]
    assert problems == [
        (row, p.offset, p.reason) for row, frame in enumerate(frames) for p in scan_frame(frame).problems
    ]


@settings(max_examples=300, deadline=None)
@given(st.lists(any_frames, max_size=8))
def test_any_frames_give_the_packets_and_problems_of_the_frame_scanner(frames: list[bytes]) -> None:
    check(frames, pa.array(frames, pa.binary()))


@settings(max_examples=100, deadline=None)
@given(st.lists(any_frames, max_size=6), st.integers(0, 6), st.integers(0, 6))
def test_a_slice_of_a_large_array_gives_its_own_frames(frames: list[bytes], first: int, size: int) -> None:
    check(frames[first : first + size], pa.array(frames, pa.large_binary()).slice(first, size))


@pytest.mark.parametrize("name", FRAMES)
def test_every_cut_of_a_golden_frame_is_described_like_the_scanner_does(name: str) -> None:
    cuts = [FRAMES[name][:size] for size in range(len(FRAMES[name]) + 1)]
    check(cuts, pa.array(cuts, pa.binary()))


def test_many_big_mixed_frames_of_both_parities_are_found() -> None:
    rng = random.Random(11)
    frames = [random_frame(rng, rng.randrange(400), LENGTHS) for _ in range(30)]
    frames[3:3] = [b"\0", b"\0\1\0\3abc", b""]
    check(frames, pa.array(frames, pa.binary()))


def test_frames_of_more_than_the_linked_span_are_found() -> None:
    rng = random.Random(12)
    frames = [random_frame(rng, 3_000, [44, 184, 28]) for _ in range(6)]
    check(frames, pa.array(frames, pa.binary()))


@pytest.mark.parametrize("length", [0, 2, 33, 64, 192, 65_535])
def test_frames_with_an_unknown_length_are_walked_past_it(length: int) -> None:
    rng = random.Random(length)
    frames = [
        join([b"x" * length if rng.random() < 0.3 else bytes(rng.choice(LENGTHS)) for _ in range(20)])
        for _ in range(5)
    ]
    check(frames, pa.array(frames, pa.binary()))


def test_a_frame_whose_size_fits_but_whose_length_words_differ_is_no_uniform_frame() -> None:
    # 3 * (2 + 8) = 30 bytes: lengths 8, 6 and 10 have the same sum as 8, 8 and 8.
    frame = struct.pack(">H", 3) + b"".join(struct.pack(">H", size) + bytes(size) for size in (8, 6, 10))
    assert places(find_packets(pa.array([frame], pa.binary()))) == [
        (0, 0, 4, 8),
        (0, 1, 14, 6),
        (0, 2, 22, 10),
    ]


def test_null_and_heartbeats_hold_no_packets_and_no_problem() -> None:
    found = find_packets(pa.array([None, b"\0", b"", join([bytes(8)]), None], pa.binary()))
    assert places(found) == [(3, 0, 4, 8)]
    assert list(found.problems()) == []


def test_no_frames_give_no_packets() -> None:
    assert len(find_packets(pa.array([], pa.binary()))) == 0


def test_rows_that_are_no_frames_are_passed_over() -> None:
    array = pa.array([join([bytes(8)]), b'{"type":"error"}', join([bytes(44)])], pa.binary())
    found = find_packets(array, binary=np.array([True, False, True]))
    assert places(found) == [(0, 0, 4, 8), (2, 0, 4, 44)]
    assert list(found.problems()) == []


def test_the_bytes_are_not_copied() -> None:
    array = pa.array([join([bytes(184)] * 3)], pa.binary())
    assert find_packets(array).data.ctypes.data == array.buffers()[2].address


def test_an_array_of_text_is_refused() -> None:
    with pytest.raises(TypeError, match="frames are string; give binary"):
        find_packets(pa.array(["x"]))


def test_an_array_whose_offsets_leave_its_bytes_is_refused() -> None:
    # Arrow itself looks at the first and the last offset only.
    bounds = pa.py_buffer(np.array([0, 1 << 20, 12], np.int32))
    damaged = pa.Array.from_buffers(pa.binary(), 2, [None, bounds, pa.py_buffer(bytes(12))])
    with pytest.raises(ValueError, match="outside the 12 bytes"):
        find_packets(damaged)


@pytest.mark.parametrize(("kind", "width"), [(pa.binary(), np.int32), (pa.large_binary(), np.int64)])
def test_offsets_whose_differences_wrap_are_refused(kind: pa.DataType, width: type[np.signedinteger]) -> None:
    # The first frame seems to be of 2 GiB: nothing would keep a loop of machine code inside the 12 bytes.
    bounds = pa.py_buffer(np.array([0, np.iinfo(width).max, -2, 12], width))
    damaged = pa.Array.from_buffers(kind, 3, [None, bounds, pa.py_buffer(b"\xff" * 12)])
    with pytest.raises(ValueError, match="outside the 12 bytes"):
        find_packets(damaged, binary=np.array([True, False, False]))
    with pytest.raises(ValueError, match="outside the 12 bytes"):
        decode(damaged, threads=2)
