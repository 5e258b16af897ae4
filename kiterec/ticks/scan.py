"""Recordings as lazy Polars tables: only the asked rows are read and only the asked columns are decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from polars.io.plugins import register_io_source

from kiterec.clock import to_ns
from kiterec.errors import SetupError
from kiterec.store.folder import open_folder
from kiterec.ticks.bounds import Bounds, find_bounds, joined, split_predicate
from kiterec.ticks.decode import decode_packets, find_in_batch, read_tokens
from kiterec.ticks.instruments import InstrumentDump
from kiterec.ticks.schema import COLUMNS, check_columns, tick_schema
from kiterec.wire.segments import SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray

    from kiterec.store.folder import RecordingFolder
    from kiterec.ticks.decode import Context
    from kiterec.ticks.find import Packets
    from kiterec.ticks.schema import Prices
    from kiterec.wire.segments import SegmentTable

MAX_INSTRUMENT_TOKEN: Final = 0xFFFF_FFFF

TICKS_AT_ONCE: Final = 1 << 15
"""Rows of a decoded table: 8 MB with all columns, so that its memory is used again by the next one."""

_KEYS: Final = frozenset(c.name for c in COLUMNS if c.origin in {"transcript", "token", "length"})
"""Columns that cost little: a condition on them is decided before the fields are decoded."""

_TRANSCRIPT: Final = ["connection", "seq", "received_at", "kind", "payload"]


def scan_ticks(
    recording: RecordingFolder | Path | str,
    *,
    symbols: Iterable[str | int] | None = None,
    prices: Prices = "float",
    begin: datetime | None = None,
    end: datetime | None = None,
    segments: SegmentTable = SEGMENTS,
) -> pl.LazyFrame:
    """Give the ticks of a recording as a lazy table; works while it is being written.

    Shape:
        One row a packet in `(seq, packet)` order, the columns of `tick_schema(prices)`. What is no whole
        packet of a known length gives no row. Each collect reads the recording as it then is.

    Args:
        recording: the folder, or what names it for `open_folder`.
        symbols: instruments by token, `NSE:INFY` or a pattern such as `NFO:NIFTY*`; None for all.
        prices: `float` for rupees, `int` for the integers of the wire with `price_divisor`.
        begin: first instant of `received_at`; None for the beginning.
        end: first instant that is too late; None for the end.
        segments: exchange segments with their divisors and names.

    Raises:
        ManifestError: there is no recording, or its format is newer.
        SetupError: a symbol is unknown, or the recording has no instrument dump to look it up in.
        ValueError: a time without zone, or an unknown kind of price.
    """
    folder = open_folder(recording)
    folder.manifest()
    schema = tick_schema(prices, segments=segments)
    asked = time_bounds(begin, end)
    tokens = None if symbols is None else tokens_of(symbols, folder.instruments_path)

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
        frames = (
            frame for batch in bounds.read(folder, columns=_TRANSCRIPT) for frame in query.answer(batch)
        )
        yield from first_rows(frames, n_rows)

    return register_io_source(
        source, schema=schema, explain_name="KITEREC TICKS", explain_detail=str(folder.path)
    )


def time_bounds(
    begin: datetime | None, end: datetime | None, connections: Sequence[str] | None = None
) -> Bounds:
    """Give bounds of the times that a caller gave.

    Raises:
        ValueError: a time without zone.
    """
    return Bounds(
        None if begin is None else to_ns(begin),
        None if end is None else to_ns(end),
        connections=None if connections is None else tuple(connections),
    )


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


class _TickQuery:
    """Answers one query, a batch of the transcript at a time."""

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
        self._options: dict[str, Any] = {"prices": prices, "segments": segments}

    def answer(self, batch: pa.RecordBatch) -> Iterator[pl.DataFrame]:
        """Give the wanted ticks of a batch."""
        packets, context = find_in_batch(batch)
        if self._tokens is not None:
            packets = packets.select(np.isin(read_tokens(packets), self._tokens))
        for first in range(0, len(packets), TICKS_AT_ONCE):
            part = self._decide_early(packets.select(slice(first, first + TICKS_AT_ONCE)), context)
            if not len(part):
                continue
            frame = decode_packets(part, context, self._decoded, **self._options)
            if self._late is not None:
                frame = frame.filter(self._late).select(self._columns)
            if frame.height:
                yield frame

    def _decide_early(self, packets: Packets, context: Context) -> Packets:
        """Drop the packets that a condition on their keys rules out, before their fields are decoded."""
        if self._early is None:
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


def _as_tokens(words: Iterable[str | int]) -> NDArray[np.uint32]:
    tokens = [int(word) for word in words]
    if wrong := [token for token in tokens if not 0 < token <= MAX_INSTRUMENT_TOKEN]:
        raise SetupError(f"{wrong[0]} is no instrument_token, expected 1 to {MAX_INSTRUMENT_TOKEN:,}")
    return np.array(tokens, np.uint32)
