"""The files of one recording: where parts, journals and the manifest are, and which are there."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kiterec.errors import NoRecordingError, SetupError, StorageError
from kiterec.store.manifest import MANIFEST_NAME, Manifest, Status, load_manifest
from kiterec.store.remote import is_remote, place_of, said_of

if TYPE_CHECKING:
    from collections.abc import Iterator

PART: Final = ".parquet"
JOURNAL: Final = ".arrows"
DRAFT: Final = ".parquet.tmp"
DAMAGED: Final = ".damaged"
TORN: Final = ".torn"
INSTRUMENTS_NAME: Final = "instruments.parquet"
CACHE_NAME: Final = "ticks.parquet"
"""All ticks once more, by instrument; made of the parts at any time, so it is worth nothing beside them."""

_NAME: Final = re.compile(r"part-(\d{5,9})(\.parquet|\.arrows|\.parquet\.tmp)\Z")
_CONNECTION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


@dataclass(frozen=True, slots=True, order=True)
class StoredFile:
    """A part, a journal or a draft of a part.

    Attributes:
        connection: whose rows it has.
        number: its place among the parts of the connection.
        suffix: `PART`, `JOURNAL` or `DRAFT`.
        path: where it is.
    """

    connection: str
    number: int
    suffix: str
    path: Path


class RecordingFolder:
    """The folder of one recording.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path) if isinstance(path, str) else path

    def __repr__(self) -> str:
        return f"RecordingFolder({str(self.path)!r})"

    @property
    def instruments_path(self) -> Path:
        """Where the day's instrument dump is, if it is known."""
        return self.path / INSTRUMENTS_NAME

    def manifest(self) -> Manifest:
        """Read the manifest.

        Raises:
            ManifestError: it is missing, unreadable, of a newer format, or altered.
        """
        return load_manifest(self.path)

    def connection_folder(self, connection: str) -> Path:
        """Give the folder of a connection's files."""
        return self.path / f"connection={connection}"

    def file(self, connection: str, number: int, suffix: str) -> Path:
        """Give the path of a part (`PART`), of its journal (`JOURNAL`) or of its draft (`DRAFT`)."""
        return self.connection_folder(connection) / f"part-{number:05d}{suffix}"

    def connections(self) -> list[str]:
        """Give the names of the connections that have a folder, sorted."""
        return sorted(path.name.partition("=")[2] for path in self.path.glob("connection=*") if path.is_dir())

    def files(self, connection: str) -> list[StoredFile]:
        """Give the connection's parts, journals and drafts that are there, by number."""
        return sorted(
            StoredFile(connection, int(match[1]), match[2], path)
            for path in self.connection_folder(connection).iterdir()
            if (match := _NAME.match(path.name))
        )

    def strangers(self) -> list[Path]:
        """Give the files that hold none of the recording: what was set aside, and what is not kiterec's."""
        known = {self.path / MANIFEST_NAME, self.instruments_path, self.path / CACHE_NAME}
        for connection in self.connections():
            known |= {file.path for file in self.files(connection)}
        return sorted(path for path in self.path.rglob("*") if path.is_file() and path not in known)


def check_connection_name(name: str, *, what: str = "connection name") -> None:
    """Refuse a name that cannot be the name of a folder.

    Args:
        name: of a connection, or another word that becomes part of a folder's name.
        what: it is, for the sentence of the error.

    Raises:
        SetupError: it has other characters than letters, digits, point, dash and underscore.
    """
    if not _CONNECTION.match(name):
        raise SetupError(f"{what} {name!r} cannot name a folder; use letters, digits, '.', '-' and '_' only")


def find_recordings(root: Path | str) -> list[Path]:
    """Give the folders of all recordings in a folder, sorted; only the folder itself if it is one."""
    root = Path(root)
    if (root / MANIFEST_NAME).is_file():
        return [root]
    return sorted(_walk(root))


def open_folder(recording: RecordingFolder | Path | str, *, file_system: Any = None) -> RecordingFolder:
    """Give the recording at a path: its folder, or its recording.json.

    Args:
        recording: a path, the URL of a finished recording on what pyarrow can read, or what this gave.
        file_system: as for `place_of`.

    Raises:
        NoRecordingError: there is no recording; where the folder holds several, the sentence names one.
        StorageError: it is elsewhere, and not finished, not all there, or cannot be reached.
    """
    if isinstance(recording, RecordingFolder):
        return recording
    place = place_of(recording, file_system=file_system)
    if is_remote(place):
        return _finished(RecordingFolder(place))
    if not place.exists():
        raise NoRecordingError(f"{place} does not exist; `kiterec ls` lists the recordings of a folder")
    if place.is_file() and place.name != MANIFEST_NAME:
        raise NoRecordingError(
            f"{place} is no recording but a file; give the folder that holds {MANIFEST_NAME}"
        )
    folder = RecordingFolder(place.parent if place.is_file() else place)
    if not (folder.path / MANIFEST_NAME).is_file():
        inside = find_recordings(folder.path)
        hint = f"; name one of the {len(inside)} in it, such as {inside[-1]}" if inside else ""
        raise NoRecordingError(f"{folder.path} is no recording: it has no {MANIFEST_NAME}{hint}")
    return folder


def _finished(folder: RecordingFolder) -> RecordingFolder:
    """Give a recording that is elsewhere, if it can be read from there: it must not change any more."""
    try:
        manifest = folder.manifest()
    except NoRecordingError as error:
        raise NoRecordingError(f"{error}; {said_of(folder.path)}") from None
    files = {
        (it.connection, it.number, it.suffix): it.path
        for name in folder.connections()
        for it in folder.files(name)
    }
    journals = [path.name for (_, _, suffix), path in files.items() if suffix == JOURNAL]
    if journals or not manifest.is_finished:
        why = f"it has the journal {journals[0]}" if journals else "its status is recording"
        raise StorageError(
            f"{folder.path} is not finished: {why}; "
            "run kiterec recover where it was recorded, or copy it to a disk, and open it there"
        )
    if manifest.status is not Status.QUARANTINED:
        for part in manifest.parts:
            path = files.get((part.connection, part.number, PART))
            if path is None or path.stat().st_size != part.bytes:
                there = "is missing" if path is None else f"has {path.stat().st_size:,} bytes"
                raise StorageError(
                    f"{folder.path} is not all there: {part.connection} part {part.number} of "
                    f"{part.bytes:,} bytes {there}; copy it again"
                )
    return folder


def _walk(root: Path) -> Iterator[Path]:
    for place, _, names in os.walk(root):  # a folder that vanishes meanwhile is skipped
        if MANIFEST_NAME in names:
            yield Path(place)
