"""A recording in a few numbers, from its manifest and what is not yet sealed."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from kiterec.store.folder import RecordingFolder, open_folder
from kiterec.store.manifest import (  # noqa: TC001 -- msgspec reads the annotations when it runs
    DamageEntry,
    Manifest,
    Status,
)
from kiterec.store.packet_count import Counts, Gap, count_batch, time_span
from kiterec.store.sources import open_sources

if TYPE_CHECKING:
    from pathlib import Path


class ConnectionSummary(msgspec.Struct, kw_only=True):
    """One connection of a recording.

    Attributes:
        connection: its name.
        frames: binary messages, heartbeats not included.
        texts: text messages.
        heartbeats: binary messages of fewer than 2 bytes.
        ticks: packets that the frames declare.
        rows: all rows of its transcript.
        wire_bytes: bytes of received messages.
        disk_bytes: bytes of its parts and journals.
        parts: sealed parts.
        begin_ns: earliest `received_at`; None: no rows.
        end_ns: latest `received_at`, included; None: no rows.
        gaps: stretches that it is known to have missed.
    """

    connection: str
    frames: int = 0
    texts: int = 0
    heartbeats: int = 0
    ticks: int = 0
    rows: int = 0
    wire_bytes: int = 0
    disk_bytes: int = 0
    parts: int = 0
    begin_ns: int | None = None
    end_ns: int | None = None
    gaps: list[Gap] = []

    def add(self, counts: Counts, *, begin_ns: int, end_ns: int) -> None:
        """Add what a part or a batch holds."""
        for name in ("frames", "texts", "heartbeats", "ticks", "rows", "wire_bytes"):
            setattr(self, name, getattr(self, name) + getattr(counts, name))
        self.gaps.extend(counts.gaps)
        self.begin_ns = begin_ns if self.begin_ns is None else min(self.begin_ns, begin_ns)
        self.end_ns = end_ns if self.end_ns is None else max(self.end_ns, end_ns)


class Summary(msgspec.Struct, kw_only=True):
    """A recording, over all its connections; the fields are those of `ConnectionSummary`.

    Attributes:
        path: its folder.
        status: how far it is.
        span_s: from the earliest to the latest row.
        gaps: number of gaps; each is listed with its connection.
        connections: one entry a connection, by name.
        damage: what did not check.
        problems: sentences about what else does not check.
        notes: sentences about what happened to the writer, such as a full disk.
        lost_rows: rows that were given to the writer and are not in the recording.
    """

    path: str
    status: Status
    frames: int = 0
    texts: int = 0
    heartbeats: int = 0
    ticks: int = 0
    rows: int = 0
    wire_bytes: int = 0
    disk_bytes: int = 0
    parts: int = 0
    gaps: int = 0
    span_s: float = 0.0
    begin_ns: int | None = None
    end_ns: int | None = None
    connections: list[ConnectionSummary] = []
    damage: list[DamageEntry] = []
    problems: list[str] = []
    notes: list[str] = []
    lost_rows: int = 0


def summarize(recording: RecordingFolder | Path | str) -> Summary:
    """Give the summary of a recording, also of one that is still being written.

    Raises:
        ManifestError: there is no recording, or its manifest cannot be read.
    """
    folder = open_folder(recording)
    manifest = folder.manifest()
    names = sorted({*manifest.connections, *folder.connections()})
    connections = [_summarize_connection(folder, manifest, name) for name in names]
    summary = Summary(
        path=str(folder.path),
        status=manifest.status,
        connections=connections,
        damage=manifest.damage,
        problems=manifest.problems,
        notes=manifest.notes,
        lost_rows=manifest.lost_rows,
        gaps=sum(len(connection.gaps) for connection in connections),
    )
    for name in ("frames", "texts", "heartbeats", "ticks", "rows", "wire_bytes", "disk_bytes", "parts"):
        setattr(summary, name, sum(getattr(connection, name) for connection in connections))
    summary.begin_ns = min((c.begin_ns for c in connections if c.begin_ns is not None), default=None)
    summary.end_ns = max((c.end_ns for c in connections if c.end_ns is not None), default=None)
    if summary.begin_ns is not None and summary.end_ns is not None:
        summary.span_s = (summary.end_ns - summary.begin_ns) / 1e9
    return summary


def _summarize_connection(folder: RecordingFolder, manifest: Manifest, name: str) -> ConnectionSummary:
    summary = ConnectionSummary(connection=name)
    listed = {part.number for part in manifest.parts if part.connection == name}
    for part in manifest.parts:
        if part.connection == name:
            summary.add(part.counts, begin_ns=part.begin_ns, end_ns=part.end_ns)
            summary.disk_bytes += part.bytes
            summary.parts += 1
    for source in open_sources(folder, name):
        with closing(source):
            if source.number in listed:
                continue
            summary.disk_bytes += source.size
            summary.parts += source.is_sealed
            for batch in source.batches():
                begin, end = time_span(batch)
                summary.add(count_batch(batch), begin_ns=begin, end_ns=end)
    return summary
