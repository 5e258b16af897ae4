"""Recordings of a synthetic market, made with the real writer, for the tests of upkeep."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kiterec.clock import NS_PER_MS, NS_PER_S, utc
from kiterec.simulate.market import VIRTUAL_START, SyntheticMarket
from kiterec.store.options import StoreOptions
from kiterec.store.transcript import read_transcript
from kiterec.store.writer import RecordingWriter
from kiterec.wire.frames import HEARTBEAT, join_frame, split_frame
from kiterec.wire.packets import LAYOUTS
from kiterec.wire.transcript import Kind, Row, lifecycle_payload
from tests.store.recordings import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from kiterec.clock import Clock

CONNECTIONS = ("main-0", "main-1")
SEED = 11
Packet = tuple[int, str, bytes]
"""When it was received, on which connection, and its bytes."""


def instant(seconds: float) -> datetime:
    """Give an instant of the market."""
    return utc(VIRTUAL_START) + timedelta(seconds=seconds)


class HostClock:
    """A clock that stands at the market's beginning."""

    def now_ns(self) -> int:
        return VIRTUAL_START

    def monotonic_ns(self) -> int:
        return 0


def options(**changes: Any) -> StoreOptions:
    settings: dict[str, Any] = {"flush_interval_s": 0.01, "min_free_bytes": 0, "warn_free_bytes": 0}
    return StoreOptions(**(settings | changes))


def market(seconds: float = 10, *, seed: int = SEED, instruments: int = 40) -> SyntheticMarket:
    return SyntheticMarket(instruments=instruments, seed=seed, duration_s=seconds)


def rows(
    made: SyntheticMarket,
    *,
    connections: Sequence[str] = CONNECTIONS,
    latency_ns: int = 7 * NS_PER_MS,
    boot_ns: int = 0,
    away: tuple[str, float, float] | None = None,
) -> Iterator[tuple[str, Row]]:
    """Give what a host receives.

    Args:
        connections: share the instruments between them.
        latency_ns: from the market's instant to the receive time.
        boot_ns: what the host's monotonic clock showed at the beginning.
        away: a connection, and from and to when (seconds) it was lost.
    """

    def row(at_ns: int, kind: Kind, payload: bytes) -> Row:
        at_ns += latency_ns
        return Row(VIRTUAL_START + at_ns, boot_ns + at_ns, kind, payload)

    lost, begin_ns, end_ns = away or ("", 0, 0)
    begin_ns, end_ns = round(begin_ns * NS_PER_S), round(end_ns * NS_PER_S)
    for name in connections:
        yield name, row(0, Kind.CONNECTED, lifecycle_payload(epoch=1))
    told = away is None
    beat = 0
    for batch in made.batches():
        for due, payload in zip(batch.due_ns.tolist(), batch.payloads.to_pylist(), strict=True):
            if payload[:1] == b"{":
                yield from ((name, row(due, Kind.TEXT, payload)) for name in connections)
                continue
            if due >= beat:
                beat = due + 3 * NS_PER_S
                yield from ((name, row(due, Kind.BINARY, HEARTBEAT)) for name in connections)
            for number, name in enumerate(connections):
                if name == lost and begin_ns <= due < end_ns:
                    continue
                if name == lost and due >= end_ns and not told:
                    told = True
                    ends = {"from": VIRTUAL_START + begin_ns, "to": VIRTUAL_START + due + latency_ns}
                    yield name, row(due, Kind.GAP, lifecycle_payload(**ends, reason="reset"))
                mine = [
                    packet
                    for packet in split_frame(payload)
                    if (int.from_bytes(packet[:4]) >> 8) % len(connections) == number
                ]
                if mine:
                    yield name, row(due, Kind.BINARY, join_frame(mine))


def record(
    out: Path,
    content: Iterator[tuple[str, Row]],
    *,
    label: str = "test",
    account: str = "main",
    dump: bytes | None = None,
    clock: Clock | None = None,
    rows_at_once: int | None = None,
    **changes: Any,
) -> Path:
    """Make a complete recording of these rows and give its folder.

    Parts end between two writes: with `rows_at_once`, that many are written before the next are given.
    """
    writer = RecordingWriter.create(
        out, label=label, accounts=[account], options=options(**changes), clock=clock or HostClock()
    )
    try:
        if dump is not None:
            writer.set_instruments(dump)
        for number, (connection, row) in enumerate(content, 1):
            writer.append(connection, row)
            if rows_at_once and number % rows_at_once == 0:
                wait_until(lambda: writer.stats().written_rows == writer.stats().rows)
    finally:
        writer.close()
    return writer.path


def transcript(path: Path) -> list[dict[str, Any]]:
    """Give all rows."""
    return [row for batch in read_transcript(path) for row in batch.to_pylist()]


def packets(path: Path) -> list[Packet]:
    """Give all whole packets of known length, taken apart one by one."""
    found = []
    for batch in read_transcript(path):
        plain = batch.to_pylist()
        times = batch.column("received_at").cast("int64").to_pylist()
        for at_ns, row in zip(times, plain, strict=True):
            if row["kind"] == Kind.BINARY:
                found += [
                    (at_ns, row["connection"], packet)
                    for packet in split_frame(row["payload"])
                    if len(packet) in LAYOUTS
                ]
    return found


def token_of(packet: bytes) -> int:
    return int.from_bytes(packet[:4])
