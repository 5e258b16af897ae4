"""WebSocket frames made by hand, and packets found run by run: the same as the libraries' ways."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from websockets.frames import Frame, Opcode

from kiterec.replay import packet_runs
from kiterec.replay.packet_runs import find_runs
from kiterec.replay.wire_frames import WireFrames, websocket_frame
from kiterec.ticks.find import find_packets
from kiterec.wire.frames import join_frame
from tests.replay.handmade import frame, packet


@pytest.mark.parametrize("size", [0, 1, 125, 126, 1_000, 65_535, 65_536, 558_002])
def test_a_frame_is_what_the_library_would_have_made(size: int) -> None:
    data = bytes(random.Random(size).randbytes(size))
    assert websocket_frame(data) == Frame(Opcode.BINARY, data).serialize(mask=False)
    text = "₹" * (size // 3)
    assert websocket_frame(text) == Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


def test_clients_share_a_frame_and_what_is_kept_is_bounded() -> None:
    frames = WireFrames()
    message = bytes(100_000)
    assert frames.on_the_wire(message) is frames.on_the_wire(message)
    for n in range(200):
        other = n.to_bytes(2, "big") + bytes(100_000)
        assert frames.on_the_wire(other) == websocket_frame(other)
        assert sum(len(made) for _, made in frames._frames.values()) < 5 << 20


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
