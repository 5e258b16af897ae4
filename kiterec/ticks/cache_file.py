"""How the Parquet file of a tick cache is written: row groups, encodings, indices and its stamp."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from kiterec.ticks.packet_rows import PacketRows
from kiterec.ticks.schema import tick_schema
from kiterec.ticks.stamp import STAMP_KEY
from kiterec.ticks.use_behind import use_behind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from kiterec.ticks.schema import Prices
    from kiterec.ticks.stamp import Stamp

ROW_GROUP_ROWS: Final = 1 << 16
"""At most: a question about one instrument reads one at least, and a busy one has 20,000 ticks a day."""

# Measured on full ticks of a simulated market, bytes a tick and rows read a second on one core: dictionaries
# everywhere 52.6 and 1.3 M, none 43.2 and 0.4 M, deltas and split floats 41.4 and 0.8 M, this 36.7 and 2.0 M.
_DICTIONARIES: Final = [
    "connection", "segment", "mode", "packet", "instrument_token", "price_divisor", "last_price",
    "last_traded_quantity", "open", "high", "low", "close", "change", "net_change", "oi", "oi_day_high",
    "oi_day_low", "buy_price.list.element", "sell_price.list.element",
]  # fmt: skip
_DELTAS: Final = [
    "seq", "received_at", "volume_traded", "total_buy_quantity", "total_sell_quantity", "last_trade_time",
    "exchange_timestamp",
]  # fmt: skip


def write_ticks(draft: Path, packets: Iterable[PacketRows], connections: Sequence[str], stamp: Stamp) -> None:
    """Decode packets and write them.

    Args:
        draft: the file.
        packets: by instrument_token, then `(seq, packet)`.
        connections: their names by code.
        stamp: for the metadata.
    """
    prices: Prices = "int" if stamp.prices == "int" else "float"
    names = pl.Series(connections, dtype=pl.Enum(sorted(connections)))
    columns = list(tick_schema(prices))

    def decoded(rows: PacketRows) -> pa.Table:
        return rows.decode(names, columns, prices=prices).to_arrow()

    schema = decoded(PacketRows.read([], 0)).schema
    with _open_writer(draft, schema, stamp) as writer:
        tables = (decoded(rows).cast(schema) for rows in _row_groups(packets))
        use_behind(tables, writer.write_table)


def _row_groups(packets: Iterable[PacketRows]) -> Iterator[PacketRows]:
    """Cut packets into as few and as equal groups as there may be."""
    for rows in packets:
        groups = -(-len(rows) // ROW_GROUP_ROWS)
        edges = [len(rows) * number // groups for number in range(groups + 1)]
        for first, end in itertools.pairwise(edges):
            yield rows.rows(slice(first, end))


def _open_writer(draft: Path, schema: pa.Schema, stamp: Stamp) -> pq.ParquetWriter:
    leaves = [f"{field.name}.list.element" if _is_list(field) else field.name for field in schema]
    return pq.ParquetWriter(
        draft,
        schema.with_metadata({STAMP_KEY: msgspec.json.encode(stamp)}),
        compression="zstd",
        compression_level=3,
        use_dictionary=[name for name in _DICTIONARIES if name in leaves],
        column_encoding=dict.fromkeys(_DELTAS, "DELTA_BINARY_PACKED")
        | {"average_traded_price": "BYTE_STREAM_SPLIT"},
        write_page_index=True,
        write_page_checksum=True,
        sorting_columns=pq.SortingColumn.from_ordering(
            schema, [("instrument_token", "ascending"), ("seq", "ascending")]
        ),
    )


def _is_list(field: pa.Field) -> bool:
    return bool(pa.types.is_fixed_size_list(field.type))
