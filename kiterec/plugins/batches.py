"""From rows as they were recorded to what the hooks get: Arrow batches of frames, and single events."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from kiterec.store.arrays import words
from kiterec.store.journal import build_batch
from kiterec.store.schema import CONNECTION_FIELD, READ_SCHEMA
from kiterec.wire.transcript import Kind, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Recorded(NamedTuple):
    """One row of the recording: its connection, its place and itself."""

    connection: str
    seq: int
    row: Row


def frames_and_events(rows: Iterable[Recorded]) -> Iterator[pa.RecordBatch | Recorded]:
    """Give each run of binary rows as one batch, and every other row by itself, in their order."""
    for is_frame, run in groupby(rows, key=_is_frame):
        if is_frame:
            yield frames_batch(list(run))
        else:
            yield from run


def frames_batch(rows: list[Recorded]) -> pa.RecordBatch:
    """Give the rows (at least one) as one batch with the columns of a transcript that is read."""
    batch = build_batch([recorded.seq for recorded in rows], [recorded.row for recorded in rows])
    connections = words([recorded.connection for recorded in rows])
    names = connections.dictionary_encode().cast(CONNECTION_FIELD.type)
    return pa.RecordBatch.from_arrays([names, *batch.columns], schema=READ_SCHEMA)


def _is_frame(recorded: Recorded) -> bool:
    return recorded.row.kind is Kind.BINARY
