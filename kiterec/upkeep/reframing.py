"""Frames with fewer packets: what is left of them is copied as it was, without a loop over packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.lib.stride_tricks import sliding_window_view

from kiterec.store.arrays import vector
from kiterec.wire.frames import HEADER_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kiterec.ticks.find import Packets


def keep_packets(
    batch: pa.RecordBatch, packets: Packets, keep: NDArray[np.bool_], *, changed: NDArray[np.bool_]
) -> pa.RecordBatch:
    """Give the batch with only some of its packets.

    Args:
        batch: rows of a transcript.
        packets: packets found in its payloads, ordered by row.
        keep: which of them stay.
        changed: which rows are made anew of the packets that stay; one without any is left out. All others
            stay byte for byte.
    """
    rows = np.arange(batch.num_rows)
    held = np.bincount(packets.frame[keep], minlength=batch.num_rows)
    made = np.flatnonzero(changed & (held > 0))
    if made.size:
        anew = join_packets(packets.select(keep & changed[packets.frame]))
        source = rows.copy()
        source[made] = batch.num_rows + np.arange(made.size)
        payloads = pa.concat_arrays([batch.column("payload"), anew]).take(vector(source))
        batch = batch.set_column(
            batch.schema.get_field_index("payload"), batch.schema.field("payload"), payloads
        )
    gone = changed & (held == 0)
    return batch.filter(vector(~gone)) if gone.any() else batch


def join_packets(packets: Packets) -> pa.BinaryArray:
    """Join packets to frames as on the wire.

    Shape:
        One value a frame that has any of the packets, in their order.
    """
    size = HEADER_BYTES + packets.length
    first = np.flatnonzero(np.diff(packets.frame, prepend=-1))
    frame = np.cumsum(np.isin(np.arange(len(packets)), first)) - 1
    before = np.cumsum(size) - size + HEADER_BYTES * (frame + 1)
    begin = before[first] - HEADER_BYTES
    total = int(size.sum()) + HEADER_BYTES * first.size
    data = np.empty(total, np.uint8)
    count = np.diff(np.append(first, len(packets)))
    data[begin], data[begin + 1] = count >> 8, count & 0xFF
    for length in np.unique(size).tolist():
        mine = size == length
        source = sliding_window_view(packets.data, length)
        target = sliding_window_view(data, length, writeable=True)
        target[before[mine]] = source[packets.offset[mine] - HEADER_BYTES]
    offsets = np.append(begin, total).astype(np.int32)
    return pa.BinaryArray.from_buffers(
        pa.binary(), first.size, [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )
