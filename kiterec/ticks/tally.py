"""Counts what a recording holds, in one pass over its rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from kiterec.clock import NS_PER_MS, NS_PER_S
from kiterec.store.folder import open_folder
from kiterec.store.schema import KIND_CODES
from kiterec.store.transcript import read_transcript
from kiterec.ticks.contents import (
    MAX_LISTED,
    ClockStep,
    ConnectionContents,
    Contents,
    Epoch,
    InstrumentCount,
    PacketCount,
)
from kiterec.ticks.find import find_packets
from kiterec.ticks.kernels import read_tokens
from kiterec.ticks.token_counts import TokenCounts
from kiterec.wire.packets import LAYOUTS
from kiterec.wire.segments import SEGMENTS
from kiterec.wire.transcript import Kind, read_lifecycle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from kiterec.store.folder import RecordingFolder

STEP_NS: Final = 50 * NS_PER_MS
"""Between two rows of a connection: slewing is far slower, and the clocks are read microseconds apart."""

_UNKNOWN_LISTED: Final = 10


def count_contents(
    recording: RecordingFolder | Path | str,
    *,
    top: int = 10,
    symbol_of: Callable[[int], str | None] = lambda _: None,
    progress: Callable[[int, int], None] | None = None,
) -> Contents:
    """Count what the rows of a recording hold, in one pass; memory does not depend on its size.

    Args:
        recording: the folder, or what names it for `open_folder`.
        top: instruments that are listed.
        symbol_of: gives the name of an instrument.
        progress: called with rows passed and rows in all.

    Raises:
        StorageError: no recording, or a part that does not check.
    """
    folder = open_folder(recording)
    total = 1 + max((part.last_seq for part in folder.manifest().parts), default=0)
    tally = _Tally()
    for batch in read_transcript(folder):
        tally.add(batch)
        if progress is not None:
            progress(min(total, 1 + batch.column("seq")[-1].as_py()), total)
    return tally.result(top, symbol_of)


@dataclass(slots=True)
class _Connection:
    found: ConnectionContents
    lengths: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1 << 16, np.int64))
    offset: int | None = None  # wall minus monotonic clock, of the last row


class _Tally:
    def __init__(self) -> None:
        self._found = Contents()
        self._connections: dict[str, _Connection] = {}
        self._ticks = TokenCounts()
        self._span: tuple[int, int] | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        owners = np.from_dlpack(batch.column("connection").indices)
        times = _numbers(batch.column("received_at").cast(pa.int64()))
        steady = _numbers(batch.column("monotonic_ns"))
        kinds = np.from_dlpack(batch.column("kind").indices)
        packets = find_packets(batch.column("payload"), binary=kinds == KIND_CODES[Kind.BINARY])
        self._found.bad_frames += packets.bad_frames.size
        self._ticks.add(read_tokens(packets.known()))
        span = int(times.min()), int(times.max())
        self._span = (
            span if self._span is None else (min(self._span[0], span[0]), max(self._span[1], span[1]))
        )
        names = batch.column("connection").dictionary
        packet_owners = owners[packets.frame]
        for code in np.unique(owners).tolist():
            one = self._connection(names[code].as_py())
            one.lengths += np.bincount(packets.length[packet_owners == code], minlength=1 << 16)
            mine = np.flatnonzero(owners == code)
            self._look_at_clocks(one, times[mine], times[mine] - steady[mine])
        self._look_at_epochs(batch, owners, times, kinds)

    def _connection(self, name: str) -> _Connection:
        if name not in self._connections:
            self._connections[name] = _Connection(ConnectionContents(connection=name))
        return self._connections[name]

    def _look_at_clocks(self, one: _Connection, at: NDArray[np.int64], offsets: NDArray[np.int64]) -> None:
        before = int(offsets[0]) if one.offset is None else one.offset
        changes = np.diff(offsets, prepend=before)
        one.offset = int(offsets[-1])
        one.found.clock_drift_ns += one.offset - before
        for place in np.flatnonzero(np.abs(changes) >= STEP_NS).tolist():
            self._found.clock_step_count += 1
            if len(self._found.clock_steps) < MAX_LISTED:
                step = ClockStep(
                    connection=one.found.connection, at_ns=int(at[place]), step_ns=int(changes[place])
                )
                self._found.clock_steps.append(step)

    def _look_at_epochs(
        self, batch: pa.RecordBatch, owners: NDArray[Any], times: NDArray[np.int64], kinds: NDArray[Any]
    ) -> None:
        names = batch.column("connection").dictionary
        wanted = [KIND_CODES[Kind.CONNECTED], KIND_CODES[Kind.DISCONNECTED]]
        for row in np.flatnonzero(np.isin(kinds, wanted)).tolist():
            found = self._connection(names[int(owners[row])].as_py()).found
            told = read_lifecycle(batch.column("payload")[row].as_py())
            if kinds[row] == KIND_CODES[Kind.CONNECTED]:
                found.epoch_count += 1
                if found.epoch_count <= MAX_LISTED:
                    number = told.get("epoch")
                    epoch = Epoch(epoch=number if isinstance(number, int) else None, begin_ns=int(times[row]))
                    found.epochs.append(epoch)
            elif found.epochs and found.epochs[-1].end_ns is None and found.epoch_count <= MAX_LISTED:
                ended = {"end_ns": int(times[row]), "reason": str(told.get("reason", ""))}
                found.epochs[-1] = msgspec.structs.replace(found.epochs[-1], **ended)

    def result(self, top: int, symbol_of: Callable[[int], str | None]) -> Contents:
        lengths = np.zeros(1 << 16, np.int64)
        for name in sorted(self._connections):
            one = self._connections[name]
            one.found.packets = _packet_counts(one.lengths)
            lengths += one.lengths
            self._found.connections.append(one.found)
        self._found.packets = _packet_counts(lengths)
        tokens, ticks = self._ticks.result()
        self._found.instruments = tokens.size
        begin, end = self._span or (0, 0)
        span_s = max((end - begin) / NS_PER_S, 1.0)
        for place in np.lexsort((tokens, -ticks))[:top].tolist():
            token = int(tokens[place])
            self._found.top.append(
                InstrumentCount(
                    instrument_token=token,
                    symbol=symbol_of(token),
                    segment=SEGMENTS.of(token).name,
                    ticks=int(ticks[place]),
                    ticks_s=round(float(ticks[place]) / span_s, 3),
                )
            )
        return self._found


def _numbers(column: pa.Array) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.from_dlpack(column).astype(np.int64, copy=False)
    return found


def _packet_counts(lengths: NDArray[np.int64]) -> list[PacketCount]:
    """Give the counts of the known lengths, and of the most frequent unknown ones."""
    there = np.flatnonzero(lengths).tolist()
    known = [length for length in there if length in LAYOUTS]
    unknown = sorted((length for length in there if length not in LAYOUTS), key=lambda it: -lengths[it])
    return [
        PacketCount(
            length=length,
            name=LAYOUTS[length].name if length in LAYOUTS else "unknown",
            mode=str(LAYOUTS[length].mode) if length in LAYOUTS else None,
            packets=int(lengths[length]),
        )
        for length in [*known, *unknown[:_UNKNOWN_LISTED]]
    ]
