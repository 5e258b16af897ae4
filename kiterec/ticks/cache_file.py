"""How the Parquet file of a tick cache is written: row groups, encodings, indices and its stamp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from kiterec.ticks.stamp import STAMP_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from kiterec.ticks.stamp import Stamp

ROW_GROUP_ROWS: Final = 1 << 16
"""What a question about one instrument reads at least; a busy one has 20,000 ticks a day."""

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


def open_writer(draft: Path, schema: pa.Schema, stamp: Stamp) -> pq.ParquetWriter:
    """Begin the file; its rows have to come by instrument_token, then `(seq, packet)`."""
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
