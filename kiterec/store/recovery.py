"""What recovery does, step by step: any instant may be its last, and the next run goes on from there."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from kiterec.errors import CorruptPartError, ManifestError
from kiterec.store.files import storage_errors
from kiterec.store.folder import DAMAGED, DRAFT, JOURNAL, PART, TORN, RecordingFolder
from kiterec.store.lock import is_locked
from kiterec.store.manifest import Manifest, Status, is_of_newer_format, save_manifest
from kiterec.store.recover_report import RecoverReport
from kiterec.store.sealer import (
    Sealed,
    check_against_journal,
    check_sha256,
    copy_end,
    describe_part,
    examine_journal,
    retire_journal,
    seal,
)
from kiterec.store.sealing import note_sealed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kiterec.store.files import Files

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Recovery:
    """One run over one recording.

    Attributes:
        folder: the recording.
        files: the file operations.
        dry_run: nothing is written.
        progress: called with bytes of journals done and in all.
        manifest: as it is, and then as it is to be.
        report: what was done.
    """

    folder: RecordingFolder
    files: Files
    dry_run: bool = field(kw_only=True)
    progress: Callable[[int, int], None] | None = field(kw_only=True, default=None)
    manifest: Manifest = field(default_factory=Manifest)
    report: RecoverReport = field(init=False)

    def run(self) -> RecoverReport:
        """Do it, or say what would be done."""
        self.report = RecoverReport(path=str(self.folder.path))
        self._load_manifest()
        before = msgspec.json.encode(self.manifest)
        for connection in self.folder.connections():
            if connection not in self.manifest.connections:
                self.manifest.connections.append(connection)
        journals = self._journal_bytes()
        for connection in self.folder.connections():
            self._recover_connection(connection, journals)
        self._drop_saves()
        self._look_for_missing_parts()
        self._conclude(is_altered=before != msgspec.json.encode(self.manifest))
        return self.report

    def _load_manifest(self) -> None:
        try:
            self.manifest = self.folder.manifest()
            self.report.status_before = self.manifest.status
        except ManifestError as error:
            if is_of_newer_format(self.folder.path):
                raise
            if not self.folder.connections():
                raise
            self.manifest = Manifest(label=self.folder.path.name.partition("-")[2], status=Status.RECORDING)
            self._problem(f"the manifest was rebuilt from the files: {error}")

    def _journal_bytes(self) -> dict[tuple[str, int], int]:
        return {
            (file.connection, file.number): file.path.stat().st_size
            for connection in self.folder.connections()
            for file in self.folder.files(connection)
            if file.suffix == JOURNAL
        }

    def _recover_connection(self, connection: str, journals: dict[tuple[str, int], int]) -> None:
        there: dict[int, set[str]] = {}
        for file in self.folder.files(connection):
            there.setdefault(file.number, set()).add(file.suffix)
        for number, suffixes in sorted(there.items()):
            if PART in suffixes and self.manifest.part(connection, number) is None:
                self._list_part(connection, number, has_journal=JOURNAL in suffixes)
            elif PART in suffixes and JOURNAL in suffixes:
                self._drop_listed(connection, number)
            elif JOURNAL in suffixes:
                self._seal(connection, number)
            if DRAFT in suffixes:
                self._drop_draft(connection, number, is_alone=suffixes == {DRAFT})
            if self.progress is not None and journals:
                done = sum(size for place, size in journals.items() if place <= (connection, number))
                self.progress(done, sum(journals.values()))

    def _seal(self, connection: str, number: int) -> None:
        journal = self.folder.file(connection, number, JOURNAL)
        if self.dry_run:
            sealed = examine_journal(journal, connection, number)
        else:
            sealed = seal(self.folder, connection, number, files=self.files)
            self._keep_torn_end(journal, sealed)
            note_sealed(self.manifest, self.folder, connection, number, sealed)
            save_manifest(self.folder.path, self.manifest, files=self.files)
            retire_journal(self.folder, connection, number, damaged=bool(sealed.damage), files=self.files)
        if self.dry_run:
            self._keep_torn_end(journal, sealed)
        self._report_sealed(journal, sealed)
        self.report.torn_bytes += sealed.torn_bytes
        self.report.changed = True

    def _report_sealed(self, journal: Path, sealed: Sealed) -> None:
        name = self._name(journal)
        if sealed.entry is not None:
            self.report.sealed.append(name)
            self.report.rows += sealed.entry.counts.rows
        (self.report.kept if sealed.damage else self.report.deleted).append(name)
        self.report.problems += [
            f"{name}: {found.length} bytes at {found.offset}: {found.reason}" for found in sealed.damage
        ]

    def _list_part(self, connection: str, number: int, *, has_journal: bool) -> None:
        """A crash came between the rename and the manifest; or the manifest is new."""
        part = self.folder.file(connection, number, PART)
        try:
            entry = describe_part(part, connection, number)
            if has_journal:
                check_against_journal(part, self.folder.file(connection, number, JOURNAL), may_have_more=True)
        except CorruptPartError as error:
            self._set_aside(part, str(error))
            if has_journal:
                self._seal(connection, number)
            return
        self.report.changed = True
        self.report.listed.append(self._name(part))
        self.report.rows += entry.counts.rows
        self.manifest.set_part(entry)
        if has_journal:
            self._drop_journal(connection, number, is_noted=False)

    def _drop_listed(self, connection: str, number: int) -> None:
        """The part was read back when it was listed; its journal goes only if that still holds."""
        part = self.folder.file(connection, number, PART)
        entry = self.manifest.part(connection, number)
        try:
            check_against_journal(part, self.folder.file(connection, number, JOURNAL), may_have_more=True)
            check_sha256(part, "" if entry is None else entry.sha256)
        except CorruptPartError as error:
            self._set_aside(part, str(error))
            self._seal(connection, number)
        else:
            self._drop_journal(connection, number, is_noted=True)

    def _keep_torn_end(self, journal: Path, sealed: Sealed) -> None:
        """Keep the bytes behind the last whole batch: a flipped bit of a length looks like a torn end."""
        begin = journal.stat().st_size - sealed.torn_bytes
        if sealed.damage or not begin or not sealed.torn_bytes:
            return  # a journal with damage is kept as a whole; one without a header has no rows
        kept = journal.with_name(journal.name + TORN + DAMAGED)
        if not self.dry_run:
            copy_end(journal, kept, begin, files=self.files)
        self.report.kept.append(self._name(kept))
        note = f"{sealed.torn_bytes:,} bytes behind the last whole batch are kept in {self._name(kept)}"
        if note not in self.manifest.notes:
            self.manifest.notes.append(note)

    def _drop_journal(self, connection: str, number: int, *, is_noted: bool) -> None:
        """The part holds what the journal does; a journal with damage is kept beside it."""
        journal = self.folder.file(connection, number, JOURNAL)
        found = examine_journal(journal, connection, number)
        part = self.manifest.part(connection, number)
        if is_noted or (part and (found.entry is None or found.entry.last_seq < part.last_seq)):
            found.torn_bytes = 0  # counted before, or what is torn here is whole in the part
        found.entry = None
        entries = self.manifest.damage
        damaged = bool(found.damage) or any((e.connection, e.number) == (connection, number) for e in entries)
        self._keep_torn_end(journal, found)
        note_sealed(self.manifest, self.folder, connection, number, found)
        self._save()
        if not self.dry_run:
            retire_journal(self.folder, connection, number, damaged=damaged, files=self.files)
        (self.report.kept if damaged else self.report.deleted).append(self._name(journal))
        self.report.changed = True

    def _drop_draft(self, connection: str, number: int, *, is_alone: bool) -> None:
        draft = self.folder.file(connection, number, DRAFT)
        if is_alone:
            self._set_aside(draft, f"{draft} is a draft without its journal")
            return
        if not self.dry_run:
            self.files.delete(draft)
        self.report.deleted.append(self._name(draft))
        self.report.changed = True

    def _set_aside(self, path: Path, problem: str) -> None:
        self._problem(problem)
        self._save()
        if not self.dry_run:
            self.files.rename(path, path.with_name(path.name + DAMAGED))
            self.files.sync_folder(path.parent)
        self.report.kept.append(self._name(path))
        self.report.changed = True

    def _drop_saves(self) -> None:
        """A crash came while the manifest, dump or tick cache was replaced: the older one is whole."""
        for path in sorted(self.folder.path.glob("*.tmp")):
            if path.is_dir():
                if is_locked(path):  # a tick cache is being written
                    continue
                if not self.dry_run:
                    with storage_errors("delete", path):
                        shutil.rmtree(path)
            elif not self.dry_run:
                self.files.delete(path)
            self.report.deleted.append(self._name(path))
            self.report.changed = True

    def _look_for_missing_parts(self) -> None:
        for part in self.manifest.parts:
            path = self.folder.file(part.connection, part.number, PART)
            if not path.exists():
                self._problem(f"{part.connection} part {part.number} with {part.counts.rows} rows is missing")
            elif (size := path.stat().st_size) != part.bytes and self._name(path) not in self.report.kept:
                self._problem(f"{path} has {size:,} bytes where {part.bytes:,} are listed")

    def _conclude(self, *, is_altered: bool) -> None:
        manifest, report = self.manifest, self.report
        is_wrong = bool(manifest.damage or manifest.problems or report.problems)
        status = manifest.status
        if is_wrong:
            status = Status.QUARANTINED
        elif not manifest.is_finished:
            status = Status.RECOVERED
        report.status = status
        report.changed |= is_altered or status is not manifest.status
        manifest.status = status
        if report.changed and not self.dry_run:
            manifest.ended_at = manifest.ended_at or datetime.now(UTC)
            self._save()
            logger.info("recovered path=%s status=%s rows=%d", report.path, status, report.rows)

    def _problem(self, sentence: str) -> None:
        self.report.problems.append(sentence)
        if sentence not in self.manifest.problems:
            self.manifest.problems.append(sentence)

    def _save(self) -> None:
        if not self.dry_run:
            save_manifest(self.folder.path, self.manifest, files=self.files)

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.folder.path))
