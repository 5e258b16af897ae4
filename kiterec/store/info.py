"""A recording in a few numbers: what its manifest says, and the summary of its files."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 -- msgspec reads the annotations when it runs
from typing import TYPE_CHECKING, Any

import msgspec

from kiterec.store.manifest import (  # noqa: TC001 -- msgspec reads the annotations when it runs
    Manifest,
    PartEntry,
    Status,
)
from kiterec.store.summary import Summary, summarize

if TYPE_CHECKING:
    from kiterec.store.folder import RecordingFolder


class RecordingInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A recording in a few numbers; `msgspec.json.encode` makes it JSON.

    Attributes:
        path: its folder.
        label: the recorder's own word for it.
        status: how far it is.
        format: number of the format of its files.
        versions: of kiterec, Python and Arrow that wrote it, by name.
        host: where it was recorded.
        created_at: when, UTC; None in a manifest that was rebuilt.
        ended_at: when it was closed or recovered, UTC; None while it is written.
        accounts: names of accounts.
        instruments: instruments in its dump; None without a dump.
        details: whatever the recorder wanted to be kept.
        limits: the writer's options.
        latencies: achieved flush and fsync latencies in ms, by name; empty when the writer died.
        torn_bytes: bytes of unfinished batches that a crash left.
        instruments_sha256: of its dump; None: there is none, or it is not known.
        kinds: rows of each kind in the sealed parts.
        parts: the sealed parts as the manifest lists them.
        summary: counts, spans and gaps, in all and per connection.
    """

    path: str
    label: str
    status: Status
    format: int
    versions: dict[str, str]
    host: str
    created_at: dt.datetime | None
    ended_at: dt.datetime | None
    accounts: list[str]
    instruments: int | None
    details: dict[str, Any]
    limits: dict[str, float | int | None]
    latencies: dict[str, dict[str, float]]
    torn_bytes: int
    instruments_sha256: str | None
    kinds: dict[str, int]
    parts: list[PartEntry]
    summary: Summary


def recording_info(folder: RecordingFolder, *, instruments: int | None) -> RecordingInfo:
    """Give the numbers of a recording.

    Args:
        folder: the recording.
        instruments: how many its dump has; None without a dump.

    Raises:
        ManifestError: the manifest cannot be read.
    """
    manifest = folder.manifest()
    return RecordingInfo(
        path=str(folder.path),
        label=manifest.label,
        status=manifest.status,
        format=manifest.format,
        versions=manifest.versions,
        host=manifest.host,
        created_at=manifest.created_at,
        ended_at=manifest.ended_at,
        accounts=manifest.accounts,
        instruments=instruments,
        details=manifest.details,
        limits=manifest.limits,
        latencies=manifest.latencies,
        torn_bytes=manifest.torn_bytes,
        instruments_sha256=manifest.instruments_sha256,
        kinds=_kinds(manifest),
        parts=manifest.parts,
        summary=summarize(folder),
    )


def _kinds(manifest: Manifest) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for part in manifest.parts:
        for kind, rows in part.counts.kinds.items():
            kinds[kind] = kinds.get(kind, 0) + rows
    return kinds
