"""Frames with fewer packets are what taking them apart one by one gives."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from kiterec.ticks.find import find_packets
from kiterec.upkeep.reframing import join_packets, keep_packets
from kiterec.wire.frames import join_frame, split_frame

LENGTHS = st.sampled_from([8, 28, 32, 44, 184])
FRAMES = st.lists(st.lists(st.tuples(LENGTHS, st.integers(0, 255)), max_size=6), max_size=8)


def made(frames: list[list[tuple[int, int]]]) -> list[bytes]:
    return [join_frame([bytes([fill]) * length for length, fill in frame]) for frame in frames]


@given(FRAMES, st.randoms())
@settings(max_examples=200, deadline=None)
def test_frames_keep_exactly_the_packets_that_stay(
    frames: list[list[tuple[int, int]]], chance: object
) -> None:
    payloads = made(frames)
    batch = pa.record_batch({"payload": pa.array(payloads, pa.binary())})
    packets = find_packets(batch.column("payload"))
    keep = np.array([chance.random() < 0.5 for _ in range(len(packets))], np.bool_)  # type: ignore[attr-defined]
    changed = np.zeros(len(payloads), np.bool_)
    changed[packets.frame[~keep]] = True
    stays = iter(keep.tolist())
    expected = []
    for payload in payloads:
        pieces = split_frame(payload)
        kept = [piece for piece in pieces if next(stays)]
        if kept or not pieces:
            expected.append(join_frame(kept))
    assert keep_packets(batch, packets, keep, changed=changed).column("payload").to_pylist() == expected


@given(FRAMES)
@settings(max_examples=100, deadline=None)
def test_joining_all_packets_gives_the_frames_that_had_any(frames: list[list[tuple[int, int]]]) -> None:
    payloads = made(frames)
    packets = find_packets(pa.array(payloads, pa.binary()))
    assert join_packets(packets).to_pylist() == [payload for payload in payloads if len(payload) > 2]


def test_a_slice_of_a_batch_is_taken_for_itself() -> None:
    payloads = made([[(44, n)] for n in range(6)])
    batch = pa.record_batch({"payload": pa.array(payloads, pa.binary())}).slice(2, 3)
    packets = find_packets(batch.column("payload"))
    keep = np.array([True, False, True])
    changed = np.array([True, True, False])
    left = keep_packets(batch, packets, keep, changed=changed).column("payload").to_pylist()
    assert left == [payloads[2], payloads[4]]
