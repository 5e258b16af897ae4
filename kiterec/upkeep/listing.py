"""ls: the recordings of a folder, each in a line, from their manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from kiterec.clock import ist, to_ns
from kiterec.errors import KiterecError
from kiterec.store.folder import RecordingFolder, find_recordings
from kiterec.store.lock import is_locked
from kiterec.store.manifest import Status  # noqa: TC001 -- msgspec reads the annotations when it runs
from kiterec.store.packet_count import Counts
from kiterec.store.summary import summarize

if TYPE_CHECKING:
    from pathlib import Path

    from kiterec.store.manifest import Manifest


class Listing(msgspec.Struct, kw_only=True):
    """One recording in a line.

    Attributes:
        path: its folder.
        label: the recorder's own word for it.
        date: the day in IST on which it began, `YYYY-MM-DD`; empty where nothing says it.
        begin_ns: earliest `received_at`, ns since the epoch; None: no rows.
        end_ns: latest `received_at`, included; None: no rows.
        connections: how many.
        instruments: how many were asked for or, in a recording that was cut, kept; None: not known.
        frames: binary messages, heartbeats not included.
        ticks: packets that the frames declare.
        bytes: size of all its files.
        status: how far it is; None: the manifest cannot be read.
        is_being_written: a recorder is writing it now.
        problem: why the numbers are not known; None: they are.
    """

    path: str
    label: str = ""
    date: str = ""
    begin_ns: int | None = None
    end_ns: int | None = None
    connections: int = 0
    instruments: int | None = None
    frames: int = 0
    ticks: int = 0
    bytes: int = 0
    status: Status | None = None
    is_being_written: bool = False
    problem: str | None = None

    @property
    def span_s(self) -> float | None:
        """Seconds from the first to the last row; None without rows."""
        if self.begin_ns is None or self.end_ns is None:
            return None
        return (self.end_ns - self.begin_ns) / 1e9


def list_recordings(root: Path | str) -> list[Listing]:
    """List the recordings below a folder, or the one at it, by path.

    A finished recording costs reading its manifest; of an unfinished one the journals are read too.

    Shape:
        One entry a recording; one that cannot be read has a `problem`.
    """
    return [list_recording(path) for path in find_recordings(root)]


def list_recording(path: Path) -> Listing:
    """List one recording; never raises for what is wrong with it."""
    folder = RecordingFolder(path)
    listing = Listing(path=str(path))
    try:
        listing.bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        manifest = folder.manifest()
        listing.is_being_written = not manifest.is_finished and is_locked(path)
        _describe(listing, manifest, folder)
        if manifest.is_finished:
            _count(listing, manifest)
        else:
            _summarize(listing, path)
    except (KiterecError, OSError) as error:
        listing.problem = str(error)
    return listing


def _describe(listing: Listing, manifest: Manifest, folder: RecordingFolder) -> None:
    listing.label, listing.status = manifest.label, manifest.status
    listing.connections = len({*manifest.connections, *folder.connections()})
    if manifest.created_at is not None:
        listing.date = f"{ist(to_ns(manifest.created_at)):%Y-%m-%d}"
    asked = manifest.details.get("instruments")
    listing.instruments = asked if isinstance(asked, int) else None


def _count(listing: Listing, manifest: Manifest) -> None:
    total = Counts()
    for part in manifest.parts:
        total.add(part.counts)
    listing.frames, listing.ticks = total.frames, total.ticks
    listing.begin_ns = min((part.begin_ns for part in manifest.parts), default=None)
    listing.end_ns = max((part.end_ns for part in manifest.parts), default=None)
    if listing.begin_ns is not None:
        listing.date = f"{ist(listing.begin_ns):%Y-%m-%d}"


def _summarize(listing: Listing, path: Path) -> None:
    summary = summarize(path)
    listing.frames, listing.ticks = summary.frames, summary.ticks
    listing.begin_ns, listing.end_ns = summary.begin_ns, summary.end_ns
