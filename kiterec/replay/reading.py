"""The timeline read ahead in a thread, so that the disk never delays a message that is due."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kiterec.replay.packet_batch import PacketBatch, locate_packets
from kiterec.replay.timeline import TimelineBatch, TimelineKind

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from kiterec.replay.timeline import Timeline

Read = tuple[TimelineBatch, PacketBatch | None]


async def read_ahead(timeline: Timeline, *, packets: bool) -> AsyncGenerator[Read]:
    """Give the batches of a timeline, the next one being read meanwhile.

    Close it (`contextlib.aclosing`) to end the thread.

    Args:
        timeline: what to read.
        packets: find the packets of each batch too; None is given otherwise.
    """
    loop = asyncio.get_running_loop()
    batches = _read(timeline, packets=packets)
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


def _read(timeline: Timeline, *, packets: bool) -> Generator[Read]:
    number = 0
    for given in timeline.batches():
        if not len(given):
            continue
        batch = given
        if batch.seq is None:
            batch = replace(batch, seq=np.arange(number, number + len(batch), dtype=np.uint64))
        number += len(batch)
        found = None
        if packets:
            found = locate_packets(batch.payloads, binary=batch.kind == TimelineKind.BINARY)
        yield batch, found
