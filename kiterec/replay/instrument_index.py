"""Instrument_tokens as small consecutive numbers, so that what is known of instruments can lie in arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Slots = npt.NDArray[np.uint64]

UNKNOWN: Final = -1
"""The position of an instrument_token that the market has not shown."""

NO_SLOTS: Final[Slots] = np.zeros(1, np.uint64)
"""The table of a market that has not shown any."""

MULTIPLIER: Final = 2_654_435_769
"""Fibonacci hashing: 2^32 over the golden ratio spreads tokens that differ in any bits."""

_FIRST_SLOTS: Final = 1 << 12
_SLOTS_PER_TOKEN: Final = 4
_TOKEN_SHIFT: Final = np.uint64(32)
_POSITION: Final = np.uint64(0xFFFF_FFFF)
_ONE: Final = np.uint64(1)


class InstrumentIndex:
    """Gives each instrument_token of the market a position, in the order of appearance.

    Only what the market shows gets in, never what a client asks for: its size is bounded by the timeline.

    Attributes:
        slots: an open hash table, a power of two long and never full. A token is in the slot of its hash or
            in the next that was free, as the number `token << 32 | position + 1`; 0 is a free slot. Being
            one number, it can be read by other threads while this one adds: they find a token or do not.
    """

    __slots__ = ("_count", "slots")

    def __init__(self) -> None:
        self._count = 0
        self.slots: Slots = np.zeros(_FIRST_SLOTS, np.uint64)

    def __len__(self) -> int:
        return self._count

    def find(self, tokens: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
        """Give the position of each token, `UNKNOWN` for one that was never added."""
        return find_positions(self.slots, tokens)

    def add(self, tokens: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
        """Give the position of each token; those not seen before get the next free ones."""
        positions = self.find(tokens)
        missing = positions == UNKNOWN
        if missing.any():
            fresh = np.unique(tokens[missing]).astype(np.uint64)
            numbers = np.arange(len(fresh), dtype=np.uint64) + np.uint64(self._count + 1)
            entries = (fresh << _TOKEN_SHIFT) | numbers
            self._count += len(fresh)
            if self._count * _SLOTS_PER_TOKEN > len(self.slots):
                entries = np.concatenate([self.slots[self.slots != 0], entries])
                self.slots = np.zeros(_SLOTS_PER_TOKEN << self._count.bit_length(), np.uint64)
            _insert(self.slots, entries)
            positions[missing] = self.find(tokens[missing])
        return positions


def find_positions(slots: Slots, tokens: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
    """Give the position of each token in a table, `UNKNOWN` for one that is not there."""
    place = _first_slots(tokens, slots)
    found = slots[place]
    positions = _positions(found)
    elsewhere = np.flatnonzero(_is_other(found, tokens))
    place = place[elsewhere]
    while len(elsewhere):
        place = (place + 1) & (len(slots) - 1)
        found = slots[place]
        positions[elsewhere] = _positions(found)
        further = _is_other(found, tokens[elsewhere])
        elsewhere, place = elsewhere[further], place[further]
    return positions


def hash_shift(slots: Slots) -> int:
    """Give by how many bits a hash of 32 bits is shifted to be a slot."""
    return 33 - len(slots).bit_length()


def _insert(slots: Slots, entries: Slots) -> None:
    place = _first_slots((entries >> _TOKEN_SHIFT).astype(np.uint32), slots)
    while len(entries):
        free = slots[place] == 0
        slots[place[free]] = entries[free]  # of several for one slot the last one stays
        left = slots[place] != entries
        entries, place = entries[left], (place[left] + 1) & (len(slots) - 1)


def _first_slots(tokens: npt.NDArray[np.uint32], slots: Slots) -> npt.NDArray[np.intp]:
    # Not in 32 bits: a shift by all 32 of them would leave what it was.
    hashes = (tokens * np.uint32(MULTIPLIER)).astype(np.intp)
    hashes >>= hash_shift(slots)
    return hashes


def _positions(entries: Slots) -> npt.NDArray[np.int32]:
    return ((entries & _POSITION) - _ONE).astype(np.int32)  # a free slot gives UNKNOWN


def _is_other(entries: Slots, tokens: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Tell which entries are of another token."""
    other: npt.NDArray[np.bool_] = (entries >> _TOKEN_SHIFT != tokens) & (entries != 0)
    return other
