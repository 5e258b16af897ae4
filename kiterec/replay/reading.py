"""The timeline read ahead in a thread, so that the disk never delays a message that is due."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from kiterec.replay import engine
from kiterec.replay.packet_batch import PacketBatch, locate_packets
from kiterec.replay.timeline import Resumable, TimelineBatch, TimelineKind
from kiterec.replay.wire_frames import WireRows, wire_rows
from kiterec.store.arrays import vector
from kiterec.ticks.find import binary_buffers
from kiterec.wire.frames import HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterator

    from kiterec.replay.checkpoints import Place
    from kiterec.replay.instrument_index import InstrumentIndex
    from kiterec.replay.timeline import Timeline

JOINED_BYTES: Final = 1 << 18
"""Small batches are put together up to this size, for each batch costs as much as hundreds of messages."""

HANDED_BYTES: Final = 8 << 20
"""Without deadlines the thread hands over so much at once, for each time costs the loop 0.1 ms."""

_QUICK_S: Final = 0.005
"""Only batches that take no longer than this to make are worth waiting for."""


@dataclass(frozen=True, slots=True)
class Read:
    """A batch that is ready to be served.

    Attributes:
        source: the messages.
        packets: where the packets lie; None when nobody asks, or they are still to be found.
        wire: the messages as WebSocket frames; None when nobody asks.
    """

    source: TimelineBatch
    packets: PacketBatch | None
    wire: WireRows | None

    @property
    def first_seq(self) -> int:
        """Give the number of the first message."""
        return 0 if self.source.seq is None else int(self.source.seq[0])

    def located(self, index: InstrumentIndex) -> Read:
        """Give it with its packets found."""
        if self.packets is not None:
            return self
        binary = self.source.kind == TimelineKind.BINARY
        packets = locate_packets(self.source.payloads, binary=binary, slots=index.slots)
        return Read(self.source, packets, self.wire)


async def read_ahead(
    timeline: Timeline,
    *,
    index: InstrumentIndex | None = None,
    wire: bool = False,
    end_ns: int | None = None,
    place: Place | None = None,
    hurried: Callable[[], bool] = lambda: False,
) -> AsyncGenerator[Read]:
    """Give the batches of a timeline, none of them empty, the next one being read meanwhile.

    Close it (`contextlib.aclosing`) to end the thread.

    Args:
        timeline: what to read.
        index: find the packets of each batch too, with what is known here of their instruments, and leave
            the heartbeats out; None: neither.
        wire: make the WebSocket frames too; None is given otherwise.
        end_ns: only what is due before; None: all.
        place: begin there, if the timeline is `Resumable`; None: at the start.
        hurried: tells whether messages go out as they come. Then a few batches are read at a time; and where
            machine code finds the packets it does so here, for their bytes are sent next, out of this
            processor's cache.
    """
    loop = asyncio.get_running_loop()
    batches = _read(_numbered(timeline, place), index=index, wire=wire, end_ns=end_ns, hurried=hurried)
    thread = ThreadPoolExecutor(1, thread_name_prefix="kiterec-replay-read")
    coming = loop.run_in_executor(thread, _some, batches, hurried)
    try:
        while True:
            some, failure = await coming
            if some and failure is None:
                coming = loop.run_in_executor(thread, _some, batches, hurried)
            for batch in some:
                yield batch if index is None else batch.located(index)
            if failure is not None:
                raise failure
            if not some:
                return
    finally:
        if not coming.cancel() and not coming.cancelled():
            coming.exception()  # nobody wants it; asyncio complains of one never looked at
        thread.submit(batches.close)
        # A read from far away may take seconds, in which heartbeats are due.
        await asyncio.to_thread(thread.shutdown)


def _some(batches: Iterator[Read], hurried: Callable[[], bool]) -> tuple[list[Read], Exception | None]:
    """Give the next batch, and without deadlines more that come quickly; and what went wrong after them.

    None are given at the end.
    """
    began = time.perf_counter()
    some: list[Read] = []
    size = 0
    try:
        for batch in batches:
            some.append(batch)
            size += int(batch.source.payloads.nbytes)
            if not hurried() or size >= HANDED_BYTES or time.perf_counter() - began > _QUICK_S:
                break
    except Exception as failure:  # noqa: BLE001 -- it is raised where what came before is sent
        return some, failure
    return some, None


def _read(
    batches: Iterator[TimelineBatch],
    *,
    index: InstrumentIndex | None,
    wire: bool,
    end_ns: int | None,
    hurried: Callable[[], bool],
) -> Generator[Read]:
    for given in _joined(batches):
        batch = given
        size = len(batch)
        if end_ns is not None:
            batch = _rows(batch, slice(0, int(np.searchsorted(batch.due_ns, end_ns))))
        last = len(batch) < size
        if index is not None:
            batch = _without_heartbeats(batch)
        for piece in _ending_at_losses(batch):
            read = Read(piece, None, wire_rows(piece.payloads) if wire else None)
            later = hurried() and engine.loops() is not None
            yield read if later or index is None else read.located(index)
        if last:
            return


def _numbered(timeline: Timeline, place: Place | None) -> Iterator[TimelineBatch]:
    if place is not None and isinstance(timeline, Resumable):
        yield from timeline.batches_from(place.seq, due_ns=place.due_ns)
        return
    number = 0
    for batch in timeline.batches():
        if batch.seq is None:
            numbers = np.arange(number, number + len(batch), dtype=np.uint64)
            yield replace(batch, seq=numbers)
        else:
            yield batch
        number += len(batch)


def _joined(batches: Iterator[TimelineBatch]) -> Iterator[TimelineBatch]:
    """Put small batches together while they come quickly, the first ones soonest."""
    together: list[TimelineBatch] = []
    size, most = 0, 1
    began = time.perf_counter()
    try:
        for batch in batches:
            together.append(batch)
            size += int(batch.payloads.nbytes)
            if size >= JOINED_BYTES or len(together) >= most or time.perf_counter() - began > _QUICK_S:
                whole, together, size, most = _one(together), [], 0, 2 * most
                yield whole
            began = time.perf_counter()
    except Exception:
        if together:  # what came before it went wrong
            yield _one(together)
        raise
    if together:
        yield _one(together)


def _one(batches: list[TimelineBatch]) -> TimelineBatch:
    if len(batches) == 1:
        return batches[0]
    return TimelineBatch(
        due_ns=np.concatenate([batch.due_ns for batch in batches]),
        connection=np.concatenate([batch.connection for batch in batches]),
        kind=np.concatenate([batch.kind for batch in batches]),
        payloads=pa.concat_arrays([batch.payloads for batch in batches]),
        seq=np.concatenate([batch.seq for batch in batches if batch.seq is not None]),
    )


def _ending_at_losses(batch: TimelineBatch) -> Iterator[TimelineBatch]:
    """Cut a batch after each disconnect, so that what it frees is free from the next message on."""
    ends = (np.flatnonzero(batch.kind == TimelineKind.DISCONNECT) + 1).tolist()
    begin = 0
    for end in [*ends, len(batch)]:
        if end > begin:
            yield batch if end - begin == len(batch) else _rows(batch, slice(begin, end))
        begin = end


def _without_heartbeats(batch: TimelineBatch) -> TimelineBatch:
    _, _, size = binary_buffers(batch.payloads)
    beats = (size < HEADER_BYTES) & (batch.kind == TimelineKind.BINARY)
    return _rows(batch, np.flatnonzero(~beats)) if beats.any() else batch


def _rows(batch: TimelineBatch, rows: slice | np.ndarray[tuple[int], np.dtype[np.int64]]) -> TimelineBatch:
    payloads = batch.payloads
    taken = payloads[rows] if isinstance(rows, slice) else payloads.take(vector(rows))
    return TimelineBatch(
        due_ns=batch.due_ns[rows],
        connection=batch.connection[rows],
        kind=batch.kind[rows],
        payloads=taken,
        seq=None if batch.seq is None else batch.seq[rows],
    )
