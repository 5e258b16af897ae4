"""The last packet of each instrument before an instant, found by reading a recording from there backwards."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import pyarrow as pa

from kiterec.store.arrays import numbers_in, vector
from kiterec.store.folder import open_folder
from kiterec.store.transcript import read_transcript
from kiterec.ticks.bounds import time_bounds
from kiterec.ticks.current_cache import ask_cache, groups_of
from kiterec.ticks.decode import find_in_batch
from kiterec.ticks.kernels import read_tokens
from kiterec.ticks.lazy import lazy_table
from kiterec.ticks.packet_rows import NEEDED, PacketRows, rows_of
from kiterec.ticks.schema import check_columns, tick_schema
from kiterec.ticks.symbols import tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    import pyarrow.parquet as pq
    from numpy.typing import NDArray

    from kiterec.store.folder import RecordingFolder

    Places = tuple[NDArray[np.uint32], NDArray[np.uint64]]

FIRST_WINDOW: Final = 1 << 10
"""Rows that are read first; then twice as many before them, and so on. Most instruments are among them."""

FAR: Final = 1 << 9
"""Rows between two wanted ones from which on those between are not read."""

_END: Final = (1 << 63) - 1


def last_known(
    recording: RecordingFolder | Path | str, time: datetime, *, symbols: Iterable[str | int] | None = None
) -> pl.LazyFrame:
    """Give the last tick of each instrument that was received at or before a time.

    Where the recording has an up-to-date tick cache, that says where these ticks are. Else the frames are
    read backwards until all chosen instruments were seen: without any chosen, to the beginning.

    Shape:
        As `kiterec.ticks.asof.asof` of all its ticks. Each collect reads the recording as it then is.

    Args:
        recording: the folder, or what names it for `open_folder`.
        time: with a zone.
        symbols: as for `scan_ticks`.

    Raises:
        SetupError: as for `scan_ticks`.
        ValueError: the time has no zone.
    """
    folder = open_folder(recording)
    tokens = None if symbols is None else np.unique(tokens_of(symbols, folder.instruments_path))
    until_ns = time_bounds(None, time).end_ns
    end_ns = None if until_ns is None or until_ns == _END else until_ns + 1
    schema = tick_schema()

    def source(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG001 - there is a row an instrument
    ) -> Iterator[pl.DataFrame]:
        columns = check_columns(with_columns, schema)
        roots = [] if predicate is None else predicate.meta.root_names()
        names = folder.connections()
        found = _find(folder, names, tokens, end_ns)
        words = pl.Series(names, dtype=pl.Categorical())
        ticks = found.decode(words, list(dict.fromkeys([*columns, *roots])), prices="float")
        ticks = ticks if predicate is None else ticks.filter(predicate)
        yield (ticks if n_rows is None else ticks.head(n_rows)).select(columns)

    return lazy_table(source, schema, name="KITEREC ASOF", detail=str(folder.path))


def _find(
    folder: RecordingFolder, names: list[str], tokens: NDArray[np.uint32] | None, end_ns: int | None
) -> PacketRows:
    places = ask_cache(folder, partial(_cached_places, tokens=tokens, end_ns=end_ns))
    windows = _windows(folder, end_ns) if places is None else _windows_of(places[1])
    search = _Search(tokens if places is None else places[0])
    for window in windows:
        if search.is_over:
            break
        search.look(
            read_transcript(folder, connections=names, end_ns=end_ns, columns=NEEDED, seq_range=window)
        )
    return search.found()


def _windows(folder: RecordingFolder, end_ns: int | None) -> Iterator[tuple[int, int]]:
    """Give ranges of `seq`, the last ones first, that together have all rows received before an instant."""
    parts = folder.manifest().parts
    end = max((1 + part.last_seq for part in parts if end_ns is None or part.begin_ns < end_ns), default=0)
    # What is being written, and what the manifest does not list yet, may lie between the parts of others.
    yield end, _END
    size = FIRST_WINDOW
    while end > 0:
        yield max(0, end - size), end
        end, size = end - size, 2 * size


def _windows_of(seqs: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Give ranges of `seq` that have all of these, the last ones first."""
    ordered = np.unique(seqs).astype(np.int64)
    for near in reversed(np.split(ordered, np.flatnonzero(np.diff(ordered) > FAR) + 1)):
        if near.size:
            yield int(near[0]), int(near[-1]) + 1


def _cached_places(cache: pq.ParquetFile, *, tokens: NDArray[np.uint32] | None, end_ns: int | None) -> Places:
    """Give the instruments that had a tick by then, and the `seq` of each one's last."""
    found_tokens, found_seqs = [np.empty(0, np.uint32)], [np.empty(0, np.uint64)]
    for group in groups_of(cache.metadata, tokens):
        table = cache.read_row_group(
            group, columns=["instrument_token", "received_at", "seq"], use_threads=False
        )
        token, seq = (numbers_in(table.column(name)) for name in ("instrument_token", "seq"))
        wanted = np.ones(token.size, np.bool_) if tokens is None else np.isin(token, tokens)
        if end_ns is not None:
            wanted &= numbers_in(table.column("received_at").cast(pa.int64())) < end_ns
        last = _last_of_each(token[wanted])
        found_tokens.append(token[wanted][last])
        found_seqs.append(seq[wanted][last])
    every = np.concatenate(found_tokens)
    last = _last_of_each(every)
    return every[last], np.concatenate(found_seqs)[last]


def _last_of_each(tokens: NDArray[np.uint32]) -> NDArray[np.intp]:
    """Give where each token is for the last time, by token."""
    _, from_end = np.unique(tokens[::-1], return_index=True)
    return np.asarray(tokens.size - 1 - from_end)


class _Search:
    """Gathers the last packet of each instrument from windows that are read in turn, the last one first."""

    def __init__(self, tokens: NDArray[np.uint32] | None) -> None:
        self._wanted = tokens
        self._seen = np.empty(0, np.uint32)
        self._found: list[pa.RecordBatch] = []

    @property
    def is_over(self) -> bool:
        """Whether all that is wanted was found."""
        return self._wanted is not None and self._seen.size == self._wanted.size

    def look(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take a window: of each instrument that was not seen in a later one, its last packet there."""
        latest: pa.RecordBatch | None = None
        for batch in batches:
            rows = self._unseen(batch)
            if rows is not None and latest is not None:
                both = pa.concat_batches([latest, rows])
                rows = both.take(vector(_last_of_each(numbers_in(both.column("instrument_token")))))
            latest = latest if rows is None else rows
        if latest is not None:
            self._found.append(latest)
            self._seen = np.union1d(self._seen, numbers_in(latest.column("instrument_token")))

    def found(self) -> PacketRows:
        """Give what was found, by instrument."""
        return PacketRows.read(self._found, sum(rows.num_rows for rows in self._found))

    def _unseen(self, batch: pa.RecordBatch) -> pa.RecordBatch | None:
        packets, context = find_in_batch(batch)
        tokens = read_tokens(packets)
        new = ~_is_in(tokens, self._seen)
        if self._wanted is not None:
            new &= _is_in(tokens, self._wanted)
        rows = np.flatnonzero(new)
        return rows_of(packets.select(rows[_last_of_each(tokens[rows])]), context) if rows.size else None


def _is_in(tokens: NDArray[np.uint32], some: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Tell which tokens are among some, which are ascending."""
    if not some.size:
        return np.zeros(tokens.size, np.bool_)
    found: NDArray[np.bool_] = some[np.minimum(np.searchsorted(some, tokens), some.size - 1)] == tokens
    return found
