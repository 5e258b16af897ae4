"""One question about ticks: which packets are wanted before they are decoded, and which rows after that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kiterec import compiled
from kiterec.ticks.bounds import joined
from kiterec.ticks.decode import decode_packets, decode_shares, decode_whole_batch, find_in_batch
from kiterec.ticks.interleave import Piece, in_order, shifts
from kiterec.ticks.kernels import read_tokens
from kiterec.ticks.plan import most_row_bytes
from kiterec.ticks.schema import COLUMNS, check_columns

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray

    from kiterec.ticks.context import Context
    from kiterec.ticks.find import Packets
    from kiterec.ticks.schema import Prices
    from kiterec.wire.segments import SegmentTable

_KEYS: Final = frozenset(c.name for c in COLUMNS if c.origin in {"transcript", "token", "length"})
"""Columns that cost little: a condition on them is decided before the fields are decoded."""

_TRANSCRIPT: Final = ["seq", "received_at", "kind", "payload"]
NARROW_BYTES: Final = 64
"""Bytes of a row up to which a table is narrow: about seven numbers."""

_WANTED: Final = "\0wanted"


class TickQuery:
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
        self.row_bytes = most_row_bytes(self._decoded, prices)
        self.is_wide = self.row_bytes > NARROW_BYTES
        self._takes_all = not self.is_wide and tokens is None and not early
        self.transcript = [name for name in _TRANSCRIPT if name != "received_at" or name in read]
        self._options: dict[str, Any] = {"prices": prices, "segments": segments}

    def find(self, batch: pa.RecordBatch, *, connection: int, names: pl.Series | None) -> Piece[Any]:
        """Give the packets of a batch of the transcript that may be wanted; as ticks if those are narrow.

        A few numbers of each packet are best taken while its bytes are near the processor, and put in order
        afterwards. Many are best written once, to where they belong.
        """
        if self._takes_all and compiled.chosen():
            ticks, first, context = decode_whole_batch(
                batch, self._decoded, connection=connection, names=names, **self._options
            )
            return Piece.of_ticks(ticks, first, context, read_bytes=batch.nbytes)
        packets, context = find_in_batch(batch, connection=connection, names=names)
        if self._tokens is not None:
            packets = packets.select(np.isin(read_tokens(packets), self._tokens))
        wanted = self._decide_early(packets, context)
        # Not of the frames alone: texts and what is known of each row are read with them.
        piece = Piece.of_packets(wanted, context, held_bytes=batch.nbytes)
        if self.is_wide:
            return piece
        ticks = decode_packets(wanted, context, self._decoded, **self._options)
        return Piece.of_ticks(ticks, piece.first, context, read_bytes=batch.nbytes)

    def answer(self, pieces: list[Piece[Any]]) -> pl.DataFrame:
        """Give the wanted ticks of pieces in the order of the recording."""
        table = self._decoded_in_order(pieces) if self.is_wide else in_order(pieces).rechunk()
        if self._late is None:
            return table
        # As a column: a condition without a column in it is one truth for all rows.
        wanted = table.with_columns(self._late.fill_null(value=False).alias(_WANTED)).get_column(_WANTED)
        return table.filter(wanted).select(self._columns)

    def _decoded_in_order(self, pieces: list[Piece[Packets]]) -> pl.DataFrame:
        shares = [(piece.rows, piece.context) for piece in pieces]
        order = shifts(pieces) if len(pieces) > 1 else None
        return decode_shares(shares, self._decoded, shifts=order, **self._options)

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
