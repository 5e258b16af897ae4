"""Sorts ticks by instrument in bounded memory: they are spread to files, and each of these is sorted."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import pyarrow as pa

from kiterec.ticks.carry import in_batches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

BUCKET_ROWS: Final = 1 << 17
"""Rows that are sorted in memory: 36 MB with all columns, a few times over."""

MAX_BUCKETS: Final = 256
"""Files that are open at once while sorting."""

_CHUNK_ROWS: Final = 1 << 16


def bucket_edges(counts: pl.DataFrame) -> NDArray[np.uint32]:
    """Give the first token of each bucket but the first, so that each has about as many ticks."""
    rows = max(BUCKET_ROWS, -(-int(counts["len"].sum()) // MAX_BUCKETS))
    bucket = (counts["len"].cast(pl.Int64).cum_sum() - 1).to_numpy() // rows
    first = np.flatnonzero(np.diff(bucket)) + 1
    return counts["instrument_token"].to_numpy()[first]


def spread(ticks: pl.LazyFrame, edges: NDArray[np.uint32], schema: pa.Schema, folder: Path) -> Sequence[Path]:
    """Write each bucket's ticks to a file of its own, in their order."""
    paths = [folder / f"{number}.arrows" for number in range(edges.size + 1)]
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with ExitStack() as open_files:
        writers = [
            open_files.enter_context(pa.ipc.new_stream(str(path), schema, options=options)) for path in paths
        ]
        for batch in in_batches(ticks, rows=_CHUNK_ROWS):
            bucket = np.searchsorted(edges, batch["instrument_token"].to_numpy(), side="right")
            order = np.argsort(bucket, kind="stable")
            # Gathering from many chunks takes four times as long as making one of them first.
            table = batch.rechunk()[order].to_arrow().cast(schema).combine_chunks()
            ends = np.cumsum(np.bincount(bucket, minlength=len(paths))).tolist()
            for writer, first, last in zip(writers, [0, *ends], ends, strict=False):
                if first < last:
                    writer.write_table(table.slice(first, last - first))
    return paths


def sorted_bucket(piece: Path, schema: pa.Schema) -> pa.Table:
    """Give the ticks of a bucket by token; those of a token are in their order already."""
    with pa.ipc.open_stream(str(piece)) as reader:
        table = pl.DataFrame(reader.read_all()).rechunk()
    piece.unlink()
    return table.sort("instrument_token", maintain_order=True).to_arrow().cast(schema)
