"""Turns frames into the tick table."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

from kiterec.store.packet_count import declared_packets
from kiterec.ticks import columns as build
from kiterec.ticks.crew import Crew, checked_threads, crew
from kiterec.ticks.find import Packets, find_packets
from kiterec.ticks.kernels import allocate, decode_fields, plan_fields
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


_OF_CONTEXT: Final = {"received_at": np.int64, "connection": np.int16}
_CONTEXT_TYPES: Final[dict[str, pl.DataType]] = {
    "seq": pl.UInt64(), "packet": pl.UInt16(), "received_at": INSTANT
}  # fmt: skip

PACKETS_OF_A_THREAD: Final = 1 << 14
"""To decode fewer takes about as long as to start a thread."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of each frame beside its bytes.

    Attributes:
        seq: position in the recording; None: the row is it.
        received_at: nanoseconds since the epoch; None where it is not known.
        connection: code into `names`; None when all are of its only one.
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
    threads: int | None = 1,
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
        threads: that decode at once; None for one a core that the process may use, though no more than is
            worth it. The table is the same. Two gain little: numpy's many short calls take turns.

    Raises:
        TypeError: the frames are not binary.
        ValueError: an unknown column or kind of price, not one time a frame, or fewer than one thread.

    Source:
        https://kite.trade/docs/connect/v3/websocket/#message-structure
    """
    asked = check_columns(columns, column_types(prices, segments))
    payloads = _as_arrow(frames)
    times = None if received_at is None else np.asarray(received_at, np.int64)
    if times is not None and times.size != len(payloads):
        raise ValueError(f"{times.size:,} times for {len(payloads):,} frames; give one time a frame")
    most = checked_threads(threads)
    ranges = _share(payloads, most) if most > 1 else [slice(0, len(payloads))]
    with crew(len(ranges)) as workers:
        found = workers.each(lambda some: find_packets(payloads[some]).known(), ranges)
        contexts = [
            Context(
                np.arange(some.start, some.stop, dtype=np.uint64),
                None if times is None else times[some],
            )
            for some in ranges
        ]
        shares = list(zip(found, contexts, strict=True))
        return decode_shares(shares, asked, workers, prices=prices, segments=segments)


def _share(payloads: pa.Array, threads: int) -> list[slice]:
    """Cut frames into ranges of about as many packets, one a thread; fewer where it is not worth one."""
    declared = np.cumsum(declared_packets(payloads))
    packets = int(declared[-1]) if declared.size else 0
    shares = max(1, min(threads, packets // PACKETS_OF_A_THREAD))
    cuts = np.searchsorted(declared, [packets * number // shares for number in range(1, shares)]).tolist()
    return [slice(a, b) for a, b in itertools.pairwise([0, *cuts, len(payloads)])]


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


def find_in_batch(batch: pa.RecordBatch, *, connection: str | None = None) -> tuple[Packets, Context]:
    """Find the packets of known length in a batch of a transcript; its rows are of `connection`, or say."""
    kind = batch.column("kind")
    is_binary = np.array([word == Kind.BINARY for word in kind.dictionary.to_pylist()], np.bool_)
    binary = is_binary[kind.indices.to_numpy(zero_copy_only=False)]
    packets = find_packets(batch.column("payload"), binary=None if binary.all() else binary).known()
    seq = batch.column("seq").to_numpy()
    received_at = batch.column("received_at").cast(pa.int64()).to_numpy()
    if connection is not None:
        return packets, Context(seq, received_at, None, pl.Series([connection], dtype=pl.Categorical()))
    codes = batch.column("connection")
    names = pl.Series(codes.dictionary.to_pylist(), dtype=pl.Categorical())
    return packets, Context(seq, received_at, codes.indices.to_numpy(zero_copy_only=False), names)


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
    return decode_shares([(packets, context)], columns, Crew(None, 1), prices=prices, segments=segments)


def decode_shares(
    shares: Sequence[tuple[Packets, Context]],
    columns: Sequence[str],
    workers: Crew,
    *,
    prices: Prices = "float",
    segments: SegmentTable = SEGMENTS,
) -> pl.DataFrame:
    """Decode packets of known lengths that come in shares, a thread each, into one table.

    Each thread writes the rows of its own share, so it does not matter who is done first.
    """
    schema = column_types(prices, segments)
    wanted = frozenset(columns)
    table = _segment_arrays(segments)
    bounds = np.cumsum([0, *(len(packets) for packets, _ in shares)]).tolist()
    size = bounds[-1]
    fields = wanted & _FIELDS
    plans = workers.each(lambda share: plan_fields(share[0], fields), shares) if fields else []
    arrays = allocate(plans, size, prices)
    tokens = np.empty(size, np.uint32) if wanted & _BY_TOKEN else None
    context = _ContextColumns.of(shares, size, wanted)

    def fill(number: int) -> None:
        packets, said = shares[number]
        rows = slice(bounds[number], bounds[number + 1])
        context.fill(rows, packets, said)
        divisor: NDArray[np.float64] | float = 1.0
        if tokens is not None:
            tokens[rows] = mine = read_tokens(packets)
            if prices == "float" or "change" in wanted:
                divisor = _divisor(table.divisors, mine)
        if fields:
            decode_fields(plans[number], arrays.rows(rows), packets, prices=prices, divisor=divisor)

    workers.each(fill, range(len(shares)))
    length = context.length
    ready = context.columns()
    if tokens is not None:
        ready |= _token_columns(tokens, table, wanted)
    if "mode" in wanted:
        ready["mode"] = build.pick(_MODES, _RANK_OF[length])
    nulls = build.Nulls(length)
    for name in fields:
        ready[name] = build.field_column(name, schema[name], arrays, nulls, size)
    return _frame(columns, ready)


def _codes(tokens: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Give the exchange segments: the low byte of each instrument_token."""
    return tokens.astype(np.uint8)


def _divisor(divisors: NDArray[np.uint32], tokens: NDArray[np.uint32]) -> NDArray[np.float64] | float:
    """Give the divisor of each packet, or one number when all have the same."""
    each = divisors[_codes(tokens)]
    return float(each[0]) if each.size and (each == each[0]).all() else each.astype(np.float64)


def _token_columns(
    tokens: NDArray[np.uint32], table: _Segments, wanted: frozenset[str]
) -> dict[str, pa.Array | pl.Series]:
    """Give the columns that the instrument_token decides."""
    made: dict[str, pa.Array | pl.Series] = {}
    if "instrument_token" in wanted:
        made["instrument_token"] = build.numbers(pl.UInt32(), tokens)
    if "segment" in wanted:
        made["segment"] = build.pick(table.names, _codes(tokens))
    if "tradable" in wanted:
        made["tradable"] = build.truths(table.tradables[_codes(tokens)])
    if "price_divisor" in wanted:
        made["price_divisor"] = build.numbers(pl.UInt32(), table.divisors[_codes(tokens)])
    return made


@dataclass(frozen=True, slots=True)
class _ContextColumns:
    """The columns that the frame decides, being filled.

    Attributes:
        arrays: by name; `connection` as codes.
        names: the connections; None where nothing is known of them.
        size: rows.
        wanted: columns.
        length: bytes of each packet.
    """

    arrays: dict[str, NDArray[Any]]
    names: pl.Series | None
    size: int
    wanted: frozenset[str]
    length: NDArray[np.int64]

    @classmethod
    def of(
        cls, shares: Sequence[tuple[Packets, Context]], size: int, wanted: frozenset[str]
    ) -> _ContextColumns:
        """Make room for the rows of all shares, which have the same connections."""
        context = shares[0][1]
        known = {"packet": np.uint16, "seq": np.uint64} | {
            name: kind for name, kind in _OF_CONTEXT.items() if getattr(context, name) is not None
        }
        arrays = {name: np.empty(size, kind) for name, kind in known.items() if name in wanted}
        lengths = [packets.length for packets, _ in shares]
        return cls(
            arrays, context.names, size, wanted, lengths[0] if len(lengths) == 1 else np.concatenate(lengths)
        )

    def fill(self, rows: slice, packets: Packets, context: Context) -> None:
        """Write the rows of a share."""
        for name, array in self.arrays.items():
            said = None if name == "packet" else getattr(context, name)
            if said is not None:
                array[rows] = said[packets.frame]
            else:
                array[rows] = packets.packet if name == "packet" else packets.frame

    def columns(self) -> dict[str, pa.Array | pl.Series]:
        """Give the columns."""
        made: dict[str, pa.Array | pl.Series] = {}
        for name, kind in _CONTEXT_TYPES.items():
            if name in self.wanted:
                array = self.arrays.get(name)
                made[name] = build.nothing(kind, self.size) if array is None else build.numbers(kind, array)
        if "connection" in self.wanted:
            codes = self.arrays.get("connection")
            made["connection"] = (
                build.nothing(pl.Categorical(), self.size)
                if self.names is None
                else self.names.new_from_index(0, self.size)
                if codes is None
                else build.pick(self.names, codes)
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
