"""Sorts packets by instrument in bounded memory: they are spread to files, and each of these is sorted."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from kiterec.store.arrays import numbers_in
from kiterec.ticks.packet_rows import PACKET_SCHEMA, PacketRows
from kiterec.ticks.use_behind import use_behind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

BUCKET_ROWS: Final = 1 << 17
"""Packets that are sorted in memory: 28 MB in full mode."""

MAX_BUCKETS: Final = 100
"""Files of one spreading, about; twice as many in the worst case."""

# Batches of a bucket are small: to share the work on one takes Arrow's threads longer than the work.
_WRITING: Final = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_READING: Final = pa.ipc.IpcReadOptions(use_threads=False)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A range of instruments.

    Attributes:
        tokens: theirs, ascending.
        counts: packets of each.
    """

    tokens: NDArray[np.uint32]
    counts: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.counts.sum())

    def cut(self) -> list[Bucket]:
        """Give buckets of about as many packets, each of one instrument or small enough for memory."""
        most = max(BUCKET_ROWS, -(-len(self) // MAX_BUCKETS))
        edges, held = [0], 0
        for place, count in enumerate(self.counts.tolist()):
            if held and held + count > most:
                edges.append(place)
                held = 0
            held += count
        ends = [*edges[1:], self.tokens.size]
        return [Bucket(self.tokens[a:b], self.counts[a:b]) for a, b in zip(edges, ends, strict=True)]


def by_token(batches: Iterable[pa.RecordBatch], whole: Bucket, folder: Path) -> Iterator[PacketRows]:
    """Give packets by instrument, those of an instrument in the order in which they came.

    When this returns, all were read, and are in the folder.

    Args:
        batches: as `PACKET_SCHEMA`, each by instrument.
        whole: what they hold.
        folder: takes all of them, with LZ4.
    """
    buckets = whole.cut() if len(whole) else []
    return _sorted(dict(zip(_spread(batches, buckets, folder), buckets, strict=True)), folder)


def _sorted(buckets: dict[Path, Bucket], folder: Path) -> Iterator[PacketRows]:
    for path, bucket in buckets.items():
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file, options=_READING) as reader:
            if len(bucket) <= BUCKET_ROWS:
                yield PacketRows.read(reader, len(bucket))
            elif bucket.tokens.size == 1:
                yield from _in_order(reader)
            else:
                yield from by_token(reader, bucket, folder)
        path.unlink()


def _in_order(batches: Iterable[pa.RecordBatch]) -> Iterator[PacketRows]:
    """Give the packets of one instrument, some at a time."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows >= BUCKET_ROWS // 2:
            yield PacketRows.read(held, rows)
            held, rows = [], 0
    if held:
        yield PacketRows.read(held, rows)


def _spread(batches: Iterable[pa.RecordBatch], buckets: list[Bucket], folder: Path) -> list[Path]:
    """Write the packets of each bucket to a file of its own, in their order."""
    edges = np.array([bucket.tokens[0] for bucket in buckets[1:]], np.uint32)
    paths = [folder / f"{bucket.tokens[0]}-{bucket.tokens[-1]}.arrows" for bucket in buckets]
    with ExitStack() as open_files:
        writers = [
            open_files.enter_context(pa.ipc.new_stream(str(path), PACKET_SCHEMA, options=_WRITING))
            for path in paths
        ]

        def write(batch: pa.RecordBatch) -> None:
            cuts = np.searchsorted(numbers_in(batch.column("instrument_token")), edges).tolist()
            ends = [*cuts, batch.num_rows]
            for writer, first, end in zip(writers, [0, *cuts], ends, strict=True):
                if first < end:
                    writer.write_batch(batch.slice(first, end - first))

        use_behind(batches, write)
    return paths
