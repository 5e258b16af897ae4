"""Where the rows of a connection are at this moment: sealed parts, and journals that may be growing."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from kiterec.errors import StorageError
from kiterec.store.files import reason_of
from kiterec.store.folder import JOURNAL, PART, RecordingFolder, StoredFile
from kiterec.store.journal_reader import JournalReader
from kiterec.store.parts import open_part, read_pieces
from kiterec.store.remote import is_remote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kiterec.store.manifest import Manifest, PartEntry

PIECE_BYTES: Final = 4 << 20
"""What a source gives at a time unless it is asked for less: small enough to stay near the processor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Which rows are wanted; None: no bound. All intervals are half-open.

    Attributes:
        begin_ns: from this `received_at` on, ns since the epoch.
        end_ns: before this one.
        first_seq: from this `seq` on.
        end_seq: before this one.
    """

    begin_ns: int | None = None
    end_ns: int | None = None
    first_seq: int | None = None
    end_seq: int | None = None

    def may_hold(self, seqs: tuple[int, int] | None, times: tuple[int, int] | None) -> bool:
        """Say whether rows within these least and greatest values can be wanted; None: not known."""
        return _overlap(seqs, self.first_seq, self.end_seq) and _overlap(times, self.begin_ns, self.end_ns)


ALL_ROWS = Range()


class PartSource:
    """A sealed part; with its entry in the manifest it is opened only for what it may hold."""

    is_sealed = True

    def __init__(self, file: StoredFile, entry: PartEntry | None = None) -> None:
        self._entry = entry
        self.number = file.number
        self.path = file.path
        try:
            self.size = file.path.stat().st_size
        except OSError as error:
            raise StorageError(f"cannot open {file.path}: {reason_of(error)}") from error

    def close(self) -> None:
        """Do nothing: the file is open only while it is read."""

    def batches(
        self,
        wanted: Range = ALL_ROWS,
        *,
        columns: Sequence[str] | None = None,
        piece_bytes: int = PIECE_BYTES,
    ) -> Iterator[pa.RecordBatch]:
        """Give the rows of the row groups that may be wanted."""
        if (it := self._entry) is not None and not wanted.may_hold(
            (it.first_seq, it.last_seq), (it.begin_ns, it.end_ns)
        ):
            return
        with open_part(self.path) as part:
            for group, found in enumerate(part.groups):
                if wanted.may_hold(found.seq, found.received_at):
                    yield from read_pieces(part, group, columns=columns, piece_bytes=piece_bytes)


class JournalSource:
    """A journal, as long as it was when this was made."""

    is_sealed = False

    def __init__(self, file: StoredFile) -> None:
        self.number = file.number
        self.path = file.path
        self._reader = JournalReader(file.path)
        self.size = self._reader.size

    def close(self) -> None:
        """Close the journal."""
        self._reader.close()

    def batches(
        self,
        wanted: Range = ALL_ROWS,
        *,
        columns: Sequence[str] | None = None,
        piece_bytes: int = PIECE_BYTES,
    ) -> Iterator[pa.RecordBatch]:
        """Give the whole batches, a window of them joined to one."""
        for window in self._reader.windows(window_bytes=piece_bytes):
            if wanted.may_hold((window.first_seq, window.last_seq), None):
                table = pa.Table.from_batches(window.batches)
                yield from (table.select(columns) if columns else table).combine_chunks().to_batches()


Source = PartSource | JournalSource


def open_sources(folder: RecordingFolder, connection: str) -> list[Source]:
    """Give the sources of a connection, by number; each row is in exactly one. Close each of them.

    A journal that is sealed meanwhile is still read to its end, because it is opened here.
    """
    # A part elsewhere costs a request or two to look into; what is on a disk may be ahead of its manifest.
    manifest = folder.manifest() if is_remote(folder.path) else None
    for _ in range(100):
        with ExitStack() as opened:
            try:
                sources: list[Source] = []
                for file in _one_a_number(folder, connection):
                    source = _open(file, manifest)
                    opened.callback(source.close)
                    sources.append(source)
            except FileNotFoundError:  # sealed and deleted since the listing: its part is there now
                continue
            opened.pop_all()
            return sources
    raise StorageError(
        f"{folder.connection_folder(connection)} changes faster than it can be listed; try again"
    )


def _open(file: StoredFile, manifest: Manifest | None) -> Source:
    if file.suffix == PART:
        return PartSource(file, None if manifest is None else manifest.part(file.connection, file.number))
    return JournalSource(file)


def _one_a_number(folder: RecordingFolder, connection: str) -> list[StoredFile]:
    if not folder.connection_folder(connection).is_dir():
        return []
    chosen: dict[int, StoredFile] = {}
    for file in folder.files(connection):
        if file.suffix == PART or (file.suffix == JOURNAL and file.number not in chosen):
            chosen[file.number] = file
    return [chosen[number] for number in sorted(chosen)]


def _overlap(bounds: tuple[int, int] | None, begin: int | None, end: int | None) -> bool:
    if bounds is None:
        return True
    return (begin is None or bounds[1] >= begin) and (end is None or bounds[0] < end)
