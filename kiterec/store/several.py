"""Several recordings at once: a list of them, a glob, or a folder that holds many."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from kiterec.errors import NoRecordingError
from kiterec.store.folder import RecordingFolder, find_recordings, open_folder
from kiterec.store.manifest import MANIFEST_NAME, Status
from kiterec.store.remote import URL

if TYPE_CHECKING:
    Named = RecordingFolder | Path | str


def open_several(recordings: Named | Iterable[Named]) -> list[RecordingFolder]:
    """Give the recordings that are named, each once, in the order of the names; those of one name sorted.

    Args:
        recordings: what `open_folder` takes, a pattern such as `recordings/date=2026-11-*/*`, a folder with
            recordings in it, or several of these.

    Raises:
        NoRecordingError: one of the names stands for no recording.
        StorageError: as for `open_folder`.
    """
    names = list(recordings) if isinstance(recordings, Iterable) and not isinstance(recordings, str) else None
    found: dict[str, RecordingFolder] = {}
    for name in [recordings] if names is None else names:
        for folder in _open(name):  # type: ignore[arg-type]
            found.setdefault(str(folder.path), folder)
    if not found:
        raise NoRecordingError("no recording is named; give at least one")
    return list(found.values())


def _open(name: Named) -> list[RecordingFolder]:
    if isinstance(name, RecordingFolder) or not isinstance(name, (str, Path)) or URL.match(str(name)):
        return [open_folder(name)]
    path = Path(name)
    if path.exists():
        inside = find_recordings(path) if path.is_dir() and not (path / MANIFEST_NAME).is_file() else []
        return [open_folder(folder) for folder in inside] or [open_folder(path)]
    if not glob.has_magic(str(path)):
        return [open_folder(path)]
    start = Path(path.anchor)
    matches = sorted(start.glob(str(path.relative_to(start))))
    folders = [folder for match in matches if match.is_dir() for folder in find_recordings(match)]
    if not folders:
        raise NoRecordingError(f"{path} matches no recording; `kiterec ls` lists the recordings of a folder")
    return [open_folder(folder) for folder in folders]


def within(folders: list[RecordingFolder], begin_ns: int | None, end_ns: int | None) -> list[RecordingFolder]:
    """Give the recordings that may have rows in an interval, by their manifests; one being written may."""
    kept = []
    for folder in folders:
        manifest = folder.manifest()
        if manifest.status == Status.RECORDING or any(
            (begin_ns is None or part.end_ns >= begin_ns) and (end_ns is None or part.begin_ns < end_ns)
            for part in manifest.parts
        ):
            kept.append(folder)
    return kept
