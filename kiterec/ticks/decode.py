"""Turns frames into the tick table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

from kiterec.ticks import columns as build
from kiterec.ticks.find import Packets, find_packets
from kiterec.ticks.kernels import decode_fields
from kiterec.ticks.schema import COLUMNS, INSTANT, MODE, check_columns, column_types, segment_enum
from kiterec.ticks.walks import gather_numbers
from kiterec.wire.packets import LAYOUTS
from kiterec.wire.segments import SEGMENTS
from kiterec.wire.transcript import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from numpy.typing import NDArray

    from kiterec.ticks.schema import Prices
    from kiterec.wire.segments import SegmentTable

_FIELDS: Final = frozenset(c.name for c in COLUMNS if c.origin in {"field", "depth", "derived"})
_BY_TOKEN: Final = frozenset(
    c.name for c in COLUMNS if c.origin == "token" or c.unit == "price" or c.name == "change"
)
"""Columns that need the instrument_token: those made of it, and prices for their divisor."""

_MODES: Final = pl.Series(MODE.categories.to_list(), dtype=MODE)
_RANK_OF: Final = np.zeros(1 + max(LAYOUTS), np.uint8)
_RANK_OF[list(LAYOUTS)] = [layout.mode.rank for layout in LAYOUTS.values()]
_CASTABLE: Final = (pa.types.is_binary_view, pa.types.is_fixed_size_binary, pa.types.is_null)


@dataclass(frozen=True, slots=True)
class Context:
    """What the transcript says of each frame; None where there is no transcript.

    Attributes:
        seq: position in the recording.
        received_at: nanoseconds since the epoch.
        connection: code into `names`.
        names: the connections, a Categorical series.
    """

    seq: NDArray[np.uint64] | None = None
    received_at: NDArray[np.int64] | None = None
    connection: NDArray[np.integer[Any]] | None = None
    names: pl.Series | None = None


@dataclass(frozen=True, slots=True)
class _Segments:
    """A segment table as arrays over the 256 ids."""

    divisors: NDArray[np.uint32]
    tradables: NDArray[np.bool_]
    names: pl.Series


@lru_cache(maxsize=8)
def _segment_arrays(segments: SegmentTable) -> _Segments:
    return _Segments(
        np.array(segments.divisors(), np.uint32),
        np.array(segments.tradables(), np.bool_),
        pl.Series(segments.names(), dtype=segment_enum(segments)),
    )


def decode(
    frames: Iterable[bytes] | pl.Series | pa.Array | pa.ChunkedArray,
    *,
    prices: Prices = "float",
    columns: Collection[str] | None = None,
    segments: SegmentTable = SEGMENTS,
    received_at: Sequence[int] | NDArray[np.int64] | None = None,
) -> pl.DataFrame:
    """Decode frames into the tick table.

    Shape:
        One row a packet, in the order of the frames and of the packets in them. `seq` is the frame's
        position in the input; `connection` is null. What is no whole packet of a known length gives no
        row; `kiterec.ticks.find.find_packets(array).problems()` lists it.

    Args:
        frames: a list of bytes, a Polars series or an Arrow array of binary; None is an empty frame.
        prices: `float` gives rupees, exactly what dividing the wire's integer gives; `int` the integers
            of the wire, with a column `price_divisor`.
        columns: which columns, in this order; all for None. Others are not decoded.
        segments: exchange segments with their divisors and names.
        received_at: nanoseconds since the epoch of each frame; the column is null without.

    Raises:
        TypeError: the frames are not binary.
        ValueError: an unknown column or kind of price, or not one time a frame.

    Source:
        https://kite.trade/docs/connect/v3/websocket/#message-structure
    """
    asked = check_columns(columns, column_types(prices, segments))
    payloads = _as_arrow(frames)
    times = None if received_at is None else np.asarray(received_at, np.int64)
    if times is not None and times.size != len(payloads):
        raise ValueError(f"{times.size:,} times for {len(payloads):,} frames; give one time a frame")
    packets = find_packets(payloads).known()
    return decode_packets(packets, Context(received_at=times), asked, prices=prices, segments=segments)


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


def find_in_batch(batch: pa.RecordBatch) -> tuple[Packets, Context]:
    """Find the packets of known length in a batch of a transcript."""
    kind = batch.column("kind")
    is_binary = np.array([word == Kind.BINARY for word in kind.dictionary.to_pylist()], np.bool_)
    binary = is_binary[kind.indices.to_numpy(zero_copy_only=False)]
    packets = find_packets(batch.column("payload"), binary=None if binary.all() else binary).known()
    connection = batch.column("connection")
    context = Context(
        seq=batch.column("seq").to_numpy(),
        received_at=batch.column("received_at").cast(pa.int64()).to_numpy(),
        connection=connection.indices.to_numpy(zero_copy_only=False),
        names=pl.Series(connection.dictionary.to_pylist(), dtype=pl.Categorical()),
    )
    return packets, context


def read_tokens(packets: Packets) -> NDArray[np.uint32]:
    """Give the instrument_token of each packet (of known length)."""
    return gather_numbers(packets.data, packets.offset, ">u4")


def decode_packets(
    packets: Packets,
    context: Context,
    columns: Sequence[str],
    *,
    prices: Prices = "float",
    segments: SegmentTable = SEGMENTS,
) -> pl.DataFrame:
    """Decode packets of known lengths into these columns, in this order."""
    schema = column_types(prices, segments)
    wanted = frozenset(columns)
    table = _segment_arrays(segments)
    size = len(packets)
    ready: dict[str, pa.Array | pl.Series] = {}

    tokens = read_tokens(packets) if wanted & _BY_TOKEN else None
    divisor: NDArray[np.float64] | float = 1.0
    if tokens is not None:
        codes = (tokens & 0xFF).astype(np.uint8)
        ready |= _token_columns(tokens, codes, table, wanted)
        divisor = _divisor(table.divisors, codes) if prices == "float" or "change" in wanted else 1.0
    nulls = build.Nulls(packets.length)
    ready |= _context_columns(packets, context, wanted)
    if "mode" in wanted:
        ready["mode"] = build.pick(_MODES, _RANK_OF[packets.length])
    asked_fields = wanted & _FIELDS
    if asked_fields:
        arrays = decode_fields(packets, columns=asked_fields, prices=prices, divisor=divisor)
        for name in asked_fields:
            ready[name] = build.field_column(name, schema[name], arrays, nulls, size)
    return _frame(columns, ready)


def _divisor(divisors: NDArray[np.uint32], codes: NDArray[np.uint8]) -> NDArray[np.float64] | float:
    """Give the divisor of each packet, or one number when all have the same."""
    each = divisors.astype(np.float64)[codes]
    return float(each[0]) if each.size and (each == each[0]).all() else each


def _token_columns(
    tokens: NDArray[np.uint32], codes: NDArray[np.uint8], table: _Segments, wanted: frozenset[str]
) -> dict[str, pa.Array | pl.Series]:
    """Give the columns that the instrument_token decides."""
    made: dict[str, pa.Array | pl.Series] = {}
    if "instrument_token" in wanted:
        made["instrument_token"] = build.numbers(pl.UInt32(), tokens)
    if "segment" in wanted:
        made["segment"] = build.pick(table.names, codes)
    if "tradable" in wanted:
        made["tradable"] = build.truths(table.tradables[codes])
    if "price_divisor" in wanted:
        made["price_divisor"] = build.numbers(pl.UInt32(), table.divisors[codes])
    return made


def _context_columns(
    packets: Packets, context: Context, wanted: frozenset[str]
) -> dict[str, pa.Array | pl.Series]:
    """Give the columns that the frame decides."""
    made: dict[str, pa.Array | pl.Series] = {}
    if "seq" in wanted:
        seq = packets.frame.view(np.uint64) if context.seq is None else context.seq[packets.frame]
        made["seq"] = build.numbers(pl.UInt64(), seq)
    if "packet" in wanted:
        made["packet"] = build.numbers(pl.UInt16(), packets.packet.astype(np.uint16))
    if "received_at" in wanted:
        made["received_at"] = (
            build.nothing(INSTANT, len(packets))
            if context.received_at is None
            else build.numbers(INSTANT, context.received_at[packets.frame])
        )
    if "connection" in wanted:
        made["connection"] = (
            build.nothing(pl.Categorical(), len(packets))
            if context.names is None or context.connection is None
            else build.pick(context.names, context.connection[packets.frame])
        )
    return made


def _frame(columns: Sequence[str], ready: dict[str, pa.Array | pl.Series]) -> pl.DataFrame:
    """Put the columns together in the asked order."""
    # One by one: a depth with nulls that comes as a column of a whole batch is copied.
    return pl.DataFrame(
        [
            made.alias(name) if isinstance(made := ready[name], pl.Series) else pl.Series(name, made)
            for name in columns
        ]
    )


def _as_arrow(frames: Any) -> pa.Array:
    """Give frames as one Arrow array of binary, without copying one that is binary already."""
    if isinstance(frames, pl.Series):
        if frames.dtype not in {pl.Binary, pl.Null}:
            raise TypeError(f"frames are a series of {frames.dtype}; give one of Binary")
        frames = frames.to_arrow()
    if isinstance(frames, pa.ChunkedArray):
        frames = frames.chunk(0) if frames.num_chunks == 1 else frames.combine_chunks()
        if isinstance(frames, pa.ChunkedArray):
            frames = frames.cast(pa.large_binary()).combine_chunks()
    if not isinstance(frames, pa.Array):
        return _from_python(frames)
    if pa.types.is_binary(frames.type) or pa.types.is_large_binary(frames.type):
        return frames
    if any(is_type(frames.type) for is_type in _CASTABLE):
        return frames.cast(pa.large_binary())
    raise TypeError(f"frames are an array of {frames.type}; give one of binary")


def _from_python(frames: Iterable[bytes]) -> pa.Array:
    if isinstance(frames, (bytes, bytearray, memoryview, str)):
        raise TypeError(f"frames are one {type(frames).__name__}; give a list of frames, such as [frame]")
    try:
        return pa.array(list(frames), pa.large_binary())
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TypeError(f"frames are no list of bytes: {error}") from None
