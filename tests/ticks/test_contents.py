"""Packets, instruments, epochs and steps of the clock are counted, whatever the batches are."""

from __future__ import annotations

import struct
from collections import Counter
from typing import TYPE_CHECKING

import pytest

import kiterec
from kiterec.clock import NS_PER_S
from kiterec.ticks.contents import MAX_LISTED
from kiterec.ticks.tally import count_contents
from kiterec.wire.frames import join_frame
from kiterec.wire.transcript import Kind, Row, lifecycle_payload
from tests.ticks.recordings import being_written

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

START = 1_767_587_400 * NS_PER_S
INFY, NIFTY = 408065, 256265


def packet(token: int, length: int) -> bytes:
    return struct.pack(">I", token) + bytes(length - 4)


def row(second: float, kind: Kind, payload: bytes, *, ahead_s: float = 0) -> Row:
    at = round(second * NS_PER_S)
    return Row(START + at + round(ahead_s * NS_PER_S), at, kind, payload)


def record(out: Path, rows: Iterable[tuple[str, Row]]) -> Path:
    with being_written(out) as writer:
        for name, one in rows:
            writer.append(name, one)
    return writer.path


def frames(second: float, *packets: bytes, ahead_s: float = 0) -> Row:
    return row(second, Kind.BINARY, join_frame(list(packets)), ahead_s=ahead_s)


@pytest.mark.parametrize("batch_bytes", [200, 4 << 20])
def test_packets_instruments_and_epochs_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_bytes: int
) -> None:
    monkeypatch.setattr("kiterec.store.transcript.BATCH_BYTES", batch_bytes)
    rows = [
        ("main-0", row(0, Kind.CONNECTED, lifecycle_payload(epoch=1))),
        ("main-1", row(0, Kind.CONNECTED, lifecycle_payload(epoch=1))),
        ("main-0", frames(1, packet(INFY, 184), packet(NIFTY, 32))),
        ("main-1", frames(2, packet(INFY, 184))),
        ("main-0", row(3, Kind.DISCONNECTED, lifecycle_payload(code=1006, reason="lost"))),
        ("main-0", row(5, Kind.CONNECTED, lifecycle_payload(epoch=2))),
        ("main-0", frames(9, packet(INFY, 8), packet(NIFTY, 44), b"\1" * 20)),
        ("main-1", row(10, Kind.BINARY, b"\0")),
    ]
    path = record(tmp_path, rows)
    seen: list[tuple[int, int]] = []
    found = count_contents(path, top=1, progress=lambda *it: seen.append(it))
    assert seen[-1] == (8, 8)
    assert {(it.length, it.name, it.mode): it.packets for it in found.packets} == {
        (8, "ltp", "ltp"): 1,
        (32, "index full", "full"): 1,
        (44, "quote", "quote"): 1,
        (184, "full", "full"): 2,
        (20, "unknown", None): 1,
    }
    assert (found.bad_frames, found.instruments) == (1, 2)
    (top,) = found.top
    assert (top.instrument_token, top.segment, top.ticks, top.ticks_s) == (INFY, "NSE", 3, 0.3)
    one, other = found.connections
    assert [(it.epoch, it.begin_ns, it.end_ns, it.reason) for it in one.epochs] == [
        (1, START, START + 3 * NS_PER_S, "lost"),
        (2, START + 5 * NS_PER_S, None, ""),
    ]
    assert (other.epoch_count, [it.packets for it in other.packets]) == (1, [1])
    assert (found.clock_step_count, found.clock_steps) == (0, [])


@pytest.mark.parametrize("batch_bytes", [200, 4 << 20])
def test_steps_of_the_wall_clock_are_found_on_each_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_bytes: int
) -> None:
    monkeypatch.setattr("kiterec.store.transcript.BATCH_BYTES", batch_bytes)
    ahead = [0.0] * 5 + [1.5] * 5 + [1.52] * 3 + [-2.0] * 4
    rows = [
        (name, frames(second, packet(INFY, 184), ahead_s=by))
        for second, by in enumerate(ahead)
        for name in ("main-0", "main-1")
    ]
    found = count_contents(record(tmp_path, rows))
    assert found.clock_step_count == 4
    steps = Counter((it.connection, it.step_ns, it.at_ns) for it in found.clock_steps)
    assert steps == {
        (name, round(step * NS_PER_S), START + round((second + ahead[second]) * NS_PER_S)): 1
        for name in ("main-0", "main-1")
        for second, step in ((5, 1.5), (13, -3.52))
    }
    assert [it.clock_drift_ns for it in found.connections] == [-2 * NS_PER_S] * 2


def test_many_epochs_are_counted_and_some_listed(tmp_path: Path) -> None:
    rows = []
    for number in range(MAX_LISTED + 7):
        rows.append(("main-0", row(number, Kind.CONNECTED, lifecycle_payload(epoch=number + 1))))
        rows.append(("main-0", row(number + 0.5, Kind.DISCONNECTED, b"no JSON")))
    (one,) = kiterec.open(record(tmp_path, rows)).contents().connections
    assert (one.epoch_count, len(one.epochs)) == (MAX_LISTED + 7, MAX_LISTED)
    assert all(it.end_ns is not None for it in one.epochs)


def test_an_empty_recording_holds_nothing(tmp_path: Path) -> None:
    found = kiterec.open(record(tmp_path, [])).contents()
    assert (found.packets, found.top, found.connections) == ([], [], [])
