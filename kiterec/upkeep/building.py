"""Makes new recordings of rows that exist: complete at once, or not there at all."""

from __future__ import annotations

import hashlib
import platform
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pyarrow as pa

from kiterec.clock import utc
from kiterec.errors import SetupError, StorageError
from kiterec.store.arrays import vector
from kiterec.store.files import FILES
from kiterec.store.folder import INSTRUMENTS_NAME, RecordingFolder
from kiterec.store.lock import FolderLock
from kiterec.store.manifest import Manifest, Status, save_manifest
from kiterec.store.remote import is_remote
from kiterec.store.schema import TRANSCRIPT_SCHEMA
from kiterec.upkeep.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

BUDGET_BYTES: Final = 64 << 20
"""Rows of all connections that wait for their row groups."""


class RecordingBuilder:
    """Writes a recording under a hidden name and renames it when it is whole.

    Use it in a `with` block: without `finish`, nothing is left behind.

    Attributes:
        rows: rows taken so far.
    """

    def __init__(self, out: Path, *, sources: Iterable[Path]) -> None:
        """Begin.

        Args:
            out: the folder of the new recording, which must not exist.
            sources: the recordings that it is made of.

        Raises:
            SetupError: `out` exists, is in one of the sources, or cannot be made.
        """
        _check_place(out, sources)
        self.rows = 0
        self._out = out
        self._begin_ns: int | None = None
        self._lanes: dict[str, Lane] = {}
        self._new_parents = [parent for parent in out.absolute().parents if not parent.exists()]
        self._folder = RecordingFolder(out.with_name(f".{out.name}.being-made"))
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            self._folder.path.mkdir(exist_ok=True)
            self._lock = FolderLock(self._folder.path).acquire()
        except (OSError, SetupError) as error:
            raise SetupError(f"cannot make {out}: {error}") from error
        for left in self._folder.path.iterdir():  # of a run that was killed
            shutil.rmtree(left) if left.is_dir() else left.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for lane in self._lanes.values():
            lane.abandon()
        self._lock.release()
        if self._folder.path != self._out:
            shutil.rmtree(self._folder.path)
            with suppress(OSError):  # somebody else has put something there
                for parent in self._new_parents:
                    parent.rmdir()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take rows with the columns of `READ_SCHEMA`; `seq` is given anew, in the order of the calls.

        Raises:
            StorageError: the disk refuses.
        """
        if not batch.num_rows:
            return
        if self._begin_ns is None:
            self._begin_ns = batch.column("received_at")[0].value
        seqs = vector(np.arange(self.rows, self.rows + batch.num_rows, dtype=np.uint64))
        self.rows += batch.num_rows
        connection = batch.column("connection")
        codes = np.from_dlpack(connection.indices)
        rows = pa.RecordBatch.from_arrays(
            [seqs, *(batch.column(name) for name in TRANSCRIPT_SCHEMA.names[1:])], schema=TRANSCRIPT_SCHEMA
        )
        for code in np.unique(codes).tolist():
            mine = codes == code
            self._lane(connection.dictionary[code].as_py()).add(
                rows if mine.all() else rows.filter(vector(mine))
            )
        while sum(lane.waiting_bytes for lane in self._lanes.values()) > BUDGET_BYTES:
            max(self._lanes.values(), key=lambda lane: lane.waiting_bytes).write_waiting()

    def _lane(self, connection: str) -> Lane:
        if connection not in self._lanes:
            FILES.make_folder(self._folder.connection_folder(connection))
            self._lanes[connection] = Lane(self._folder, connection)
        return self._lanes[connection]

    def finish(
        self,
        model: Manifest,
        *,
        made_from: dict[str, Any],
        instruments: bytes | None,
        notes: Iterable[str] = (),
    ) -> Path:
        """Write what waits and give the recording its name.

        Args:
            model: label, host, accounts, connections and details are taken from it.
            made_from: how it was made, kept in the manifest's details.
            instruments: the content of `instruments.parquet`; None: there is none.
            notes: sentences about what its sources lack.

        Returns:
            The recording's folder.

        Raises:
            StorageError: the disk refuses, or what was written does not read back.
        """
        if instruments is not None:
            FILES.save(self._folder.path / INSTRUMENTS_NAME, instruments)
        parts = [part for name in sorted(self._lanes) for part in self._lanes[name].finish()]
        now = datetime.now(UTC)
        manifest = Manifest(
            versions={name: version(name) for name in ("kiterec", "pyarrow")}
            | {"python": platform.python_version()},
            status=Status.COMPLETE,
            label=model.label,
            host=model.host,
            created_at=now if self._begin_ns is None else utc(self._begin_ns),
            ended_at=now,
            accounts=model.accounts,
            connections=sorted({*model.connections, *self._lanes}),
            details=model.details | {"made_from": made_from},
            parts=parts,
            notes=list(notes),
            instruments_sha256=None if instruments is None else hashlib.sha256(instruments).hexdigest(),
        )
        save_manifest(self._folder.path, manifest)
        if self._out.exists():
            raise SetupError(f"{self._out} was made by somebody else meanwhile; give another folder")
        FILES.rename(self._folder.path, self._out)
        FILES.sync_folder(self._out.parent)
        self._folder = RecordingFolder(self._out)
        return self._out


def source_notes(folder: RecordingFolder, manifest: Manifest) -> Iterator[str]:
    """Say what a recording lacked when another was made of it, so that the other does not look whole."""
    made = f"{folder.path.name}, of which this was made,"
    if not manifest.is_finished:
        yield f"{made} was not finished then"
    if wrong := len(manifest.damage) + len(manifest.problems):
        first = manifest.problems[0] if manifest.problems else manifest.damage[0].range.reason
        yield f"{made} is quarantined: {wrong:,} things do not check, such as: {first}"
    if manifest.lost_rows:
        yield f"{made} lacks {manifest.lost_rows:,} rows that were received"


def _check_place(out: Path, sources: Iterable[Path]) -> None:
    if out.exists():
        raise SetupError(f"{out} exists already; give a folder that does not")
    for source in sources:
        if not is_remote(source) and out.resolve().is_relative_to(source.resolve()):
            raise SetupError(f"{out} is inside the recording {source}; give a folder outside of it")


def read_instruments(folder: RecordingFolder) -> bytes | None:
    """Give the content of a recording's `instruments.parquet`; None: it has none.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        return folder.instruments_path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"cannot read {folder.instruments_path}: {error.strerror}") from error
