"""The day's instrument dump, kept with the recording: instrument_tokens are used again after expiry."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from kiterec.errors import SetupError

INSTRUMENT_COLUMNS: Final[dict[str, Any]] = {
    "instrument_token": pa.uint32(),
    "exchange_token": pa.uint32(),
    "tradingsymbol": pa.string(),
    "name": pa.string(),
    "last_price": pa.float64(),
    "expiry": pa.date32(),
    "strike": pa.float64(),
    "tick_size": pa.float64(),
    "lot_size": pa.int64(),
    "instrument_type": pa.string(),
    "segment": pa.string(),
    "exchange": pa.string(),
}
"""The dump's columns with their types.

Source:
    https://kite.trade/docs/connect/v3/market-quotes/#csv-response-columns
"""


def instruments_as_parquet(dump: bytes) -> bytes:
    """Give the CSV dump as a Parquet file; columns that are not in `INSTRUMENT_COLUMNS` stay text.

    Raises:
        SetupError: it is no CSV, a column is missing, or a value does not fit its column.
    """
    try:
        table = csv.read_csv(
            pa.BufferReader(dump),
            convert_options=csv.ConvertOptions(
                column_types=INSTRUMENT_COLUMNS, null_values=[""], strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise SetupError(f"the instrument dump cannot be read: {error}; download it again") from error
    if missing := [name for name in INSTRUMENT_COLUMNS if name not in table.column_names]:
        raise SetupError(f"the instrument dump has no column {', '.join(missing)}; download it again")
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    content: bytes = sink.getvalue().to_pybytes()
    return content
