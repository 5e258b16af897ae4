"""Writes the columns of some packets by machine code: imported only where `kiterec.compiled.available()`.

Packets have been found before, so what they say of their length is true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.clock import NS_PER_S
from kiterec.compiled import compiled
from kiterec.ticks.byte_loops import i32, u16, u32
from kiterec.ticks.plan import LAST_PRICE_AT, Kind
from kiterec.wire.packets import DEPTH_ENTRY_BYTES, DEPTH_LEVELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_U1: Final = np.uint64(1)
_U2: Final = np.uint64(2)
_U3: Final = np.uint64(3)

BLOCK: Final = 512
"""Packets whose columns are written one after the other, while their bytes are in the cache."""

_ENTRY: Final = np.uint64(DEPTH_ENTRY_BYTES)
_LEVELS: Final = np.uint64(DEPTH_LEVELS)
_LAST_PRICE: Final = np.uint64(LAST_PRICE_AT)
_NS_PER_S: Final = np.int64(NS_PER_S)

# Numba knows numbers, not members of an enum.
_NOTHING = int(Kind.NOTHING)
_LENGTH = int(Kind.LENGTH)
_PACKET = int(Kind.PACKET)
_SEQ = int(Kind.SEQ)
_RECEIVED_AT = int(Kind.RECEIVED_AT)
_CONNECTION = int(Kind.CONNECTION)
_UINT32 = int(Kind.UINT32)
_TIME = int(Kind.TIME)
_RUPEES = int(Kind.RUPEES)
_WIRE_PRICE = int(Kind.WIRE_PRICE)
_CHANGE = int(Kind.CHANGE)
_NET_CHANGE = int(Kind.NET_CHANGE)
_DEPTH_UINT32 = int(Kind.DEPTH_UINT32)
_DEPTH_UINT16 = int(Kind.DEPTH_UINT16)
_DEPTH_RUPEES = int(Kind.DEPTH_RUPEES)


@compiled()
def _wipe(arena: NDArray[np.uint8], target: NDArray[np.uint64], held: int, width: int, first: int) -> None:
    """Write zeros to rows of an array."""
    for n in range(held):
        at = np.uint64(first) + target[n] * np.uint64(width)
        for byte in range(np.uint64(width)):
            arena[at + byte] = 0


@compiled()
def _write_of_frame(
    arena: NDArray[np.uint8],
    kind: int,
    first: int,
    target: NDArray[np.uint64],
    own: NDArray[np.int64],
    held: int,
    length: NDArray[np.int64],
    frame: NDArray[np.int64],
    packet: NDArray[np.int64],
    seq: NDArray[np.uint64],
    received_at: NDArray[np.int64],
    connection: NDArray[np.int16],
) -> None:
    """Write what is not in the packet's bytes."""
    at = np.uint64(first)
    if kind == _LENGTH:
        for n in range(held):
            arena[at + target[n]] = length[own[n]]
    elif kind == _PACKET:
        halves = arena.view(np.uint16)[at >> _U1 :]
        for n in range(held):
            halves[target[n]] = packet[own[n]]
    elif kind == _SEQ:
        longs = arena.view(np.uint64)[at >> _U3 :]
        for n in range(held):
            row = frame[own[n]]
            longs[target[n]] = seq[row] if seq.size else np.uint64(row)
    elif kind == _RECEIVED_AT:
        signed = arena.view(np.int64)[at >> _U3 :]
        for n in range(held):
            signed[target[n]] = received_at[frame[own[n]]]
    else:
        shorts = arena.view(np.int16)[at >> _U1 :]
        for n in range(held):
            shorts[target[n]] = connection[frame[own[n]]]


@compiled()
def _write_field(
    data: NDArray[np.uint8],
    arena: NDArray[np.uint8],
    kind: int,
    offset: int,
    first: int,
    source: NDArray[np.uint64],
    target: NDArray[np.uint64],
    divisor: NDArray[np.float64],
    held: int,
) -> None:
    """Write one number of each packet."""
    field = np.uint64(offset)
    at = np.uint64(first)
    doubles = arena.view(np.float64)[at >> _U3 :]
    longs = arena.view(np.int64)[at >> _U3 :]
    if kind == _UINT32:
        words = arena.view(np.uint32)[at >> _U2 :]
        for n in range(held):
            words[target[n]] = u32(data, source[n] + field)
    elif kind == _TIME:
        for n in range(held):
            longs[target[n]] = np.int64(u32(data, source[n] + field)) * _NS_PER_S
    elif kind == _RUPEES:
        for n in range(held):
            doubles[target[n]] = i32(data, source[n] + field) / divisor[n]
    elif kind == _WIRE_PRICE:
        signed = arena.view(np.int32)[at >> _U2 :]
        for n in range(held):
            signed[target[n]] = i32(data, source[n] + field)
    else:
        for n in range(held):
            longs[target[n]] = i32(data, source[n] + field)


@compiled()
def _write_derived(
    data: NDArray[np.uint8],
    arena: NDArray[np.uint8],
    kind: int,
    offset: int,
    first: int,
    source: NDArray[np.uint64],
    target: NDArray[np.uint64],
    divisor: NDArray[np.float64],
    held: int,
    lacking: int,
) -> None:
    """Write `change` in the official client's order of operations, or `net_change`."""
    field = np.uint64(offset)
    doubles = arena.view(np.float64)[np.uint64(first) >> _U3 :]
    longs = arena.view(np.int64)[np.uint64(first) >> _U3 :]
    if kind == _CHANGE:
        for n in range(held):
            raw = i32(data, source[n] + field)
            close = raw / divisor[n]
            change = i32(data, source[n] + _LAST_PRICE) / divisor[n]
            change = (change - close) * 100.0 / close
            doubles[target[n]] = change if raw != 0 else 0.0
    else:
        for n in range(held):
            raw = i32(data, source[n] + field)
            net = np.int64(i32(data, source[n] + _LAST_PRICE)) - np.int64(raw)
            if kind == _NET_CHANGE:
                doubles[target[n]] = net / divisor[n]
            else:
                longs[target[n]] = net
            arena[np.uint64(lacking) + target[n]] = raw == 0


@compiled()
def _write_depth(
    data: NDArray[np.uint8],
    arena: NDArray[np.uint8],
    kind: int,
    offset: int,
    first: int,
    source: NDArray[np.uint64],
    target: NDArray[np.uint64],
    divisor: NDArray[np.float64],
    held: int,
) -> None:
    """Write one number of each of the five best bids, or offers."""
    field = np.uint64(offset)
    at = np.uint64(first)
    if kind == _DEPTH_UINT32:
        words = arena.view(np.uint32)[at >> _U2 :]
        for n in range(held):
            for level in range(_LEVELS):
                words[target[n] * _LEVELS + level] = u32(data, source[n] + field + level * _ENTRY)
    elif kind == _DEPTH_UINT16:
        halves = arena.view(np.uint16)[at >> _U1 :]
        for n in range(held):
            for level in range(_LEVELS):
                halves[target[n] * _LEVELS + level] = u16(data, source[n] + field + level * _ENTRY)
    elif kind == _DEPTH_RUPEES:
        doubles = arena.view(np.float64)[at >> _U3 :]
        for n in range(held):
            for level in range(_LEVELS):
                raw = i32(data, source[n] + field + level * _ENTRY)
                doubles[target[n] * _LEVELS + level] = raw / divisor[n]
    else:
        signed = arena.view(np.int32)[at >> _U2 :]
        for n in range(held):
            for level in range(_LEVELS):
                signed[target[n] * _LEVELS + level] = i32(data, source[n] + field + level * _ENTRY)


@compiled()
def write_block(
    data: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    frame: NDArray[np.int64],
    packet: NDArray[np.int64],
    seq: NDArray[np.uint64],
    received_at: NDArray[np.int64],
    connection: NDArray[np.int16],
    row: NDArray[np.uint64],
    arena: NDArray[np.uint8],
    jobs: NDArray[np.int64],
    lacking: int,
    divisors: NDArray[np.float64],
    source: NDArray[np.uint64],
    target: NDArray[np.uint64],
    own: NDArray[np.int64],
    divisor: NDArray[np.float64],
) -> None:
    """Decode a block of packets; `row` is where each goes, and the last four are room to work in.

    The other arguments are those of `kiterec.ticks.column_loops.write_columns`.
    """
    ready = np.int64(-1)
    held = 0
    for job in range(jobs.shape[0]):
        if jobs[job, 0] != ready:
            ready = jobs[job, 0]
            held = 0
            for each in range(offset.size):
                if ready == 0 or length[each] == ready:
                    source[held] = np.uint64(offset[each])
                    target[held] = row[each]
                    own[held] = each
                    divisor[held] = divisors[data[np.uint64(offset[each]) + _U3]]
                    held += 1
        if held == 0:
            continue
        kind, field, first = jobs[job, 1], jobs[job, 2], jobs[job, 4]
        if kind == _NOTHING:
            _wipe(arena, target, held, jobs[job, 3], first)
        elif kind <= _CONNECTION:
            _write_of_frame(
                arena, kind, first, target, own, held, length, frame, packet, seq, received_at, connection
            )
        elif kind < _CHANGE:
            _write_field(data, arena, kind, field, first, source, target, divisor, held)
        elif kind < _DEPTH_UINT32:
            _write_derived(data, arena, kind, field, first, source, target, divisor, held, lacking)
        else:
            _write_depth(data, arena, kind, field, first, source, target, divisor, held)
