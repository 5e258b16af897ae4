"""Packets of a batch and the positions of their instruments: what each engine finds, and that they agree."""

from __future__ import annotations

import random
from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest

from kiterec import compiled
from kiterec.replay import engine
from kiterec.replay.instrument_index import MULTIPLIER, NO_SLOTS, UNKNOWN, InstrumentIndex, find_positions
from kiterec.replay.packet_batch import PacketBatch, locate_packets
from kiterec.wire.frames import join_frame, scan_frame
from kiterec.wire.packets import LAYOUTS
from tests.replay.handmade import frame, packet

TOKENS = [0, 1, 256, 0xFFFF_FFFF, *range(408_000, 409_000, 7)]


def some_messages(rng: random.Random) -> list[bytes]:
    """Give frames, some of them damaged, heartbeats and texts."""
    messages: list[bytes] = []
    for _ in range(rng.randrange(1, 12)):
        lengths = rng.choice([[184], [8, 44], [28, 32, 184], [8, 184, 0, 7, 185]])
        packets = [
            packet(length, rng.choice(TOKENS)) if length in LAYOUTS else bytes(length)
            for length in rng.choices(lengths, k=rng.randrange(20))
        ]
        data = bytearray(join_frame(packets))
        if rng.random() < 0.3:
            for _ in range(rng.randrange(3)):
                data[rng.randrange(len(data))] ^= rng.randrange(256)
            data = data[: len(data) - rng.choice([0, 0, 1, 9])] + bytes(rng.choice([0, 0, 1, 3]))
        messages.append(bytes(data))
        if rng.random() < 0.2:
            messages.append(rng.choice([b"", b"\0", b"\xff\xff", b'{"type":"order"}']))
    return messages


def found_one_by_one(messages: list[bytes], known: dict[int, int]) -> list[tuple[int, int, int, int, int]]:
    """Give message, offset in it, length, token and position of each packet."""
    return [
        (row, offset, length, token := int.from_bytes(message[offset : offset + 4]), known.get(token, -1))
        for row, message in enumerate(messages)
        if not message.startswith(b"{")
        for offset, length in scan_frame(message).packets
        if length in LAYOUTS
    ]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
@pytest.mark.usefixtures("each_engine")
def test_every_packet_of_known_length_is_found_with_its_instrument(kind: pa.DataType) -> None:
    for seed in range(60):
        rng = random.Random(seed)
        index = InstrumentIndex()
        shown = rng.choice([[], TOKENS[::2], TOKENS])
        positions = index.add(np.array(shown, np.uint32)).tolist()
        messages = some_messages(rng)
        payloads = pa.array([b"before", *messages, b"after"], kind).slice(1, len(messages))
        binary = np.array([not message.startswith(b"{") for message in messages])

        batch = locate_packets(payloads, binary=binary, slots=index.slots)

        start = np.frombuffer(payloads.buffers()[1], np.int32 if kind == pa.binary() else np.int64)[1:]
        got = [
            (row, offset - int(start[row]), length, token, position)
            for row, offset, length, token, position in zip(
                *(getattr(batch, name).tolist() for name in ("message", "offset", "length", "token")),
                batch.instrument.tolist(),
                strict=True,
            )
        ]
        expected = found_one_by_one(messages, dict(zip(shown, positions, strict=True)))
        assert got == expected, f"seed {seed}"
        assert batch.known == all(position >= 0 for *_, position in expected), f"seed {seed}"
        counts = np.bincount(batch.message, minlength=len(messages))
        assert np.diff(batch.begin).tolist() == counts.tolist(), f"seed {seed}"
        for row, message in enumerate(messages):
            whole = len(message) < 2 or not binary[row] or is_just_known_packets(message)
            assert batch.intact[row] == whole, f"seed {seed}, message {row}"


def is_just_known_packets(message: bytes) -> bool:
    scan = scan_frame(message)
    return not scan.problems and all(length in LAYOUTS for _, length in scan.packets)


def test_both_engines_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and types: what comes after must not notice."""
    rng = random.Random(5)
    index = InstrumentIndex()
    index.add(np.array(TOKENS[:50], np.uint32))
    payloads = pa.array([message for _ in range(30) for message in some_messages(rng)], pa.binary())

    def batch(switch: str) -> PacketBatch:
        monkeypatch.setenv(compiled.SWITCH, switch)
        compiled.available.cache_clear()
        engine.load(0)
        try:
            return locate_packets(payloads, slots=index.slots)
        finally:
            compiled.available.cache_clear()

    ours, theirs = batch("1"), batch("0")
    for field in fields(PacketBatch):
        one, other = getattr(ours, field.name), getattr(theirs, field.name)
        assert np.array_equal(one, other), field.name
        assert isinstance(one, bool) or one.dtype == other.dtype, field.name


@pytest.mark.usefixtures("each_engine")
def test_nothing_gives_nothing() -> None:
    batch = locate_packets(pa.array([], pa.binary()))
    assert (len(batch), batch.begin.tolist(), batch.known) == (0, [0], True)


def sharing_one_slot(count: int) -> list[int]:
    """Give tokens whose hashes are neighbours: multiples of the multiplier's inverse."""
    inverse = pow(MULTIPLIER, -1, 1 << 32)
    return [inverse * number % (1 << 32) for number in range(count)]


@pytest.mark.usefixtures("each_engine")
def test_tokens_that_share_a_slot_are_told_apart() -> None:
    tokens = sharing_one_slot(300)
    index = InstrumentIndex()
    positions = index.add(np.array(tokens[:200], np.uint32)).tolist()
    assert sorted(positions) == list(range(200))
    data = pa.array([frame(*[packet(8, token) for token in tokens])], pa.binary())
    assert locate_packets(data, slots=index.slots).instrument.tolist() == positions + 100 * [UNKNOWN]
    assert index.find(np.array(tokens, np.uint32)).tolist() == positions + 100 * [UNKNOWN]


def test_an_index_grows_and_forgets_no_position() -> None:
    rng = np.random.default_rng(3)
    tokens = rng.choice(1 << 32, 60_000, replace=False).astype(np.uint32)
    index = InstrumentIndex()
    before, positions = index.slots, index.add(tokens[:100])
    for begin in range(100, len(tokens), 7_000):
        index.add(tokens[begin : begin + 7_000])
    assert len(index) == len(tokens)
    assert index.find(tokens[:100]).tolist() == positions.tolist()
    assert sorted(index.find(tokens).tolist()) == list(range(len(tokens)))
    # Whoever still reads the first table finds right positions, or none.
    old = find_positions(before, tokens)
    assert len(before) < len(index.slots)
    assert old[:100].tolist() == positions.tolist()
    assert (old[old != UNKNOWN] == index.find(tokens)[old != UNKNOWN]).all()
    assert (find_positions(NO_SLOTS, tokens) == UNKNOWN).all()
