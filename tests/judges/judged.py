"""The recording that the vendor's clients are judges of, and what each of them must get of it.

Fifty instruments of all segments with random values; one of them has not traded, one has a negative price.
Every frame has every instrument with another last price, so each is sent in each mode.
"""

from __future__ import annotations

import functools
import json
import random
from typing import TYPE_CHECKING, Final

from kiterec.clock import NS_PER_S
from kiterec.simulate import VIRTUAL_START
from kiterec.store.writer import RecordingWriter
from kiterec.ticks.instruments import INSTRUMENT_SCHEMA
from kiterec.wire.frames import join_frame
from kiterec.wire.packets import LAYOUTS, Mode, cut_packet
from kiterec.wire.segments import SEGMENTS
from kiterec.wire.transcript import Kind, Row
from tests.replay.handmade import packet

if TYPE_CHECKING:
    from pathlib import Path

SEED: Final = 20_261_120
FRAMES: Final = 40
FRAME_S: Final = 3
INDEX_SEGMENT: Final = 9
EXCHANGES: Final = {
    1: "NSE", 2: "NFO", 3: "CDS", 4: "BSE", 5: "BFO", 6: "BCD", 7: "MCX", 8: "MCXSX",
    INDEX_SEGMENT: "NSE", 12: "NCO",
}  # fmt: skip
TOKENS: Final = [(number << 8) + segment for number, segment in enumerate([*EXCHANGES] * 5, start=1_000)]
UNTRADED: Final = TOKENS[0]
NEGATIVE: Final = TOKENS[10]
NEGATIVE_PRICE: Final = -250
ORDER: Final = {"order_id": "151220000000000", "status": "TRIGGER PENDING", "tag": None, "guid": "x"}

Modes = dict[str, list[int]]


def modes(turn: int) -> Modes:
    """Give a third of the instruments of each segment to each mode; other thirds in another turn."""
    given: Modes = {mode.value: [] for mode in Mode}
    names = list(given)
    for position, token in enumerate(TOKENS):
        given[names[(position // 10 + turn) % 3]].append(token)
    return given


def symbol(token: int) -> str:
    return f"{EXCHANGES[token & 0xFF]}:JUDGED{token >> 8}"


def csv() -> bytes:
    lines = [",".join(INSTRUMENT_SCHEMA)]
    for token in TOKENS:
        exchange, _, name = symbol(token).partition(":")
        lines.append(f"{token},{token >> 8},{name},,0,2026-11-26,0,0.05,1,EQ,{exchange},{exchange}")
    return "\n".join([*lines, ""]).encode()


def full_packet(rng: random.Random, token: int, number: int) -> bytes:
    """Make the packet of an instrument in a frame, in full mode."""
    length = 32 if token & 0xFF == INDEX_SEGMENT else 184
    fields = {
        field.name: VIRTUAL_START // NS_PER_S + number
        if field.unit == "time"
        else rng.randrange(1, 1 << (31 if field.type == "i4" else 32))
        for field in LAYOUTS[length].fields[1:]
    }
    fields["last_price"] = NEGATIVE_PRICE - number if token == NEGATIVE else 100_000 + number
    if token == UNTRADED:
        fields |= {"last_trade_time": 0, "open": 0, "high": 0, "low": 0, "close": 0}
    if length == 184:
        fields["volume_traded"] = 1_000 + 10 * number
    data = packet(length, token, **fields)
    return data if length == 32 else data[: LAYOUTS[length].depth_offset] + rng.randbytes(120)


@functools.cache
def recorded() -> list[list[bytes]]:
    """Give the packets of each recorded frame."""
    rng = random.Random(SEED)
    return [[full_packet(rng, token, number) for token in TOKENS] for number in range(FRAMES)]


def record(folder: Path) -> Path:
    """Write the recording; give its folder."""
    writer = RecordingWriter.create(folder, label="judged", accounts=["main"])
    writer.set_instruments(csv())
    messages = [(Kind.BINARY, join_frame(packets)) for packets in recorded()]
    messages.append((Kind.TEXT, json.dumps({"type": "order", "data": ORDER}).encode()))
    for number, (kind, payload) in enumerate(messages):
        at = number * FRAME_S * NS_PER_S
        writer.append("main-0", Row(VIRTUAL_START + at, at, kind, payload))
    writer.close()
    return writer.path


def expected_packets(given: Modes) -> dict[int, list[bytes]]:
    """Give what a client with these modes must get of each instrument, in order."""
    mode_of = {token: Mode(mode) for mode, tokens in given.items() for token in tokens}
    frames = recorded()
    return {
        token: [cut_packet(packets[position], mode_of[token]) for packets in frames]
        for position, token in enumerate(TOKENS)
    }


def recorded_packets(token: int) -> list[bytes]:
    """Give the recorded packets of an instrument."""
    return [packets[TOKENS.index(token)] for packets in recorded()]


def divisor(token: int) -> int:
    return SEGMENTS.of(token).divisor
