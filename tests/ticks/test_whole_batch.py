"""Packets found and decoded in one go are those that numpy finds first and decodes then."""

from __future__ import annotations

import random

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiterec import compiled
from kiterec.ticks.decode import decode_batch, decode_whole_batch
from kiterec.ticks.find import find_packets
from kiterec.ticks.schema import Prices, tick_schema
from kiterec.wire.segments import SEGMENTS
from tests.ticks.frames import LENGTHS, any_frames, join, random_frame, random_packet

pytestmark = pytest.mark.usefixtures("machine_code")

CONNECTIONS = ["main-0", "main-1"]


def batch_of(messages: list[bytes], kinds: list[str]) -> pa.RecordBatch:
    """Give a batch of a transcript, as one connection's reader does; it is a slice of a longer one."""
    rows = len(messages) + 1
    return pa.record_batch(
        {
            "seq": pa.array(range(5, 5 + rows), pa.uint64()),
            "received_at": pa.array(range(rows), pa.timestamp("ns", "UTC")),
            "kind": pa.array(["text", *kinds]).dictionary_encode(),
            "payload": pa.array([b"before", *messages], pa.binary()),
        }
    ).slice(1)


def check(messages: list[bytes], kinds: list[str], columns: list[str], prices: Prices = "float") -> None:
    """Compare both ways, for each connection and for one that is alone."""
    batch = batch_of(messages, kinds)
    for code, names in ((1, CONNECTIONS), (0, ["alone"])):
        series = pl.Series(names, dtype=pl.Categorical())
        table, first, context = decode_whole_batch(
            batch, columns, connection=code, names=series, prices=prices, segments=SEGMENTS
        )
        said = pa.DictionaryArray.from_arrays(pa.array([code] * len(messages), pa.int16()), pa.array(names))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(compiled, "chosen", lambda _=0: False)
            expected = decode_batch(batch.append_column("connection", said), columns=columns, prices=prices)
        assert table.equals(expected)
        assert table.schema == expected.schema
        binary = np.array([kind == "binary" for kind in kinds])
        known = find_packets(batch.column("payload"), binary=binary).known()
        assert np.diff(first).tolist() == np.bincount(known.frame, minlength=len(messages)).tolist()
        assert context.seq is not None
        assert context.seq.tolist() == batch.column("seq").to_pylist()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(any_frames, st.sampled_from(["binary", "binary", "text"])), min_size=1, max_size=12),
    st.lists(st.sampled_from(list(tick_schema())), min_size=1, unique=True),
    st.sampled_from(["float", "int"]),
)
def test_any_frames_any_columns(rows: list[tuple[bytes, str]], columns: list[str], prices: Prices) -> None:
    check([message for message, _ in rows], [kind for _, kind in rows], columns, prices)


@pytest.mark.parametrize("size", [511, 512, 513, 1_024, 1_500])
@pytest.mark.parametrize("lengths", [[184], [8], LENGTHS], ids=["full", "ltp", "mixed"])
def test_frames_around_a_block_of_packets(size: int, lengths: list[int]) -> None:
    rng = random.Random(size)
    frames = [random_frame(rng, count, lengths) for count in (size, 0, 1, size)]
    kinds = ["binary"] * len(frames)
    for columns in (["instrument_token", "last_price"], list(tick_schema())):
        check(frames, kinds, columns)


def test_packets_of_unknown_length_take_no_row() -> None:
    rng = random.Random(7)
    strange = join([random_packet(rng, 8), bytes(9), random_packet(rng, 184), bytes(200)] * 400)
    cut = random_frame(rng, 600, [44])[:-1]
    check([strange, b"\x00", cut, b"\xff\xff"], ["binary"] * 4, ["packet", "last_price", "oi"])
