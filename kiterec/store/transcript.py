"""The transcript of a recording: all connections merged in order of `seq`, a few megabytes in memory."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from kiterec.clock import ist
from kiterec.errors import ManifestError, StorageError
from kiterec.store.arrays import vector, words
from kiterec.store.folder import PART, open_folder
from kiterec.store.interleave import interleave
from kiterec.store.manifest import Status
from kiterec.store.schema import READ_SCHEMA, TRANSCRIPT_SCHEMA
from kiterec.store.sources import Range, Source, open_sources

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from kiterec.store.folder import RecordingFolder

BATCH_BYTES: Final = 4 << 20
"""Payload of a merged batch, about: what is merged stays near the processor, and memory is used again."""


def read_transcript(
    recording: RecordingFolder | Path | str,
    *,
    connections: Sequence[str] | None = None,
    begin_ns: int | None = None,
    end_ns: int | None = None,
    columns: Sequence[str] | None = None,
    seq_range: tuple[int, int] | None = None,
) -> Generator[pa.RecordBatch]:
    """Read rows in order of `seq`, each once, also of a recording that is still being written.

    Args:
        recording: the folder, or what names it for `open_folder`.
        connections: only these; None: all.
        begin_ns: only rows received at or after this instant, ns since the epoch.
        end_ns: only rows received before it.
        columns: names of `READ_SCHEMA`, in any order; None: all.
        seq_range: first `seq`, and the end, which is excluded.

    Shape:
        Batches with the columns of `READ_SCHEMA` that were asked for, in its order, none of them empty;
        about `BATCH_BYTES` each.

    Raises:
        ManifestError: there is no recording.
        StorageError: an unknown connection, or a part that cannot be read.
        ValueError: an unknown column.
    """
    schema = _read_schema(columns)
    streams = read_streams(
        recording,
        connections=connections,
        begin_ns=begin_ns,
        end_ns=end_ns,
        columns=[name for name in schema.names if name != "connection"],
        seq_range=seq_range,
        in_memory=BATCH_BYTES,
    )
    return _merge(list(streams.values()), words(list(streams)), schema)


def read_streams(
    recording: RecordingFolder | Path | str,
    *,
    connections: Sequence[str] | None = None,
    begin_ns: int | None = None,
    end_ns: int | None = None,
    columns: Sequence[str] = TRANSCRIPT_SCHEMA.names,
    seq_range: tuple[int, int] | None = None,
    in_memory: int = BATCH_BYTES,
) -> dict[str, Generator[pa.RecordBatch]]:
    """Read the rows of each connection by itself; arguments and errors as for `read_transcript`.

    Args:
        columns: names of `TRANSCRIPT_SCHEMA`; `seq` is always among what comes.
        in_memory: about so many bytes of payload of all connections together come at a time.

    Shape:
        For each connection its rows in order of `seq`, in batches of which none is empty. Close each stream.
    """
    folder = open_folder(recording)
    first_seq, end_seq = seq_range or (None, None)
    wanted = Range(begin_ns=begin_ns, end_ns=end_ns, first_seq=first_seq, end_seq=end_seq)
    names = _chosen(folder, connections)
    _check_all_there(folder, connections, wanted)
    needed = {"seq", *columns}
    if begin_ns is not None or end_ns is not None:
        needed.add("received_at")
    stored = [name for name in TRANSCRIPT_SCHEMA.names if name in needed]
    share = max(1, in_memory // max(1, len(names)))
    return {name: _stream(folder, name, wanted, stored, piece_bytes=share) for name in names}


def _chosen(folder: RecordingFolder, connections: Sequence[str] | None) -> list[str]:
    there = folder.connections()
    if connections is None:
        return there
    planned = {*there, *folder.manifest().connections}
    for name in connections:
        if name not in planned:
            raise StorageError(
                f"{folder.path} has no connection {name!r}; it has {', '.join(sorted(planned))}"
            )
    return [name for name in there if name in set(connections)]


def _check_all_there(folder: RecordingFolder, connections: Sequence[str] | None, wanted: Range) -> None:
    """Refuse to read fewer rows than were sealed, unless the recording is known not to be whole.

    Raises:
        StorageError: a part that the manifest lists, and that may hold wanted rows, is gone.
    """
    with suppress(ManifestError):  # the rows do not need it; verify names what is wrong with it
        manifest = folder.manifest()
        if manifest.status is Status.QUARANTINED:
            return
        for it in manifest.parts:
            is_wanted = wanted.may_hold((it.first_seq, it.last_seq), (it.begin_ns, it.end_ns))
            if not is_wanted or (connections is not None and it.connection not in connections):
                continue
            path = folder.file(it.connection, it.number, PART)
            if not path.exists():
                raise StorageError(
                    f"{path} is gone, with {it.counts.rows:,} rows from {ist(it.begin_ns):%H:%M:%S} "
                    f"to {ist(it.end_ns):%H:%M:%S} IST; put it back, or ask for other times"
                )


def _read_schema(columns: Sequence[str] | None) -> pa.Schema:
    if columns is None:
        return READ_SCHEMA
    for name in columns:
        if name not in READ_SCHEMA.names:
            raise ValueError(f"no column {name!r} in a transcript; it has {', '.join(READ_SCHEMA.names)}")
    return pa.schema([field for field in READ_SCHEMA if field.name in set(columns)])


def _stream(
    folder: RecordingFolder, connection: str, wanted: Range, columns: list[str], *, piece_bytes: int
) -> Generator[pa.RecordBatch]:
    """Give the wanted rows of one connection in order of `seq`."""
    sources: list[Source] = open_sources(folder, connection)
    try:
        for source in sources:
            batches = source.batches(wanted, columns=columns, piece_bytes=piece_bytes)
            # A name here would keep a batch in memory that its reader is done with.
            yield from filter(attrgetter("num_rows"), map(partial(_wanted_rows, wanted=wanted), batches))
    finally:
        for source in sources:
            source.close()


def _wanted_rows(batch: pa.RecordBatch, wanted: Range) -> pa.RecordBatch:
    bounds = (
        ("received_at", np.greater_equal, wanted.begin_ns),
        ("received_at", np.less, wanted.end_ns),
        ("seq", np.greater_equal, wanted.first_seq),
        ("seq", np.less, wanted.end_seq),
    )
    for column, holds, bound in bounds:
        if bound is not None and batch.num_rows:
            mask = holds(np.from_dlpack(batch.column(column).cast(pa.int64())), bound)
            if (kept := np.count_nonzero(mask)) != batch.num_rows:
                batch = batch.filter(vector(mask)) if kept else batch.slice(0, 0)
    return batch


def _merge(
    streams: list[Generator[pa.RecordBatch]], names: pa.Array, schema: pa.Schema
) -> Generator[pa.RecordBatch]:
    """Merge streams that are each in order of `seq`."""
    try:
        for run in interleave([_with_seq(stream) for stream in streams]):
            columns = [
                pa.DictionaryArray.from_arrays(vector(run.source), names)
                if name == "connection"
                else run.batch.column(name)
                for name in schema.names
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
    finally:
        for stream in streams:
            stream.close()


def _with_seq(stream: Iterator[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, NDArray[np.uint64]]]:
    for batch in stream:
        yield batch, np.asarray(np.from_dlpack(batch.column("seq")), np.uint64)
