"""The tick table equals a reference decoder that is written with `struct` alone."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kiterec
import kiterec.ticks.decode
import kiterec.ticks.kernels
from kiterec.ticks.crew import cores
from kiterec.ticks.decode import decode, decode_batch
from kiterec.ticks.schema import COLUMNS, TICK_SCHEMA, tick_schema
from kiterec.wire.segments import SEGMENTS, Segment
from tests.ticks import reference
from tests.ticks.frames import LENGTHS, any_frames, join, random_frame, random_packet, whole_frames
from tests.wire.golden import FRAMES, FULL, INDEX_FULL, INDEX_QUOTE, LTP, NEGATIVE, QUOTE

pytestmark = pytest.mark.usefixtures("each_engine")


def dicts(table: pl.DataFrame) -> list[dict[str, Any]]:
    return table.to_dicts()


def table_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(
        {name: pl.Series([row[name] for row in rows], dtype=dtype) for name, dtype in TICK_SCHEMA.items()}
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(any_frames, max_size=8))
def test_any_frames_decode_to_the_reference_tables_rows(frames: list[bytes]) -> None:
    table = decode(frames)
    assert table.schema == TICK_SCHEMA
    assert dicts(table) == reference.rows(frames)


@pytest.mark.parametrize("lengths", [[length] for length in LENGTHS] + [LENGTHS, [184, 184, 184, 32]])
def test_thousands_of_packets_decode_to_the_reference_tables_rows(
    lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kiterec.ticks.kernels, "BLOCK", 512)
    rng = random.Random(sum(lengths))
    frames = [random_frame(rng, rng.randrange(300), lengths) for _ in range(25)]
    rows = reference.rows(frames)
    assert len(rows) > 2_048, "more than a few blocks"
    assert decode(frames).equals(table_of(rows))


@pytest.mark.parametrize("name", FRAMES)
def test_every_cut_of_a_golden_frame_decodes_what_is_still_whole(name: str) -> None:
    frame = FRAMES[name]
    cuts = [frame[:size] for size in range(len(frame) + 1)]
    assert dicts(decode(cuts)) == reference.rows(cuts)


@pytest.mark.parametrize("name", FRAMES)
def test_every_flipped_byte_of_a_golden_frame_decodes_what_is_still_whole(name: str) -> None:
    frame = FRAMES[name]
    flipped = [
        frame[:place] + bytes([frame[place] ^ bits]) + frame[place + 1 :]
        for place in range(len(frame))
        for bits in (0x01, 0x80, 0xFF)
    ]
    assert dicts(decode(flipped)) == reference.rows(flipped)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(whole_frames, max_size=5), st.lists(st.sampled_from(reference.COLUMNS), unique=True, min_size=1)
)
def test_asked_columns_come_in_the_asked_order_and_with_the_same_values(
    frames: list[bytes], columns: list[str]
) -> None:
    assert decode(frames, columns=columns).equals(decode(frames).select(columns))


@settings(max_examples=100, deadline=None)
@given(st.lists(any_frames, max_size=5))
def test_int_prices_divided_by_their_divisor_are_the_float_prices(frames: list[bytes]) -> None:
    rupees, wire = decode(frames), decode(frames, prices="int")
    assert wire.schema == tick_schema("int")
    for column in COLUMNS:
        if column.name == "price_divisor":
            continue
        raw, expected = wire.get_column(column.name), rupees.get_column(column.name)
        if column.unit != "price":
            assert raw.equals(expected), column.name
            continue
        divisors = wire.get_column("price_divisor").to_list()
        for value, divisor, price in zip(raw.to_list(), divisors, expected.to_list(), strict=True):
            if isinstance(value, list):
                assert [one / divisor for one in value] == price
            else:
                assert (value is None and price is None) or value / divisor == price


def test_prices_are_signed_and_divided_by_their_segments_divisor() -> None:
    (row,) = dicts(decode([join([NEGATIVE])]))
    assert (row["last_price"], row["segment"], row["tradable"]) == (-3.75, "CDS", True)


def test_a_field_that_the_packet_lacks_is_null_and_never_zero() -> None:
    rows = dicts(decode([join([LTP, INDEX_QUOTE, INDEX_FULL, QUOTE, FULL])]))
    filled = [{name for name, value in row.items() if value is not None} for row in rows]
    assert filled[0] == {"seq", "packet", "instrument_token", "segment", "mode", "tradable", "last_price"}
    assert filled[1] - filled[0] == {"open", "high", "low", "close", "change", "net_change"}
    assert filled[2] - filled[1] == {"exchange_timestamp"}
    assert {"oi", "buy_price", "last_trade_time", "exchange_timestamp"}.isdisjoint(filled[3])
    assert set(reference.COLUMNS) - filled[4] == {"received_at", "connection"}


def test_time_zero_is_null() -> None:
    times = slice(44, 48)
    untraded = FULL[: times.start] + bytes(4) + FULL[times.stop :]
    rows = dicts(decode([join([untraded, FULL])]))
    assert [row["last_trade_time"] is None for row in rows] == [True, False]
    assert [row["exchange_timestamp"] is None for row in rows] == [False, False]


def test_without_a_close_the_change_is_zero_like_the_official_clients_and_the_net_change_null() -> None:
    new = QUOTE[:40] + bytes(4)
    rows = dicts(decode([join([new, QUOTE])]))
    assert [(row["change"], row["net_change"] is None) for row in rows] == [
        (0.0, True),
        (rows[1]["change"], False),
    ]


def test_the_order_of_an_index_is_high_low_open_close() -> None:
    (row,) = dicts(decode([join([INDEX_FULL])]))
    assert [row[name] for name in ("high", "low", "open", "close")] == [
        25_100.0,
        24_800.0,
        24_900.0,
        25_050.0,
    ]
    assert row["net_change"] == -50.0
    assert row["tradable"] is False


def test_a_difference_of_two_wire_prices_does_not_overflow() -> None:
    lowest = QUOTE[:4] + (1 << 31).to_bytes(4, "big") + QUOTE[8:40] + ((1 << 31) - 1).to_bytes(4, "big")
    (row,) = dicts(decode([join([lowest])], prices="int"))
    assert row["net_change"] == -(1 << 31) - ((1 << 31) - 1)


def test_an_unknown_segment_is_unknown_and_an_override_changes_names_and_divisors() -> None:
    packet = (5 << 8 | 77).to_bytes(4, "big") + (12_345).to_bytes(4, "big")
    (plain,) = dicts(decode([join([packet])]))
    assert (plain["segment"], plain["last_price"], plain["tradable"]) == ("unknown", 123.45, True)
    table = SEGMENTS.with_overrides({77: Segment(77, "MOON", 1_000, tradable=False)})
    (other,) = dicts(decode([join([packet])], segments=table))
    assert (other["segment"], other["last_price"], other["tradable"]) == ("MOON", 12.345, False)


def test_every_kind_of_input_gives_the_same_table() -> None:
    frames = [join([LTP, FULL]), b"\0", join([QUOTE])]
    expected = decode(frames)
    assert expected.get_column("seq").to_list() == [0, 0, 2]
    for same in (
        tuple(frames),
        pl.Series(frames),
        pl.concat([pl.Series(frames[:1]), pl.Series(frames[1:])], rechunk=False),
        pa.array(frames, pa.binary()),
        pa.array(frames, pa.large_binary()),
        pa.array(frames, pa.binary_view()),
        pa.chunked_array([frames[:1], frames[1:]], pa.binary()),
        pa.array([b"junk", *frames], pa.binary()).slice(1),
    ):
        assert decode(same).equals(expected), type(same)


def test_times_of_the_frames_become_received_at() -> None:
    table = decode([join([LTP, LTP]), join([LTP])], received_at=[5, 1_795_166_100_000_000_001])
    assert table.get_column("received_at").cast(pl.Int64()).to_list() == [5, 5, 1_795_166_100_000_000_001]


def test_nothing_to_decode_gives_an_empty_table_of_the_same_schema() -> None:
    for nothing in ([], [b"\0"], pl.Series([], dtype=pl.Binary), pa.array([None], pa.null())):
        table = decode(nothing)
        assert (table.height, table.schema) == (0, TICK_SCHEMA)


@pytest.mark.parametrize(
    ("frames", "options", "error", "words"),
    [
        (b"\0\1", {}, TypeError, "one bytes; give a list of frames"),
        (["text", 3], {}, TypeError, "no list of bytes"),
        (pl.Series(["text"]), {}, TypeError, "a series of String"),
        (pa.array([1]), {}, TypeError, "an array of int64"),
        ([], {"columns": ["last", "oi"]}, ValueError, "no column 'last'; there are seq, packet"),
        ([], {"columns": ["oi", "oi"]}, ValueError, "asked for twice"),
        ([], {"prices": "rupees"}, ValueError, 'give "float" or "int"'),
        ([b""], {"received_at": []}, ValueError, "0 times for 1 frames"),
    ],
)
def test_misuse_says_what_to_give(frames: Any, options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        decode(frames, **options)


def batch_of(frames: list[bytes], kinds: list[str], names: list[str]) -> pa.RecordBatch:
    size = len(frames)
    return pa.record_batch(
        {
            "connection": pa.array(names, pa.string()).dictionary_encode(),
            "seq": pa.array(range(7, 7 + size), pa.uint64()),
            "received_at": pa.array(range(100, 100 + size), pa.timestamp("ns", "UTC")),
            "monotonic_ns": pa.array(range(size), pa.int64()),
            "kind": pa.array(kinds, pa.string()).dictionary_encode(),
            "payload": pa.array(frames, pa.binary()),
        }
    )


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(kiterec.ticks.decode, "BYTES_OF_A_THREAD", 2_000)
    rng = random.Random(threads)
    for lengths in ([184], [8, 44], LENGTHS):
        frames = [random_frame(rng, rng.randrange(80), rng.sample(lengths, 1)) for _ in range(40)]
        frames[7:7] = [b"\0", frames[3][:-5], b"\xff\xff" + frames[4][2:]]
        for options in ({}, {"prices": "int"}, {"columns": ["oi", "seq", "mode", "change"]}):
            times = range(len(frames))
            alone = decode(frames, threads=1, received_at=times, **options)
            shared = decode(frames, threads=threads, received_at=times, **options)
            assert shared.equals(alone), f"seed {threads}: {lengths} {options}"
            assert shared.to_arrow().equals(alone.to_arrow())
            assert alone.n_chunks("all") == [1] * alone.width
            (chunks,) = set(shared.n_chunks("all"))
            assert 1 < chunks <= threads, "a chunk for each thread that had frames"


def test_times_may_lie_in_memory_as_they_like() -> None:
    frames = [join([bytes(184)])] * 4
    apart = np.arange(8, dtype=">i8")[::2]
    askew = np.frombuffer(b"\0" + np.arange(0, 8, 2).tobytes(), np.int64, offset=1)
    assert not askew.flags.aligned
    for times in (apart, askew):
        assert decode(frames, received_at=times)["received_at"].cast(pl.Int64).to_list() == [0, 2, 4, 6]


def test_no_thread_is_too_few() -> None:
    with pytest.raises(ValueError, match="0 threads cannot work; give 1 or more"):
        decode([], threads=0)


def test_threads_are_no_more_than_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3}, raising=False)
    assert cores() == 1
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert cores() == pl.thread_pool_size()


def test_a_batch_of_a_transcript_gives_its_own_seq_time_and_connection() -> None:
    frames = [join([LTP]), b'{"type":"x"}', join([FULL, QUOTE]), b"\0"]
    batch = batch_of(frames, ["binary", "text", "binary", "binary"], ["main-0", "main-1", "main-1", "main-0"])
    for part, first in ((batch, 0), (batch.slice(1), 1)):
        table = decode_batch(part, columns=["seq", "packet", "connection", "received_at", "mode"])
        rows = [(r["seq"], r["packet"], r["connection"], r["mode"]) for r in dicts(table)]
        assert rows == [(7, 0, "main-0", "ltp"), (9, 0, "main-1", "full"), (9, 1, "main-1", "quote")][first:]
        assert table.get_column("received_at").cast(pl.Int64()).to_list() == [100, 102, 102][first:]


def test_only_the_asked_instruments_of_a_batch_are_decoded() -> None:
    rng = random.Random(2)
    packets = [random_packet(rng, rng.choice(LENGTHS)) for _ in range(50)]
    batch = batch_of([join(packets)], ["binary"], ["main-0"])
    everything = decode_batch(batch)
    tokens = everything.get_column("instrument_token")[[3, 17]].to_numpy()
    some = decode_batch(batch, tokens=tokens.astype(np.uint32))
    assert some.equals(everything.filter(pl.col("instrument_token").is_in(tokens.tolist())))
    assert some.height >= 2


def test_decode_is_a_public_name() -> None:
    assert kiterec.decode is decode
