"""Pieces of connections come in the order of the recording, each packet once, and few of them wait."""

from __future__ import annotations

import random
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from kiterec.ticks import table
from kiterec.ticks.context import Context
from kiterec.ticks.crew import crew
from kiterec.ticks.decode import decode_packets
from kiterec.ticks.find import Packets, find_packets
from kiterec.ticks.interleave import Piece, in_order, interleave, shifts
from kiterec.ticks.query import TickQuery
from kiterec.ticks.schema import tick_schema
from kiterec.wire.segments import SEGMENTS
from tests.ticks.frames import join

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

PACKETS_OF_A_FRAME = 50
FRAME_BYTES = 2 + PACKETS_OF_A_FRAME * 10


def piece(seqs: list[int], wanted: list[int]) -> Piece[Packets]:
    """Give a piece of frames, of each of which so many packets are wanted."""
    frames = [
        join([seq.to_bytes(4, "big") + bytes([0, 0, 0, n]) for n in range(PACKETS_OF_A_FRAME)])
        for seq in seqs
    ]
    packets = find_packets(pa.array(frames, pa.binary()))
    chosen = packets.select(packets.packet < np.array(wanted)[packets.frame])
    context = Context(np.array(seqs, np.uint64))
    return Piece.of_packets(chosen, context, held_bytes=len(seqs) * FRAME_BYTES)


def ordered(pieces: list[Piece[Packets]]) -> list[tuple[int, int]]:
    """Give the seq and the number of each packet, in the order that the shifts say."""
    rows: dict[int, tuple[int, int]] = {}
    for one, shift in zip(pieces, shifts(pieces), strict=True):
        seqs: Any = one.context.seq
        for row, (frame, number) in enumerate(
            zip(one.rows.frame.tolist(), one.rows.packet.tolist(), strict=True)
        ):
            rows[row + int(shift[frame])] = int(seqs[frame]), number
    assert sorted(rows) == list(range(sum(len(one.rows) for one in pieces)))
    return [rows[row] for row in range(len(rows))]


@pytest.mark.parametrize("seed", range(12))
def test_every_packet_comes_once_in_its_order(seed: int) -> None:
    rng = random.Random(seed)
    lanes: list[list[int]] = [[] for _ in range(rng.randrange(1, 5))]
    speaking, expected = 0, []
    wanted: dict[int, int] = {}
    for seq in range(300):
        # One connection speaks for long, another is silent, or ends early.
        speaking = rng.randrange(len(lanes)) if rng.random() < rng.choice([0.05, 0.9]) else speaking
        lanes[speaking].append(seq)
        wanted[seq] = rng.choice([0, 0, 1, PACKETS_OF_A_FRAME])
        expected += [(seq, number) for number in range(wanted[seq])]

    def stream(seqs: list[int]) -> Iterator[Piece[Packets]]:
        while seqs:
            some, seqs = seqs[: (cut := rng.randrange(1, 9))], seqs[cut:]
            yield piece(some, [wanted[seq] for seq in some])

    merged = interleave(
        [stream(lane) for lane in lanes],
        rows=rng.choice([1, 100, 100_000]),
        held_bytes=rng.choice([1, 5_000, 1 << 30]),
    )
    assert [row for taken in merged for row in ordered(taken)] == expected, f"seed {seed}"


@pytest.mark.parametrize("long_run", [1, 1 << 30])
@pytest.mark.parametrize("seed", range(12))
def test_every_tick_comes_once_in_its_order(
    seed: int, long_run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "LONG_RUN", long_run)
    rng = random.Random(seed)
    lanes: list[list[int]] = [[] for _ in range(rng.randrange(1, 5))]
    for seq in range(300):
        rng.choice(lanes).append(seq)
    wanted = {seq: rng.choice([0, 0, 1, PACKETS_OF_A_FRAME]) for seq in range(300)}

    def stream(seqs: list[int]) -> Iterator[Piece[pl.DataFrame]]:
        while seqs:
            some, seqs = seqs[: (cut := rng.randrange(1, 9))], seqs[cut:]
            found = piece(some, [wanted[seq] for seq in some])
            ticks = decode_packets(found.rows, found.context, ["seq", "packet"])
            yield Piece.of_ticks(ticks, found.first, found.context, read_bytes=found.held_bytes)

    merged = interleave(
        [stream(lane) for lane in lanes],
        rows=rng.choice([1, 100, 100_000]),
        held_bytes=rng.choice([1, 5_000, 1 << 30]),
    )
    expected = [(seq, number) for seq in range(300) for number in range(wanted[seq])]
    assert [row for taken in merged for row in in_order(taken).rows()] == expected, f"seed {seed}"


def test_what_comes_before_a_failure_is_given() -> None:
    def stream(first: int, *, fails: bool) -> Iterator[Piece[Packets]]:
        for seq in range(first, 20, 2):
            yield piece([seq], [1])
        if fails:
            raise OSError("the disk is gone")

    given: list[tuple[int, int]] = []
    with pytest.raises(OSError, match="the disk is gone"):
        for taken in interleave(
            [stream(0, fails=True), stream(1, fails=False)], rows=1_000, held_bytes=1 << 30
        ):
            given += ordered(taken)
    assert given == [(seq, 0) for seq in range(19)], "the next of the other connection may come behind it"

    def items() -> Iterator[int]:
        yield from range(3)
        raise OSError("the disk is gone")

    made: list[int] = []
    for threads in (1, 2):
        with crew(threads) as workers, pytest.raises(OSError, match="the disk is gone"):
            made.extend(workers.one_ahead(items(), lambda item: 10 * item))
        assert made == [0, 10, 20] * threads


@pytest.mark.parametrize("wanted", [0, 1])
def test_frames_of_which_little_is_wanted_do_not_pile_up(wanted: int) -> None:
    """A piece keeps all bytes that it was found in."""
    made: list[weakref.ref[Any]] = []
    most = 0

    def stream(first: int) -> Iterator[Piece[Packets]]:
        nonlocal most
        for seq in range(first, 1_000, 2):
            one = piece([seq], [wanted])
            made.append(weakref.ref(one.rows.data))
            most = max(most, sum(each() is not None for each in made))
            yield one

    merged = interleave([stream(0), stream(1)], rows=10_000, held_bytes=20 * FRAME_BYTES)
    rows = [row for taken in merged for row in ordered(taken)]
    assert rows == [(seq, 0) for seq in range(1_000) if wanted]
    assert most <= 60


def test_a_piece_counts_all_rows_that_it_keeps_texts_too() -> None:
    text = b'{"type":"order"}' * 100
    batch = pa.record_batch(
        {
            "connection": pa.array(["main-0"] * 50).dictionary_encode(),
            "seq": pa.array(range(50), pa.uint64()),
            "kind": pa.array(["text"] * 50).dictionary_encode(),
            "payload": pa.array([text] * 50, pa.binary()),
        }
    )
    query = TickQuery(None, [], schema=tick_schema(), tokens=None, prices="float", segments=SEGMENTS)
    found = query.find(batch, connection=0, names=None)
    assert (len(found.rows), found.held_bytes > 50 * len(text)) == (0, True)
