"""Several streams of rows as one, by a key that never goes back within a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from kiterec.store.arrays import vector

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


class Run(NamedTuple):
    """Neighbouring rows of the merged stream.

    Attributes:
        batch: the rows.
        key: what they are ordered by; never goes back, within a run and from run to run.
        source: the number of the stream of each row.
    """

    batch: pa.RecordBatch
    key: NDArray[Any]
    source: NDArray[np.int16]


def interleave(streams: Sequence[Iterator[tuple[pa.RecordBatch, NDArray[Any]]]]) -> Iterator[Run]:
    """Merge streams by their keys; where these are equal, the earlier stream comes first.

    Args:
        streams: of batches that are not empty, and the key of each of their rows, integers of one type. All
            batches must have the same columns and dictionaries.
    """
    live = dict(enumerate(streams))
    heads: dict[int, Run] = {}
    while True:
        for number in [number for number in live if number not in heads]:
            head = next(live[number], None)
            if head is None:
                del live[number]
            else:
                batch, key = head
                heads[number] = Run(batch, key, np.full(len(key), number, np.int16))
        if not heads:
            return
        yield _take(heads)


def _take(heads: dict[int, Run]) -> Run:
    """Take from the heads the rows that nothing still to come can precede."""
    end, last = min((head.key[-1], number) for number, head in heads.items())
    taken: list[Run] = []
    for number in sorted(heads):
        head = heads[number]
        # An equal key of a later stream waits: the earlier one may have more rows of it.
        rows = int(np.searchsorted(head.key, end, side="right" if number <= last else "left"))
        if rows:
            taken.append(_slice(head, 0, rows))
        if rows == len(head.key):
            del heads[number]
        else:
            heads[number] = _slice(head, rows, len(head.key))
    if len(taken) == 1:
        return taken[0]
    batches, keys, sources = zip(*taken, strict=True)
    key = np.concatenate(keys)
    order = np.argsort(key, kind="stable")
    return Run(pa.concat_batches(batches).take(vector(order)), key[order], np.concatenate(sources)[order])


def _slice(run: Run, begin: int, end: int) -> Run:
    return Run(run.batch.slice(begin, end - begin), run.key[begin:end], run.source[begin:end])
