"""Recordings as lazy Polars tables: only the asked rows are read and only the asked columns are decoded."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from kiterec import compiled
from kiterec.store.packet_count import Counts, declared_packets
from kiterec.store.parts import ROW_GROUP_BYTES
from kiterec.store.several import open_several, within
from kiterec.ticks.bounds import find_bounds, split_predicate, time_bounds
from kiterec.ticks.crew import checked_threads, crew
from kiterec.ticks.interleave import interleave
from kiterec.ticks.lazy import first_rows, lazy_table
from kiterec.ticks.query import TickQuery
from kiterec.ticks.schema import tick_schema
from kiterec.ticks.symbols import tokens_in
from kiterec.wire.segments import SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from datetime import datetime

    import pyarrow as pa
    from numpy.typing import NDArray

    from kiterec.store.folder import RecordingFolder
    from kiterec.store.several import Named
    from kiterec.ticks.bounds import Bounds
    from kiterec.ticks.schema import Prices
    from kiterec.wire.segments import SegmentTable

TICKS_AT_ONCE: Final = 1 << 15
"""Ticks that are decoded at a time, of all connections together: 8 MB with all columns."""

PAYLOAD_AT_ONCE: Final = 8 << 20
"""Bytes of frames that are decompressed at a time, of all connections together."""

TICKS_OF_FEW_COLUMNS: Final = 8 * TICKS_AT_ONCE
PAYLOAD_OF_FEW_COLUMNS: Final = 2 * PAYLOAD_AT_ONCE
"""At most the same for a narrow table: each piece costs calls, whatever its size."""

READING_BYTES: Final = 88 << 20
"""Where the row groups that are being read fit into so much, those of a narrow table are read whole: when a
thread is done with one, it has its memory for the next. They are there stored, unpacked, and as arrays."""

DECODED_AT_ONCE: Final = 8 << 20
"""Bytes of a narrow table that are decoded at a time, of all connections together."""

READ_AT_ONCE: Final = 4
"""What is read may hold so many times the ticks that are decoded at a time: ltp packets are short."""

LONG_FRAME: Final = 16 << 10
"""Mean bytes of a payload from which on the ticks of connections are merged and not their frames."""


def scan_ticks(
    recording: Named | Iterable[Named],
    *,
    symbols: Iterable[str | int] | None = None,
    prices: Prices = "float",
    begin: datetime | None = None,
    end: datetime | None = None,
    segments: SegmentTable = SEGMENTS,
    threads: int | None = None,
) -> pl.LazyFrame:
    """Give the ticks of one recording or of several as a lazy table; works while they are being written.

    Shape:
        One row a packet in `(seq, packet)` order, the columns of `tick_schema(prices)`. What is no whole
        packet of a known length gives no row. Each collect reads the recording as it then is. Of several,
        one recording comes after the other, each with a `seq` of its own.

    Args:
        recording: the folder, or what names it for `open_folder`; several as a list, a pattern such as
            `recordings/date=2026-11-*/*`, or the folder that they are in.
        symbols: instruments by token, `NSE:INFY` or a pattern such as `NFO:NIFTY*`; None for all. Each
            recording has its own dump: an instrument that it does not know has no rows in it.
        prices: `float` for rupees, `int` for the integers of the wire with `price_divisor`.
        begin: first instant of `received_at`; None for the beginning.
        end: first instant that is too late; None for the end.
        segments: exchange segments with their divisors and names.
        threads: that read and decode; None for one a core that the process may use. The rows are the same.

    Raises:
        ManifestError: there is no recording, or its format is newer.
        SetupError: a symbol is unknown (of several: to all of them), or a recording has no instrument dump to
            look it up in.
        ValueError: a time without zone, an unknown kind of price, or fewer than one thread.
    """
    if threads is not None:
        checked_threads(threads)
    folders = open_several(recording)
    schema = tick_schema(prices, segments=segments)
    asked = time_bounds(begin, end)
    # None is read of what lies outside; at least one is kept for the schema.
    folders = within(folders, asked.begin_ns, asked.end_ns) or folders[:1]
    tokens = [None] * len(folders) if symbols is None else tokens_in(symbols, folders)
    scans = [
        _scan(folder, asked, schema=schema, tokens=some, prices=prices, segments=segments, threads=threads)
        for folder, some in zip(folders, tokens, strict=True)
    ]
    return scans[0] if len(scans) == 1 else pl.concat(scans)


def _scan(
    folder: RecordingFolder,
    asked: Bounds,
    *,
    schema: pl.Schema,
    tokens: NDArray[np.uint32] | None,
    prices: Prices,
    segments: SegmentTable,
    threads: int | None,
) -> pl.LazyFrame:
    """Give the ticks of one recording."""

    def source(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG001 - the batches are as large as the cache likes them
    ) -> Iterator[pl.DataFrame]:
        conditions = split_predicate(predicate)
        bounds = asked.narrowed(find_bounds(conditions, folder.connections()))
        query = TickQuery(
            with_columns, conditions, schema=schema, tokens=tokens, prices=prices, segments=segments
        )
        yield from first_rows(_answers(query, bounds, folder, threads, n_rows), n_rows)

    return lazy_table(source, schema, name="KITEREC TICKS", detail=str(folder.path))


def _answers(
    query: TickQuery, bounds: Bounds, folder: RecordingFolder, threads: int | None, n_rows: int | None
) -> Iterator[pl.DataFrame]:
    """Read the connections, find their packets, merge and decode them, each thread what is next."""
    size = checked_threads(threads)
    ticks, payload = TICKS_AT_ONCE, PAYLOAD_AT_ONCE
    # Who wants a few rows shall not wait for many.
    if not query.is_wide and (n_rows is None or n_rows > TICKS_AT_ONCE):
        ticks = max(1, min(TICKS_OF_FEW_COLUMNS, DECODED_AT_ONCE // query.row_bytes))
        payload = _payload_of_few_columns(folder, size)
    streams = _streams(bounds, folder, query.transcript, payload=payload, ticks=READ_AT_ONCE * ticks)
    names = None if None in streams else pl.Series(list(streams), dtype=pl.Categorical())
    with crew(size) as workers, ExitStack() as opened:
        pieces = []
        for code, stream in enumerate(streams.values()):
            opened.callback(stream.close)
            ahead = workers.ahead(
                stream,
                partial(_split, ticks=max(1, ticks // len(streams))),
                partial(query.find, connection=code, names=names),
                frees_interpreter=compiled.chosen(),
            )
            opened.callback(ahead.close)
            pieces.append(ahead)
        decoded = workers.one_ahead(interleave(pieces, rows=ticks // 2, held_bytes=payload), query.answer)
        opened.callback(decoded.close)
        yield from (table for table in decoded if table.height)


def _payload_of_few_columns(folder: RecordingFolder, threads: int) -> int:
    """Give how many bytes of frames of all connections together are read at a time for a narrow table."""
    parts = folder.manifest().parts
    payload = sum(part.counts.payload_bytes for part in parts)
    stored = min(1.0, sum(part.bytes for part in parts) / payload) if payload else 1.0
    if threads * (2 + stored) * ROW_GROUP_BYTES > READING_BYTES:
        return PAYLOAD_OF_FEW_COLUMNS
    # Row groups have other columns beside their payloads.
    return len(folder.connections()) * ROW_GROUP_BYTES * 5 // 4


def _streams(
    bounds: Bounds, folder: RecordingFolder, columns: Sequence[str], *, payload: int, ticks: int
) -> dict[str | None, Generator[pa.RecordBatch]]:
    """Read each connection by itself, or all merged (as None) where that costs less than merging ticks.

    Args:
        bounds: of the rows.
        folder: the recording.
        columns: of the transcript.
        payload: about so many bytes of frames of all connections together come at a time.
        ticks: or fewer, of about so many ticks, if all connections had the shortest packets of any.
    """
    held: dict[str, Counts] = {}
    for part in folder.manifest().parts:
        held.setdefault(part.connection, Counts()).add(part.counts)
    rows = max(1, sum(one.rows for one in held.values()))
    if sum(one.payload_bytes for one in held.values()) < LONG_FRAME * rows:
        return {None: bounds.read(folder, columns=["connection", *columns])}
    tick_bytes = min((one.payload_bytes // one.ticks for one in held.values() if one.ticks), default=payload)
    asked = max(1, min(payload, ticks * tick_bytes))
    return dict(bounds.read_streams(folder, columns=columns, in_memory=asked).items())


def _split(batch: pa.RecordBatch, *, ticks: int) -> Iterator[pa.RecordBatch]:
    """Cut a batch between frames into ones of about so many ticks, by what the frames say that they hold.

    One of less than twice as many stays whole.
    """
    declared = np.cumsum(declared_packets(batch.column("payload")))
    if not declared.size or declared[-1] < 2 * ticks:
        yield batch
        return
    ends = np.flatnonzero(np.diff(declared // ticks)) + 1
    for first, end in zip([0, *ends.tolist()], [*ends.tolist(), batch.num_rows], strict=True):
        yield batch.slice(first, end - first)
