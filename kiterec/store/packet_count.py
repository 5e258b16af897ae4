"""Counts what a batch of rows holds without decoding it: frames, heartbeats, declared packets, gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kiterec.store.arrays import vector
from kiterec.store.schema import KIND_CODES
from kiterec.wire.transcript import RECEIVED_KINDS, Kind, read_lifecycle

if TYPE_CHECKING:
    from collections.abc import Iterable

_RECEIVED_CODES = np.array(sorted(KIND_CODES[kind] for kind in RECEIVED_KINDS), np.int8)


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch that the recorder knows it missed.

    Attributes:
        from_ns: its beginning, ns since the epoch.
        to_ns: its end, excluded.
        reason: why.
    """

    from_ns: int
    to_ns: int
    reason: str


class Counts(msgspec.Struct, kw_only=True):
    """What some rows hold.

    Attributes:
        rows: all rows, lifecycle rows included.
        frames: binary messages, heartbeats not included.
        heartbeats: binary messages of fewer than 2 bytes.
        texts: text messages.
        ticks: packets that the frames declare.
        wire_bytes: bytes of the received messages.
        payload_bytes: bytes of all payloads.
        kinds: rows of each kind.
        gaps: the gap rows.
    """

    rows: int = 0
    frames: int = 0
    heartbeats: int = 0
    texts: int = 0
    ticks: int = 0
    wire_bytes: int = 0
    payload_bytes: int = 0
    kinds: dict[str, int] = {}
    gaps: list[Gap] = []

    def add(self, other: Counts) -> Self:
        """Add what other rows hold."""
        for name in ("rows", "frames", "heartbeats", "texts", "ticks", "wire_bytes", "payload_bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for kind, rows in other.kinds.items():
            self.kinds[kind] = self.kinds.get(kind, 0) + rows
        self.gaps.extend(other.gaps)
        return self


def payload_lengths(payloads: pa.Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Give where each payload begins in the array's data buffer, and its length."""
    width = np.dtype(np.int64 if pa.types.is_large_binary(payloads.type) else np.int32)
    offsets = np.frombuffer(payloads.buffers()[1], width)[
        payloads.offset : payloads.offset + len(payloads) + 1
    ]
    return offsets[:-1], np.diff(offsets)


def declared_packets(payloads: pa.Array) -> np.ndarray[Any, Any]:
    """Give the number of packets that each payload, read as a frame, says it holds; 0 for a heartbeat.

    Source:
        The frame begins with the count as big-endian uint16.
    """
    if not len(payloads):
        return np.zeros(0, np.int64)
    begins, lengths = payload_lengths(payloads)
    counts = np.zeros(len(payloads), np.int64)
    frames = lengths >= 2
    if frames.any():
        data = np.frombuffer(payloads.buffers()[2], np.uint8)
        at = begins[frames].astype(np.int64)
        counts[frames] = data[at].astype(np.int64) << 8 | data[at + 1]
    return counts


def count_batch(batch: pa.RecordBatch) -> Counts:
    """Count what the rows of one batch of the transcript hold."""
    if not batch.num_rows:
        return Counts()
    kinds, payloads = batch.column("kind"), batch.column("payload")
    # Not to_numpy(), which loads pandas where it is installed, in the middle of a recording.
    codes = np.frombuffer(kinds.indices.buffers()[1], np.int8)[kinds.indices.offset :][: len(kinds)]
    _, lengths = payload_lengths(payloads)
    binary = codes == KIND_CODES[Kind.BINARY]
    heartbeats = int((binary & (lengths < 2)).sum())
    names = kinds.dictionary.to_pylist()
    rows_of_code = np.bincount(codes, minlength=len(names))
    by_kind = {name: int(rows) for name, rows in zip(names, rows_of_code, strict=True) if rows}
    return Counts(
        rows=batch.num_rows,
        frames=int(binary.sum()) - heartbeats,
        heartbeats=heartbeats,
        texts=by_kind.get(Kind.TEXT, 0),
        ticks=int(declared_packets(payloads)[binary].sum()),
        wire_bytes=int(lengths[np.isin(codes, _RECEIVED_CODES)].sum(dtype=np.int64)),
        payload_bytes=int(lengths.sum(dtype=np.int64)),
        kinds=by_kind,
        gaps=_gaps(payloads.filter(vector(codes == KIND_CODES[Kind.GAP]))) if by_kind.get(Kind.GAP) else [],
    )


def count_batches(batches: Iterable[pa.RecordBatch]) -> Counts:
    """Count what the rows of several batches hold."""
    total = Counts()
    for batch in batches:
        total.add(count_batch(batch))
    return total


def time_span(batch: pa.RecordBatch) -> tuple[int, int]:
    """Give the earliest and the latest `received_at` of a batch with rows, in ns since the epoch."""
    span = pc.min_max(batch.column("received_at").cast(pa.int64()))
    return span["min"].as_py(), span["max"].as_py()


def _gaps(payloads: pa.Array) -> list[Gap]:
    gaps = []
    for payload in payloads.to_pylist():
        fields = read_lifecycle(payload)
        begin, end = fields.get("from"), fields.get("to")
        if isinstance(begin, int) and isinstance(end, int):
            gaps.append(Gap(from_ns=begin, to_ns=end, reason=str(fields.get("reason", ""))))
    return gaps
