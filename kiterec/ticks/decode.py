"""Turns frames into the tick table."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import pyarrow as pa

from kiterec import compiled
from kiterec.ticks import kernels, looped
from kiterec.ticks.columns import lengths_in
from kiterec.ticks.context import Context
from kiterec.ticks.crew import checked_threads, crew
from kiterec.ticks.find import Packets, binary_buffers, find_packets
from kiterec.ticks.inputs import as_arrow
from kiterec.ticks.kernels import read_tokens
from kiterec.ticks.plan import allocate, make_plan
from kiterec.ticks.schema import check_columns, column_types
from kiterec.ticks.table import build_table, in_places, segment_arrays
from kiterec.wire.packets import LAYOUTS
from kiterec.wire.segments import SEGMENTS
from kiterec.wire.transcript import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from numpy.typing import NDArray

    from kiterec.ticks.schema import Prices
    from kiterec.wire.segments import SegmentTable

BYTES_OF_A_THREAD: Final = 6 << 20
"""To decode less takes not much longer than to start a thread and to make columns: 2 ms, by measurement."""


def decode(
    frames: Iterable[bytes] | pl.Series | pa.Array | pa.ChunkedArray,
    *,
    prices: Prices = "float",
    columns: Collection[str] | None = None,
    segments: SegmentTable = SEGMENTS,
    received_at: Sequence[int] | NDArray[np.int64] | None = None,
    threads: int | None = None,
) -> pl.DataFrame:
    """Decode frames into the tick table.

    Shape:
        One row a packet, in the order of the frames and of the packets in them. `seq` is the frame's
        position in the input; `connection` is null. What is no whole packet of a known length gives no
        row; `kiterec.ticks.find.find_packets(array).problems()` lists it. Columns have a chunk a thread.

    Args:
        frames: a list of bytes, a Polars series or an Arrow array of binary; None is an empty frame.
        prices: `float` gives rupees, exactly what dividing the wire's integer gives; `int` the integers
            of the wire, with a column `price_divisor`.
        columns: which columns, in this order; all for None. Others are not decoded.
        segments: exchange segments with their divisors and names.
        received_at: nanoseconds since the epoch of each frame; the column is null without.
        threads: that decode at once, though no more than is worth it; None for one a core that the process
            may use where Numba is used, and else for one: numpy's many short calls take turns, and two
            threads gain little. The table is the same.

    Raises:
        TypeError: the frames are not binary.
        ValueError: an unknown column or kind of price, not one time a frame, or fewer than one thread.

    Source:
        https://kite.trade/docs/connect/v3/websocket/#message-structure
    """
    asked = check_columns(columns, column_types(prices, segments))
    payloads = as_arrow(frames)
    times = None if received_at is None else np.asarray(received_at, np.int64)
    if times is not None and times.size != len(payloads):
        raise ValueError(f"{times.size:,} times for {len(payloads):,} frames; give one time a frame")
    most = 1 if threads is None and not compiled.chosen() else checked_threads(threads)
    ranges = _share(payloads, most) if most > 1 else [slice(0, len(payloads))]

    def decode_some(some: slice) -> pl.DataFrame:
        seq = np.arange(some.start, some.stop, dtype=np.uint64)
        context = Context(seq, None if times is None else times[some])
        packets = find_packets(payloads[some]).known()
        return decode_packets(packets, context, asked, prices=prices, segments=segments)

    with crew(len(ranges)) as workers:
        tables = workers.each(decode_some, ranges)
    return tables[0] if len(tables) == 1 else pl.concat(tables, rechunk=False)


def _share(payloads: pa.Array, threads: int) -> list[slice]:
    """Cut frames into ranges of about as many bytes, one a thread; fewer where it is not worth one.

    Raises:
        ValueError: an array whose elements lie outside its bytes.
    """
    ends = np.cumsum(binary_buffers(payloads)[2])
    total = int(ends[-1]) if ends.size else 0
    shares = max(1, min(threads, total // BYTES_OF_A_THREAD))
    cuts = np.searchsorted(ends, [total * number // shares for number in range(1, shares)]).tolist()
    bounds = sorted({0, *cuts, len(payloads)})
    return [slice(a, b) for a, b in itertools.pairwise(bounds)] or [slice(0, 0)]


def decode_batch(
    batch: pa.RecordBatch,
    *,
    columns: Collection[str] | None = None,
    prices: Prices = "float",
    tokens: NDArray[np.uint32] | None = None,
    segments: SegmentTable = SEGMENTS,
) -> pl.DataFrame:
    """Decode a batch of a transcript with its connection column.

    Shape:
        One row a packet of its binary rows, in their order.

    Args:
        batch: as `read_transcript` gives it.
        columns: which columns, in this order; all for None.
        prices: as for `decode`.
        tokens: only these instruments; the others are dropped before their fields are decoded.
        segments: as for `decode`.

    Raises:
        ValueError: an unknown column or kind of price.
    """
    asked = check_columns(columns, column_types(prices, segments))
    packets, context = find_in_batch(batch)
    if tokens is not None:
        packets = packets.select(np.isin(read_tokens(packets), tokens))
    return decode_packets(packets, context, asked, prices=prices, segments=segments)


def find_in_batch(
    batch: pa.RecordBatch, *, connection: int = 0, names: pl.Series | None = None
) -> tuple[Packets, Context]:
    """Find the packets of known length in a batch of a transcript.

    Args:
        batch: with its connections, or of one.
        connection: code into `names` of a batch that does not say of which connection it is.
        names: the connections, a Categorical series; None: the batch says which.
    """
    payloads, binary, context = _frames_in_batch(batch, connection, names)
    return find_packets(payloads, binary=binary).known(), context


def decode_whole_batch(
    batch: pa.RecordBatch,
    columns: Sequence[str],
    *,
    connection: int,
    names: pl.Series | None,
    prices: Prices,
    segments: SegmentTable,
) -> tuple[pl.DataFrame, NDArray[np.int64], Context]:
    """Find and decode the packets of a batch of a transcript in one go; only where `compiled.chosen()`.

    Args:
        batch: as for `find_in_batch`, as are connection and names.
        columns: which, in this order.
        connection: see above.
        names: see above.
        prices: as for `decode`.
        segments: as for `decode`.

    Returns:
        The ticks; how many of them precede those of each frame, and at last how many there are; and what is
        known of the frames.
    """
    payloads, binary, context = _frames_in_batch(batch, connection, names)
    data, start, size = binary_buffers(payloads)
    if binary is not None:
        size = np.where(binary, size, 0)
    plan = make_plan(frozenset(columns), frozenset(LAYOUTS), context.known(), prices)
    divisors = segment_arrays(segments).divisors
    arrays, first = looped.decode_frames(plan, (data, start, size), context, divisors)
    return build_table(columns, arrays, context, prices=prices, segments=segments), first, context


def _frames_in_batch(
    batch: pa.RecordBatch, connection: int, names: pl.Series | None
) -> tuple[pa.Array, NDArray[np.bool_] | None, Context]:
    """Give payloads, which of them are frames (None: all), and what is known of each."""
    kind = batch.column("kind")
    is_binary = np.array([word == Kind.BINARY for word in kind.dictionary.to_pylist()], np.bool_)
    binary = is_binary[np.from_dlpack(kind.indices)]  # pyarrow's `to_numpy` would load pandas
    seq = np.asarray(np.from_dlpack(batch.column("seq")), np.uint64)
    received_at = None
    if "received_at" in batch.schema.names:
        received_at = np.asarray(np.from_dlpack(batch.column("received_at").cast(pa.int64())), np.int64)
    codes: NDArray[np.int16] | None
    if names is None:
        said = batch.column("connection")
        codes = np.asarray(np.from_dlpack(said.indices), np.int16)
        names = pl.Series(said.dictionary.to_pylist(), dtype=pl.Categorical())
    else:
        codes = None if len(names) == 1 else np.full(batch.num_rows, connection, np.int16)
    context = Context(seq, received_at, codes, names)
    return batch.column("payload"), None if binary.all() else binary, context


def decode_packets(
    packets: Packets,
    context: Context,
    columns: Sequence[str],
    *,
    prices: Prices = "float",
    segments: SegmentTable = SEGMENTS,
) -> pl.DataFrame:
    """Decode packets of known lengths into these columns, in this order."""
    return decode_shares([(packets, context)], columns, prices=prices, segments=segments)


def decode_shares(
    shares: Sequence[tuple[Packets, Context]],
    columns: Sequence[str],
    *,
    prices: Prices = "float",
    segments: SegmentTable = SEGMENTS,
    shifts: Sequence[NDArray[np.int64]] | None = None,
) -> pl.DataFrame:
    """Decode packets of known lengths of several arrays into one table.

    Args:
        shares: packets and what is known of their frames: of all the same, with the same connections.
        columns: which, in this order.
        prices: as for `decode`.
        segments: as for `decode`.
        shifts: of each share, by how many rows the packets of each frame move from their place in the
            share to that in the table; None: one share comes behind the other.
    """
    wanted, table = frozenset(columns), segment_arrays(segments)
    bounds = np.cumsum([0, *(len(packets) for packets, _ in shares)])
    present = frozenset().union(*(lengths_in(packets.length) for packets, _ in shares))
    plan = make_plan(wanted, present, shares[0][1].known(), prices)
    arrays = allocate(plan, int(bounds[-1]))
    by_loop = compiled.chosen()
    for number, (packets, context) in enumerate(shares):
        if by_loop:
            shift = bounds[number : number + 1] if shifts is None else shifts[number]
            looped.write_rows(arrays, shift, packets, context, table.divisors)
        else:
            rows = slice(int(bounds[number]), int(bounds[number + 1]))
            kernels.write_rows(arrays, rows, packets, context, table.divisors)
    made = build_table(columns, arrays, shares[0][1], prices=prices, segments=segments)
    if shifts is None or by_loop:
        return made
    places = [shift[it.frame] + np.arange(len(it)) for (it, _), shift in zip(shares, shifts, strict=True)]
    return in_places(made, np.concatenate(places))
