"""Writes columns with numpy: gather a block of packets of one length, swap its bytes, write each field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kiterec.clock import NS_PER_S
from kiterec.ticks.plan import DERIVED, IN_RUPEES, LACKING, LAST_PRICE_AT, Kind
from kiterec.ticks.walks import gather_numbers
from kiterec.wire.packets import DEPTH_ENTRY_BYTES, DEPTH_LEVELS, LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from kiterec.ticks.context import Context
    from kiterec.ticks.find import Packets
    from kiterec.ticks.plan import Job, Plan, TickArrays

    Rows = slice | NDArray[np.intp]
    Divisor = NDArray[np.float64] | float

BLOCK: Final = 8192
"""Packets that are swapped and copied while they are in the cache."""

WORD_BYTES: Final = 4
_HALF_WORD: Final = 16
_ENTRY_WORDS: Final = DEPTH_ENTRY_BYTES // WORD_BYTES
_DEPTH_WORDS: Final = (DEPTH_LEVELS - 1) * _ENTRY_WORDS + 1


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


def read_tokens(packets: Packets) -> NDArray[np.uint32]:
    """Give the instrument_token of each packet (of known length)."""
    return gather_numbers(packets.data, packets.offset, ">u4")


def write_rows(
    arrays: TickArrays, rows: slice, packets: Packets, context: Context, divisors: NDArray[np.float64]
) -> None:
    """Decode packets of known lengths into rows of the arrays.

    Args:
        arrays: of a plan for their lengths.
        rows: one a packet.
        packets: what to decode.
        context: of their frames.
        divisors: by exchange segment.
    """
    plan = arrays.plan
    targets = arrays.rows(rows)
    for job in plan.jobs_of(0):
        targets[job.array][...] = _of_frame(job.kind, packets, context)
    divisor = _divisor(divisors, packets) if any(job.kind in IN_RUPEES for job in plan.jobs) else 1.0
    with np.errstate(divide="ignore", invalid="ignore"):  # change of what has no close; it is replaced
        for length, some in _by_length(packets.length):
            _write_length(plan, targets, plan.jobs_of(length), packets, some, divisor=divisor)


def _of_frame(kind: Kind, packets: Packets, context: Context) -> NDArray[Any]:
    """Give the numbers of each packet that are not in its bytes."""
    if kind is Kind.LENGTH:
        return packets.length
    if kind is Kind.PACKET:
        return packets.packet
    given = {
        Kind.SEQ: context.seq,
        Kind.RECEIVED_AT: context.received_at,
        Kind.CONNECTION: context.connection,
    }
    said = given[kind]
    return packets.frame if said is None else said[packets.frame]


def _divisor(divisors: NDArray[np.float64], packets: Packets) -> Divisor:
    """Give the divisor of each packet, or one number when all have the same."""
    each = divisors[read_tokens(packets).astype(np.uint8)]
    return float(each[0]) if each.size and (each == each[0]).all() else each


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


def _write_length(
    plan: Plan,
    targets: list[NDArray[Any]],
    jobs: list[Job],
    packets: Packets,
    rows: Rows,
    *,
    divisor: Divisor,
) -> None:
    """Write the packets of one length, a block after the other."""
    for job in jobs:
        if job.kind is Kind.NOTHING:
            targets[job.array][rows] = 0
    reading = [job for job in jobs if job.kind is not Kind.NOTHING]
    if not reading:
        return
    begin = min(LAST_PRICE_AT if job.kind in DERIVED else job.offset for job in reading)
    begin = min([begin, *(job.offset for job in reading)])
    words = max(_end(job) for job in reading) - begin // WORD_BYTES
    lacking = targets[plan.names.index(LACKING)] if LACKING in plan.names else None
    # A shorter packet at the very end of the data is read from further left; it is written again.
    last = packets.data.size - words * WORD_BYTES
    for some in _blocks(rows, len(packets)):
        block = gather_words(packets.data, np.minimum(packets.offset[some] + begin, last), words)
        part = divisor if isinstance(divisor, float) else divisor[some]
        for job in reading:
            if job.kind in DERIVED:
                _write_derived(
                    targets[job.array], job, block, some, begin=begin, divisor=part, lacking=lacking
                )
            else:
                _write_field(targets[job.array], job, block, some, begin=begin, divisor=part)


def _end(job: Job) -> int:
    """Give the word of the packet behind what a job reads."""
    return job.offset // WORD_BYTES + (_DEPTH_WORDS if job.kind >= Kind.DEPTH_UINT32 else 1)


def _blocks(rows: Rows, size: int) -> Iterator[Rows]:
    """Cut rows into blocks."""
    if isinstance(rows, slice):
        yield from (slice(first, min(first + BLOCK, size)) for first in range(0, size, BLOCK))
    else:
        yield from (rows[first : first + BLOCK] for first in range(0, rows.size, BLOCK))


def _write_field(
    target: NDArray[Any], job: Job, block: NDArray[np.uint32], rows: Rows, *, begin: int, divisor: Divisor
) -> None:
    """Write one field, or one of the depth's."""
    first = (job.offset - begin) // WORD_BYTES
    if job.kind >= Kind.DEPTH_UINT32:
        raw = block[:, first : first + _DEPTH_WORDS : _ENTRY_WORDS]
        divisor = divisor if isinstance(divisor, float) else divisor[:, None]
    else:
        raw = block[:, first]
    if job.kind in (Kind.RUPEES, Kind.DEPTH_RUPEES):
        _write(target, rows, np.divide, raw.view(np.int32), divisor)
    elif job.kind is Kind.TIME:
        _write(target, rows, np.multiply, raw, NS_PER_S)
    elif job.kind is Kind.DEPTH_UINT16:
        # A uint16 that begins a big-endian word is its upper half.
        target[rows] = raw >> _HALF_WORD
    elif job.kind in (Kind.UINT32, Kind.DEPTH_UINT32):
        target[rows] = raw
    else:
        target[rows] = raw.view(np.int32)


def _write(target: NDArray[Any], rows: Rows, work: np.ufunc, one: Any, other: Any) -> None:
    """Write what a function of numpy gives, without a copy in between where the rows are neighbours."""
    if isinstance(rows, slice):
        work(one, other, out=target[rows], dtype=target.dtype)
    else:
        target[rows] = work(one, other, dtype=target.dtype)


def _write_derived(
    target: NDArray[Any],
    job: Job,
    block: NDArray[np.uint32],
    rows: Rows,
    *,
    begin: int,
    divisor: Divisor,
    lacking: NDArray[np.bool_] | None,
) -> None:
    """Write `change` in the official client's order of operations, or `net_change`."""
    last_raw = block[:, (LAST_PRICE_AT - begin) // WORD_BYTES].view(np.int32)
    close_raw = block[:, (job.offset - begin) // WORD_BYTES].view(np.int32)
    without = close_raw == 0
    if job.kind is Kind.CHANGE:
        close = close_raw / divisor
        change = last_raw / divisor
        change -= close
        change *= 100
        change /= close
        change[without] = 0.0
        target[rows] = change
        return
    # The difference of two int32 is exact in a float64, so only the division rounds.
    net = np.subtract(last_raw, close_raw, dtype=target.dtype)
    if job.kind is Kind.NET_CHANGE:
        net /= divisor
    target[rows] = net
    if lacking is not None:
        lacking[rows] = without
