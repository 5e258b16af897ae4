"""Recordings as lazy Polars tables: only the asked rows are read and only the asked columns are decoded."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from kiterec import compiled
from kiterec.clock import to_ns
from kiterec.errors import SetupError
from kiterec.store.packet_count import declared_packets
from kiterec.store.several import open_several, within
from kiterec.ticks.bounds import Bounds, find_bounds, joined, split_predicate
from kiterec.ticks.crew import Crew, checked_threads, crew
from kiterec.ticks.decode import decode_packets, decode_shares, find_in_batch
from kiterec.ticks.instruments import InstrumentDump
from kiterec.ticks.interleave import Piece, interleave, shifts
from kiterec.ticks.kernels import read_tokens
from kiterec.ticks.lazy import lazy_table
from kiterec.ticks.schema import COLUMNS, check_columns, tick_schema
from kiterec.wire.segments import SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from kiterec.store.folder import RecordingFolder
    from kiterec.store.several import Named
    from kiterec.ticks.context import Context
    from kiterec.ticks.find import Packets
    from kiterec.ticks.schema import Prices
    from kiterec.wire.segments import SegmentTable

MAX_INSTRUMENT_TOKEN: Final = 0xFFFF_FFFF

TICKS_AT_ONCE: Final = 1 << 15
"""Ticks that are decoded at a time, of all connections together: 8 MB with all columns."""

PAYLOAD_AT_ONCE: Final = 8 << 20
"""Bytes of frames that are decompressed at a time, of all connections together."""

LONG_FRAME: Final = 16 << 10
"""Mean bytes of a payload from which on the ticks of connections are merged and not their frames."""

_KEYS: Final = frozenset(c.name for c in COLUMNS if c.origin in {"transcript", "token", "length"})
"""Columns that cost little: a condition on them is decided before the fields are decoded."""

_TRANSCRIPT: Final = ["seq", "received_at", "kind", "payload"]
_FIRST_NS: Final = -(1 << 63)
_LAST_NS: Final = (1 << 63) - 1
_WANTED: Final = "\0wanted"


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
    tokens = [None] * len(folders) if symbols is None else _tokens_in(symbols, folders)
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
        query = _TickQuery(
            with_columns, conditions, schema=schema, tokens=tokens, prices=prices, segments=segments
        )
        yield from first_rows(_answers(query, bounds, folder, threads), n_rows)

    return lazy_table(source, schema, name="KITEREC TICKS", detail=str(folder.path))


def time_bounds(
    begin: datetime | None, end: datetime | None, connections: Sequence[str] | None = None
) -> Bounds:
    """Give bounds of the times that a caller gave.

    Raises:
        ValueError: a time without zone.
    """
    return Bounds(
        None if begin is None else _storable(begin),
        None if end is None else _storable(end),
        connections=None if connections is None else tuple(connections),
    )


def _storable(instant: datetime) -> int:
    """Give nanoseconds of an instant; of one beyond the years that 64 bits reach, the last that they do."""
    return min(max(to_ns(instant), _FIRST_NS), _LAST_NS)


def first_rows(frames: Iterable[pl.DataFrame], n_rows: int | None) -> Iterator[pl.DataFrame]:
    """Give frames until there are enough rows; all for None."""
    left = n_rows
    for frame in frames:
        if left is None:
            yield frame
            continue
        if left > 0:
            yield frame.head(left)
        left -= frame.height
        if left <= 0:
            return


def _answers(
    query: _TickQuery, bounds: Bounds, folder: RecordingFolder, threads: int | None
) -> Iterator[pl.DataFrame]:
    """Read the connections, find their packets, merge and decode them, each thread what is next."""
    streams = _streams(bounds, folder, query.transcript)
    names = None if None in streams else pl.Series(list(streams), dtype=pl.Categorical())
    ticks = max(1, TICKS_AT_ONCE // max(1, len(streams)))
    with crew(checked_threads(threads)) as workers, ExitStack() as opened:
        pieces = []
        for code, stream in enumerate(streams.values()):
            opened.callback(stream.close)
            ahead = workers.ahead(
                stream,
                partial(_split, ticks=ticks),
                partial(query.find, connection=code, names=names),
                frees_interpreter=compiled.chosen(),
            )
            opened.callback(ahead.close)
            pieces.append(ahead)
        decoded = workers.one_ahead(interleave(pieces, packets=TICKS_AT_ONCE // 2), query.decode)
        opened.callback(decoded.close)
        yield from (table for table in decoded if table.height)


def _streams(
    bounds: Bounds, folder: RecordingFolder, columns: Sequence[str]
) -> dict[str | None, Generator[pa.RecordBatch]]:
    """Read each connection by itself, or all merged (as None) where that costs less than merging ticks."""
    held = [part.counts for part in folder.manifest().parts]
    mean = sum(one.payload_bytes for one in held) / max(1, sum(one.rows for one in held))
    if mean < LONG_FRAME:
        return {None: bounds.read(folder, columns=["connection", *columns])}
    return dict(bounds.read_streams(folder, columns=columns, in_memory=PAYLOAD_AT_ONCE).items())


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


class _TickQuery:
    """Answers one query, some frames of a connection at a time."""

    def __init__(
        self,
        with_columns: list[str] | None,
        conditions: list[pl.Expr],
        *,
        schema: pl.Schema,
        tokens: NDArray[np.uint32] | None,
        prices: Prices,
        segments: SegmentTable,
    ) -> None:
        early = [one for one in conditions if _is_early(one)]
        late = [one for one in conditions if not _is_early(one)]
        self._early = joined(early) if early else None
        self._late = joined(late) if late else None
        self._tokens = tokens
        self._columns = check_columns(with_columns, schema)
        self._keys = sorted({name for one in early for name in one.meta.root_names()})
        needed = dict.fromkeys([*self._columns, *(name for one in late for name in one.meta.root_names())])
        self._decoded = list(needed)
        read = {"received_at"} & {*self._decoded, *self._keys}
        self.transcript = [name for name in _TRANSCRIPT if name != "received_at" or name in read]
        self._options: dict[str, Any] = {"prices": prices, "segments": segments}

    def find(self, batch: pa.RecordBatch, *, connection: int, names: pl.Series | None) -> Piece:
        """Give the packets of a batch of the transcript that may be wanted."""
        packets, context = find_in_batch(batch, connection=connection, names=names)
        if self._tokens is not None:
            packets = packets.select(np.isin(read_tokens(packets), self._tokens))
        return Piece(self._decide_early(packets, context), context, int(batch.column("seq")[-1].as_py()))

    def decode(self, pieces: list[Piece]) -> pl.DataFrame:
        """Give the wanted ticks of pieces in the order of the recording."""
        shares = [(piece.packets, piece.context) for piece in pieces]
        order = shifts(pieces) if len(pieces) > 1 else None
        table = decode_shares(shares, self._decoded, Crew(None, 1), shifts=order, **self._options)
        if self._late is None:
            return table
        # As a column: a condition without a column in it is one truth for all rows.
        wanted = table.with_columns(self._late.fill_null(value=False).alias(_WANTED)).get_column(_WANTED)
        return table.filter(wanted).select(self._columns)

    def _decide_early(self, packets: Packets, context: Context) -> Packets:
        """Drop the packets that a condition on their keys rules out, before their fields are decoded."""
        if self._early is None or not len(packets):
            return packets
        keys = decode_packets(packets, context, self._keys, **self._options)
        wanted = keys.select(self._early.fill_null(value=False)).to_series().to_numpy()
        return packets if wanted.all() else packets.select(wanted)


def _is_early(condition: pl.Expr) -> bool:
    """Tell whether a condition can be decided before the fields are decoded."""
    roots = condition.meta.root_names()
    return bool(roots) and _KEYS.issuperset(roots)


def tokens_of(symbols: Iterable[str | int], dump_path: Path) -> NDArray[np.uint32]:
    """Give the tokens of the asked instruments, by the recording's own dump.

    Raises:
        SetupError: a symbol is unknown, there is no dump to look it up in, or a token is impossible.
    """
    asked = [symbols] if isinstance(symbols, (str, int)) else list(symbols)
    if all(isinstance(word, int) or word.isdecimal() for word in asked):
        return _as_tokens(asked)
    if not dump_path.is_file():
        raise SetupError(
            f"{dump_path.parent} has no instrument dump to look names up in; give instrument_tokens"
        )
    return np.array(InstrumentDump.from_parquet(dump_path).select(asked), np.uint32)


def _tokens_in(
    symbols: Iterable[str | int], folders: list[RecordingFolder]
) -> list[NDArray[np.uint32] | None]:
    """Give the tokens of the asked instruments in each recording: days have other contracts.

    Raises:
        SetupError: as for `tokens_of`, of what no recording knows.
    """
    asked = [symbols] if isinstance(symbols, (str, int)) else list(symbols)
    if len(folders) == 1:
        return [tokens_of(asked, folders[0].instruments_path)]
    found: list[NDArray[np.uint32] | None] = []
    known: set[str | int] = set()
    failure: SetupError | None = None
    for folder in folders:
        mine = [np.empty(0, np.uint32)]
        for word in asked:
            try:
                mine.append(tokens_of([word], folder.instruments_path))
                known.add(word)
            except SetupError as error:
                failure = failure or error
        found.append(np.concatenate(mine))
    if failure is not None and not known.issuperset(asked):
        raise failure
    return found


def _as_tokens(words: Iterable[str | int]) -> NDArray[np.uint32]:
    tokens = [int(word) for word in words]
    if wrong := [token for token in tokens if not 0 < token <= MAX_INSTRUMENT_TOKEN]:
        raise SetupError(f"{wrong[0]} is no instrument_token, expected 1 to {MAX_INSTRUMENT_TOKEN:,}")
    return np.array(tokens, np.uint32)
