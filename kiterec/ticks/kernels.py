"""Copies packets of one length into columns: gather a block, swap its bytes once, write each field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kiterec.clock import NS_PER_S
from kiterec.ticks.schema import SIDES
from kiterec.wire.packets import DEPTH_ENTRY_BYTES, DEPTH_FIELDS, DEPTH_LEVELS, LAYOUTS, Field

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from numpy.typing import NDArray

    from kiterec.ticks.find import Packets
    from kiterec.ticks.schema import Prices
    from kiterec.wire.packets import PacketLayout

    Rows = slice | NDArray[np.intp]
    Divisor = NDArray[np.float64] | float

BLOCK: Final = 8192
"""Packets that are swapped and copied while they are in the cache."""

WORD_BYTES: Final = 4
_ALIGNMENT: Final = 64
_HALF_WORD: Final = 16
_ENTRY_WORDS: Final = DEPTH_ENTRY_BYTES // WORD_BYTES
_SIDE_BYTES: Final = DEPTH_LEVELS * DEPTH_ENTRY_BYTES

_NUMPY: Final[dict[str, np.dtype[Any]]] = {
    "quantity": np.dtype(np.uint32),
    "time": np.dtype(np.int64),
    "count": np.dtype(np.uint16),
}


@dataclass(frozen=True, slots=True)
class FieldArrays:
    """The decoded fields of some packets.

    Attributes:
        values: one array a column; `(n, 5)` for depth. Rows whose packet lacks the field hold 0.
        lacking: rows that have the field but no value: a tradable instrument without close, for `net_change`.
    """

    values: dict[str, NDArray[Any]]
    lacking: dict[str, NDArray[np.bool_]]

    def rows(self, some: slice) -> FieldArrays:
        """Give some of the rows; writing to them is writing to these."""
        return FieldArrays(
            {name: array[some] for name, array in self.values.items()},
            {name: array[some] for name, array in self.lacking.items()},
        )


@dataclass(frozen=True, slots=True)
class _Job:
    """What one layout gives: its columns, and the part of the packet that holds them."""

    fields: tuple[Field, ...]
    depth: tuple[tuple[str, int, Field], ...]
    derived: frozenset[str]
    last: int
    close: int
    begin: int
    words: int

    @property
    def names(self) -> set[str]:
        """Give the columns that it writes."""
        return {field.name for field in self.fields} | {name for name, _, _ in self.depth} | self.derived


def gather_words(data: NDArray[np.uint8], offset: NDArray[np.int64], words: int) -> NDArray[np.uint32]:
    """Give some 32-bit words of each offset as host integers.

    Shape:
        (offsets, words). The blocks are one copy each: an item of a view that has one item per byte.
    """
    width = words * WORD_BYTES
    if not offset.size:
        return np.empty((0, words), np.uint32)
    items = np.ndarray((data.size - width + 1,), f"V{width}", data, strides=(1,))
    block: NDArray[np.uint32] = items[offset].view(np.uint32).reshape(-1, words)
    return block.byteswap(inplace=True) if np.little_endian else block


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for some packets: for each of their lengths, its columns and its rows."""

    work: list[tuple[_Job, Rows]]

    def kinds(self, prices: Prices) -> dict[str, tuple[np.dtype[Any], int]]:
        """Give the type of each column's array, and its width."""
        kinds: dict[str, tuple[np.dtype[Any], int]] = {}
        for job, _ in self.work:
            units = [(field.name, field.unit, 1) for field in job.fields]
            units += [(name, field.unit, DEPTH_LEVELS) for name, _, field in job.depth]
            units += [(name, "price", 1) for name in job.derived]
            kinds |= {name: (_dtype(name, unit, prices), wide) for name, unit, wide in units}
        return kinds


def plan_fields(packets: Packets, columns: Collection[str]) -> Plan:
    """Say how packets of known lengths become columns: names of fields, depth and derived columns."""
    return Plan([(_job(LAYOUTS[length], columns), rows) for length, rows in _by_length(packets.length)])


def decode_fields(
    plan: Plan, arrays: FieldArrays, packets: Packets, *, prices: Prices, divisor: Divisor
) -> None:
    """Decode the planned fields.

    Args:
        plan: made of the same packets.
        arrays: as `allocate` gives them, or some of their rows: one a packet.
        packets: of known lengths only.
        prices: rupees or wire integers.
        divisor: of each packet, or of all.
    """
    written = {name for job, rows in plan.work if isinstance(rows, slice) for name in job.names}
    for name in arrays.values.keys() - written:
        arrays.values[name].fill(0)
    with np.errstate(divide="ignore", invalid="ignore"):  # change of what has no close; it is replaced
        for job, rows in plan.work:
            if isinstance(plan.work[0][1], slice):
                _wipe(arrays, job, rows)
            if job.words:
                _run(arrays, job, packets, rows, prices=prices, divisor=divisor)


def _run(
    arrays: FieldArrays, job: _Job, packets: Packets, rows: Rows, *, prices: Prices, divisor: Divisor
) -> None:
    """Decode the packets of one length."""
    # A shorter packet at the very end of the data is read from further left; it is written again.
    last = packets.data.size - job.words * WORD_BYTES
    for some in _blocks(rows, len(packets)):
        block = gather_words(packets.data, np.minimum(packets.offset[some] + job.begin, last), job.words)
        part = divisor if isinstance(divisor, float) else divisor[some]
        _write_fields(arrays, job, block, some, prices=prices, divisor=part)
        _write_depth(arrays, job, block, some, prices=prices, divisor=part)
        _write_derived(arrays, job, block, some, prices=prices, divisor=part)


def _by_length(length: NDArray[np.int64]) -> Iterator[tuple[int, Rows]]:
    """Give each length that occurs, with the rows that have it.

    A length that at least half of the rows have comes first and with all rows: reading the others as if
    they had it too and writing them again costs less than writing to scattered rows.
    """
    held = {known: int(np.count_nonzero(length == known)) for known in LAYOUTS}
    most = max(held, key=lambda known: held[known])
    if length.size and 2 * held[most] >= length.size:
        yield most, slice(0, length.size)
        del held[most]
    yield from ((known, np.flatnonzero(length == known)) for known, times in held.items() if times)


def _wipe(arrays: FieldArrays, job: _Job, rows: Rows) -> None:
    """Put zeros where rows were written as if they had fields that their packets lack."""
    if isinstance(rows, slice):
        return
    for name in arrays.values.keys() - job.names:
        arrays.values[name][rows] = 0
    if "net_change" not in job.derived:
        for lacking in arrays.lacking.values():
            lacking[rows] = False


def _blocks(rows: Rows, size: int) -> Iterator[Rows]:
    """Cut rows into blocks."""
    if isinstance(rows, slice):
        yield from (slice(first, min(first + BLOCK, size)) for first in range(0, size, BLOCK))
    else:
        yield from (rows[first : first + BLOCK] for first in range(0, rows.size, BLOCK))


def _job(layout: PacketLayout, columns: Collection[str]) -> _Job:
    """Say what a layout gives of the asked columns."""
    own = {field.name: field for field in layout.fields}
    derived = frozenset(
        name for name in ("change", "net_change") if name in columns and name not in own and "close" in own
    )
    fields = tuple(
        field for field in layout.fields if field.name in columns and field.name != "instrument_token"
    )
    depth = tuple(
        (f"{side}_{field.name}", layout.depth_offset + number * _SIDE_BYTES, field)
        for number, side in enumerate(SIDES)
        for field in DEPTH_FIELDS
        if layout.depth_offset is not None and f"{side}_{field.name}" in columns
    )
    last, close = own["last_price"].offset, own["close"].offset if derived else 0
    offsets = [field.offset for field in fields] + ([last, close] if derived else [])
    ends = [offset + WORD_BYTES for offset in offsets] + [offset + _SIDE_BYTES for _, offset, _ in depth]
    begin = min(offsets + [offset for _, offset, _ in depth], default=0)
    return _Job(fields, depth, derived, last, close, begin, (max(ends, default=0) - begin) // WORD_BYTES)


def allocate(plans: Sequence[Plan], size: int, prices: Prices) -> FieldArrays:
    """Make the arrays that plans for so many packets together write to.

    All of them share one allocation: its memory is used again by the next call, where dozens of
    smaller ones would go back to the system and cost more in page faults than the decoding.
    """
    kinds: dict[str, tuple[np.dtype[Any], int]] = {}
    for plan in plans:
        kinds |= plan.kinds(prices)
    bytes_of = {name: _aligned(size * wide * dtype.itemsize) for name, (dtype, wide) in kinds.items()}
    lacking = any("net_change" in job.derived for plan in plans for job, _ in plan.work)
    arena = np.empty(sum(bytes_of.values()), np.uint8)
    values: dict[str, NDArray[Any]] = {}
    first = 0
    for name, (dtype, wide) in kinds.items():
        flat = arena[first : first + size * wide * dtype.itemsize].view(dtype)
        values[name] = flat if wide == 1 else flat.reshape(size, wide)
        first += bytes_of[name]
    return FieldArrays(values, {"net_change": np.zeros(size, np.bool_)} if lacking else {})


def _aligned(size: int) -> int:
    """Give the next multiple of Arrow's recommended alignment."""
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _dtype(name: str, unit: str, prices: Prices) -> np.dtype[Any]:
    """Give the type of a column's array."""
    if unit != "price":
        return _NUMPY[unit]
    if prices == "float" or name == "change":
        return np.dtype(np.float64)
    # The difference of two int32 needs one bit more.
    return np.dtype(np.int64 if name == "net_change" else np.int32)


def _write_fields(
    arrays: FieldArrays, job: _Job, block: NDArray[np.uint32], rows: Rows, *, prices: Prices, divisor: Divisor
) -> None:
    for field in job.fields:
        raw = block[:, (field.offset - job.begin) // WORD_BYTES]
        target = arrays.values[field.name]
        if field.unit == "price":
            _write_prices(target, rows, raw.view(np.int32), prices=prices, divisor=divisor)
        elif field.unit == "time":
            _write(target, rows, np.multiply, raw, NS_PER_S)
        else:
            target[rows] = raw


def _write_depth(
    arrays: FieldArrays, job: _Job, block: NDArray[np.uint32], rows: Rows, *, prices: Prices, divisor: Divisor
) -> None:
    for name, offset, field in job.depth:
        first = (offset - job.begin) // WORD_BYTES
        raw = block[:, first + field.offset // WORD_BYTES : first + _SIDE_BYTES // WORD_BYTES : _ENTRY_WORDS]
        target = arrays.values[name]
        if field.unit == "price":
            wide = divisor if isinstance(divisor, float) else divisor[:, None]
            _write_prices(target, rows, raw.view(np.int32), prices=prices, divisor=wide)
        elif field.size == WORD_BYTES:
            target[rows] = raw
        else:
            # A uint16 that begins a big-endian word is its upper half.
            target[rows] = raw >> _HALF_WORD


def _write_prices(
    target: NDArray[Any], rows: Rows, raw: NDArray[np.int32], *, prices: Prices, divisor: Divisor
) -> None:
    if prices == "int":
        target[rows] = raw
    else:
        _write(target, rows, np.divide, raw, divisor)


def _write(target: NDArray[Any], rows: Rows, work: np.ufunc, one: Any, other: Any) -> None:
    """Write what a function of numpy gives, without a copy in between where the rows are neighbours."""
    if isinstance(rows, slice):
        work(one, other, out=target[rows], dtype=target.dtype)
    else:
        target[rows] = work(one, other, dtype=target.dtype)


def _write_derived(
    arrays: FieldArrays, job: _Job, block: NDArray[np.uint32], rows: Rows, *, prices: Prices, divisor: Divisor
) -> None:
    """Write `change` in the official client's order of operations, and `net_change`."""
    if not job.derived:
        return
    last_raw = block[:, (job.last - job.begin) // WORD_BYTES].view(np.int32)
    close_raw = block[:, (job.close - job.begin) // WORD_BYTES].view(np.int32)
    without = close_raw == 0
    some_without = bool(without.any())
    if "change" in job.derived:
        close = close_raw / divisor
        change = last_raw / divisor
        change -= close
        change *= 100
        change /= close
        if some_without:
            change[without] = 0.0
        arrays.values["change"][rows] = change
    if "net_change" in job.derived:
        # The difference of two int32 is exact in a float64, so only the division rounds.
        net = np.subtract(last_raw, close_raw, dtype=arrays.values["net_change"].dtype)
        if prices == "float":
            net /= divisor
        arrays.values["net_change"][rows] = net
        if some_without or not isinstance(rows, slice):
            arrays.lacking["net_change"][rows] = without
