"""What serving does packet by packet, for Numba: imported only by `kiterec.replay.engine`.

The loops hold no lock of the interpreter. They check every place that the bytes of a frame lead to; where
frames begin and end was checked before. Numbers that index arrays are unsigned: for signed ones Numba would
ask each time whether they count from the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.compiled import compiled, reads, writes
from kiterec.replay.instrument_index import MULTIPLIER
from kiterec.ticks.byte_loops import u16, u32

if TYPE_CHECKING:
    from numpy.typing import NDArray

_U1: Final = np.uint64(1)
_HEADER: Final = np.uint64(2)
_TOKEN_SHIFT: Final = np.uint64(32)
_NOBODY: Final = np.int16(-1)
_LOW: Final = np.uint64(0xFFFF_FFFF)
_MULTIPLIER: Final = np.uint64(MULTIPLIER)


@compiled()
def _position(slots: NDArray[np.uint64], shift: np.uint64, token: np.uint64) -> np.int32:
    """Give the position of a token in the table of an `InstrumentIndex`, -1 for one that is not there."""
    place = ((token * _MULTIPLIER) & _LOW) >> shift
    entry = slots[place]
    while entry >> _TOKEN_SHIFT != token and entry != np.uint64(0):
        place = (place + _U1) & np.uint64(slots.size - 1)
        entry = slots[place]
    return np.int32(np.int64(entry & _LOW) - 1)


@compiled(
    reads("u1"), reads("i8"), reads("i8"), reads("?"), reads("u8"), "i8",
    writes("i8"), writes("i8"), writes("i8"), writes("u4"), writes("i4"), writes("i8"), writes("?"),
)  # fmt: skip
def locate(
    data: NDArray[np.uint8],
    start: NDArray[np.int64],
    size: NDArray[np.int64],
    known: NDArray[np.bool_],
    slots: NDArray[np.uint64],
    hash_shift: int,
    message: NDArray[np.int64],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    token: NDArray[np.uint32],
    position: NDArray[np.int32],
    begin: NDArray[np.int64],
    intact: NDArray[np.bool_],
) -> tuple[int, bool]:
    """Find every whole packet of known length; give how many, and whether all have a position.

    Args:
        data: the bytes that all messages are in.
        start: of each message.
        size: of each message, in bytes; less than two for what holds no packets.
        known: truths by length.
        slots: the table of an `InstrumentIndex`.
        hash_shift: of that table.
        message: gets the row of each packet's message.
        offset: gets its first byte in the data.
        length: gets its bytes.
        token: gets its instrument_token.
        position: gets the place of that in the table, -1 where it has none.
        begin: gets how many packets precede each message, and at last how many there are.
        intact: gets which messages hold nothing but those packets.
    """
    shift = np.uint64(hash_shift)
    found = np.uint64(0)
    placed = True
    for row in range(start.size):
        begin[row] = found
        intact[row] = True
        if size[row] < 2:
            continue
        at = np.uint64(start[row])
        end = at + np.uint64(size[row])
        count = u16(data, at)
        at += _HEADER
        number = np.uint64(0)
        # Most packets are as long as the one before. The processor guesses so and reads ahead, since where
        # the next one is does not depend then on what it has to wait for.
        width, stride = np.uint64(0), _HEADER
        wanted = known[0]
        while number < count and at + _HEADER <= end:
            here = u16(data, at)
            if here != width:
                width, stride = here, here + _HEADER
                wanted = known[width]
            if at + stride > end:
                break
            at += _HEADER
            if wanted:
                message[found] = row
                offset[found] = at
                length[found] = width
                here = np.uint64(u32(data, at))
                token[found] = here
                place = _position(slots, shift, here)
                if place < 0:
                    placed = False
                position[found] = place
                found += _U1
            else:
                intact[row] = False
            number += _U1
            at += width
        if number < count or at != end:
            intact[row] = False
    begin[start.size] = found
    return int(found), placed


@compiled(writes("i8"), reads("i4"), "i8")
def note_last(last: NDArray[np.int64], instrument: NDArray[np.int32], first: int) -> None:
    """Number packets from `first` on, and note the last number of each instrument."""
    for each in range(instrument.size):
        last[np.uint64(instrument[each])] = first + each


@compiled(
    writes("i2"), writes("i8"), writes("i8"), reads("i4"), reads("i2"), reads("i8"), reads("i8"), writes("?"),
    "i8", "i8",
)  # fmt: skip
def claim(
    owner: NDArray[np.int16],
    spoke_ns: NDArray[np.int64],
    last_length: NDArray[np.int64],
    instrument: NDArray[np.int32],
    connection: NDArray[np.int16],
    due_ns: NDArray[np.int64],
    length: NDArray[np.int64],
    keep: NDArray[np.bool_],
    takeover_ns: int,
    downgrade_ns: int,
) -> bool:
    """Decide packet by packet whose word counts, as `Owners` says; tell whether all of them do.

    Args:
        owner: of each instrument, -1 for nobody.
        spoke_ns: when it last spoke of the instrument.
        last_length: how long that packet was.
        instrument: of each packet.
        connection: likewise.
        due_ns: likewise.
        length: likewise.
        keep: gets which packets come from the owner.
        takeover_ns: a silence after which another takes over.
        downgrade_ns: the same where the other speaks in a lower mode.
    """
    all_kept = True
    for each in range(instrument.size):
        about = np.uint64(instrument[each])
        mine = owner[about] == connection[each] or owner[about] == _NOBODY
        if not mine:
            patience_ns = downgrade_ns if length[each] < last_length[about] else takeover_ns
            mine = length[each] > last_length[about] or due_ns[each] - spoke_ns[about] > patience_ns
        keep[each] = mine
        if mine:
            owner[about] = connection[each]
            spoke_ns[about] = due_ns[each]
            last_length[about] = length[each]
        else:
            all_kept = False
    return all_kept
