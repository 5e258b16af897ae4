"""The timeline read ahead in a thread, so that the disk never delays a message that is due."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from kiterec.replay.packet_batch import PacketBatch, locate_packets
from kiterec.replay.timeline import TimelineBatch, TimelineKind
from kiterec.ticks.find import binary_buffers
from kiterec.wire.frames import HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator

    from kiterec.replay.timeline import Timeline

Read = tuple[TimelineBatch, PacketBatch | None]


async def read_ahead(timeline: Timeline, *, packets: bool, end_ns: int | None = None) -> AsyncGenerator[Read]:
    """Give the batches of a timeline, none of them empty, the next one being read meanwhile.

    Close it (`contextlib.aclosing`) to end the thread.

    Args:
        timeline: what to read.
        packets: find the packets of each batch too, and leave the heartbeats out; None is given otherwise.
        end_ns: only what is due before; None: all.
    """
    loop = asyncio.get_running_loop()
    batches = _read(timeline, packets=packets, end_ns=end_ns)
    with ThreadPoolExecutor(1, thread_name_prefix="kiterec-replay-read") as thread:
        coming = loop.run_in_executor(thread, next, batches, None)
        try:
            while (batch := await coming) is not None:
                coming = loop.run_in_executor(thread, next, batches, None)
                yield batch
        finally:
            if not coming.cancel() and not coming.cancelled():
                coming.exception()  # nobody wants it; asyncio complains of one never looked at
            thread.submit(batches.close)


def _read(timeline: Timeline, *, packets: bool, end_ns: int | None) -> Generator[Read]:
    for given in _numbered(timeline):
        batch = given
        size = len(batch)
        if end_ns is not None:
            batch = _rows(batch, slice(0, int(np.searchsorted(batch.due_ns, end_ns))))
        last = len(batch) < size
        if packets:
            batch = _without_heartbeats(batch)
        if len(batch):
            binary = batch.kind == TimelineKind.BINARY
            yield batch, locate_packets(batch.payloads, binary=binary) if packets else None
        if last:
            return


def _numbered(timeline: Timeline) -> Iterator[TimelineBatch]:
    number = 0
    for batch in timeline.batches():
        if batch.seq is None:
            numbers = np.arange(number, number + len(batch), dtype=np.uint64)
            yield replace(batch, seq=numbers)
        else:
            yield batch
        number += len(batch)


def _without_heartbeats(batch: TimelineBatch) -> TimelineBatch:
    _, _, size = binary_buffers(batch.payloads)
    beats = (size < HEADER_BYTES) & (batch.kind == TimelineKind.BINARY)
    return _rows(batch, np.flatnonzero(~beats)) if beats.any() else batch


def _rows(batch: TimelineBatch, rows: slice | np.ndarray[tuple[int], np.dtype[np.int64]]) -> TimelineBatch:
    payloads = batch.payloads
    taken = payloads[rows] if isinstance(rows, slice) else payloads.take(pa.array(rows))
    return TimelineBatch(
        due_ns=batch.due_ns[rows],
        connection=batch.connection[rows],
        kind=batch.kind[rows],
        payloads=taken,
        seq=None if batch.seq is None else batch.seq[rows],
    )
