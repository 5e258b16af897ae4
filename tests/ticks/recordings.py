"""Small recordings made with the real writer, for the tests of scans."""

from __future__ import annotations

import random
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from kiterec.clock import to_ns
from kiterec.store.writer import RecordingWriter
from kiterec.wire.transcript import Kind, Row, lifecycle_payload
from tests.ticks.frames import LENGTHS, join, random_packet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kiterec.store.options import StoreOptions

START = datetime(2026, 11, 20, 3, 45, tzinfo=UTC)
GRID = timedelta(milliseconds=250)
CONNECTIONS = ["main-0", "main-1", "main-2"]
TOKENS = [number << 8 | 1 for number in range(1_000, 1_040)] + [256265]

DUMP = """instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,\
instrument_type,segment,exchange
256001,1000,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE
256257,1001,NIFTY26DECFUT,"NIFTY, THE",0,2026-12-29,0,0.05,75,FUT,NFO-FUT,NFO
256513,1002,NIFTY26DEC25000CE,NIFTY,0,2026-12-29,25000,0.05,75,CE,NFO-OPT,NFO
256265,1001,NIFTY 50,NIFTY 50,0,,0,0,0,EQ,INDICES,NSE
"""


def instant(step: int) -> datetime:
    """Give when the frames of a step are received; each connection's come a microsecond later."""
    return START + step * GRID


def one_packet(rng: random.Random) -> bytes:
    token = rng.choice(TOKENS)
    length = rng.choice(
        [28, 32] if token == 256265 else [length for length in LENGTHS if length not in {28, 32}]
    )
    return token.to_bytes(4, "big") + random_packet(rng, length)[4:]


def rows(steps: int, *, packets: int = 60, seed: int = 1) -> Iterator[tuple[str, Row]]:
    """Give what three connections receive: mixed frames, heartbeats, texts, one gap, one broken frame."""
    rng = random.Random(seed)
    for step in range(steps):
        for place, connection in enumerate(CONNECTIONS):
            ns = to_ns(instant(step)) + place * 1_000
            payload = join([one_packet(rng) for _ in range(rng.randrange(packets))])
            yield connection, Row(ns, ns, Kind.BINARY, payload)
            if step % 12 == 0:
                yield connection, Row(ns + 1, ns + 1, Kind.BINARY, b"\0")
                yield connection, Row(ns + 2, ns + 2, Kind.TEXT, b'{"type":"message","data":"caf\xc3\xa9"}')
    yield "main-0", Row(ns + 5, ns + 5, Kind.BINARY, join([one_packet(rng), one_packet(rng)])[:-3])
    gap = lifecycle_payload(**{"from": ns, "to": ns + 6, "reason": "silence"})
    yield "main-1", Row(ns + 6, ns + 6, Kind.GAP, gap)


@contextmanager
def being_written(out: Path, *, options: StoreOptions | None = None) -> Iterator[RecordingWriter]:
    """Give a writer of a new recording, closed at the end."""
    writer = RecordingWriter.create(
        out,
        label="test",
        accounts=["main"],
        connections=CONNECTIONS,
        details={"why": "test"},
        options=options,
    )
    try:
        yield writer
    finally:
        writer.close()


def record(out: Path, steps: int = 40, *, dump: bool = True, options: StoreOptions | None = None) -> Path:
    """Make a complete recording and give its folder."""
    with being_written(out, options=options) as writer:
        if dump:
            writer.set_instruments(DUMP.encode())
        for connection, row in rows(steps):
            writer.append(connection, row)
    return writer.path
