"""Where times are equal the earlier input comes first, however the inputs are cut into batches."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from kiterec.upkeep.by_time import interleave_by_time

TIMES = st.lists(st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=4), min_size=1, max_size=3)


def batch(times: list[int], begin: int) -> pa.RecordBatch:
    at = pa.array(times, pa.timestamp("ns", "UTC"))
    return pa.record_batch({"received_at": at, "row": pa.array(range(begin, begin + len(times)), pa.int64())})


@given(TIMES)
@settings(max_examples=300, deadline=None)
def test_the_order_is_that_of_sorting_everything_by_time_and_input(inputs: list[list[list[int]]]) -> None:
    expected: list[tuple[int, int, int]] = []
    streams: list[list[pa.RecordBatch]] = []
    for number, batches in enumerate(inputs):
        latest, row, streams_of_one = 0, 0, []
        for times in batches:
            streams_of_one.append(batch(times, row))
            for at in times:
                latest = max(latest, at)
                expected.append((latest, number, row))
                row += 1
        streams.append(streams_of_one)
    found = [
        (at, number, row)
        for run in interleave_by_time(streams)
        for at, number, row in zip(
            run.key.tolist(), run.source.tolist(), run.batch.column("row").to_pylist(), strict=True
        )
    ]
    assert found == sorted(expected)
