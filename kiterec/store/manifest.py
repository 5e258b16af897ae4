"""recording.json: what a recording is, its sealed parts, and what is known to be wrong with it."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime  # noqa: TC003 -- msgspec reads the annotations when it runs
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kiterec.errors import ManifestError, NoRecordingError
from kiterec.store.files import FILES, Files, reason_of
from kiterec.store.journal_reader import DamagedRange  # noqa: TC001 -- msgspec reads the annotations when it runs
from kiterec.store.packet_count import Counts  # noqa: TC001 -- msgspec reads the annotations when it runs
from kiterec.store.schema import FORMAT

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST_NAME: Final = "recording.json"
_CHECKSUM: Final = re.compile(rb'"checksum": "([0-9a-f]{64})"\n}\n\Z')


class Status(StrEnum):
    """How far a recording is.

    `recording`: being written, or its writer died. `complete`: ended as it should. `recovered`: its writer
    died, everything but the very end is there. `quarantined`: something did not check; nothing was deleted.
    """

    RECORDING = "recording"
    COMPLETE = "complete"
    RECOVERED = "recovered"
    QUARANTINED = "quarantined"


class PartEntry(msgspec.Struct, kw_only=True):
    """One sealed part.

    Attributes:
        connection: whose rows it has.
        number: its place among the parts of the connection, from 0.
        first_seq: `seq` of its first row.
        last_seq: `seq` of its last row.
        begin_ns: earliest `received_at`, ns since the epoch.
        end_ns: latest `received_at`; included.
        bytes: size of the file.
        sha256: of the file, hexadecimal.
        counts: what its rows hold.
    """

    connection: str
    number: int
    first_seq: int
    last_seq: int
    begin_ns: int
    end_ns: int
    bytes: int
    sha256: str
    counts: Counts


class DamageEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that a journal had and that do not check; its bytes are kept in `kept_as`."""

    connection: str
    number: int
    range: DamagedRange
    kept_as: str


class Manifest(msgspec.Struct, kw_only=True):
    """All of recording.json.

    Attributes:
        format: number of the format of all files of the recording.
        versions: of kiterec, Python and Arrow, by name.
        status: how far it is.
        label: the recorder's own word for it.
        host: where it was recorded.
        created_at: when, UTC.
        ended_at: when it was closed or recovered; None: not yet.
        accounts: names of accounts, never their secrets.
        connections: names of the connections that were planned or had rows.
        limits: the writer's options.
        details: whatever the recorder wanted to be kept.
        parts: the sealed parts, by connection and number.
        damage: what did not check.
        problems: sentences about what else does not check; with one, the recording is quarantined.
        notes: sentences about what happened to the writer, such as a full disk.
        torn_bytes: bytes of unfinished batches that a crash left at the ends of journals.
        latencies: achieved flush and fsync latencies in ms, by name; empty when the writer died.
        instruments_sha256: of `instruments.parquet`, hexadecimal; None: there is none, or it is not known.
        lost_rows: rows that were given to the writer and are not in the recording: the disk was full, or
            what was written does not read back.
    """

    format: int = FORMAT
    versions: dict[str, str] = {}
    status: Status = Status.RECORDING
    label: str = ""
    host: str = ""
    created_at: datetime | None = None
    ended_at: datetime | None = None
    accounts: list[str] = []
    connections: list[str] = []
    limits: dict[str, float | int | None] = {}
    details: dict[str, Any] = {}
    parts: list[PartEntry] = []
    damage: list[DamageEntry] = []
    problems: list[str] = []
    notes: list[str] = []
    torn_bytes: int = 0
    latencies: dict[str, dict[str, float]] = {}
    instruments_sha256: str | None = None
    lost_rows: int = 0

    def part(self, connection: str, number: int) -> PartEntry | None:
        """Give the entry of a part; None if it is not listed."""
        for entry in self.parts:
            if entry.number == number and entry.connection == connection:
                return entry
        return None

    def set_part(self, entry: PartEntry) -> None:
        """List a part, in place of an older entry of the same part."""
        self.parts = [
            other
            for other in self.parts
            if (other.connection, other.number) != (entry.connection, entry.number)
        ]
        self.parts.append(entry)
        self.parts.sort(key=lambda part: (part.connection, part.number))
        if entry.connection not in self.connections:
            self.connections.append(entry.connection)

    @property
    def is_finished(self) -> bool:
        """Nothing is left to seal."""
        return self.status is not Status.RECORDING


def encode_manifest(manifest: Manifest) -> bytes:
    """Give the text of the file; its last field is the sha256 of the text with that field empty."""
    fields = msgspec.to_builtins(manifest) | {"checksum": ""}
    text = (json.dumps(fields, indent=1, ensure_ascii=True) + "\n").encode("ascii")
    digest = hashlib.sha256(text).hexdigest().encode("ascii")
    return text[: -len(b'"\n}\n')] + digest + b'"\n}\n'


def decode_manifest(content: bytes, *, where: Path) -> Manifest:
    """Read the text of a manifest.

    Raises:
        ManifestError: it is no manifest, of a newer format, or altered.
    """
    try:
        written = msgspec.json.decode(content, type=_Format).format
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(
            f"{where} is no manifest of a recording: {error}; kiterec recover rebuilds it"
        ) from error
    if written > FORMAT:
        raise ManifestError(
            f"{where} is of format {written}; this kiterec reads up to format {FORMAT}: upgrade it"
        )
    found = _CHECKSUM.search(content)
    blank = content[: found.start(1)] + content[found.end(1) :] if found else b""
    if found is None or hashlib.sha256(blank).hexdigest().encode() != found[1]:
        raise ManifestError(f"{where} was altered: its checksum does not hold; kiterec recover rebuilds it")
    try:
        return msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"{where} is no manifest of format {FORMAT}: {error}") from error


def load_manifest(folder: Path) -> Manifest:
    """Read the manifest of a recording's folder.

    Raises:
        ManifestError: it is missing, unreadable, of a newer format, or altered.
    """
    path = folder / MANIFEST_NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise NoRecordingError(f"{folder} is no recording: it has no {MANIFEST_NAME}") from error
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {reason_of(error)}") from error
    return decode_manifest(content, where=path)


def save_manifest(folder: Path, manifest: Manifest, *, files: Files = FILES) -> None:
    """Replace the manifest in one step that a crash does not split."""
    files.save(folder / MANIFEST_NAME, encode_manifest(manifest))


def is_of_newer_format(folder: Path) -> bool:
    """Say whether a folder's manifest is of a newer format than this kiterec reads."""
    try:
        return msgspec.json.decode((folder / MANIFEST_NAME).read_bytes(), type=_Format).format > FORMAT
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


class _Format(msgspec.Struct):
    format: int
