"""Are the files of a recording those that its manifest lists, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kiterec.store.folder import DAMAGED, DRAFT, JOURNAL, PART, TORN
from kiterec.store.lock import is_locked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from kiterec.store.folder import RecordingFolder, StoredFile
    from kiterec.store.manifest import Manifest
    from kiterec.upkeep.findings import FileNotes

    NotesOf = Callable[[Path], FileNotes]

RECOVER: Final = "run kiterec recover"


def check_layout(
    folder: RecordingFolder, manifest: Manifest, files: Sequence[StoredFile], notes_of: NotesOf
) -> None:
    """Compare what is there with what the manifest lists. Not for a recording that is being written."""
    there = {(file.connection, file.number, file.suffix) for file in files}
    listed = {(part.connection, part.number) for part in manifest.parts}
    for part in manifest.parts:
        if (part.connection, part.number, PART) not in there:
            notes_of(folder.file(part.connection, part.number, PART)).error(
                f"it is missing, with {part.counts.rows:,} rows",
                "bring it back from a copy",
                first_seq=part.first_seq,
                last_seq=part.last_seq,
            )
    for file in files:
        notes, is_listed = notes_of(file.path), (file.connection, file.number) in listed
        if file.suffix == PART and not is_listed:
            _note_orphan(manifest, notes)
        elif file.suffix == JOURNAL and is_listed:
            notes.warn("a journal whose part is sealed and listed; its rows are there once more", RECOVER)
        elif file.suffix == JOURNAL and manifest.is_finished:
            notes.error("a journal in a recording that is final: its rows are in no part", RECOVER)
        elif file.suffix == DRAFT:
            notes.warn("a part that was being sealed when its writer died", RECOVER)


def _note_orphan(manifest: Manifest, notes: FileNotes) -> None:
    if manifest.is_finished:
        notes.error(
            "a part that the manifest does not list",
            "if it was renamed give it back its name; if it belongs here run kiterec recover",
        )
    else:
        notes.warn("a sealed part that is not listed yet", RECOVER)


def check_strangers(folder: RecordingFolder, manifest: Manifest, notes_of: NotesOf) -> None:
    """Name the files that kiterec did not make, and what was set aside and is not written down."""
    kept = {folder.connection_folder(entry.connection) / entry.kept_as: entry for entry in manifest.damage}
    pieces: set[Path] = set()
    for path in folder.strangers():
        if path in kept:
            continue
        if path.name.endswith(TORN + DAMAGED):
            notes_of(path).warn(
                f"{path.stat().st_size:,} bytes behind the last whole batch of a journal whose recorder "
                "died: rows that were being written, or damage that looks the same",
                "nothing reads it; delete it, or keep it as long as rows of the last moment may be missed",
            )
        elif path.name.endswith(DAMAGED):
            notes_of(path).warn(
                "recovery set it aside because something in it did not check",
                "nothing reads it; delete it when a copy of the recording is whole",
            )
        elif path.parent.parent == folder.path and path.parent.name.endswith(".tmp"):
            pieces.add(path.parent)
        elif path.name.endswith(".tmp"):
            notes_of(path).warn("the draft of a file whose writer died", RECOVER)
        else:
            notes_of(path).warn("kiterec did not make this file", "move it out of the recording")
    for path in sorted(pieces):
        if path.is_dir() and not is_locked(path):
            notes_of(path).warn("pieces of a tick cache whose writer died", RECOVER)


def check_statements(manifest: Manifest, notes: FileNotes) -> None:
    """Repeat what the manifest itself says was lost or does not check."""
    for entry in manifest.damage:
        notes.error(
            f"{entry.range.length:,} bytes of the journal of {entry.connection} part {entry.number} did not "
            f"check when it was sealed: {entry.range.reason}",
            f"their rows are lost unless a copy of the journal exists; the bytes are kept as {entry.kept_as}",
            offset=entry.range.offset,
        )
    for sentence in manifest.problems:
        notes.error(sentence, "the recording stays quarantined; nothing was deleted")
    if manifest.lost_rows:
        notes.error(
            f"{manifest.lost_rows:,} rows that were received are not in the recording: "
            f"{'; '.join(manifest.notes) or 'the disk did not keep them'}",
            "they are lost; merge with another recording of the time, if there is one",
        )
