"""verify: is a recording whole, and if not, what is wrong where, and what to do about it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kiterec.clock import NS_PER_S, SYSTEM_CLOCK
from kiterec.errors import KiterecError, ManifestError, StorageError
from kiterec.store.folder import DRAFT, JOURNAL, PART, RecordingFolder, StoredFile
from kiterec.store.lock import is_locked
from kiterec.store.manifest import MANIFEST_NAME, Manifest, Status, is_of_newer_format
from kiterec.store.recover import recover
from kiterec.store.sealer import sha256_of
from kiterec.ticks.instruments import InstrumentDump
from kiterec.upkeep.findings import FileNotes, Findings
from kiterec.upkeep.journal_check import check_journal
from kiterec.upkeep.layout_check import check_layout, check_statements, check_strangers
from kiterec.upkeep.part_check import BRING_BACK, check_part
from kiterec.upkeep.progress import Progress, tell
from kiterec.upkeep.rows_check import RowsCheck
from kiterec.upkeep.seq_set import SeqSet

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

DUMP: Final = "bring the instrument dump back from a copy; frames are not concerned"

LISTED_HOLES: Final = 20

LATE_S: Final = 5
"""Added to the fsync interval: rows this close to a crash may be missing."""

UNSYNCED_S: Final = 60
"""What the operating system may keep in memory when it is never asked to sync."""


def verify(path: Path | str, *, progress: Progress | None = None) -> Findings:
    """Check everything of a recording that can be checked.

    That is: the manifest's own checksum; the files that it lists against those that are there; of each part
    size, sha256, page checksums, its rows against its counts; of each journal the crc of each batch; over all
    connections that `seq` has no holes (a crash may leave some at the very end) and no repetitions; of each
    connection that `seq` and the monotonic clock never go back; of each frame that it decodes.

    Nothing is written. What is wrong with the input never raises; memory is bounded by a row group.

    Args:
        path: the folder of a recording.
        progress: called with bytes done and bytes in all.

    Returns:
        What was found. `is_clean` says that nothing is lost or altered.
    """
    folder = RecordingFolder(path)
    check = _Verification(folder, progress)
    try:
        check.run()
    except Exception as error:
        # Whatever damage does to a reader, the rest of the findings must reach the user.
        logger.debug("verify broke off", exc_info=True)
        check.whole.error(f"checking broke off: {error or type(error).__name__}", BRING_BACK)
    return check.findings


class _Holes:
    """Stretches of `seq` that nobody has, the first of them listed."""

    def __init__(self) -> None:
        self._listed: list[tuple[int, int]] = []
        self._count = self._rows = 0

    def add(self, first: int, end: int) -> None:
        self._count += 1
        self._rows += end - first
        if self._count <= LISTED_HOLES:
            self._listed.append((first, end))

    def sentences(self) -> Iterator[tuple[str, dict[str, int | None]]]:
        """Give a sentence and the place of each that is listed, and one for all when some are not."""
        for first, end in self._listed:
            what = f"{end - first:,} rows are missing: seq {first:,} to {end - 1:,}"
            yield what, {"first_seq": first, "last_seq": end - 1}
        if self._count > LISTED_HOLES:
            yield f"{self._rows:,} rows in all are missing, in {self._count:,} places", {}


class _Verification:
    """One run over one recording."""

    def __init__(self, folder: RecordingFolder, progress: Progress | None) -> None:
        self.findings = Findings(path=str(folder.path))
        self.whole = self._notes(folder.path)
        self._folder = folder
        self._progress = progress
        self._done = self._total = 0
        self._seen = SeqSet()
        self._damaged: list[tuple[int, int]] = []  # first and last seq of parts that have errors
        self._rows: dict[str, RowsCheck] = {}
        self._began_second = SYSTEM_CLOCK.monotonic_ns() // NS_PER_S

    def _notes(self, path: Path) -> FileNotes:
        return FileNotes(self.findings, Path(self.findings.path), path)

    def run(self) -> None:
        if not self._folder.path.is_dir():
            self.whole.error("there is no such folder", "kiterec ls lists the recordings of a folder")
            return
        is_growing = self.findings.is_being_written = is_locked(self._folder.path)
        manifest = self._load_manifest()
        if manifest is None and is_of_newer_format(self._folder.path):
            return
        files = [file for connection in self._folder.connections() for file in self._folder.files(connection)]
        if manifest is None and not files:
            return
        self._total = sum(_size(file.path) for file in files) or 1
        trusted = manifest or Manifest(status=Status.RECORDING)
        if manifest is not None:
            check_statements(manifest, self._notes(self._folder.path / MANIFEST_NAME))
            if not is_growing:
                check_layout(self._folder, manifest, files, self._notes)
        for file in _without_sealed_journals(files):
            self._check_file(file, trusted)
        self._check_holes(trusted)
        self._check_instruments(trusted)
        if not is_growing:
            check_strangers(self._folder, trusted, self._notes)
            self._ask_recovery(trusted)

    def _load_manifest(self) -> Manifest | None:
        try:
            manifest = self._folder.manifest()
        except ManifestError as error:
            self._notes(self._folder.path / MANIFEST_NAME).error(
                str(error), "bring the file back from a copy, or let kiterec recover rebuild it"
            )
            return None
        self.findings.status = manifest.status
        return manifest

    def _check_file(self, file: StoredFile, manifest: Manifest) -> None:
        findings, notes = self.findings, self._notes(file.path)
        rows = self._rows.setdefault(file.connection, RowsCheck(self._seen))
        try:
            if file.suffix == JOURNAL and check_journal(
                file, rows, notes, is_growing=findings.is_being_written
            ):
                findings.journals += 1
            else:
                part = replace(file, suffix=PART, path=self._folder.file(file.connection, file.number, PART))
                entry, notes = manifest.part(file.connection, file.number), self._notes(part.path)
                check_part(part, entry, rows, notes)
                findings.parts += 1
                if entry is not None and notes.errors:
                    self._damaged.append((entry.first_seq, entry.last_seq))
        except Exception as error:  # noqa: BLE001 -- damage may do anything to a reader; the others are read on
            notes.error(f"it cannot be read: {error or type(error).__name__}", BRING_BACK)
        findings.bytes += _size(file.path)
        self._done += _size(file.path)
        tell(self._progress, self._done, self._total)

    def _check_holes(self, manifest: Manifest) -> None:
        seen = self._seen
        if seen.first_repeated is not None:
            self.whole.error(
                f"{seen.repeated:,} rows have the seq of another row, the first is {seen.first_repeated:,}",
                "a file of another recording, or a copy, is among its files: take it out",
                first_seq=seen.first_repeated,
            )
        if seen.overflowed:
            self.whole.error(
                "seq jumps too far for rows of one recording",
                "a file of another recording is among its files",
            )
            return
        self._note_holes(self._first_seq_of_the_last_moments(manifest))

    def _note_holes(self, tail: int | None) -> None:
        lost, late = _Holes(), _Holes()
        for first, end in self._seen.holes():
            if any(begin <= first and end <= last + 1 for begin, last in self._damaged):
                continue  # the rows of a part that has its own error
            if tail is None or first < tail:
                lost.add(first, end)
            elif not self.findings.is_being_written:
                late.add(first, end)
        for what, place in lost.sentences():
            self.whole.error(what, "bring back the file that held them", **place)
        for what, place in late.sentences():
            self.whole.warn(
                f"{what}, at the very end of a recording whose recorder died",
                "they were received in its last moments and had not been promised",
                **place,
            )

    def _first_seq_of_the_last_moments(self, manifest: Manifest) -> int | None:
        """Give the `seq` from which on rows may be missing; None: none may.

        A crash leaves holes among the last rows: behind the first that came in the last moments, and anywhere
        in a recording that died moments after it began. In a recording that is being written, the connections
        are read one after the other, so that only what was there at the beginning can be judged.
        """
        if manifest.status is Status.COMPLETE:
            return None
        interval = manifest.limits.get("fsync_interval_s", UNSYNCED_S)
        late_s = int(LATE_S + (UNSYNCED_S if interval is None else interval))
        if self._is_no_older(late_s, manifest):
            return 0
        ends = [rows.last_second for rows in self._rows.values() if rows.last_second is not None]
        since = max(ends, default=0) - late_s
        if self.findings.is_being_written:
            since = min(since, self._began_second - late_s)
        firsts = (rows.first_seq_since(since) for rows in self._rows.values())
        return min((seq for seq in firsts if seq is not None), default=None)

    def _is_no_older(self, age_s: int, manifest: Manifest) -> bool:
        """Tell whether the recording is known to have begun so shortly before its last row."""
        last_ns = max((rows.last_received_ns for rows in self._rows.values()), default=0)
        if manifest.created_at is None or not last_ns:
            return False
        return 0 <= last_ns / NS_PER_S - manifest.created_at.timestamp() <= age_s

    def _check_instruments(self, manifest: Manifest) -> None:
        path, notes = self._folder.instruments_path, self._notes(self._folder.instruments_path)
        if not path.is_file():
            if manifest.instruments_sha256 is not None:
                notes.error("the instrument dump is missing", DUMP)
            return
        self.findings.bytes += _size(path)
        try:
            if manifest.instruments_sha256 not in {None, found := sha256_of(path)}:
                notes.error(
                    f"its sha256 is {found} where the manifest says {manifest.instruments_sha256}", DUMP
                )
            InstrumentDump.from_parquet(path)
        except StorageError as error:
            notes.error(str(error), DUMP)

    def _ask_recovery(self, manifest: Manifest) -> None:
        """Say what recovery would do, where it would do anything."""
        if not manifest.is_finished and self.findings.status is not None:
            self.whole.warn("its recorder died before it ended the recording", "run kiterec recover")
        try:
            report = recover(self._folder.path, dry_run=True)
        except KiterecError as error:
            self.whole.warn(f"kiterec recover cannot work on it: {error}", "mend that first")
            return
        if report.changed:
            self.findings.recover = report


def _without_sealed_journals(files: list[StoredFile]) -> Iterator[StoredFile]:
    """Give the files that hold the rows, each row once; the drafts are the sealer's business."""
    parts = {(file.connection, file.number) for file in files if file.suffix == PART}
    for file in files:
        is_spare = file.suffix == JOURNAL and (file.connection, file.number) in parts
        if file.suffix != DRAFT and not is_spare:
            yield file


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
