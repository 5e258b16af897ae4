"""Several recordings as one stream of rows, ordered by time and then by input."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray


class Run(NamedTuple):
    """Neighbouring rows of the merged stream.

    Attributes:
        batch: the rows.
        source: the number of the input of each row.
        at_ns: their times, never going back within an input or in the whole stream.
    """

    batch: pa.RecordBatch
    source: NDArray[np.int16]
    at_ns: NDArray[np.int64]


def interleave(inputs: Sequence[Iterable[pa.RecordBatch]]) -> Iterator[Run]:
    """Merge inputs by `received_at`; where that is equal, the earlier input comes first.

    The rows of an input stay in their order: where its wall clock was set back, the rows behind count as
    received at the latest time before. All batches must have the same columns and dictionaries.
    """
    streams = {number: _timed(number, batches) for number, batches in enumerate(inputs)}
    heads: dict[int, Run] = {}
    while True:
        for number in [number for number in streams if number not in heads]:
            run = next(streams[number], None)
            if run is None:
                del streams[number]
            else:
                heads[number] = run
        if not heads:
            return
        yield _take(heads)


def _timed(number: int, batches: Iterable[pa.RecordBatch]) -> Iterator[Run]:
    latest = np.iinfo(np.int64).min
    for batch in batches:
        if batch.num_rows:
            times = np.asarray(np.from_dlpack(batch.column("received_at").cast(pa.int64())), np.int64)
            at_ns = np.maximum.accumulate(np.maximum(times, latest))
            latest = int(at_ns[-1])
            yield Run(batch, np.full(batch.num_rows, number, np.int16), at_ns)


def _take(heads: dict[int, Run]) -> Run:
    """Take from the heads the rows that nothing still to come can precede."""
    end_ns, last = min((int(run.at_ns[-1]), number) for number, run in heads.items())
    taken: list[Run] = []
    for number in sorted(heads):
        run = heads[number]
        # An equal time of a later input waits: the earlier one may have more rows of that time.
        rows = int(np.searchsorted(run.at_ns, end_ns, side="right" if number <= last else "left"))
        if rows:
            taken.append(_slice(run, 0, rows))
        if rows == run.batch.num_rows:
            del heads[number]
        else:
            heads[number] = _slice(run, rows, run.batch.num_rows)
    if len(taken) == 1:
        return taken[0]
    at_ns = np.concatenate([run.at_ns for run in taken])
    order = np.argsort(at_ns, kind="stable")
    batch = pa.concat_batches([run.batch for run in taken]).take(pa.array(order))
    return Run(batch, np.concatenate([run.source for run in taken])[order], at_ns[order])


def _slice(run: Run, begin: int, end: int) -> Run:
    return Run(run.batch.slice(begin, end - begin), run.source[begin:end], run.at_ns[begin:end])
