"""WebSocket frames made by hand, and packets found run by run: the same as the libraries' ways."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from websockets.frames import Frame, Opcode

from kiterec.replay import packet_runs
from kiterec.replay.market import MarketBatch
from kiterec.replay.packet_runs import find_runs
from kiterec.replay.share import Share
from kiterec.replay.wire_frames import websocket_frame, wire_rows
from kiterec.ticks.find import find_packets
from kiterec.wire.frames import join_frame
from tests.replay.handmade import batch_of, frame, packet


@pytest.mark.parametrize("size", [0, 1, 125, 126, 1_000, 65_535, 65_536, 558_002])
def test_a_frame_is_what_the_library_would_have_made(size: int) -> None:
    data = bytes(random.Random(size).randbytes(size))
    assert websocket_frame(data) == Frame(Opcode.BINARY, data).serialize(mask=False)
    text = "₹" * (size // 3)
    assert websocket_frame(text) == Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_a_batch_of_frames_is_its_messages_framed_one_by_one(kind: pa.DataType) -> None:
    rng = random.Random(3)
    sizes = [0, 1, 125, 126, 65_535, 65_536, 0, *(rng.randrange(300) for _ in range(50))]
    messages = [rng.randbytes(size) for size in sizes]
    for array in (pa.array(messages, kind), pa.array([b"other", *messages, b"x"], kind).slice(1, len(sizes))):
        wire = wire_rows(array)
        for rows in (range(len(sizes)), [3], [0, 1, 5, 6, 7, 50], []):
            made = b"".join(wire.pieces(np.array(rows, np.int64)))
            assert made == b"".join(websocket_frame(messages[row]) for row in rows)
    assert not list(wire_rows(pa.array([], kind)).pieces(np.array([], np.int64)))


@pytest.mark.parametrize("size", [300, 70_000])
def test_neighbours_go_out_as_one_piece(size: int) -> None:
    messages = [bytes([row]) * size for row in range(8)]
    wire = wire_rows(pa.array(messages))
    for rows in (range(8), range(3, 6), [7]):
        (piece,) = wire.pieces(np.array(rows, np.int64))
        assert piece == b"".join(websocket_frame(messages[row]) for row in rows)
    assert b"".join(wire.pieces(np.array([1, 4, 5]))) == b"".join(
        websocket_frame(messages[row]) for row in (1, 4, 5)
    )


@pytest.mark.parametrize("seed", range(20))
def test_the_writes_of_a_share_are_its_messages_framed_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    messages = [rng.randbytes(rng.choice([0, 1, 20, 300, 100_000])) for _ in range(rng.randrange(60))]
    batch = MarketBatch.untouched(batch_of([(n, 0, message) for n, message in enumerate(messages)]))
    recorded = [row for row in range(len(messages)) if rng.random() < 0.8]
    made = {row: rng.choice(["₹ text", b"frame"]) for row in range(len(messages)) if row not in recorded}
    made = {row: message for row, message in made.items() if rng.random() < 0.5}
    share = Share(batch, np.array(recorded, np.int64), made)
    expected = [share.messages()[row] for row in sorted([*recorded, *made])]
    assert [*share.messages().values()] == expected, f"seed {seed}"
    assert b"".join(share.writes()) == b"".join(map(websocket_frame, expected)), f"seed {seed}"
    assert share.payload_bytes() == sum(len(m.encode() if isinstance(m, str) else m) for m in expected)
    assert len(share) == len(expected)


def random_frame(rng: random.Random) -> bytes:
    packets = []
    for _ in range(rng.randrange(1, 5)):
        length = rng.choice([8, 28, 32, 44, 184])
        packets += [packet(length, rng.randrange(1 << 32))] * rng.randrange(1, 200)
    return join_frame(packets)


def damaged(rng: random.Random, data: bytes) -> bytes:
    match rng.randrange(4):
        case 0:
            return data[: rng.randrange(len(data))]
        case 1:
            return data + rng.randbytes(rng.randrange(1, 4))
        case 2:
            at = rng.randrange(len(data))
            return data[:at] + rng.randbytes(1) + data[at + 1 :]
    return join_frame([bytes(rng.choice([0, 7, 185, 300])), *[packet(184, 1)] * 50])


@pytest.mark.parametrize("seed", range(40))
def test_runs_find_the_same_packets_as_the_search_or_leave_them_to_it(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packet_runs, "MIN_FRAME_BYTES", 1)
    rng = random.Random(seed)
    messages = [random_frame(rng) for _ in range(rng.randrange(1, 6))]
    messages.insert(rng.randrange(len(messages) + 1), b"\x00")
    messages.insert(rng.randrange(len(messages) + 1), b'{"type":"order"}')
    if seed % 2:
        messages = [damaged(rng, m) if len(m) > 20 and rng.random() < 0.5 else m for m in messages]
    payloads = pa.array([b"before", *messages], pa.binary()).slice(1)
    binary = np.array([not m.startswith(b"{") for m in messages])
    found, runs = find_packets(payloads, binary=binary), find_runs(payloads, binary=binary)
    if runs is None:
        assert seed % 2 or sum(map(len, messages)) < 50_000, f"seed {seed}"
        return
    known = found.known()
    assert not len(found.bad_frames), f"seed {seed}"
    for ours, theirs in zip(runs, (known.frame, known.offset, known.length), strict=True):
        assert ours.tolist() == theirs.tolist(), f"seed {seed}"


def test_small_frames_and_short_runs_are_left_to_the_search() -> None:
    small = pa.array([frame(packet(184, 1))] * 100, pa.binary())
    mixed = pa.array([frame(*[packet(8, 1), packet(184, 2)] * 500)], pa.binary())
    for payloads in (small, mixed):
        assert find_runs(payloads, binary=np.ones(len(payloads), np.bool_)) is None
