"""What a decoding writes: one array for each number that the asked columns are made of, and from where."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kiterec.ticks.schema import COLUMNS, SIDES
from kiterec.wire.packets import DEPTH_ENTRY_BYTES, DEPTH_FIELDS, DEPTH_LEVELS, LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from kiterec.ticks.schema import Prices
    from kiterec.wire.packets import PacketLayout

_ALIGNMENT: Final = 64
_SIDE_BYTES: Final = DEPTH_LEVELS * DEPTH_ENTRY_BYTES

LAST_PRICE_AT: Final = next(field.offset for field in LAYOUTS[8].fields if field.name == "last_price")
"""Where every packet has its last price."""

LENGTH: Final = "\0length"
"""The array of the packets' lengths, which tell what is null."""

LACKING: Final = "\0net_change"
"""The array of truths: the packet has a `net_change` but no value for it, as there is no close."""

OF_TOKEN: Final = frozenset(column.name for column in COLUMNS if column.origin == "token")
"""Columns that are made of the instrument_token."""

FIELDS: Final = frozenset(column.name for column in COLUMNS if column.origin in {"field", "depth", "derived"})
"""Columns that packets carry, depending on their length."""


class Kind(IntEnum):
    """How a number becomes one of an array."""

    NOTHING = 0
    LENGTH = 1
    PACKET = 2
    SEQ = 3
    RECEIVED_AT = 4
    CONNECTION = 5
    UINT32 = 6
    TIME = 7
    RUPEES = 8
    WIRE_PRICE = 9
    WIDE_WIRE_PRICE = 10
    CHANGE = 11
    NET_CHANGE = 12
    WIRE_NET_CHANGE = 13
    DEPTH_UINT32 = 14
    DEPTH_UINT16 = 15
    DEPTH_RUPEES = 16
    DEPTH_WIRE_PRICE = 17


IN_RUPEES: Final = frozenset((Kind.RUPEES, Kind.DEPTH_RUPEES, Kind.CHANGE, Kind.NET_CHANGE))
"""Made with the divisor of the packet's segment."""

DERIVED: Final = frozenset((Kind.CHANGE, Kind.NET_CHANGE, Kind.WIRE_NET_CHANGE))
"""Made of last_price and close."""

_NET: Final = frozenset((Kind.NET_CHANGE, Kind.WIRE_NET_CHANGE))
_NONE: Final = (Kind.NOTHING, 0)

_DTYPES: Final[dict[Kind, str]] = {
    Kind.LENGTH: "u1",
    Kind.PACKET: "u2",
    Kind.SEQ: "u8",
    Kind.RECEIVED_AT: "i8",
    Kind.CONNECTION: "i2",
    Kind.UINT32: "u4",
    Kind.TIME: "i8",
    Kind.RUPEES: "f8",
    Kind.WIRE_PRICE: "i4",
    # The difference of two int32 needs one bit more.
    Kind.WIDE_WIRE_PRICE: "i8",
    Kind.CHANGE: "f8",
    Kind.NET_CHANGE: "f8",
    Kind.WIRE_NET_CHANGE: "i8",
    Kind.DEPTH_UINT32: "u4",
    Kind.DEPTH_UINT16: "u2",
    Kind.DEPTH_RUPEES: "f8",
    Kind.DEPTH_WIRE_PRICE: "i4",
}
_OF_ROW: Final = {
    "packet": Kind.PACKET,
    "seq": Kind.SEQ,
    "received_at": Kind.RECEIVED_AT,
    "connection": Kind.CONNECTION,
}


@dataclass(frozen=True, slots=True)
class Job:
    """One column of the packets of one length.

    Attributes:
        length: of the packets; 0 for all.
        kind: how.
        offset: of the number in the packet; of `close` for what is derived from it.
        array: number of the array that it is written to.
    """

    length: int
    kind: Kind
    offset: int
    array: int


@dataclass(frozen=True)
class Plan:
    """The arrays of a table, without their memory.

    Attributes:
        names: of the arrays, mostly of columns.
        dtypes: of one number.
        widths: numbers a row: 5 for depth.
        jobs: what is written to them; those of one length follow each other.
    """

    names: tuple[str, ...]
    dtypes: tuple[np.dtype[Any], ...]
    widths: tuple[int, ...]
    jobs: tuple[Job, ...]

    def jobs_of(self, length: int) -> list[Job]:
        """Give those of the packets of a length; 0 for those of all packets."""
        return [job for job in self.jobs if job.length == length]

    @cached_property
    def job_numbers(self) -> NDArray[np.int64]:
        """Give the jobs as rows of four numbers, in the order of `Job`.

        What is done alike with the packets of each length is one job for all.
        """
        lengths = len({job.length for job in self.jobs} - {0})
        alike = Counter((job.kind, job.offset, job.array) for job in self.jobs if job.length)
        numbers = {
            (0 if alike[what] == lengths else job.length, *what): None
            for job in self.jobs
            for what in [(job.kind, job.offset, job.array)]
        }
        return _fixed(np.array(sorted(numbers, key=lambda number: number[0]), np.int64).reshape(-1, 4))

    @cached_property
    def row_bytes(self) -> NDArray[np.int64]:
        """Give the bytes of a row of each array."""
        row_bytes = [dtype.itemsize * wide for dtype, wide in zip(self.dtypes, self.widths, strict=True)]
        return _fixed(np.array(row_bytes, np.int64))


def _fixed(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Let nobody change what all decodings with a plan share."""
    numbers.setflags(write=False)
    return numbers


@dataclass(frozen=True, slots=True)
class TickArrays:
    """The numbers of some packets, to be written.

    Attributes:
        plan: what they are.
        arena: the memory of all arrays.
        first: the first byte of each of them.
        values: the arrays by name; `(n, 5)` for depth. Rows whose packet lacks the field hold 0.
    """

    plan: Plan
    arena: NDArray[np.uint8]
    first: NDArray[np.int64]
    values: dict[str, NDArray[Any]]

    def first_rows(self, rows: int) -> TickArrays:
        """Give so many of the first rows."""
        return replace(self, values={name: array[:rows] for name, array in self.values.items()})

    def rows(self, some: slice) -> list[NDArray[Any]]:
        """Give some rows of each array; writing to them is writing to these."""
        return [array[some] for array in self.values.values()]


def allocate(plan: Plan, size: int) -> TickArrays:
    """Make the arrays for so many rows.

    All of them share one allocation: its memory is used again by the next call, where dozens of
    smaller ones would go back to the system and cost more in page faults than the decoding.
    """
    needed = plan.row_bytes * size
    ends = np.cumsum(-(-needed // _ALIGNMENT) * _ALIGNMENT)
    first = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    arena = np.empty(int(ends[-1]) if ends.size else 0, np.uint8)
    values: dict[str, NDArray[Any]] = {}
    for number, (name, dtype, wide) in enumerate(zip(plan.names, plan.dtypes, plan.widths, strict=True)):
        flat = arena[first[number] : first[number] + needed[number]].view(dtype)
        values[name] = flat if wide == 1 else flat.reshape(size, wide)
    return TickArrays(plan, arena, first, values)


@lru_cache(maxsize=64)
def make_plan(
    columns: frozenset[str], lengths: frozenset[int], known: frozenset[str], prices: Prices
) -> Plan:
    """Say what is written for packets of these lengths.

    Args:
        columns: asked for.
        lengths: that occur; known ones.
        known: columns of which each frame has a number.
        prices: rupees or wire integers.
    """
    rows = {LENGTH: Kind.LENGTH} | {name: _OF_ROW[name] for name in _OF_ROW if name in columns & known}
    asked = columns & FIELDS | ({"instrument_token"} if columns & OF_TOKEN else frozenset())
    carried = {length: dict(_carried(LAYOUTS[length], asked, prices)) for length in sorted(lengths)}
    kinds = dict(rows)
    for fields in carried.values():
        kinds |= {name: kind for name, (kind, _) in fields.items()}
    dtypes = {name: np.dtype(_DTYPES[kind]) for name, kind in kinds.items()}
    if any(kind in _NET for fields in carried.values() for kind, _ in fields.values()):
        dtypes[LACKING] = np.dtype(np.bool_)
    names = list(dtypes)
    jobs = [Job(0, kind, 0, names.index(name)) for name, kind in rows.items()]
    for length, fields in carried.items():
        written = {*rows, *fields} | ({LACKING} if fields.get("net_change", _NONE)[0] in _NET else set())
        jobs += [Job(length, kind, offset, names.index(name)) for name, (kind, offset) in fields.items()]
        jobs += [Job(length, Kind.NOTHING, 0, n) for n, name in enumerate(names) if name not in written]
    widths = [DEPTH_LEVELS if kinds.get(name, Kind.NOTHING) >= Kind.DEPTH_UINT32 else 1 for name in names]
    return Plan(tuple(names), tuple(dtypes.values()), tuple(widths), tuple(jobs))


def most_row_bytes(columns: Collection[str], prices: Prices) -> int:
    """Give the bytes of a row of these columns where packets have all lengths."""
    known = frozenset(_OF_ROW)
    return int(make_plan(frozenset(columns), frozenset(LAYOUTS), known, prices).row_bytes.sum())


def _carried(
    layout: PacketLayout, asked: Collection[str], prices: Prices
) -> Iterator[tuple[str, tuple[Kind, int]]]:
    """Give the asked columns that packets of a layout give: how, and where they are in the packet."""
    own = {field.name: field for field in layout.fields}
    for name, field in own.items():
        if name in asked:
            wide = prices == "int" and name == "net_change"
            yield name, (Kind.WIDE_WIRE_PRICE if wide else _of_unit(field.unit, prices), field.offset)
    if "close" in own:
        if "change" in asked:
            yield "change", (Kind.CHANGE, own["close"].offset)
        if "net_change" in asked and "net_change" not in own:
            kind = Kind.NET_CHANGE if prices == "float" else Kind.WIRE_NET_CHANGE
            yield "net_change", (kind, own["close"].offset)
    if layout.depth_offset is not None:
        for number, side in enumerate(SIDES):
            for field in DEPTH_FIELDS:
                if (name := f"{side}_{field.name}") in asked:
                    offset = layout.depth_offset + number * _SIDE_BYTES + field.offset
                    yield name, (_of_unit(field.unit, prices, depth=True), offset)


def _of_unit(unit: str, prices: Prices, *, depth: bool = False) -> Kind:
    """Say how a field of the wire becomes a number of the table."""
    if unit == "price":
        if prices == "float":
            return Kind.DEPTH_RUPEES if depth else Kind.RUPEES
        return Kind.DEPTH_WIRE_PRICE if depth else Kind.WIRE_PRICE
    if unit == "time":
        return Kind.TIME
    if unit == "count":
        return Kind.DEPTH_UINT16
    return Kind.DEPTH_UINT32 if depth else Kind.UINT32
