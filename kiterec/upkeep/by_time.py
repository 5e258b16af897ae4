"""Several recordings as one stream of rows, ordered by time and then by input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from kiterec.store.interleave import Run, interleave

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray


def interleave_by_time(inputs: Sequence[Iterable[pa.RecordBatch]]) -> Iterator[Run]:
    """Merge inputs by `received_at`, their key in ns; where it is equal, the earlier input is first.

    The rows of an input stay in their order: where its wall clock was set back, the rows behind count as
    received at the latest time before. All batches must have the same columns and dictionaries.
    """
    return interleave([_timed(batches) for batches in inputs])


def _timed(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, NDArray[np.int64]]]:
    latest = np.iinfo(np.int64).min
    for batch in batches:
        if batch.num_rows:
            times = np.asarray(np.from_dlpack(batch.column("received_at").cast(pa.int64())), np.int64)
            at_ns = np.maximum.accumulate(np.maximum(times, latest))
            latest = int(at_ns[-1])
            yield batch, at_ns
