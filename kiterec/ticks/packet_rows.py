"""Packets as rows of an Arrow table: their bytes, and what their frame knew, enough to decode them later."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from kiterec.store.arrays import numbers_in, vector
from kiterec.ticks.context import Context
from kiterec.ticks.decode import decode_packets, find_in_batch
from kiterec.ticks.find import Packets, binary_buffers
from kiterec.ticks.kernels import read_tokens
from kiterec.wire.packets import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl
    from numpy.typing import NDArray

    from kiterec.ticks.schema import Prices

PACKET_SCHEMA: Final = pa.schema(
    [
        ("instrument_token", pa.uint32()),
        ("seq", pa.uint64()),
        ("received_at", pa.int64()),
        ("connection", pa.int16()),
        ("packet", pa.uint16()),
        ("payload", pa.binary()),
    ]
)
"""`connection` is a code, `received_at` in nanoseconds since the epoch."""

NEEDED: Final = ["seq", "connection", "received_at", "kind", "payload"]
"""Columns of the transcript that packets are found in."""

_NUMBERS: Final = [field for field in PACKET_SCHEMA if field.name != "payload"]


def packet_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Give the packets of known length of a batch of the transcript, by instrument and then in their order.

    Shape:
        As `PACKET_SCHEMA`; `connection` is the code that the batch has for it.
    """
    packets, context = find_in_batch(batch)
    return rows_of(packets.select(np.argsort(read_tokens(packets), kind="stable")), context)


def rows_of(packets: Packets, context: Context) -> pa.RecordBatch:
    """Give packets as `PACKET_SCHEMA`, in their order."""
    said = [of_frame[packets.frame] for of_frame in (context.seq, context.received_at, context.connection)]  # type: ignore[index]
    numbers = [read_tokens(packets), *said, packets.packet]
    arrays = [
        vector(column.astype(field.type.to_pandas_dtype(), copy=False))
        for column, field in zip(numbers, _NUMBERS, strict=True)
    ]
    return pa.RecordBatch.from_arrays([*arrays, _payloads(packets)], schema=PACKET_SCHEMA)


@dataclass(frozen=True, slots=True)
class PacketRows:
    """Packets in memory; `order` says in which order they are wanted.

    Attributes:
        columns: one array a number of `PACKET_SCHEMA`, by name.
        start: where each packet begins in `data`.
        size: bytes of each.
        data: their bytes.
        order: their rows.
    """

    columns: dict[str, NDArray[Any]]
    start: NDArray[np.int64]
    size: NDArray[np.int64]
    data: NDArray[np.uint8]
    order: NDArray[np.intp]

    @classmethod
    def read(cls, batches: Iterable[pa.RecordBatch], rows: int) -> PacketRows:
        """Copy the packets of batches, which have so many together, and order them by instrument."""
        columns = {field.name: np.empty(rows, field.type.to_pandas_dtype()) for field in _NUMBERS}
        start, size = np.empty(rows, np.int64), np.empty(rows, np.int64)
        data = np.empty(rows * max(LAYOUTS), np.uint8)
        row = used = 0
        for batch in batches:
            mine = slice(row, row + batch.num_rows)
            for name, column in columns.items():
                column[mine] = numbers_in(batch.column(name))
            there, begins, size[mine] = binary_buffers(batch.column("payload"))
            behind = int(begins[-1] + size[mine][-1])
            start[mine] = begins + (used - begins[0])
            data[used : used + behind - begins[0]] = there[begins[0] : behind]
            used += behind - int(begins[0])
            row = mine.stop
        return cls(columns, start, size, data[:used], np.argsort(columns["instrument_token"], kind="stable"))

    def __len__(self) -> int:
        return int(self.order.size)

    def rows(self, some: slice) -> PacketRows:
        """Give some of them, in their order."""
        return replace(self, order=self.order[some])

    def decode(self, connections: pl.Series, names: Sequence[str], *, prices: Prices) -> pl.DataFrame:
        """Give these columns of the tick table, a row a packet.

        Args:
            connections: their names by code.
            names: of the columns.
            prices: as for `kiterec.decode`.
        """
        start, size = self.start[self.order], self.size[self.order]
        said = {name: column[self.order] for name, column in self.columns.items()}
        each, none = np.arange(len(self)), np.empty(0, np.int64)
        packets = Packets(each, said["packet"].astype(np.int64), start, size, self.data, start, size, none)
        context = Context(said["seq"], said["received_at"], said["connection"], connections)
        return decode_packets(packets, context, names, prices=prices)


def _payloads(packets: Packets) -> pa.BinaryArray:
    """Copy packets one behind the other."""
    end = np.cumsum(packets.length)
    start = end - packets.length
    together = np.empty(int(end[-1]) if end.size else 0, np.uint8)
    for length in np.unique(packets.length).tolist():
        mine = np.flatnonzero(packets.length == length)
        _items(together, length)[start[mine]] = _items(packets.data, length)[packets.offset[mine]]
    offsets = np.concatenate([np.zeros(1, np.int64), end]).astype(np.int32)
    return pa.BinaryArray.from_buffers(
        pa.binary(), end.size, [None, pa.py_buffer(offsets), pa.py_buffer(together)]
    )


def _items(data: NDArray[np.uint8], size: int) -> NDArray[Any]:
    """View bytes as items of some size, one that begins at each byte: to copy one is one copy."""
    return np.ndarray((max(0, data.size - size + 1),), f"V{size}", data, strides=(1,))
