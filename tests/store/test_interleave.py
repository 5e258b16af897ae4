"""Streams are merged by their keys, the earlier stream first where these are equal, and no row is lost."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from kiterec.store.interleave import interleave

STREAMS = st.lists(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), max_size=4), max_size=3)
LARGE = (1 << 64) - 6
"""Keys of 64 bits without a sign, which a float cannot tell apart."""


@given(STREAMS)
@settings(max_examples=300, deadline=None)
def test_rows_come_in_the_order_of_key_and_stream(steps: list[list[list[int]]]) -> None:
    expected: list[tuple[int, int, int]] = []
    streams = []
    for number, batches in enumerate(steps):
        key = row = 0
        stream = []
        for batch in batches:
            keys = []
            for step in batch:
                key = max(key, step)
                keys.append(LARGE + key)
                expected.append((LARGE + key, number, row))
                row += 1
            rows = pa.record_batch({"row": pa.array(range(row - len(keys), row), pa.int64())})
            stream.append((rows, np.array(keys, np.uint64)))
        streams.append(iter(stream))
    found = [
        each
        for run in interleave(streams)
        for each in zip(
            run.key.tolist(), run.source.tolist(), run.batch.column("row").to_pylist(), strict=True
        )
    ]
    assert found == sorted(expected)


def test_a_stream_alone_is_given_as_it_is() -> None:
    rows = pa.record_batch({"row": pa.array([7, 8])})
    (run,) = interleave([iter([(rows, np.array([1, 1], np.int64))])])
    assert run.batch.column("row").buffers()[1].address == rows.column("row").buffers()[1].address
    assert list(interleave([])) == []
