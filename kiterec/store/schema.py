"""The transcript's Arrow schema, the format number of recordings, and the codes of row kinds."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from kiterec.errors import CorruptPartError
from kiterec.store.arrays import words
from kiterec.wire.transcript import Kind

FORMAT: Final = 1
"""Raised by any change to bytes on disk that an older reader would misread; a new kind is one."""

KINDS: Final = words([kind.value for kind in Kind])
KIND_CODES: Final[dict[Kind, int]] = {kind: code for code, kind in enumerate(Kind)}

TRANSCRIPT_SCHEMA: Final = pa.schema(
    [
        pa.field("seq", pa.uint64(), nullable=False),
        pa.field("received_at", pa.timestamp("ns", "UTC"), nullable=False),
        pa.field("monotonic_ns", pa.int64(), nullable=False),
        pa.field("kind", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("payload", pa.binary(), nullable=False),
    ]
)

CONNECTION_FIELD: Final = pa.field("connection", pa.dictionary(pa.int16(), pa.string()), nullable=False)

READ_SCHEMA: Final = pa.schema([CONNECTION_FIELD, *TRANSCRIPT_SCHEMA])
"""What readers get: the transcript with the name of the connection in front."""

MAX_PAYLOAD_BYTES: Final = 32 << 20
"""The largest payload of one row; a hundred times the largest frame of the wire."""


def with_known_kinds(kinds: pa.DictionaryArray) -> pa.DictionaryArray:
    """Give the same kinds with this version's dictionary, whatever dictionary a file carries.

    Raises:
        CorruptPartError: a kind that format 1 does not have.
    """
    if kinds.dictionary.equals(KINDS) and kinds.type.index_type == pa.int8():
        return kinds
    codes = pc.index_in(kinds.dictionary.cast(pa.string()), KINDS)
    if codes.null_count:
        strange = kinds.dictionary.filter(pc.is_null(codes)).to_pylist()
        raise CorruptPartError(f"rows of kind {strange[0]!r}, which format {FORMAT} does not have")
    return pa.DictionaryArray.from_arrays(codes.cast(pa.int8()).take(kinds.indices), KINDS)


def with_known_schema(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Give the same rows with exactly the columns' types of `TRANSCRIPT_SCHEMA`, as far as they are there."""
    schema = _known_schema(tuple(batch.schema.names))
    columns = [_with_known_type(batch.column(field.name), field) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


@lru_cache(maxsize=64)
def _known_schema(names: tuple[str, ...]) -> pa.Schema:
    """Give those of the transcript's columns that are there, in its order."""
    return pa.schema([field for field in TRANSCRIPT_SCHEMA if field.name in names])


def _with_known_type(column: Any, field: pa.Field) -> Any:
    if field.name == "kind":
        return with_known_kinds(column)
    return column if column.type == field.type else column.cast(field.type)
